"""Deliveries as people look at them: what was delivered, what is waiting, what was refused and why."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, Select, select, update

from service.store import copies
from service.store.outbox import CANCELLED, PARKED, UNSUPPORTED, WAITING, owe, touch
from service.store.reading import stream_keys
from service.store.tables import FOREVER, attempt, copy, delivery, entity, resource, target

OPEN = (WAITING, PARKED, UNSUPPORTED)


@dataclass(frozen=True)
class Filter:
    """Which deliveries: by EHR, state, type, patient (number) or owner (number), or owed before a time. Newest first, after `before`."""

    ehr: str | None = None
    states: tuple[str, ...] = ()
    type: str | None = None
    patient: int | None = None
    owner: int | None = None
    reason: str | None = None
    before: int | None = None
    limit: int = 50
    withheld: Select[tuple[int]] | None = None  # patients whose deliveries are left out
    owed_before: int | None = None


@dataclass(frozen=True)
class Delivery:
    """`words` are the EHR's own of the last attempt: only for who may see everything."""

    num: int
    ehr: str
    state: str
    reason: str
    attempts: int
    type: str
    uuid: bytes
    kind: str
    entity: str
    patient: int | None
    remote_id: str | None
    next_at: int
    created_at: int
    changed_at: int
    replays: int | None
    log: list[dict[str, Any]] = field(default_factory=list)


def listed(connection: Connection, wanted: Filter) -> list[Delivery]:
    d, r = delivery.c, resource.c
    query = _query().order_by(d.num.desc()).limit(wanted.limit)
    for column, value in ((d.target, wanted.ehr), (r.type, wanted.type), (r.patient, wanted.patient), (r.owner, wanted.owner)):
        if value is not None:
            query = query.where(column == value)
    if wanted.states:
        query = query.where(d.state.in_(wanted.states))
    if wanted.reason:
        query = query.where(d.reason.contains(wanted.reason, autoescape=True))
    if wanted.withheld is not None:
        query = query.where(r.patient.is_(None) | r.patient.not_in(wanted.withheld))
    if wanted.before is not None:
        query = query.where(d.num < wanted.before)
    if wanted.owed_before is not None:
        query = query.where(d.created_at <= wanted.owed_before)
    return [_delivery(row) for row in connection.execute(query)]


def one(connection: Connection, num: int) -> Delivery | None:
    """A delivery with the log of its attempts."""
    row = connection.execute(_query().where(delivery.c.num == num)).one_or_none()
    if row is None:
        return None
    a = attempt.c
    attempts = select(a.at, a.ended_at, a.request, a.outcome, a.status, a.words, a.heads, a.bodies).where(a.delivery == num).order_by(a.num)
    log = [dict(r._mapping) for r in connection.execute(attempts)]
    return _delivery(row, log)


def _query() -> Any:
    d, r, e = delivery.c, resource.c, entity.c
    return (
        select(d.num, d.target, d.state, d.reason, d.attempts, d.next_at, d.created_at, d.changed_at, d.replays, r.type, r.uuid, r.patient,
               e.kind, e.id, copy.c.remote_id)
        .join(resource, r.num == d.resource).join(entity, e.num == r.owner)
        .outerjoin(copy, (copy.c.target == d.target) & (copy.c.resource == d.resource))
    )  # fmt: skip


def _delivery(row: Any, log: list[dict[str, Any]] | None = None) -> Delivery:
    return Delivery(
        row.num, row.target, row.state, row.reason, row.attempts, row.type, bytes(row.uuid), row.kind, row.id, row.patient, row.remote_id,
        row.next_at, row.created_at, row.changed_at, row.replays, log or [],
    )  # fmt: skip


def replay(tx: Connection, nums: Iterable[int], now: int) -> list[int]:
    """Owes again what is parked, unsupported or cancelled: the current content, in a new delivery linked to the old. Returns those replayed.

    What was for an EHR that was removed is owed to nobody.
    """
    d, t = delivery.c, target.c
    which = d.num.in_(list(nums)), d.state.in_((PARKED, UNSUPPORTED, CANCELLED)), d.target.in_(select(t.id).where(t.removed_at.is_(None)))
    rows = tx.execute(select(d.num, d.target, d.resource).where(*which).order_by(d.num)).all()
    for name in sorted({row.target for row in rows}):
        replays = {row.resource: row.num for row in rows if row.target == name}
        copies.forget_vanished(tx, name, sorted(replays))
        keys = stream_keys(tx, sorted(replays))
        streams = touch(tx, name, set(keys.values()), now)
        owe(tx, name, {one: streams[key] for one, key in keys.items()}, now, reason="Replayed", replays=replays)
    return [row.num for row in rows]


def cancel(tx: Connection, nums: Iterable[int], now: int) -> list[int]:
    """Gives up what is waiting, parked or unsupported. It is owed again only when its content changes or it is replayed."""
    d = delivery.c
    given_up = {"state": CANCELLED, "reason": "Cancelled by an operator", "changed_at": now}
    where = d.num.in_(list(nums)), d.state.in_(OPEN)
    rows = tx.execute(update(delivery).where(*where).values(**given_up).returning(d.num, d.target, d.resource)).all()
    for name in {row.target for row in rows}:
        look_again(tx, name, [row.resource for row in rows if row.target == name], now)
    return sorted(row.num for row in rows)


def wake(tx: Connection, target: str, resources: Iterable[int], now: int) -> None:
    """Owes again what was sent, or held back, for want of one of these, which the target holds now."""
    keys = stream_keys(tx, copies.woken_by(tx, target, resources))
    if keys:
        nums = touch(tx, target, set(keys.values()), now)
        owe(tx, target, {one: nums[key] for one, key in keys.items()}, now, reason="What it refers to is there now")


def look_again(tx: Connection, target: str, resources: Iterable[int], now: int) -> None:
    """What cannot be sent without one of these is judged anew: they will not come, and nothing waits without end."""
    d = delivery.c
    waiting = copies.waiting_for(tx, target, resources)
    if waiting:
        held_back = update(delivery).where(d.target == target, d.resource.in_(waiting), d.state == WAITING, d.next_at == FOREVER)
        found = set(tx.execute(held_back.values(next_at=now).returning(d.resource)).scalars())
        touch(tx, target, stream_keys(tx, sorted(found)).values(), now)
