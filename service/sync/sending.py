"""One leased stream: what it is owed is read, sent in the order of references, and settled, batch by batch.

No transaction is open while an EHR is spoken to. Before anything is sent it is noted that it is; so whatever happens to this
process, the next one knows what to look for first.
"""

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from sqlalchemy import Connection

from mappings.references import ids_in
from service import metrics
from service.renderings import text_of, uuid_of
from service.security.secrets import seal
from service.store import conflicts, copies, deliveries, levels, reading, streams, targets
from service.store.clock import micros
from service.store.conflicts import Sides
from service.store.copies import MERGED, VANISHED, Copy
from service.store.outbox import PARKED, SENDING, WAITING
from service.store.reading import Rendered
from service.store.streams import Due, Lease, LeaseLost, Settled
from service.store.tables import FOREVER, THERE
from service.store.targets import Target
from service.sync import deliver, documents, matching
from service.sync.deliver import Abilities, Match, Owed, Ready, Standing, Terms
from service.sync.exchanges import bodies, heads
from service.sync.outcomes import NOT_THERE, Contested, Delivered, Held, Matched, Moot, Outcome, Refused, Unsupported, Unsure, Waits
from service.sync.settling import fared, put_back, settled
from service.sync.targets.rest import Rest, seen_hash
from service.wire import read
from service.wiring import Service

BATCH = 25
REHEARSED = 10_000  # of one stream


@dataclass
class Stream:
    """One lease under way."""

    service: Service
    lease: Lease
    target: Target
    ehr: Rest
    able: Abilities
    stopping: Callable[[], bool] = lambda: False
    keeps: Callable[[], bool] = lambda: True  # whether the lease is still ours as far as we know
    rng: random.Random = field(default_factory=random.Random)

    @property
    def now(self) -> int:
        return micros(self.service.tenant.now())

    @property
    def patient(self) -> int | None:
        return self.lease.key if self.lease.key > 0 else None

    def level(self, connection: Connection) -> int:
        return levels.level(connection, self.target.reader, self.patient, self.target.level, self.now)


@dataclass
class Batch:
    """What is sent together: each as the EHR may see it now, and how all that it refers to stands at the EHR."""

    level: int
    due: list[Due]
    owed: list[Owed]
    numbers: dict[bytes, int]  # uuid -> resource, of everything that is referred to
    held: dict[int, Copy]
    open: dict[int, str]  # resource -> state of a delivery that is not over
    settled: list[Settled] = field(default_factory=list)
    contested: list[Sides] = field(default_factory=list)
    holding: list[Copy] = field(default_factory=list)
    waiting: list[tuple[int, int]] = field(default_factory=list)
    failures: int = 0  # in a row, of the EHR
    failed: int = 0  # of these, since the batch began or the EHR last took something
    recovered: bool = False
    snoozed_until: int = 0
    gone: list[int] = field(default_factory=list)  # what will not come, for those that wait for it
    sent: int = 0


def send_stream(stream: Stream) -> int:
    """Sends what is due until nothing is left, the EHR is to be left alone, or the worker stops. Returns how many were sent."""
    sent = 0
    try:
        while stream.keeps() and not stream.stopping():
            batch = _read(stream)
            if batch is None:
                break
            _send(stream, batch)
            _write(stream, batch)
            sent += batch.sent
            if batch.snoozed_until:
                break
    except LeaseLost:
        stream.service.log.warning("lease_lost", ehr=stream.target.id, stream=stream.lease.stream)
        return sent
    stream.service.database.write(lambda tx: streams.release(tx, stream.lease, stream.now))
    return sent


def rehearsed(stream: Stream, assumed: dict[int, Copy]) -> Iterator[tuple[Owed, Outcome]]:
    """What would come of everything that waits in a stream that nobody leased, sent to an EHR that only plays one: nothing is noted.

    A person or place that would be looked for is taken to be found. `assumed` are the copies that the EHR would have by then.
    """
    with stream.service.database.reading() as connection:
        batch = _batch(stream, connection, FOREVER, REHEARSED)
    if batch is None:
        return
    batch.held |= assumed
    for owed in batch.owed:
        ready = _ready(stream, batch, owed)
        outcome = _tried(stream, batch, ready)
        if isinstance(ready, Match):
            outcome = Matched(f"{owed.type}-of-the-EHR")
        _keep(stream, batch, owed, ready, outcome)
        assumed |= {one.resource: one for one in batch.holding}
        yield owed, outcome


def _read(stream: Stream) -> Batch | None:
    """The next batch, with the EHR as it is now; None where nothing is due, or nothing may be sent to it any more."""
    with stream.service.database.reading() as connection:
        target = targets.get(connection, stream.target.id)
        if target is None or target.paused or target.snoozed_until > stream.now:
            return None
        stream.target = target
        return _batch(stream, connection, stream.now, BATCH)


def _batch(stream: Stream, connection: Connection, by: int, limit: int) -> Batch | None:
    due = streams.due(connection, stream.lease, by, limit)
    if not due:
        return None
    level = stream.level(connection)
    rows = reading.renderings(connection, [d.resource for d in due], level)
    owed = [_owed(d, rows.get(d.resource), level) for d in due]
    numbers = reading.numbers(connection, _referred(owed))
    about = {*numbers.values(), *(o.resource for o in owed)}
    held = copies.held(connection, stream.target.id, about)
    states = streams.open_states(connection, stream.target.id, about)
    return Batch(level, due, deliver.in_order(owed), numbers, held, states, failures=stream.target.failures)


def _owed(due: Due, row: Rendered | None, level: int) -> Owed:
    if row is None:  # the level was lowered since it was owed: there is nothing that this EHR may be told
        return Owed(due.num, due.resource, "", "", "", level, due.attempts, None, due.unsure)
    body = read(row.body) if row.body else None
    return Owed(due.num, due.resource, text_of(row.uuid), row.type, row.version, level, due.attempts, body, due.unsure, row.state != THERE)


def _referred(owed: list[Owed]) -> list[bytes]:
    return [uuid_of(one) for one in {id for o in owed if o.body is not None for id in ids_in(o.body)} if len(one) == 36]


def _send(stream: Stream, batch: Batch) -> None:
    """Sends a batch in order; what came of each is kept in the batch."""
    begun = stream.service.database.write(lambda tx: streams.begin(tx, stream.lease, batch.due, stream.now))
    batch.owed = [owed for owed in batch.owed if owed.delivery in begun]
    for n, owed in enumerate(batch.owed):
        if batch.snoozed_until or not stream.keeps() or (n and (stream.stopping() or _moved(stream, batch))):
            batch.settled.append(put_back(owed, stream.now))
            continue
        began = stream.now
        stream.ehr.heard.clear()
        outcome = _outcome(stream, batch, owed)
        batch.settled.append(_logged(stream, settled(owed, outcome, began, stream.now, stream.rng), outcome))
        _count(stream, batch, outcome)
        _note(stream, owed, outcome)


def _logged(stream: Stream, one: Settled, outcome: Outcome) -> Settled:
    """What was said in an attempt goes into its log: heads, and where it failed the bodies, sealed."""
    if one.attempt is None:
        return one
    said = tuple(stream.ehr.heard)
    kept = {"heads": heads(said)}
    if said and not isinstance(outcome, Delivered):
        kept["bodies"] = seal(stream.service.tenant, bodies(said), f"attempt of {one.delivery}")
    return replace(one, attempt={**one.attempt, **kept})


def _moved(stream: Stream, batch: Batch) -> bool:
    """Whether the EHR may see more or less of the patient than when the batch was read: then it is read again."""
    if stream.patient is None:
        return False
    with stream.service.database.glance() as connection:
        return stream.level(connection) != batch.level


def _ready(stream: Stream, batch: Batch, owed: Owed) -> Ready | Match | Outcome:
    s = stream.target.settings
    terms = Terms(create_people=bool(s.get("create_people")), documents=s.get("alternate") == documents.TYPE)
    return deliver.prepared(owed, batch.held.get(owed.resource), stream.able, lambda t, u: _standing(stream, batch, t, u), terms)


def _outcome(stream: Stream, batch: Batch, owed: Owed) -> Outcome:
    try:
        ready = _ready(stream, batch, owed)
        outcome = _tried(stream, batch, ready)
    except Exception as error:  # noqa: BLE001 (what one EHR answers, or one resource is, holds up nothing else)
        stream.service.log.error("delivery_failed", ehr=stream.target.id, delivery=owed.delivery, error=type(error).__name__)
        return Unsure(f"A fault of our own: {type(error).__name__}")
    _keep(stream, batch, owed, ready, outcome)
    return outcome


def _count(stream: Stream, batch: Batch, outcome: Outcome) -> None:
    batch.snoozed_until, failures = fared(outcome, batch.failures, stream.now)
    batch.recovered = batch.recovered or isinstance(outcome, Delivered)
    batch.failed = 0 if isinstance(outcome, Delivered) else batch.failed + max(0, failures - batch.failures)
    batch.failures = failures


def _standing(stream: Stream, batch: Batch, type_: str, uuid: str) -> Standing:
    """How something referred to stands at the EHR: what this batch has brought there, what it held before, what is still owed."""
    num = batch.numbers.get(uuid_of(uuid)) if len(uuid) == 36 else None
    if num is None:
        return Standing(deliver.NEVER, 0)
    held = batch.held.get(num)
    if held is not None and (held.vanished or held.as_document):
        return Standing(deliver.NEVER, num)
    if held is not None and held.remote_id is not None:
        return Standing(deliver.HELD, num, held.remote_id)
    comes = stream.able.can(type_, "create") or type_ in matching.KNOWN_BY  # what is matched is linked, if not by us
    is_open = comes and (batch.open.get(num) in (WAITING, SENDING, PARKED) or stream.target.catching_up is not None)
    return Standing(deliver.OWED if is_open else deliver.NEVER, num)


def _tried(stream: Stream, batch: Batch, ready: Ready | Match | Outcome) -> Outcome:
    if isinstance(ready, Match):
        return stream.ehr.match(ready, stream.able)
    return _sent(stream, batch, ready) if isinstance(ready, Ready) else ready


def _sent(stream: Stream, batch: Batch, ready: Ready) -> Outcome:
    if ready.remote is not None and ready.owed.body is not None and ready.remote.sent_hash == ready.digest and not ready.owed.unsure:
        return Held()
    batch.sent += 1
    return stream.ehr.deliver(replace(ready, earlier=lambda: _earlier(stream, ready)), stream.able)


def _earlier(stream: Stream, ready: Ready) -> list[dict[str, Any]]:
    """What the EHR may have of it: the version that it was seen to hold, and what we said since. The newest is first."""
    if ready.as_document:
        return []  # documents are not merged
    since, level = (ready.remote.version, ready.remote.level) if ready.remote is not None else (None, ready.owed.level)
    with stream.service.database.glance() as connection:
        return [read(body) for body in reading.earlier(connection, ready.owed.resource, level, since, ready.owed.version)]


def _keep(stream: Stream, batch: Batch, owed: Owed, ready: Ready | Match | Outcome, outcome: Outcome) -> None:
    """What the EHR holds from now on, what waits for something else, and what will not come."""
    if isinstance(ready, Ready) and isinstance(outcome, Delivered | Held):
        _hold(batch, _copy(stream, ready, outcome))
        batch.waiting += [(wants, owed.resource) for wants in ready.unresolved]
    elif isinstance(outcome, Contested):
        batch.contested.append(Sides(owed.resource, outcome.elements, outcome.base, outcome.ours, outcome.theirs, outcome.version, owed.delivery))
    elif isinstance(outcome, Refused) and isinstance(ready, Ready) and ready.remote is not None and outcome.status in NOT_THERE:
        _hold(batch, replace(batch.held[owed.resource], remote_version=None, sent_hash=VANISHED))
    elif isinstance(outcome, Matched) and outcome.remote_id is not None:
        _hold(batch, Copy(stream.target.id, owed.resource, outcome.remote_id, None, "", owed.level, b""))
    elif isinstance(outcome, Waits):
        batch.waiting += [(wants, owed.resource) for wants in outcome.wants]
    elif isinstance(outcome, Moot | Unsupported):
        batch.gone.append(owed.resource)


def _hold(batch: Batch, held: Copy) -> None:
    batch.holding.append(held)
    batch.held[held.resource] = held


def _copy(stream: Stream, ready: Ready, outcome: Delivered | Held) -> Copy:
    before, owed = ready.remote, ready.owed
    if isinstance(outcome, Held):
        assert before is not None
        there = f"{owed.type}/{before.remote_id}" if ready.as_document else before.remote_id
        return Copy(before.target, before.resource, there, before.remote_version, owed.version, owed.level, before.sent_hash, before.seen_hash)
    seen = seen_hash(outcome.seen) if outcome.seen is not None else None
    seen, sent = (MERGED + seen if seen else None, b"") if outcome.merged else (seen, ready.digest)
    remote_id = f"{owed.type}/{outcome.remote_id}" if ready.as_document and outcome.remote_id else outcome.remote_id
    return Copy(stream.target.id, owed.resource, remote_id, outcome.remote_version, owed.version, owed.level, sent, seen)


def _write(stream: Stream, batch: Batch) -> None:
    """Settles a batch in one transaction, and owes again what waited for what the EHR now holds."""
    if not batch.settled:
        return
    now, target = stream.now, stream.target
    wanted = {wants for wants, _ in batch.waiting}
    held = {c.resource for c in batch.holding if c.remote_id is not None}

    def work(tx: Connection) -> None:
        copies.lock(tx, target.id, wanted | (held if stream.patient is None else set()))
        streams.settle(tx, stream.lease, batch.settled, now)
        copies.hold(tx, batch.holding, now)
        copies.wait_for(tx, target.id, batch.waiting)
        conflicts.moot(tx, target.id, sorted(held), now)
        for sides in batch.contested:
            conflicts.note(tx, target.id, sides, now)
        there = {resource for resource, found in copies.held(tx, target.id, wanted).items() if found.remote_id is not None}
        deliveries.wake(tx, target.id, held | there, now)
        deliveries.look_again(tx, target.id, batch.gone, now)
        if batch.snoozed_until or batch.failed or (batch.recovered and target.failures):
            targets.fared(tx, target.id, snoozed_until=batch.snoozed_until, failed=batch.failed, recovered=batch.recovered)

    stream.service.database.write(work)


def _note(stream: Stream, owed: Owed, outcome: Outcome) -> None:
    name = type(outcome).__name__.lower()
    metrics.attempt(stream.target.id, name)
    stream.service.log.info(
        "delivery", ehr=stream.target.id, delivery=owed.delivery, resource=f"{owed.type}/{owed.uuid}", outcome=name,
        status=getattr(outcome, "status", None), attempts=owed.attempts,
    )  # fmt: skip
