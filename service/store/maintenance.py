"""What is swept up as time passes: index rows that no page can lead to any more, and the milestones by which they are known."""

from dataclasses import dataclass

from sqlalchemy import Connection, delete, func, insert, select, update

from service.store.catching import catching_up
from service.store.cursors import next_due
from service.store.reading import latest_seq
from service.store.sql import run
from service.store.tables import audit, milestone, search_text, search_value, timer, worker

MINUTE = 60 * 1_000_000


@dataclass(frozen=True)
class Work:
    timers: bool
    unsealed: bool
    milestone: bool
    catching_up: bool
    pulls: bool


def due(connection: Connection, now: int) -> Work:
    """What there is to do, told by five lookups."""
    timers = connection.execute(select(timer.c.at).where(timer.c.at <= now).limit(1)).first() is not None
    unsealed = connection.execute(select(audit.c.num).where(audit.c.chain.is_(None)).limit(1)).first() is not None
    last = connection.execute(select(func.max(milestone.c.at))).scalar_one_or_none()
    return Work(timers, unsealed, last is None or now - last >= MINUTE, bool(catching_up(connection)), next_due(connection, now) is not None)


def sweep(tx: Connection, now: int, page_seconds: int) -> None:
    """Notes where the clock stands, and takes out index rows that ended before every page that may still be asked for."""
    tx.execute(insert(milestone).values(at=now, seq=latest_seq(tx)))
    old = now - page_seconds * 1_000_000
    seq = tx.execute(select(func.max(milestone.c.seq)).where(milestone.c.at <= old)).scalar_one_or_none()
    if seq is not None:
        for table in (search_value, search_text):
            run(tx, f"DELETE FROM {table.name} WHERE to_seq <= :", (seq,))
        tx.execute(delete(milestone).where(milestone.c.at < old - 10 * MINUTE))


def seen(tx: Connection, id: str, now: int) -> None:
    """A worker's sign of life; those without one for ten minutes are forgotten."""
    tx.execute(update(worker).where(worker.c.id == id).values(seen_at=now))
    tx.execute(delete(worker).where(worker.c.seen_at < now - 10 * MINUTE))
