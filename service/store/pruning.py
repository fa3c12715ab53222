"""What is taken out of the log of deliveries as time passes: what ended long ago, with all that was said in its attempts."""

from sqlalchemy import Connection

from service.store.outbox import CANCELLED, DELIVERED, SUPERSEDED
from service.store.sql import chunks, marks, padded, run

ENDED = (DELIVERED, SUPERSEDED, CANCELLED)
SOME = 2000  # deliveries that are looked at in one transaction


def prune(tx: Connection, after: int, before: int) -> int:
    """Looks at the next deliveries after a number, and takes out what ended before a time. Returns where to go on; 0 is the start.

    The newest delivery of each resource stays, without its attempts: it says whether the resource arrived, or was given up.
    """
    rows = run(tx, "SELECT num, state, changed_at FROM delivery WHERE num > : ORDER BY num LIMIT :", (after, SOME))
    ended = [num for num, state, changed_at in rows if state in ENDED and changed_at < before]
    for some in chunks(ended):
        chunk = padded(some)
        run(tx, f"DELETE FROM attempt WHERE delivery IN ({marks(chunk)}) RETURNING 1", chunk)
        newer = "SELECT 1 FROM delivery n WHERE n.target = delivery.target AND n.resource = delivery.resource AND n.num > delivery.num"
        run(tx, f"DELETE FROM delivery WHERE num IN ({marks(chunk)}) AND EXISTS ({newer}) RETURNING 1", chunk)
    return rows[-1][0] if len(rows) == SOME else 0
