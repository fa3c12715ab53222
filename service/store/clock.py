"""The commit clock: a sequence and a time that only go forwards in the order of commits.

Commit order is not the order of a sequence: writers that take a number early and commit late make a poller miss rows. So the
one row here is locked after every other lock, just before rows are written, and held until the commit.
"""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from sqlalchemy import ColumnElement, Connection, func, select, update

from service.store.tables import clock

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
Now = Callable[[], datetime]


def system_now() -> datetime:
    return datetime.now(UTC)


def micros(moment: datetime) -> int:
    return (moment - EPOCH) // timedelta(microseconds=1)


def moment(microseconds: int) -> datetime:
    return EPOCH + timedelta(microseconds=microseconds)


def tick(tx: Connection, now: datetime) -> tuple[int, int]:
    """The next commit's (seq, time): later than, or the same time as, every commit before it."""
    row = tx.execute(
        update(clock).values(seq=clock.c.seq + 1, at=_later(tx, dated(micros(now)))).returning(clock.c.seq, clock.c.at)
    ).one()
    return row.seq, row.at


def dated(microseconds: int) -> int:
    """A time as the commit clock counts: in milliseconds, as FHIR shows them."""
    return microseconds // 1000 * 1000


def reach(tx: Connection, at: int) -> None:
    """Whatever commits after this is dated `at` or later, whoever writes it."""
    tx.execute(update(clock).values(at=_later(tx, at)))


def _later(tx: Connection, at: int) -> ColumnElement[int]:
    return (func.max if tx.dialect.name == "sqlite" else func.greatest)(clock.c.at, at)


def hold(tx: Connection) -> None:
    """Keeps every other write from committing until this one does."""
    tx.execute(select(clock.c.seq) if tx.dialect.name == "sqlite" else select(clock.c.seq).with_for_update())


def restores(connection: Connection) -> int:
    """How often a backup was restored into this database."""
    return int(connection.execute(select(clock.c.restores)).scalar_one())
