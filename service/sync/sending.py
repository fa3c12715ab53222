"""One leased stream: what it is owed is read many at once, put in the order of references, and sent and settled batch by batch.

No transaction is open while an EHR is spoken to. Before anything is sent it is noted that it is; so whatever happens to this
process, the next one knows what to look for first.
"""

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import chain
from typing import Any, TypeVar

from service import metrics
from service.security.secrets import seal
from service.store import levels, reading, streams, targets
from service.store.clock import micros
from service.store.copies import Copy
from service.store.database import never_written
from service.store.outbox import DELIVERED
from service.store.streams import Lease, LeaseLost, Settled
from service.store.tables import FOREVER
from service.store.targets import Target
from service.sync import batches, deliver, documents, searches, transactions
from service.sync.abilities import Abilities
from service.sync.batches import Batch, Came
from service.sync.deliver import Match, Owed, Ready, Terms
from service.sync.exchanges import Exchange, bodies, heads
from service.sync.merging import as_made, made_of
from service.sync.outcomes import Delivered, Held, Matched, Outcome, Refused, Unsure
from service.sync.settling import fared, put_back, settled
from service.sync.targets.rest import Rest
from service.sync.transactions import Entry, Told
from service.wire import read
from service.wiring import Service

Said = TypeVar("Said")
BATCH = 25  # what is in doubt at most when a worker dies
READ = 64  # at once: a visit with everything, 60 resources that refer to each other, goes in one order
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
    rehearses: bool = False  # it is not leased, and a person or place that would be looked for is taken to be found

    @property
    def now(self) -> int:
        return micros(self.service.tenant.now())

    @property
    def patient(self) -> int | None:
        return self.lease.key if self.lease.key > 0 else None

    @property
    def restored(self) -> bool:
        """Whether the EHR may hold what nobody here knows of since a backup was restored."""
        return self.service.tenant.restores > 0 and not self.target.settings.get("returns")

    @property
    def together(self) -> bool:
        """Whether what can goes in one Bundle: it was asked for, and the EHR says that it takes that."""
        return bool(self.target.settings.get("transactions")) and transactions.TRANSACTION in self.able.system


def send_stream(stream: Stream) -> int:
    """Sends what is due until nothing is left, the EHR is to be left alone, or the worker stops. Returns how many were sent."""
    sent = 0
    try:
        for batch in _batches(stream):
            _send(stream, batch)
            _settle(stream, batch)
            sent += batch.sent
            if batch.snoozed_until or batch.first:
                break
    except LeaseLost:
        stream.service.log.warning("lease_lost", ehr=stream.target.id, stream=stream.lease.stream)
        return sent
    stream.service.database.write(lambda tx: streams.release(tx, stream.lease, stream.now))
    return sent


def _batches(stream: Stream) -> Iterator[Batch]:
    """What is due, batch by batch, as long as anything may be sent.

    It is read again where the EHR may see more or less meanwhile, and where anything came to another end than to be there: what is left
    was put together as if it would be.
    """
    while stream.keeps() and not stream.stopping() and (found := _read(stream)) is not None:
        for n, batch in enumerate(batches.parts(found, BATCH)):
            if n and not _still(stream, batch):
                break
            yield batch
            if any(one.state != DELIVERED for one in batch.settled):
                break


def rehearsed(stream: Stream, assumed: dict[int, Copy]) -> Iterator[Came]:
    """What would come of everything that waits in a stream that nobody leased, sent to an EHR that only plays one: nothing is noted.

    A person or place that would be looked for is taken to be found. `assumed` are the copies that the EHR would have by then.
    """
    with stream.service.database.reading() as connection:
        level = levels.level(connection, stream.target.reader, stream.patient, stream.target.level, stream.now)
        batch = batches.due(connection, stream.lease, stream.target, level, by=FOREVER, limit=REHEARSED, restored=stream.restored)
    if batch is None:
        return
    batch.held |= assumed
    for part in batches.parts(batch, BATCH):
        for came in _tries(stream, part, part.owed):
            assumed |= {one.resource: one for one in part.holding}
            yield from came


def _read(stream: Stream) -> Batch | None:
    """What is due next, with the EHR as it is now; None where nothing is, or nothing may be sent to it any more."""
    with stream.service.database.reading() as connection:
        target = targets.get(connection, stream.target.id)
        level = targets.told_at(connection, target, stream.patient, stream.now) if target is not None else None
        if target is None or level is None:
            return None
        stream.target = target
        return batches.due(connection, stream.lease, target, level, by=stream.now, limit=READ, restored=stream.restored)


def _send(stream: Stream, batch: Batch) -> None:
    """Sends a batch in order; what came of each is kept in the batch."""
    begun = stream.service.database.write(lambda tx: streams.begin(tx, stream.lease, batch.due, stream.now))
    batch.owed = [owed for owed in batch.owed if owed.delivery in begun]
    for came in _tries(stream, batch, batch.owed):
        for one in came:
            batch.settled.append(_settled(stream, one))
        outcomes = [one.outcome for one in came if one.outcome is not None]
        if outcomes:  # of one request
            _count(stream, batch, next((one for one in outcomes if isinstance(one, Delivered)), outcomes[0]))


def _tries(stream: Stream, batch: Batch, left: list[Owed]) -> Iterator[list[Came]]:
    """Sends each in its order, and in one Bundle what can go together: what came of them, request by request.

    What a Bundle needs first goes before it; what needs something of it and goes singly, after it, with all that needs that.
    """
    alone: dict[int, tuple[Exchange, ...]] = {}  # what a Bundle did not bring there, and what was said of it
    while left:
        batch.coming.clear()
        entries: list[Entry] = []
        later: list[Owed] = []
        for n, owed in enumerate(left):
            ready = _ready(stream, batch, owed)
            if _waits_its_turn(stream, batch, ready):
                yield _unsent(entries, later, left[n:])
                return
            entry = None if owed.delivery in alone else _entry(stream, ready)
            if (entries or later) and _follows(owed, entry, entries, later):
                later.append(owed)
            elif entry is not None:
                entries.append(entry)
                batch.coming |= {owed.resource} if entry.creates else set()
            elif _goes_on(stream, batch):
                yield [_single(stream, batch, owed, ready, alone)]
            else:
                yield _unsent(entries, later, left[n:])
                return
        if entries and not _goes_on(stream, batch):
            yield _unsent(entries, later)
            return
        if len(entries) == 1:
            yield [_single(stream, batch, entries[0].ready.owed, entries[0].ready, alone)]
        elif entries:
            yield _together(stream, batch, entries, alone)
        left = [one.ready.owed for one in entries if len(entries) > 1 and one.ready.owed.delivery in alone] + later


def _unsent(entries: Sequence[Entry], *left: Sequence[Owed]) -> list[Came]:
    return [Came(one) for one in chain((entry.ready.owed for entry in entries), *left)]


def _waits_its_turn(stream: Stream, batch: Batch, ready: Ready | Match | Outcome) -> bool:
    """Whether a patient's stream is given back because something is to be there first. A place says by its identifier what it lacks, until that is there."""
    if stream.patient is not None and not stream.rehearses:
        batch.first |= batches.lacks(batch, ready)
    return bool(batch.first)


def _follows(owed: Owed, entry: Entry | None, entries: list[Entry], later: list[Owed]) -> bool:
    """Whether it goes after a Bundle: it needs what does so itself, or goes singly and needs something of the Bundle."""
    behind = {one.uuid for one in later} | ({one.ready.owed.uuid for one in entries} if entry is None else set())
    return not behind.isdisjoint(owed.needs) or (owed.body is None and bool(later))


def _entry(stream: Stream, ready: Ready | Match | Outcome) -> Entry | None:
    if not stream.together or not isinstance(ready, Ready) or _is_held(ready):
        return None
    return transactions.entry(ready, stream.able, careful=stream.ehr.careful)


def _goes_on(stream: Stream, batch: Batch) -> bool:
    """Whether anything more may be sent of a batch. For the first it was just looked whether it may."""
    if stream.rehearses:
        return True
    return not batch.snoozed_until and (_still(stream, batch) if batch.settled else stream.keeps())


def _single(stream: Stream, batch: Batch, owed: Owed, ready: Ready | Match | Outcome, before: Mapping[int, tuple[Exchange, ...]]) -> Came:
    began = stream.now
    stream.ehr.heard.clear()
    outcome = _guarded(stream, owed, lambda: _tried(stream, batch, ready))
    batches.keep(batch, stream.target, owed, ready, outcome)
    return Came(owed, outcome, began, (*before.get(owed.delivery, ()), *stream.ehr.heard))


def _together(stream: Stream, batch: Batch, entries: list[Entry], alone: dict[int, tuple[Exchange, ...]]) -> list[Came]:
    """One Bundle. What was found to be there already is left to be compared, alone; and so are all where nothing was done."""
    began, base = stream.now, stream.ehr.base
    stream.ehr.heard.clear()
    told = _guarded(stream, entries[0].ready.owed, lambda: stream.ehr.transaction(entries))
    said = tuple(stream.ehr.heard)
    if isinstance(told, Refused):
        alone |= {one.ready.owed.delivery: transactions.own(said, base, one) for one in entries}
        return []
    answers = told if isinstance(told, list) else [Told(told)] * len(entries)
    known, came = transactions.ids(entries, answers), list[Came]()
    for entry, one in zip(entries, answers, strict=True):
        owed, own = entry.ready.owed, transactions.own(said, base, entry, one.answer)
        if one.found:
            alone[owed.delivery] = own
            continue
        batch.sent += 1
        outcome, landed = searches.doubted(one.outcome, entry.ready, stream.able), transactions.landed(entry.ready, known)
        if isinstance(outcome, Delivered) and outcome.seen is not None:
            outcome = replace(outcome, made=made_of(landed.body, outcome.seen))
        batches.keep(batch, stream.target, owed, landed, outcome)
        came.append(Came(owed, outcome, began, own))
    return came


def _settled(stream: Stream, one: Came) -> Settled:
    if one.outcome is None:
        return put_back(one.owed, stream.now)
    _note(stream, one.owed, one.outcome)
    return _logged(stream, settled(one.owed, one.outcome, one.began, stream.now, stream.rng), one.outcome, one.said)


def _logged(stream: Stream, one: Settled, outcome: Outcome, said: Sequence[Exchange]) -> Settled:
    """What was said in an attempt goes into its log: heads, and where it failed the bodies, sealed."""
    if one.attempt is None:
        return one
    kept = {"heads": heads(said)}
    if said and not isinstance(outcome, Delivered):
        kept["bodies"] = seal(stream.service.tenant, bodies(said), f"attempt of {one.delivery}")
    return replace(one, attempt={**one.attempt, **kept})


def _still(stream: Stream, batch: Batch) -> bool:
    """Whether what was read may go on being sent: the lease is ours, nobody says stop, and the EHR may see as much of the patient as then."""
    if not stream.keeps() or stream.stopping():
        return False
    with stream.service.database.glance() as connection:
        return targets.told_at(connection, stream.target, stream.patient, stream.now) == batch.level


def _ready(stream: Stream, batch: Batch, owed: Owed) -> Ready | Match | Outcome:
    s = stream.target.settings
    terms = Terms(create_people=bool(s.get("create_people")), documents=s.get("alternate") == documents.TYPE, restored=stream.restored)
    stands = partial(batches.standing, batch, stream.target, stream.able)
    return _guarded(stream, owed, lambda: deliver.prepared(owed, batch.held.get(owed.resource), stream.able, stands, terms))


def _guarded(stream: Stream, owed: Owed, do: Callable[[], Said]) -> Said | Unsure:
    try:
        return do()
    except Exception as error:  # noqa: BLE001 (what one EHR answers, or one resource is, holds up nothing else)
        stream.service.log.error("delivery_failed", ehr=stream.target.id, delivery=owed.delivery, error=type(error).__name__)
        return Unsure(f"A fault of our own: {type(error).__name__}")


def _count(stream: Stream, batch: Batch, outcome: Outcome) -> None:
    batch.snoozed_until, failures = fared(outcome, batch.failures, stream.now)
    batch.recovered = batch.recovered or isinstance(outcome, Delivered)
    batch.failed = 0 if isinstance(outcome, Delivered) else batch.failed + max(0, failures - batch.failures)
    batch.failures = failures


def _tried(stream: Stream, batch: Batch, ready: Ready | Match | Outcome) -> Outcome:
    if isinstance(ready, Match):
        found = stream.ehr.match(ready, stream.able)
        return Matched(f"{ready.owed.type}-of-the-EHR") if stream.rehearses else found
    return _sent(stream, batch, ready) if isinstance(ready, Ready) else ready


def _sent(stream: Stream, batch: Batch, ready: Ready) -> Outcome:
    if _is_held(ready):
        return Held()
    batch.sent += 1
    outcome = stream.ehr.deliver(replace(ready, earlier=lambda: _earlier(stream, ready)), stream.able)
    return searches.doubted(outcome, ready, stream.able)


def _is_held(ready: Ready) -> bool:
    return ready.remote is not None and ready.owed.body is not None and ready.remote.sent_hash == ready.digest and not ready.owed.unsure


def _earlier(stream: Stream, ready: Ready) -> list[dict[str, Any]]:
    """What the EHR may have of it: the version that it was seen to hold, and what we said since. The newest is first.

    That is what we say now where it was seen to hold it or may have been sent it before: an attempt whose answer was lost, or a reference that resolves
    now. What nobody knows to be of ours is of no version.
    """
    if ready.as_document:
        return []  # documents are not merged
    remote, owed = ready.remote, ready.owed
    since, level = (remote.version, remote.level) if remote is not None else (None, owed.level)
    made_there, held = remote is not None and remote.made_there, remote is not None and remote.version == owed.version and not remote.restored
    sent = held or made_there or ready.doubtful or (owed.unsure and not (remote is not None and remote.lost))
    with stream.service.database.glance() as connection:
        bodies = reading.said(connection, owed.resource, level, since, but=None if sent else owed.version)
    made = read(remote.made) if remote is not None and remote.made else {}
    return as_made([read(body) for body in bodies], made, made_there=made_there)


def _settle(stream: Stream, batch: Batch) -> None:
    if not batch.settled:
        return
    try:
        stream.service.database.write(lambda tx: batches.settle(tx, batch, stream.lease, stream.target, stream.now))
    except Exception as error:
        if not never_written(error):
            raise
        stream.service.log.error("settling_failed", ehr=stream.target.id, stream=stream.lease.stream, error=type(error).__name__)
        doubtful = _in_doubt(stream, batch, Unsure(f"What the EHR said cannot be kept: {type(error).__name__}"))
        stream.service.database.write(lambda tx: batches.settle(tx, doubtful, stream.lease, stream.target, stream.now))


def _in_doubt(stream: Stream, batch: Batch, why: Unsure) -> Batch:
    """A batch of which nothing that the EHR said is kept: what was sent is looked for again, and parked when that has happened too often."""
    owed = {one.delivery: one for one in batch.owed}
    found = [settled(owed[one.delivery], why, stream.now, stream.now, stream.rng) if one.attempt is not None else one for one in batch.settled]
    return replace(batch, settled=found, holding=[], waiting=[], contested=[], recovered=False)


def _note(stream: Stream, owed: Owed, outcome: Outcome) -> None:
    name = type(outcome).__name__.lower()
    metrics.attempt(stream.target.id, name)
    stream.service.log.info(
        "delivery", ehr=stream.target.id, delivery=owed.delivery, resource=f"{owed.type}/{owed.uuid}", outcome=name,
        status=getattr(outcome, "status", None), attempts=owed.attempts,
    )  # fmt: skip
