"""What is owed to whom: streams, which workers lease, and deliveries, which are the log of every resource that was owed.

States: waiting, sending, delivered, superseded, unsupported, parked, cancelled. Nothing ends in nothing: delivered,
superseded and cancelled are terminal, all others end in one of them.
"""

from collections.abc import Iterable, Mapping

from sqlalchemy import Connection, func, insert, select, update
from sqlalchemy.dialects import postgresql, sqlite

from service.store.sql import chunks
from service.store.tables import delivery, stream

WAITING, SENDING, DELIVERED, SUPERSEDED, UNSUPPORTED, PARKED, CANCELLED = (
    "waiting", "sending", "delivered", "superseded", "unsupported", "parked", "cancelled",
)  # fmt: skip
STATES = (WAITING, SENDING, DELIVERED, SUPERSEDED, UNSUPPORTED, PARKED, CANCELLED)
REPLACED = (WAITING, PARKED, UNSUPPORTED)  # what a newer version of the same resource takes the place of


def touch(tx: Connection, target: str, keys: Iterable[int], now: int) -> dict[int, int]:
    """The streams of a target, made where they are new, ready from now on at the latest: key -> number."""
    make = sqlite.insert if tx.dialect.name == "sqlite" else postgresql.insert
    least = func.min if tx.dialect.name == "sqlite" else func.least
    found: dict[int, int] = {}
    for chunk in chunks(sorted(set(keys))):
        values = [{"target": target, "key": key, "ready_at": now, "lease_until": 0, "epoch": 0} for key in chunk]
        made = make(stream).values(values)
        made = made.on_conflict_do_update(index_elements=["target", "key"], set_={"ready_at": least(stream.c.ready_at, made.excluded.ready_at)})
        found |= {row.key: row.num for row in tx.execute(made.returning(stream.c.key, stream.c.num))}
    return found


def owe(tx: Connection, target: str, stream_of: Mapping[int, int], now: int, *, reason: str = "", replays: int | None = None) -> None:
    """Owes resources (number -> stream) to a target: one waiting delivery each, which takes the place of what was waiting.

    What may be there already is still looked for first, unless it is replayed: then somebody has looked.
    """
    for chunk in chunks(sorted(stream_of)):
        d = delivery.c
        replaced = tx.execute(
            update(delivery).where(d.target == target, d.resource.in_(chunk), d.state.in_(REPLACED)).values(state=SUPERSEDED, changed_at=now)
            .returning(d.resource, d.unsure)
        )  # fmt: skip
        unsure = {row.resource for row in replaced if row.unsure} if replays is None else set()
        tx.execute(insert(delivery), [
            {"target": target, "stream": stream_of[resource], "resource": resource, "state": WAITING, "reason": reason, "unsure": resource in unsure,
             "attempts": 0, "next_at": now, "created_at": now, "changed_at": now, "replays": replays}
            for resource in chunk
        ])  # fmt: skip


def counts(connection: Connection, target: str | None = None) -> dict[tuple[str, str], int]:
    """How many deliveries there are in each state: (target, state) -> count."""
    query = select(delivery.c.target, delivery.c.state, func.count()).group_by(delivery.c.target, delivery.c.state)
    if target is not None:
        query = query.where(delivery.c.target == target)
    return {(row[0], row[1]): row[2] for row in connection.execute(query)}


def oldest_waiting(connection: Connection, now: int) -> dict[str, float]:
    """How long the oldest waiting delivery of each target has waited, in seconds."""
    d = delivery.c
    rows = connection.execute(select(d.target, func.min(d.created_at)).where(d.state == WAITING).group_by(d.target))
    return {row[0]: (now - row[1]) / 1_000_000 for row in rows}
