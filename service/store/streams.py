"""Streams, which workers lease: one worker at a time sends what one patient (or one place) is owed by one EHR.

A lease ends by itself unless it is renewed; its epoch fences whatever a worker that lost it would still write.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Integer, bindparam, false, func, insert, or_, select, update

from service.store.outbox import PARKED, REPLACED, SENDING, SUPERSEDED, WAITING
from service.store.sql import chunks, run
from service.store.tables import FOREVER, attempt, delivery, stream, target


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
    attempt: dict[str, Any] | None = None  # what is kept of it: at, request, outcome, status, words


class LeaseLost(Exception):
    """Somebody else has the stream now: what was learnt is not written, and will be found out again."""


def lease(tx: Connection, worker: str, now: int, until: int, limit: int) -> list[Lease]:
    """Up to `limit` streams that are due, of targets that are neither paused, snoozed nor busy, oldest first."""
    free = _free(tx, now)
    found: list[Lease] = []
    for name, room in free.items():
        wanted = min(room, limit - len(found))
        if wanted <= 0:
            continue
        lock = "" if tx.dialect.name == "sqlite" else " FOR UPDATE SKIP LOCKED"
        sql = f"SELECT num FROM stream WHERE target = : AND ready_at <= : AND lease_until <= : ORDER BY ready_at, num LIMIT :{lock}"
        nums = [row[0] for row in run(tx, sql, (name, now, now, wanted))]
        for num in nums:
            row = tx.execute(
                update(stream).where(stream.c.num == num).values(lease_until=until, worker=worker, epoch=stream.c.epoch + 1)
                .returning(stream.c.key, stream.c.epoch)
            ).one()  # fmt: skip
            found.append(Lease(num, name, row.key, row.epoch))
    return found


def _free(tx: Connection, now: int) -> dict[str, int]:
    """How many more streams each target may have under way. One worker at a time counts for a target; the others pass by."""
    t, s = target.c, stream.c
    query = select(t.id, t.max_in_flight).where(t.removed_at.is_(None), ~t.paused, t.snoozed_until <= now).order_by(t.id)
    if tx.dialect.name != "sqlite":
        query = query.with_for_update(skip_locked=True, key_share=True)
    rows = tx.execute(query).all()
    busy = {row[0]: row[1] for row in tx.execute(select(s.target, func.count()).where(s.lease_until > now).group_by(s.target))}
    return {row.id: row.max_in_flight - busy.get(row.id, 0) for row in rows if row.max_in_flight > busy.get(row.id, 0)}


def renew(tx: Connection, leases: Iterable[Lease], until: int) -> set[int]:
    """Keeps leases that are under way; one that was lost or given back meanwhile is left alone. Returns the streams of those that are kept."""
    kept: set[int] = set()
    for one in sorted(leases, key=lambda lease: lease.stream):
        mine = stream.c.num == one.stream, stream.c.epoch == one.epoch, stream.c.lease_until > 0
        kept |= set(tx.execute(update(stream).where(*mine).values(lease_until=until).returning(stream.c.num)).scalars())
    return kept


def due(connection: Connection, one: Lease, now: int, limit: int) -> list[Due]:
    """What is waiting and due, and what an earlier lease left in the middle of an attempt, oldest first."""
    d = delivery.c
    rows = connection.execute(
        select(d.num, d.resource, d.attempts, d.unsure, d.state)
        .where(d.stream == one.stream, ((d.state == WAITING) & (d.next_at <= now)) | (d.state == SENDING)).order_by(d.num).limit(limit)
    )  # fmt: skip
    found: dict[int, Due] = {}
    for row in rows:
        before = found.get(row.resource)
        unsure = row.unsure or row.state == SENDING or (before is not None and before.unsure)
        found[row.resource] = Due(row.num, row.resource, row.attempts, unsure, (*before.older, before.num) if before else ())
    return list(found.values())


def open_states(connection: Connection, target_id: str, wanted: Iterable[int]) -> dict[int, str]:
    """The newest state of each resource's delivery to a target, where there is one that is not over."""
    found: dict[int, str] = {}
    for chunk in chunks(sorted(set(wanted))):
        d = delivery.c
        rows = connection.execute(
            select(d.resource, d.state).where(d.target == target_id, d.resource.in_(chunk), d.state.in_((WAITING, SENDING, PARKED))).order_by(d.num)
        )
        found |= {row.resource: row.state for row in rows}
    return found


def begin(tx: Connection, one: Lease, found: Iterable[Due], now: int) -> set[int]:
    """Notes that deliveries are being sent, before anything is: what is found so later is looked for first. Raises LeaseLost.

    Returns those that are to be sent: one that was cancelled or replaced since it was read is not.
    """
    _fence(tx, one)
    d, found = delivery.c, list(found)
    older = [num for due in found for num in due.older]
    if older:
        tx.execute(update(delivery).where(d.num.in_(older), d.state.in_((WAITING, SENDING))).values(state=SUPERSEDED, changed_at=now))
    begun = update(delivery).where(d.num.in_([due.num for due in found]), d.state.in_((WAITING, SENDING))).values(state=SENDING, changed_at=now)
    return set(tx.execute(begun.returning(d.num)).scalars())


_SETTLE = (
    update(delivery).where(delivery.c.num == bindparam("b_num"), delivery.c.state == SENDING)
    .values(
        state=bindparam("b_state"), reason=bindparam("b_reason"), next_at=bindparam("b_next_at"), changed_at=bindparam("b_now"),
        unsure=bindparam("b_unsure"), attempts=delivery.c.attempts + bindparam("b_counted", type_=Integer),
    )
)  # fmt: skip


def settle(tx: Connection, one: Lease, settled: Iterable[Settled], now: int) -> None:
    """Writes what became of a batch. Raises LeaseLost, and then nothing is written."""
    _fence(tx, one)
    found = list(settled)
    tx.execute(_SETTLE, [
        {"b_num": s.delivery, "b_state": s.state, "b_reason": s.reason, "b_next_at": s.next_at, "b_now": now, "b_unsure": s.unsure, "b_counted": int(s.counted)}
        for s in found
    ])  # fmt: skip
    _give_way(tx, [s.delivery for s in found], now)
    attempts = [{"delivery": s.delivery, "ended_at": now, **s.attempt} for s in found if s.attempt is not None]
    if attempts:
        tx.execute(insert(attempt), attempts)


def _give_way(tx: Connection, nums: list[int], now: int) -> None:
    """What is still not over, and was owed anew while it was being sent, is superseded; what it left unsure the newer one looks at."""
    d, newer = delivery.c, delivery.alias("newer")
    is_newer = (newer.c.target == d.target) & (newer.c.resource == d.resource) & (newer.c.num > d.num) & (newer.c.state == WAITING)
    over = update(delivery).where(d.num.in_(nums), d.state.in_(REPLACED), select(newer.c.num).where(is_newer).exists())
    rows = tx.execute(over.values(state=SUPERSEDED, changed_at=now).returning(d.target, d.resource, d.unsure)).all()
    unsure = or_(false(), *((d.target == row.target) & (d.resource == row.resource) for row in rows if row.unsure))
    tx.execute(update(delivery).where(d.state == WAITING, unsure).values(unsure=True))


def release(tx: Connection, one: Lease, now: int, *, not_before: int = 0) -> None:
    """Gives a stream back, to be leased again when the next of its deliveries is due.

    The row is locked before its deliveries are looked at: what is owed meanwhile then either is seen here or wakes it again.
    """
    try:
        _fence(tx, one)
    except LeaseLost:
        return
    d = delivery.c
    soonest = tx.execute(select(func.min(d.next_at)).where(d.stream == one.stream, d.state == WAITING)).scalar_one_or_none()
    left = tx.execute(select(d.num).where(d.stream == one.stream, d.state == SENDING).limit(1)).first()
    ready_at = now if left else FOREVER if soonest is None else soonest
    tx.execute(update(stream).where(stream.c.num == one.stream).values(lease_until=0, worker=None, ready_at=max(ready_at, not_before)))


def _fence(tx: Connection, one: Lease) -> None:
    query = select(stream.c.epoch).where(stream.c.num == one.stream)
    if tx.dialect.name != "sqlite":
        query = query.with_for_update()
    if tx.execute(query).scalar_one() != one.epoch:
        raise LeaseLost(f"stream {one.stream}")


def any_due(connection: Connection, now: int) -> bool:
    """Whether a stream is due at all, by a look that takes no lock."""
    s, t = stream.c, target.c
    query = (
        select(s.num).join(target, t.id == s.target)
        .where(s.ready_at <= now, s.lease_until <= now, ~t.paused, t.snoozed_until <= now, t.removed_at.is_(None)).limit(1)
    )  # fmt: skip
    return connection.execute(query).first() is not None
