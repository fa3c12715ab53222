"""A batch of one stream: what it is owed now and how that stands at the EHR, what came of each, and all of that settled at once."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from sqlalchemy import Connection

from service.renderings import text_of, uuid_of
from service.store import catching, conflicts, copies, deliveries, outbox, reading, streams, targets
from service.store.conflicts import Sides
from service.store.copies import EARLIER, MERGED, RESTORED, VANISHED, Copy
from service.store.outbox import PARKED, SENDING, WAITING
from service.store.reading import Rendered
from service.store.streams import Due, Lease, Settled
from service.store.tables import THERE
from service.store.targets import Target
from service.sync import deliver, documents, matching
from service.sync.abilities import Abilities
from service.sync.deliver import Match, Owed, Ready, Standing
from service.sync.exchanges import Exchange
from service.sync.outcomes import NOT_THERE, Contested, Delivered, Found, Held, Matched, Moot, Outcome, Refused, Unsupported, Waits
from service.sync.targets.rest import same, seen_hash
from service.wire import encode, read


@dataclass
class Batch:
    """What is sent together: each as the EHR may see it now, and how all that it refers to stands at the EHR."""

    level: int
    due: list[Due]
    owed: list[Owed]
    numbers: dict[bytes, int]  # uuid -> resource, of everything that is referred to
    held: dict[int, Copy]
    open: dict[int, str]  # resource -> state of a delivery that is not over
    never: set[int]  # what is referred to and was never owed, though the EHR may have it
    coming: set[int] = field(default_factory=set)  # resources that the Bundle creates which is being put together
    settled: list[Settled] = field(default_factory=list)
    contested: list[Sides] = field(default_factory=list)
    apart: set[int] = field(default_factory=set)  # what the EHR holds otherwise than we say, by a change of its own
    holding: list[Copy] = field(default_factory=list)
    waiting: list[tuple[int, int]] = field(default_factory=list)
    failures: int = 0  # in a row, of the EHR
    failed: int = 0  # of these, since the batch began or the EHR last took something
    recovered: bool = False
    snoozed_until: int = 0
    gone: list[int] = field(default_factory=list)  # what will not come, for those that wait for it
    first: set[int] = field(default_factory=set)  # what goes before what is left of the batch, and is owed when it is settled
    sent: int = 0


@dataclass(frozen=True)
class Came:
    """What came of a delivery, and what was said in the attempt; no outcome for what was not sent after all."""

    owed: Owed
    outcome: Outcome | None = None
    began: int = 0
    said: tuple[Exchange, ...] = ()


def due(connection: Connection, lease: Lease, target: Target, level: int, *, by: int, limit: int, restored: bool) -> Batch | None:
    """What is due in a stream by a time, as a level sees it; None where nothing is. With `restored` it is looked up what was tried since."""
    found = streams.due(connection, lease, by, limit)
    if not found:
        return None
    rows = reading.renderings(connection, [d.resource for d in found], level)
    tried = outbox.tried(connection, target.id, [d.resource for d in found]) if restored else set[int]()
    owed = [_owed(d, rows.get(d.resource), level, tried=d.resource in tried) for d in found]
    numbers = reading.numbers(connection, _referred(owed))
    about = {*numbers.values(), *(o.resource for o in owed)}
    held = copies.held(connection, target.id, about)
    states = streams.open_states(connection, target.id, about)
    unknown = {num for num in numbers.values() if num not in held and num not in states}
    never = set(catching.never_owed(connection, target.id, unknown, level, target.types))
    return Batch(level, found, deliver.in_order(owed), numbers, held, states, never, failures=target.failures)


def parts(found: Batch, size: int) -> Iterator[Batch]:
    """What was read in parts, each sent and settled before the next one, which knows what those before it brought there."""
    of = {one.num: one for one in found.due}
    while found.owed:
        owed, found.owed = found.owed[:size], found.owed[size:]  # what is sent is held no longer
        part = Batch(found.level, [of[one.delivery] for one in owed], owed, found.numbers, found.held, found.open, found.never, failures=found.failures)
        yield part
        found.failures = part.failures


def _owed(due: Due, row: Rendered | None, level: int, *, tried: bool) -> Owed:
    if row is None:  # the level was lowered since it was owed: there is nothing that this EHR may be told
        return Owed(due.num, due.resource, "", "", "", level, due.attempts, None, due.unsure, tried=tried)
    body = read(row.body) if row.body else None
    return Owed(due.num, due.resource, text_of(row.uuid), row.type, row.version, level, due.attempts, body, due.unsure, row.state != THERE, tried)


def _referred(owed: list[Owed]) -> list[bytes]:
    return [uuid_of(one) for one in set[str]().union(*(o.needs for o in owed)) if len(one) == 36]


def standing(batch: Batch, target: Target, able: Abilities, type_: str, uuid: str) -> Standing:
    """How something referred to stands at the EHR: what this batch has brought there, what it held before, what is still owed."""
    num = batch.numbers.get(uuid_of(uuid)) if len(uuid) == 36 else None
    if num is None:
        return Standing(deliver.NEVER, 0)
    held = batch.held.get(num)
    if held is not None and (held.vanished or held.as_document):
        return Standing(deliver.NEVER, num)
    if held is not None and held.remote_id is not None:
        return Standing(deliver.HELD, num, held.remote_id, held.ids_before)
    if num in batch.coming:
        return Standing(deliver.TOGETHER, num)
    comes = able.can(type_, "create") or type_ in matching.KNOWN_BY  # what is matched is linked, if not by us
    is_open = batch.open.get(num) in (WAITING, SENDING, PARKED) or target.catching_up is not None or num in batch.never
    return Standing(deliver.OWED if comes and is_open else deliver.NEVER, num)


def lacks(batch: Batch, ready: Ready | Match | Outcome) -> set[int]:
    """What the EHR was never owed though this is about to be sent without it, or waits for it."""
    wants = ready.unresolved if isinstance(ready, Ready) else ready.wants if isinstance(ready, Waits) else ()
    return batch.never.intersection(wants)


def keep(batch: Batch, target: Target, owed: Owed, ready: Ready | Match | Outcome, outcome: Outcome) -> None:
    """What the EHR holds from now on, what waits for something else, and what will not come."""
    if isinstance(ready, Ready) and isinstance(outcome, Delivered | Held):
        _hold(batch, _copy(target, ready, outcome))
        batch.apart |= {owed.resource} if isinstance(outcome, Delivered) and outcome.kept else set()
        batch.waiting += [(wants, owed.resource) for wants in ready.unresolved]
    elif isinstance(outcome, Contested):
        _hold(batch, _beside(batch, target, owed, outcome.remote_id, version=outcome.version, seen=seen_hash(outcome.theirs)))
        batch.contested.append(Sides(owed.resource, outcome.elements, outcome.base, outcome.ours, outcome.theirs, outcome.version, owed.delivery))
    elif isinstance(outcome, Refused) and isinstance(ready, Ready) and ready.remote is not None and outcome.status in NOT_THERE:
        _hold(batch, replace(batch.held[owed.resource], remote_version=None, sent_hash=VANISHED))
    elif isinstance(outcome, Matched) and outcome.remote_id is not None:
        _hold(batch, Copy(target.id, owed.resource, outcome.remote_id, None, "", owed.level, b""))
    elif isinstance(outcome, Waits):
        batch.waiting += [(wants, owed.resource) for wants in outcome.wants]
    elif isinstance(ready, Ready) and isinstance(outcome, Found) and outcome.remote_id is not None:
        remote_id = f"{documents.TYPE}/{outcome.remote_id}" if ready.as_document else outcome.remote_id
        _hold(batch, _beside(batch, target, owed, remote_id, version=outcome.remote_version, seen=RESTORED if ready.restored else None))
    elif isinstance(outcome, Moot | Unsupported):
        batch.gone.append(owed.resource)


def _hold(batch: Batch, held: Copy) -> None:
    batch.holding.append(held)
    batch.held[held.resource] = held


def _beside(batch: Batch, target: Target, owed: Owed, remote_id: str, *, version: str | None, seen: bytes | None = None) -> Copy:
    """What the EHR holds otherwise than we say it, as it was read: it is read again before anything is written over it."""
    before = batch.held.get(owed.resource)
    if before is not None and before.remote_id is not None:
        return replace(before, remote_version=version or before.remote_version, sent_hash=b"", seen_hash=seen or before.seen_hash)
    return Copy(target.id, owed.resource, remote_id, version, EARLIER, owed.level, b"", seen)


def _copy(target: Target, ready: Ready, outcome: Delivered | Held) -> Copy:
    before, owed = ready.remote, ready.owed
    if isinstance(outcome, Held):
        assert before is not None
        there = f"{owed.type}/{before.remote_id}" if ready.as_document else before.remote_id
        return replace(before, remote_id=there, version=owed.version, level=owed.level)
    seen = seen_hash(outcome.seen) if outcome.seen is not None else None
    seen, sent = (MERGED + seen if seen else None, b"") if outcome.merged else (seen, b"" if _holds_more(ready, outcome) else ready.digest)
    if outcome.merged and outcome.kept and ready.restored and outcome.seen is not None:
        seen = RESTORED + seen_hash(outcome.seen)  # whose it is that stands there is still not known
    remote_id = f"{owed.type}/{outcome.remote_id}" if ready.as_document and outcome.remote_id else outcome.remote_id
    made = encode(outcome.made) if outcome.made else None
    return Copy(target.id, owed.resource, remote_id, outcome.remote_version, owed.version, owed.level, sent, seen, made)


def _holds_more(ready: Ready, outcome: Delivered) -> bool:
    """Whether what held more than what we sent does so still, as far as the EHR's answer shows."""
    if ready.remote is None or ready.remote.sent_hash or ready.as_document:
        return False
    return outcome.seen is None or not same(ready.body, outcome.seen)


def settle(tx: Connection, batch: Batch, lease: Lease, target: Target, now: int) -> None:
    """Settles a batch, and owes again what waited for what the EHR now holds. Raises LeaseLost."""
    wanted = {wants for wants, _ in batch.waiting} | batch.first
    held = {c.resource for c in batch.holding if c.remote_id is not None}
    never = wanted & batch.never
    copies.lock(tx, target.id, never | (held if lease.key <= 0 else set()), wanted)
    streams.settle(tx, lease, batch.settled, now)
    copies.hold(tx, batch.holding, now)
    copies.wait_for(tx, target.id, batch.waiting)
    _owe(tx, target, never, batch.level, now)
    conflicts.moot(tx, target.id, sorted(held - batch.apart - {sides.resource for sides in batch.contested}), now)
    for sides in batch.contested:
        conflicts.note(tx, target.id, sides, now)
    there = {resource for resource, found in copies.held(tx, target.id, wanted).items() if found.remote_id is not None}
    deliveries.wake(tx, target.id, held | there, now)
    deliveries.look_again(tx, target.id, batch.gone, now)
    if batch.snoozed_until or batch.failed or (batch.recovered and target.failures):
        targets.fared(tx, target.id, snoozed_until=batch.snoozed_until, failed=batch.failed, recovered=batch.recovered)


def _owe(tx: Connection, target: Target, wanted: set[int], level: int, now: int) -> None:
    """Owes what is referred to, unless somebody else just did: an EHR that wants only changes is told what they make no sense without."""
    keys = catching.never_owed(tx, target.id, wanted, level, target.types)
    if keys:
        made = outbox.touch(tx, target.id, keys.values(), now)
        outbox.owe(tx, target.id, {resource: made[key] for resource, key in keys.items()}, now, reason="What refers to it is owed")
