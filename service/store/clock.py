"""The commit clock: a sequence and a time that only go forwards in the order of commits.

Commit order is not the order of a sequence: writers that take a number early and commit late make a poller miss rows. So the
one row here is locked after every other lock, just before rows are written, and held until the commit. What tells the time is
the database's clock, so that leases, consents and tokens mean the same to every machine.
"""

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from sqlalchemy import ColumnElement, Connection, func, select, update
from sqlalchemy.exc import SQLAlchemyError

from service.store.database import Database
from service.store.sql import run
from service.store.tables import clock

ASKED_AGAIN, ASKED_AFTER_AN_ERROR = 60.0, 5.0  # seconds
EPOCH, MICROSECOND = datetime(1970, 1, 1, tzinfo=UTC), timedelta(microseconds=1)
Now = Callable[[], datetime]


def system_now() -> datetime:
    return datetime.now(UTC)


class DatabaseTime:
    """Now, by the database's clock, on which machines agree whose own clocks do not.

    It is asked once a minute, and our own clock runs on from there; while it cannot be asked, what it said last holds.
    """

    def __init__(self, database: Database, own: Now = system_now):
        self._database, self._own = database, own
        self._ahead, self._ask_at = timedelta(0), 0.0

    def __call__(self) -> datetime:
        if time.monotonic() >= self._ask_at:
            self._ask()
        return self._own() + self._ahead

    def _ask(self) -> None:
        self._ask_at = time.monotonic() + ASKED_AGAIN
        try:
            with self._database.glance() as connection:
                before = self._own()
                said: datetime = connection.execute(select(func.clock_timestamp())).scalar_one()
                self._ahead = said - before - (self._own() - before) / 2
        except SQLAlchemyError:
            self._ask_at = time.monotonic() + ASKED_AFTER_AN_ERROR


def now_of(database: Database) -> Now:
    """What tells the time to all who share a database: its own clock, or the one of the only machine that can have it open."""
    return system_now if database.sqlite else DatabaseTime(database)


def micros(moment: datetime) -> int:
    return (moment - EPOCH) // MICROSECOND


def moment(microseconds: int) -> datetime:
    return EPOCH + timedelta(microseconds=microseconds)


def tick(tx: Connection, now: datetime) -> tuple[int, int, int]:
    """The next commit's (seq, time), later than, or the same time as, every commit before it; and how often a target was added by now."""
    later = "max" if tx.dialect.name == "sqlite" else "greatest"
    seq, at, targets = run(tx, f"UPDATE clock SET seq = seq + 1, at = {later}(at, :) RETURNING seq, at, targets", (dated(micros(now)),))[0]
    return seq, at, targets


def target_added(tx: Connection) -> None:
    """Lets whoever publishes at this moment see that there is another target, or one less, or that it takes something else.

    It keeps every other write from committing until then.
    """
    run(tx, "UPDATE clock SET targets = targets + 1 RETURNING 1")


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
    """The number of the last restore, above every version that was given before it; 0 where no backup was ever restored."""
    return int(connection.execute(select(clock.c.restores)).scalar_one())
