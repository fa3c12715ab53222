"""Publish: an entity goes outward, into one rendering a view, the index, the history and what is owed, in one transaction.

    publish(...)   store the entity, if it changed, and all that follows from it
    erase(...)     enter it in error: everything that it yielded becomes that, or is deleted

Both are given the open transaction of a route or of the worker, and take its locks in one order: patient, entity, streams,
clock. Whoever reads sees all of it or nothing.
"""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection

from mappings import KINDS, model
from mappings.findings import Finding
from mappings.kind import Kind
from mappings.rules import findings
from mappings.rules.rule import around, decider_of, dependents, looked_at, looks_at
from service import disclosing, references, renderings
from service.errors import Conflict, NotFound, Stale
from service.renderings import text_of
from service.store import entities, index, outbox, resources, targets
from service.store import levels as store_levels
from service.store.clock import tick
from service.store.database import Outrun
from service.store.entities import Stored
from service.store.resources import Change, Content, Known, Yielded
from service.store.tables import FOREVER, THERE
from service.tenant import Tenant
from service.wire import encode, read

MAP_VERSION = 1
Planned = dict[bytes, list[tuple[frozenset[int], Content, str]]]
Others = list[tuple[str, Stored | None, Any]]  # the patient's other records: kind, as kept, as an entity


@dataclass(frozen=True)
class Act:
    """One write: for whom, in which transaction, by which client. `expect` is the version that the sender last saw."""

    tenant: Tenant
    tx: Connection
    client: str
    expect: int | None = None
    new: bool = False


@dataclass(frozen=True)
class Published:
    """What a write did. `resources` are (type, id) of all that the entity yields now; `changed` is False where nothing was new."""

    stored: Stored
    changed: bool
    created: bool
    resources: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Prepared:
    """What an entity yields, worked out before the transaction: it holds as long as the records that the rules looked at do."""

    looked_at: frozenset[tuple[str, str, int]]
    found: tuple[Finding, ...]
    yielded: dict[bytes, Yielded]
    planned: Planned | None = None  # where nothing of it is stored


@dataclass(frozen=True)
class Outward:
    """One entity on its way out: what it yields at each view, against what is stored. `entity` is None when it is erased."""

    kind: Kind
    key: str
    entity: Any
    found: tuple[Finding, ...]
    stored: Stored | None
    yielded: dict[bytes, Yielded]
    known: dict[bytes, Known]
    planned: Planned


def prepare(tenant: Tenant, connection: Connection, kind: Kind, entity: Any) -> Prepared:
    """The better part of the work of a publish, done while nobody waits for a lock."""
    key = entity.id if kind.name == "patient" else getattr(entity, "patient_id", None)
    patient = entities.get(connection, "patient", key) if key is not None else None
    act = Act(tenant, connection, "")
    others = _read(act, patient, set(looks_at(kind.name))) if patient is not None else []
    others = [other for other in others if (other[0], other[2].id) != (kind.name, entity.id)]
    others += _deciders(act, [entity])
    found = _judged(act, kind, entity, others)
    yielded = renderings.rendered(tenant, kind, entity, found)
    return Prepared(_basis(kind, entity, others), found, yielded, _planned(tenant, {}, yielded))


def publish(act: Act, kind: Kind, entity: Any, prepared: Prepared | None = None) -> Published:
    """Stores an entity and everything that follows from it. The same entity twice changes nothing.

    Raises Conflict where a new one's key is taken, Stale where it is not at the expected version, and Unprocessable for
    references to what is not there or is another patient's, by JSON pointer.
    """
    patient = _locked_patient(act, kind, entity)
    stored = entities.get(act.tx, kind.name, entity.id, lock=True)
    _check_version(act, stored)
    references.check(act.tx, kind, entity, stored, patient)
    document = encode(model.document_of(entity))
    if stored is not None and not stored.erased and stored.document == document:
        return Published(stored, False, False, _yielded(act, stored))
    others = [*_others(act, kind, entity.id, patient), *_deciders(act, [entity])]
    if prepared is None or prepared.looked_at != _basis(kind, entity, others):
        found = _judged(act, kind, entity, others)
        prepared = Prepared(frozenset(), found, renderings.rendered(act.tenant, kind, entity, found))
    outward = _outward(act, kind, entity, stored, prepared)
    followers = _followers(act, kind, others, [*others, (kind.name, stored, entity)])
    return _commit(act, outward, followers, document, patient)


def erase(act: Act, kind: Kind, key: str) -> Published:
    """Enters an entity in error: it yields nothing any more. It stays readable by the clinic, with its history."""
    stored, patient = locked(act.tx, kind, key)
    _check_version(act, stored)
    if stored.erased:
        return Published(stored, False, False, ())
    others = _others(act, kind, key, patient)
    outward = _outward(act, kind, None, stored, Prepared(frozenset(), (), {}))
    return _commit(act, outward, _followers(act, kind, others, others), stored.document, patient)


def locked(tx: Connection, kind: Kind, key: str) -> tuple[Stored, Stored | None]:
    """A stored entity and its patient's, each locked, the patient's first as everywhere. Raises NotFound."""
    found = entities.get(tx, kind.name, key)
    if found is None:
        raise NotFound(f"There is no {kind.name} {key[:64]}")
    patient = entities.lock(tx, found.patient) if found.patient is not None else None  # whose a record is never changes
    return entities.lock(tx, found.num), patient


def _locked_patient(act: Act, kind: Kind, entity: Any) -> Stored | None:
    key = entity.id if kind.name == "patient" else getattr(entity, "patient_id", None)
    return entities.lock_patient(act.tx, key) if key is not None else None


def _check_version(act: Act, stored: Stored | None) -> None:
    if act.new and stored is not None:
        raise Conflict(f"There is a {stored.kind} {stored.id} already")
    if act.expect is not None and (stored is None or stored.version != act.expect):
        now = "there is none" if stored is None else f"it is at version {stored.version}"
        raise Stale(f"Version {act.expect} was asked for, and {now}")


# --- what follows from an entity


def _others(act: Act, kind: Kind, key: str, patient: Stored | None) -> Others:
    """The patient's other records that the rules of this kind may look at, those whose rules look at it, and what those look at."""
    if patient is None:
        return []
    found = _read(act, patient, {*looks_at(kind.name), *dependents(kind.name)})
    followers = {name for name, _, _ in found} & set(dependents(kind.name))
    found += _read(act, patient, {k for follower in followers for k in looks_at(follower)} - {*looks_at(kind.name), *dependents(kind.name)})
    others = [(name, stored, entity) for name, stored, entity in found if (name, entity.id) != (kind.name, key)]
    return others + _deciders(act, [entity for _, _, entity in others])


def _read(act: Act, patient: Stored, kinds: set[str]) -> Others:
    found = entities.of_patient(act.tx, patient.num, sorted(kinds)) if kinds else []
    return [(s.kind, s, model.revive(KINDS[s.kind].entity, read(s.document))) for s in found if not s.erased]


def _deciders(act: Act, judged: list[Any]) -> Others:
    """The practitioners at whose registration the rules look. They are no patient's, so their change judges nothing again."""
    keys = sorted({key for entity in judged if (key := decider_of(entity)) is not None})
    found = [stored for key in keys if (stored := entities.get(act.tx, "practitioner", key)) is not None and not stored.erased]
    return [(s.kind, s, model.revive(KINDS[s.kind].entity, read(s.document))) for s in found]


def _judged(act: Act, kind: Kind, entity: Any, others: Others) -> tuple[Finding, ...]:
    seen = around(entity, [(name, other) for name, _, other in others])
    return findings(kind, entity, seen, act.tenant.thresholds, KINDS)


def _basis(kind: Kind, entity: Any, others: Others) -> frozenset[tuple[str, str, int]]:
    """Which versions of which records the rules of a kind look at."""
    return frozenset((name, stored.id, stored.version) for name, stored, other in others if stored is not None and looked_at(kind.name, entity, name, other.id))


def _outward(act: Act, kind: Kind, entity: Any, stored: Stored | None, prepared: Prepared) -> Outward:
    yielded, found = prepared.yielded, prepared.found
    known = resources.known_of(act.tx, stored.num) if stored is not None else {}
    planned = prepared.planned if stored is None and prepared.planned is not None else _planned(act.tenant, known, yielded)
    return Outward(kind, entity.id if entity is not None else stored.id if stored else "", entity, found, stored, yielded, known, planned)


def _planned(tenant: Tenant, known: dict[bytes, Known], yielded: dict[bytes, Yielded]) -> Planned:
    steps = {uuid: resources.plan(known.get(uuid), yielded.get(uuid), uuid, renderings.tombstone, tenant.version_token) for uuid in {**yielded, **known}}
    return {uuid: taken for uuid, taken in steps.items() if taken}


def _followers(act: Act, kind: Kind, others: Others, now: Others) -> list[Outward]:
    """The patient's other records of which the rules say something else, now that all are as they are."""
    found = []
    for name, stored, other in others:
        if name in dependents(kind.name) and stored is not None:
            judged = _judged(act, KINDS[name], other, now)
            if encode([f.document() for f in judged]) != stored.findings:
                yielded = renderings.rendered(act.tenant, KINDS[name], other, judged)
                found.append(_outward(act, KINDS[name], other, stored, Prepared(frozenset(), judged, yielded)))
    return found


# --- writing it down


def _commit(act: Act, outward: Outward, followers: list[Outward], document: bytes, patient: Stored | None) -> Published:
    tx, now = act.tx, act.tenant.now()
    asked, so_many = targets.asked(tx)
    known = [outward.known[uuid] for uuid in outward.planned if uuid in outward.known]
    for target in asked:
        keys = [patient.num] if patient is not None else [-one.num for one in known if target.takes(one.type)]
        outbox.touch(tx, target.id, keys, FOREVER)  # locked, and not woken: it may be that nothing is owed
    seq, at, by_now = tick(tx, now)
    if by_now != so_many:
        raise Outrun("An EHR was added meanwhile")
    num = _keep(act, outward, document, patient, (seq, at))
    patient_num = num if outward.kind.name == "patient" else patient.num if patient else None
    changes = _write(act, outward, (num, patient_num), (seq, at))
    for follower in followers:
        assert follower.stored is not None
        entities.reassess(tx, follower.stored.num, encode([f.document() for f in follower.found]), (seq, at))
        changes += _write(act, follower, (follower.stored.num, patient_num), (seq, at))
    if outward.kind.name == "consent":
        assert patient_num is not None
        disclosing.follow_consents(tx, patient_num, at)
    for target in asked:
        owe(tx, target, changes, patient_num, at)
    stored = entities.get(tx, outward.kind.name, outward.key)
    assert stored is not None
    return Published(stored, True, outward.stored is None, tuple((y.type, text_of(y.uuid)) for y in outward.yielded.values()))


def _keep(act: Act, outward: Outward, document: bytes, patient: Stored | None, when: tuple[int, int]) -> int:
    before = outward.stored
    values: dict[str, Any] = {
        "version": (before.version if before else act.tenant.restores) + 1, "document": document, "findings": encode([f.document() for f in outward.found]),
        "erased": outward.entity is None, "seq": when[0], "changed_at": when[1], "map_version": MAP_VERSION,
    }  # fmt: skip
    if before is not None:
        entities.replace(act.tx, before.num, values, act.client)
        return before.num
    return entities.add(act.tx, values | {"kind": outward.kind.name, "id": outward.key, "patient": patient.num if patient else None}, act.client)


def _write(act: Act, outward: Outward, whose: tuple[int, int | None], when: tuple[int, int]) -> list[Change]:
    fresh = resources.add(act.tx, [outward.yielded[uuid] for uuid in outward.planned if uuid not in outward.known], *whose)
    changes = [
        resources.changed(fresh.get(uuid) or outward.known[uuid], outward.yielded.get(uuid), steps, when, renderings.full_body)
        for uuid, steps in outward.planned.items()
    ]  # fmt: skip
    resources.store(act.tx, changes, when[0])
    index.store(act.tx, act.tenant.parameters, changes, renderings.entries, when[0])
    return changes


def owe(tx: Connection, target: targets.Target, changes: list[Change], patient: int | None, at: int) -> None:
    """Owes a target what changed in its view: there, entered in error or deleted, it is all to be told."""
    level = store_levels.level(tx, target.reader, patient, target.level, at)
    changed = [c.known.num for c in changes if level in c.levels and target.takes(c.known.type)]
    if changed:
        keys = {num: patient if patient is not None else -num for num in changed}
        streams = outbox.touch(tx, target.id, set(keys.values()), at)
        outbox.owe(tx, target.id, {num: streams[key] for num, key in keys.items()}, at)


def _yielded(act: Act, stored: Stored) -> tuple[tuple[str, str], ...]:
    there = resources.known_of(act.tx, stored.num)
    return tuple((k.type, text_of(k.uuid)) for k in there.values() if any(row.state == THERE for row in k.rows))
