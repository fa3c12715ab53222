"""One leased stream: what it is owed is read, sent in the order of references, and settled, batch by batch.

No transaction is open while an EHR is spoken to. Before anything is sent it is noted that it is; so whatever happens to this
process, the next one knows what to look for first.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass, field

from sqlalchemy import Connection

from mappings.references import references_in
from service import metrics
from service.renderings import text_of, uuid_of
from service.store import copies, levels, outbox, reading, streams, targets
from service.store.copies import Copy
from service.store.outbox import PARKED, SENDING, WAITING
from service.store.reading import Rendered
from service.store.streams import Due, Lease, LeaseLost, Settled
from service.store.tables import THERE
from service.store.targets import Target
from service.sync import deliver
from service.sync.deliver import Abilities, Owed, Ready, Standing
from service.sync.outcomes import Delivered, Held, Outcome, Waits
from service.sync.settling import fared, put_back, settled
from service.sync.targets.rest import Rest, seen_hash
from service.wire import read
from service.wiring import Service

BATCH = 25


@dataclass
class Stream:
    """One lease under way."""

    service: Service
    lease: Lease
    target: Target
    ehr: Rest
    able: Abilities
    stopping: Callable[[], bool] = lambda: False
    rng: random.Random = field(default_factory=random.Random)

    @property
    def now(self) -> int:
        return int(self.service.tenant.now().timestamp() * 1_000_000)


@dataclass
class Batch:
    """What is sent together: each as the EHR may see it now, and how all that it refers to stands at the EHR."""

    owed: list[Owed]
    numbers: dict[bytes, int]  # uuid -> resource, of everything that is referred to
    held: dict[int, Copy]
    open: dict[int, str]  # resource -> state of a delivery that is not over
    settled: list[Settled] = field(default_factory=list)
    holding: list[Copy] = field(default_factory=list)
    waiting: list[tuple[int, int]] = field(default_factory=list)
    failures: int = 0  # in a row, of the EHR
    snoozed_until: int = 0
    sent: int = 0


def send_stream(stream: Stream) -> int:
    """Sends what is due until nothing is left, the EHR is to be left alone, or the worker stops. Returns how many were sent."""
    sent = 0
    try:
        while not stream.stopping():
            batch = _read(stream)
            if batch is None:
                break
            _send(stream, batch)
            _write(stream, batch)
            sent += batch.sent
            if batch.snoozed_until:
                break
    except LeaseLost:
        return sent
    stream.service.database.write(lambda tx: streams.release(tx, stream.lease, stream.now))
    return sent


def _read(stream: Stream) -> Batch | None:
    """The next batch. The level is read again here, just before anything is sent."""
    with stream.service.database.reading() as connection:
        due = streams.due(connection, stream.lease, stream.now, BATCH)
        if not due:
            return None
        patient = stream.lease.key if stream.lease.key > 0 else None
        level = levels.level(connection, stream.target.reader, patient, stream.target.level, stream.now)
        rows = reading.renderings(connection, [d.resource for d in due], level)
        owed = [_owed(d, rows.get(d.resource), level) for d in due]
        numbers = reading.numbers(connection, _referred(owed))
        about = {*numbers.values(), *(o.resource for o in owed)}
        held = copies.held(connection, stream.target.id, about)
        states = streams.open_states(connection, stream.target.id, about)
        return Batch(deliver.in_order(owed), numbers, held, states, failures=stream.target.failures)


def _owed(due: Due, row: Rendered | None, level: int) -> Owed:
    if row is None:  # the level was lowered since it was owed: there is nothing that this EHR may be told
        return Owed(due.num, due.resource, "", "", "", level, due.attempts, None, due.unsure)
    body = read(row.body) if row.body else None
    return Owed(due.num, due.resource, text_of(row.uuid), row.type, row.version, level, due.attempts, body, due.unsure, row.state != THERE)


def _referred(owed: list[Owed]) -> list[bytes]:
    ids = {str(r.get("reference", "")).rpartition("/")[2] for o in owed if o.body is not None for _, r, _ in references_in(o.body)}
    return [uuid_of(one) for one in ids if len(one) == 36]


def _send(stream: Stream, batch: Batch) -> None:
    """Sends a batch in order; what came of each is kept in the batch."""
    stream.service.database.write(lambda tx: streams.begin(tx, stream.lease, [o.delivery for o in batch.owed], stream.now))
    for n, owed in enumerate(batch.owed):
        if batch.snoozed_until or (n and stream.stopping()):
            batch.settled.append(put_back(owed, stream.now))
            continue
        began = stream.now
        remote = batch.held.get(owed.resource)
        create_people = bool(stream.target.settings.get("create_people"))
        ready = deliver.prepared(owed, remote, stream.able, lambda t, u: _standing(stream, batch, t, u), create_people=create_people)
        outcome = _sent(stream, batch, ready) if isinstance(ready, Ready) else ready
        _keep(stream, batch, ready, outcome)
        batch.settled.append(settled(owed, outcome, began, stream.now, stream.rng))
        batch.snoozed_until, batch.failures = fared(outcome, batch.failures, stream.now)
        _note(stream, owed, outcome)


def _standing(stream: Stream, batch: Batch, type_: str, uuid: str) -> Standing:
    """How something referred to stands at the EHR: what this batch has brought there, what it held before, what is still owed."""
    num = batch.numbers.get(uuid_of(uuid)) if len(uuid) == 36 else None
    if num is None:
        return Standing(deliver.NEVER, 0)
    held = batch.held.get(num)
    if held is not None and held.remote_id is not None:
        return Standing(deliver.HELD, num, held.remote_id)
    is_open = stream.able.can(type_, "create") and batch.open.get(num) in (WAITING, SENDING, PARKED)
    return Standing(deliver.OWED if is_open else deliver.NEVER, num)


def _sent(stream: Stream, batch: Batch, ready: Ready) -> Outcome:
    if ready.remote is not None and ready.remote.sent_hash == ready.digest and not ready.owed.unsure:
        return Held()
    batch.sent += 1
    return stream.ehr.deliver(ready, stream.able)


def _keep(stream: Stream, batch: Batch, ready: Ready | Outcome, outcome: Outcome) -> None:
    """What the EHR holds from now on, and what waits for something else."""
    if isinstance(ready, Ready) and isinstance(outcome, Delivered | Held):
        held = _copy(stream, ready, outcome)
        batch.holding.append(held)
        batch.held[held.resource] = held
        batch.waiting += [(wants, held.resource) for wants in ready.unresolved]
    elif isinstance(outcome, Waits):
        resource = batch.owed[len(batch.settled)].resource
        batch.waiting += [(wants, resource) for wants in outcome.wants]


def _copy(stream: Stream, ready: Ready, outcome: Delivered | Held) -> Copy:
    before, owed = ready.remote, ready.owed
    if isinstance(outcome, Held):
        assert before is not None
        return Copy(before.target, before.resource, before.remote_id, before.remote_version, owed.version, owed.level, before.sent_hash, before.seen_hash)
    seen = seen_hash(outcome.seen) if outcome.seen is not None else None
    return Copy(stream.target.id, owed.resource, outcome.remote_id, outcome.remote_version, owed.version, owed.level, ready.digest, seen)


def _write(stream: Stream, batch: Batch) -> None:
    """Settles a batch in one transaction, and owes again what waited for what the EHR now holds."""
    now, target = stream.now, stream.target

    def work(tx: Connection) -> None:
        streams.settle(tx, stream.lease, batch.settled, now)
        copies.hold(tx, batch.holding, now)
        copies.wait_for(tx, target.id, batch.waiting)
        wake(tx, target.id, copies.woken_by(tx, target.id, [c.resource for c in batch.holding if c.remote_id is not None]), now)
        if batch.snoozed_until or batch.failures != target.failures:
            targets.change(tx, target.id, snoozed_until=batch.snoozed_until, failures=batch.failures)

    stream.service.database.write(work)


def wake(tx: Connection, target: str, resources: list[int], now: int) -> None:
    keys = reading.stream_keys(tx, resources)
    if keys:
        nums = outbox.touch(tx, target, set(keys.values()), now)
        outbox.owe(tx, target, {resource: nums[key] for resource, key in keys.items()}, now, reason="What it refers to is there now")


def _note(stream: Stream, owed: Owed, outcome: Outcome) -> None:
    name = type(outcome).__name__.lower()
    metrics.attempt(stream.target.id, name)
    stream.service.log.info(
        "delivery", ehr=stream.target.id, delivery=owed.delivery, resource=f"{owed.type}/{owed.uuid}", outcome=name,
        status=getattr(outcome, "status", None), attempts=owed.attempts,
    )  # fmt: skip
