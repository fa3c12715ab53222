"""What somebody should be told of an EHR, once: what is parked, stuck or failing there, or that it keeps us out, since when, and whether it was told.

An alarm begins when it is first seen and ends when it was well for a while; as long as it lasts it is told once, or again after a
settable time. Whoever tells it takes it first, so that several workers tell it once.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from sqlalchemy import Connection, delete, select, update

from service.store.outbox import PARKED, SENDING, WAITING
from service.store.sql import insert_many, run
from service.store.tables import alarm

PARKED_THERE, STUCK, FAILING, KEEPS_OUT = "parked", "stuck", "failing", "keeps out"
FAILURES = 5  # in a row: the breaker opens
KEPT_OUT = 3  # times in a row: a key that is new to an EHR takes a while to be known there
SECOND = 1_000_000
WELL_FOR = 300 * SECOND  # what comes and goes is one alarm
TAKEN_FOR = 60 * SECOND
LONGEST_WAIT = 3600 * SECOND


@dataclass(frozen=True)
class Condition:
    """What is wrong with an EHR now: how many are parked, for how many seconds the oldest waits, how often in a row it failed or kept us out."""

    target: str
    reason: str
    figure: int


@dataclass(frozen=True)
class Alarm:
    """A condition that somebody is to be told of. `again` says that it was told before."""

    target: str
    reason: str
    figure: int
    since: int
    tries: int
    again: bool


def conditions(connection: Connection, now: int, stuck_after: int) -> list[Condition]:
    """What is wrong now, by lookups that cost the same behind any backlog. `stuck_after` is in microseconds."""
    oldest = "(SELECT d.created_at FROM delivery d WHERE d.target = t.id AND d.state = : ORDER BY d.num LIMIT 1)"
    sql = (
        f"SELECT t.id, t.failures, (SELECT COUNT(*) FROM delivery d WHERE d.target = t.id AND d.state = :), {oldest}, {oldest}, a.failures "
        "FROM target t LEFT JOIN access a ON a.target = t.id WHERE t.removed_at IS NULL ORDER BY t.id"
    )
    found: list[Condition] = []
    for name, failures, parked, waiting, sending, kept_out in run(connection, sql, (PARKED, WAITING, SENDING)):
        age = now - min(at for at in (waiting, sending, now) if at is not None)
        found += [Condition(name, PARKED_THERE, parked)] if parked else []
        found += [Condition(name, STUCK, age // SECOND)] if age > stuck_after else []
        found += [Condition(name, FAILING, failures)] if failures >= FAILURES else []
        found += [Condition(name, KEEPS_OUT, kept_out)] if (kept_out or 0) >= KEPT_OUT else []
    return found


def known(connection: Connection) -> bool:
    """Whether there is any alarm, so that nothing has to be written where nothing is wrong."""
    return connection.execute(select(alarm.c.target).limit(1)).first() is not None


def note(tx: Connection, found: Iterable[Condition], now: int) -> None:
    """Begins alarms, and ends those that have been well for a while."""
    found = list(found)
    rows = [(one.target, one.reason, one.figure, now, 0, 0) for one in found]
    latest = "ON CONFLICT (target, reason) DO UPDATE SET figure = excluded.figure, well_at = NULL"
    insert_many(tx, alarm, ("target", "reason", "figure", "since", "tries", "next_at"), rows, latest)
    a = alarm.c
    wrong = {(one.target, one.reason) for one in found}
    for row in tx.execute(select(a.target, a.reason, a.well_at)).all():
        this = a.target == row.target, a.reason == row.reason
        if (row.target, row.reason) in wrong:
            continue
        if row.well_at is None:
            tx.execute(update(alarm).where(*this).values(well_at=now))
        elif row.well_at <= now - WELL_FOR:
            tx.execute(delete(alarm).where(*this))


def forget(tx: Connection, target: str) -> None:
    """Nobody is told of a target any more."""
    tx.execute(delete(alarm).where(alarm.c.target == target))


def take(tx: Connection, now: int, repeat_after: int) -> list[Alarm]:
    """Those that are to be told now, taken for a minute. `repeat_after` is in microseconds; 0 tells nothing again."""
    a = alarm.c
    again = a.told_at <= now - repeat_after if repeat_after else a.told_at < 0
    due = update(alarm).where(a.well_at.is_(None), a.next_at <= now, a.told_at.is_(None) | again)
    taken = due.values(next_at=now + TAKEN_FOR, tries=a.tries + 1).returning(a.target, a.reason, a.figure, a.since, a.tries, a.told_at)
    return [Alarm(row.target, row.reason, row.figure, row.since, row.tries, row.told_at is not None) for row in tx.execute(taken)]


def told(tx: Connection, one: Alarm, now: int) -> None:
    _become(tx, one, told_at=now, tries=0, next_at=0)


def not_told(tx: Connection, one: Alarm, now: int) -> None:
    """It is told later: twice as late each time."""
    _become(tx, one, next_at=now + min(LONGEST_WAIT, 15 * SECOND * 2 ** min(one.tries, 20)))


def _become(tx: Connection, one: Alarm, **values: int) -> None:
    a = alarm.c
    tx.execute(update(alarm).where(a.target == one.target, a.reason == one.reason, a.since == one.since).values(**values))
