"""Streams, which workers lease: one worker at a time sends what one patient (or one place) is owed by one EHR.

A lease ends by itself unless it is renewed; its epoch fences whatever a worker that lost it would still write. It does not
fence the wire: what that worker was sending may reach the EHR a while after, so it is not looked for before that while is over.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, update

from service.store.outbox import IN_STATE, OF_TARGET, PARKED, REPLACED, SENDING, SUPERSEDED, WAITING
from service.store.sql import chunks, insert_many, listed, marks, padded, run
from service.store.tables import FOREVER, attempt, stream


@dataclass(frozen=True)
class Lease:
    stream: int
    target: str
    key: int
    epoch: int


@dataclass(frozen=True)
class Due:
    """A delivery that is to be made now. `unsure` says that an attempt may have been made already.

    `older` are deliveries of the same resource that a worker left in the middle when this one was owed: it takes their place.
    """

    num: int
    resource: int
    attempts: int
    unsure: bool
    older: tuple[int, ...] = ()


@dataclass(frozen=True)
class Settled:
    """What became of an attempt: the delivery's new state, and when it is tried again if it waits."""

    delivery: int
    state: str
    reason: str
    next_at: int
    counted: bool
    unsure: bool
    attempt: dict[str, Any] | None = None  # what is kept of it: at, request, outcome, status, words, heads, bodies


class LeaseLost(Exception):
    """Somebody else has the stream now: what was learnt is not written, and will be found out again."""


# A target's streams that are due, the one first that has been for longest, each with how many of the target's are under way. Patients wait for
# places that nobody has sent yet, for as long as the first that does takes: what refers to one that is not there is sent once more when it is.
# Not while the target fails, which may be for its places alone.
_READY = (
    "SELECT num, key, epoch, lease_until, (SELECT COUNT(*) FROM stream WHERE target = : AND lease_until > :) FROM stream "
    "WHERE target = : AND ready_at <= : AND lease_until <= : AND (key < 0 OR NOT EXISTS (SELECT 1 FROM stream p WHERE p.target = : AND p.key < 0 "
    "AND p.ready_at <= : AND (p.epoch = 0 OR (p.epoch = 1 AND p.lease_until > :)))) ORDER BY ready_at, num LIMIT :"
)
_OPEN = "removed_at IS NULL AND NOT paused AND snoozed_until <= :"  # a target that may be sent to


def lease(tx: Connection, worker: str, now: int, until: int, limit: int, *, lingers: int = 0) -> list[Lease]:
    """Up to `limit` streams that are due, of targets that are neither paused, snoozed nor busy, oldest first; new places before patients.

    `lingers` is how long (microseconds) a call may still act at the EHR after the lease under which it began.
    """
    one_worker, by_oneself = ("", "") if tx.dialect.name == "sqlite" else (" FOR NO KEY UPDATE SKIP LOCKED", " FOR UPDATE SKIP LOCKED")
    found: list[Lease] = []
    # One worker at a time counts for a target; the others pass by.
    for name, most, failures in run(tx, f"SELECT id, max_in_flight, failures FROM target WHERE {_OPEN} ORDER BY id{one_worker}", (now,)):
        if len(found) == limit:
            break
        places_since = now if not failures else -1
        ready = run(tx, _READY + by_oneself, (name, now, name, now, now, name, places_since, now, limit - len(found)))
        for taken, (num, key, epoch, lapsed, busy) in enumerate(ready):
            if busy + taken >= most:
                break
            if lapsed:
                run(tx, "UPDATE delivery SET next_at = : WHERE stream = : AND state = :", (lapsed + lingers, num, SENDING))
            found.append(Lease(num, name, key, epoch + 1))
    if found:
        nums = padded([one.stream for one in found])
        run(tx, f"UPDATE stream SET lease_until = :, worker = :, epoch = epoch + 1 WHERE num IN ({marks(nums)})", (until, worker, *nums))
    return found


def renew(tx: Connection, leases: Iterable[Lease], until: int) -> set[int]:
    """Keeps leases that are under way; one that was lost or given back meanwhile is left alone. Returns the streams of those that are kept."""
    mine = sorted((one.stream, one.epoch) for one in leases)
    if not mine:
        return set()
    rows, parameters = listed(tx, {"num": int, "epoch": int}, mine)
    sql = f"UPDATE stream SET lease_until = : FROM {rows} AS mine WHERE stream.num = mine.num AND stream.epoch = mine.epoch AND stream.lease_until > 0"
    return {row[0] for row in run(tx, f"{sql} RETURNING stream.num", (until, *parameters))}


def give_back(tx: Connection, worker: str, now: int) -> None:
    """Ends the leases of a worker that is known to be dead as if they had lapsed: what it was sending is looked for."""
    run(tx, "UPDATE stream SET lease_until = : WHERE worker = : AND lease_until > : RETURNING num", (now, worker, now))


def due(connection: Connection, one: Lease, now: int, limit: int) -> list[Due]:
    """What is waiting and due, and what an earlier lease left in the middle of an attempt, oldest first."""
    sql = (
        "SELECT num, resource, attempts, unsure, state FROM delivery WHERE stream = : AND state IN (:, :) AND next_at <= : AND NOT EXISTS ("
        "SELECT 1 FROM delivery o WHERE o.stream = delivery.stream AND o.state = : AND o.resource = delivery.resource AND o.next_at > :) "
        "ORDER BY num LIMIT :"
    )
    found: dict[int, Due] = {}
    for num, resource, attempts, was_unsure, state in run(connection, sql, (one.stream, WAITING, SENDING, now, SENDING, now, limit)):
        before = found.get(resource)
        unsure = bool(was_unsure) or state == SENDING or (before is not None and before.unsure)
        found[resource] = Due(num, resource, attempts, unsure, (*before.older, before.num) if before else ())
    return list(found.values())


def open_states(connection: Connection, target_id: str, wanted: Iterable[int]) -> dict[int, str]:
    """The newest state of each resource's delivery to a target, where there is one that is not over."""
    found: list[tuple[int, int, str]] = []
    for some in chunks(sorted(set(wanted))):
        chunk = padded(some)
        sql = f"SELECT num, resource, state FROM delivery WHERE {OF_TARGET} AND resource IN ({marks(chunk)}) AND {IN_STATE} IN (:, :, :)"
        found += run(connection, sql, (target_id, *chunk, WAITING, SENDING, PARKED))
    return {resource: state for _, resource, state in sorted(found)}


def begin(tx: Connection, one: Lease, found: Iterable[Due], now: int) -> set[int]:
    """Notes that deliveries are being sent, before anything is: what is found so later is looked for first. Raises LeaseLost.

    Returns those that are to be sent: one that was cancelled or replaced since it was read is not.
    """
    _fence(tx, one)
    found = list(found)
    _become(tx, SUPERSEDED, [num for due in found for num in due.older], now)
    return _become(tx, SENDING, [due.num for due in found], now)


def _become(tx: Connection, state: str, nums: list[int], now: int) -> set[int]:
    """Gives deliveries that are waiting, or were left while they were sent, another state. Returns those that have it now."""
    found: set[int] = set()
    for some in chunks(nums):
        chunk = padded(some)
        sql = f"UPDATE delivery SET state = :, changed_at = : WHERE num IN ({marks(chunk)}) AND state IN (:, :) RETURNING num"
        found |= {row[0] for row in run(tx, sql, (state, now, *chunk, WAITING, SENDING))}
    return found


_SETTLED = {"num": int, "state": str, "reason": str, "next_at": int, "unsure": bool, "counted": int}
_ATTEMPT = ("delivery", "at", "ended_at", "request", "outcome", "status", "words", "heads", "bodies")


def settle(tx: Connection, one: Lease, settled: Iterable[Settled], now: int) -> None:
    """Writes what became of a batch. Raises LeaseLost, and then nothing is written."""
    _fence(tx, one)
    found = list(settled)
    for chunk in chunks(found):
        rows, parameters = listed(tx, _SETTLED, [(s.delivery, s.state, s.reason, s.next_at, s.unsure, int(s.counted)) for s in chunk])
        sql = (
            "UPDATE delivery SET state = s.state, reason = s.reason, next_at = s.next_at, unsure = s.unsure, attempts = attempts + s.counted, "
            f"changed_at = : FROM {rows} AS s WHERE delivery.num = s.num AND delivery.state = :"
        )
        run(tx, sql, (now, *parameters, SENDING))
    _give_way(tx, [s.delivery for s in found], now)
    attempts = [{"delivery": s.delivery, "ended_at": now, **s.attempt} for s in found if s.attempt is not None]
    insert_many(tx, attempt, _ATTEMPT, [tuple(one.get(name) for name in _ATTEMPT) for one in attempts])


def _give_way(tx: Connection, nums: list[int], now: int) -> None:
    """What is still not over, and was owed anew while it was being sent, is superseded; what it left unsure the newer one looks at."""
    for some in chunks(nums):
        chunk = padded(some)
        sql = (
            f"UPDATE delivery SET state = :, changed_at = : WHERE num IN ({marks(chunk)}) AND state IN ({marks(REPLACED)}) AND EXISTS ("
            "SELECT 1 FROM delivery n WHERE n.target = delivery.target AND n.resource = delivery.resource AND n.num > delivery.num AND n.state = :) "
            "RETURNING target, resource, unsure"
        )
        for name, resource, unsure in run(tx, sql, (SUPERSEDED, now, *chunk, *REPLACED, WAITING)):
            if unsure:
                run(tx, "UPDATE delivery SET unsure = : WHERE target = : AND resource = : AND state = :", (True, name, resource, WAITING))


def release(tx: Connection, one: Lease, now: int, *, not_before: int = 0) -> None:
    """Gives a stream back, to be leased again when the next of its deliveries is due.

    The row is locked before its deliveries are looked at: what is owed meanwhile then either is seen here or wakes it again.
    """
    try:
        _fence(tx, one)
    except LeaseLost:
        return
    each = "SELECT MAX(next_at) AS at FROM delivery WHERE stream = : AND state IN (:, :) GROUP BY resource"
    soonest = run(tx, f"SELECT MIN(at) FROM ({each}) AS each", (one.stream, WAITING, SENDING))[0][0]
    ready_at = FOREVER if soonest is None else soonest
    run(tx, "UPDATE stream SET lease_until = 0, worker = NULL, ready_at = : WHERE num = :", (max(ready_at, not_before), one.stream))


def end(tx: Connection, target_id: str) -> None:
    """Ends every lease of a target for good: who has one can neither renew it nor write anything under it."""
    ended = update(stream).where(stream.c.target == target_id)
    tx.execute(ended.values(epoch=stream.c.epoch + 1, lease_until=0, worker=None, ready_at=FOREVER))


def _fence(tx: Connection, one: Lease) -> None:
    lock = "" if tx.dialect.name == "sqlite" else " FOR UPDATE"
    if run(tx, f"SELECT epoch FROM stream WHERE num = :{lock}", (one.stream,))[0][0] != one.epoch:
        raise LeaseLost(f"stream {one.stream}")


def waiting(connection: Connection, target_id: str, key: int | None = None) -> list[tuple[int, int]]:
    """(number, key) of the streams of a target in which something waits, in the order in which they would be leased."""
    which, values = ("AND s.key = :", (key,)) if key is not None else ("", ())
    sql = (
        f"SELECT s.num, s.key FROM stream s WHERE s.target = : {which} AND EXISTS (SELECT 1 FROM delivery d WHERE d.stream = s.num AND d.state = :) "
        "ORDER BY s.ready_at, s.num"
    )
    return [(row[0], row[1]) for row in run(connection, sql, (target_id, *values, WAITING))]


def any_due(connection: Connection, now: int) -> bool:
    """Whether a stream is due at all, by a look that takes no lock."""
    first = "SELECT s.num FROM stream s WHERE s.target = target.id AND s.ready_at <= : AND s.lease_until <= : ORDER BY s.ready_at LIMIT 1"
    return bool(run(connection, f"SELECT 1 FROM target WHERE {_OPEN} AND ({first}) IS NOT NULL LIMIT 1", (now, now, now)))
