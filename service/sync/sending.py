"""One leased stream: what it is owed is read, sent in the order of references, and settled, batch by batch.

No transaction is open while an EHR is spoken to. Before anything is sent it is noted that it is; so whatever happens to this
process, the next one knows what to look for first.
"""

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from sqlalchemy import Connection

from service import metrics
from service.security.secrets import seal
from service.store import levels, reading, streams, targets
from service.store.clock import micros
from service.store.copies import Copy
from service.store.streams import Lease, LeaseLost, Settled
from service.store.tables import FOREVER
from service.store.targets import Target
from service.sync import batches, deliver, documents
from service.sync.batches import Batch
from service.sync.deliver import Abilities, Match, Owed, Ready, Terms
from service.sync.exchanges import Exchange, bodies, heads
from service.sync.outcomes import Delivered, Held, Matched, Outcome, Unsure
from service.sync.settling import fared, put_back, settled
from service.sync.targets.rest import Rest
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


def send_stream(stream: Stream) -> int:
    """Sends what is due until nothing is left, the EHR is to be left alone, or the worker stops. Returns how many were sent."""
    sent = 0
    try:
        while stream.keeps() and not stream.stopping():
            batch = _read(stream)
            if batch is None:
                break
            _send(stream, batch)
            _settle(stream, batch)
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
        batch = batches.due(connection, stream.lease, stream.target, stream.level(connection), by=FOREVER, limit=REHEARSED)
    if batch is None:
        return
    batch.held |= assumed
    for owed in batch.owed:
        ready = _ready(stream, batch, owed)
        outcome = _tried(stream, batch, ready)
        if isinstance(ready, Match):
            outcome = Matched(f"{owed.type}-of-the-EHR")
        batches.keep(batch, stream.target, owed, ready, outcome)
        assumed |= {one.resource: one for one in batch.holding}
        yield owed, outcome


def _read(stream: Stream) -> Batch | None:
    """The next batch, with the EHR as it is now; None where nothing is due, or nothing may be sent to it any more."""
    with stream.service.database.reading() as connection:
        target = targets.get(connection, stream.target.id)
        if target is None or target.paused or target.snoozed_until > stream.now:
            return None
        stream.target = target
        return batches.due(connection, stream.lease, target, stream.level(connection), by=stream.now, limit=BATCH)


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
        batch.settled.append(_logged(stream, settled(owed, outcome, began, stream.now, stream.rng), outcome, tuple(stream.ehr.heard)))
        _count(stream, batch, outcome)
        _note(stream, owed, outcome)


def _logged(stream: Stream, one: Settled, outcome: Outcome, said: Sequence[Exchange]) -> Settled:
    """What was said in an attempt goes into its log: heads, and where it failed the bodies, sealed."""
    if one.attempt is None:
        return one
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
    return deliver.prepared(owed, batch.held.get(owed.resource), stream.able, lambda t, u: batches.standing(batch, stream.target, stream.able, t, u), terms)


def _outcome(stream: Stream, batch: Batch, owed: Owed) -> Outcome:
    try:
        ready = _ready(stream, batch, owed)
        outcome = _tried(stream, batch, ready)
    except Exception as error:  # noqa: BLE001 (what one EHR answers, or one resource is, holds up nothing else)
        stream.service.log.error("delivery_failed", ehr=stream.target.id, delivery=owed.delivery, error=type(error).__name__)
        return Unsure(f"A fault of our own: {type(error).__name__}")
    batches.keep(batch, stream.target, owed, ready, outcome)
    return outcome


def _count(stream: Stream, batch: Batch, outcome: Outcome) -> None:
    batch.snoozed_until, failures = fared(outcome, batch.failures, stream.now)
    batch.recovered = batch.recovered or isinstance(outcome, Delivered)
    batch.failed = 0 if isinstance(outcome, Delivered) else batch.failed + max(0, failures - batch.failures)
    batch.failures = failures


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


def _settle(stream: Stream, batch: Batch) -> None:
    if batch.settled:
        stream.service.database.write(lambda tx: batches.settle(tx, batch, stream.lease, stream.target, stream.now))


def _note(stream: Stream, owed: Owed, outcome: Outcome) -> None:
    name = type(outcome).__name__.lower()
    metrics.attempt(stream.target.id, name)
    stream.service.log.info(
        "delivery", ehr=stream.target.id, delivery=owed.delivery, resource=f"{owed.type}/{owed.uuid}", outcome=name,
        status=getattr(outcome, "status", None), attempts=owed.attempts,
    )  # fmt: skip
