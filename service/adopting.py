"""Adopt: what an EHR made itself as a child of a record of ours becomes an item of that record, and is held there already.

It has to be of the record's own patient, to be one thing that an item of the record can be, and to say nothing that is otherwise
here. The record with it is what is validated, and what it yields then is what the EHR's own is told to be by our next update,
beside all that it says itself. What is not taken leaves no trace in the record.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from mappings import KINDS, children, model
from mappings.disclosure import Level, withhold
from mappings.ids import Ids
from mappings.kind import META, PROBLEM, Kind, MappingError, Resource
from mappings.schema import Refused, load
from service.accepting import Accepted, Nothing, Taken, Unfit, ids_of, modified
from service.errors import Unprocessable
from service.exchange import Act, locked, publish
from service.incoming import News, in_our_ids
from service.renderings import uuid_of
from service.store import audit, copies, levels, reading, resources, streams
from service.store.clock import micros
from service.store.copies import MADE_THERE, Copy
from service.store.entities import Stored
from service.store.outbox import SENDING
from service.store.targets import Target
from service.sync.deliver import our_identifier
from service.sync.merging import First, agreed, merge
from service.wire import encode, read

Json = dict[str, Any]


@dataclass(frozen=True)
class Child:
    """What an EHR holds that it made itself, and the copy of ours that it belongs to: which lists it, or which it refers to alone."""

    target: Target
    parent: Copy
    news: News
    listed: bool

    @property
    def name(self) -> str:
        return f"{self.news.body.get('resourceType')}/{self.news.body.get('id')}"


@dataclass(frozen=True)
class Record:
    """The record that a child is to belong to, and the item that it would be."""

    kind: Kind
    stored: Stored
    entity: Any
    item: str
    ids: Ids
    view: Level


@dataclass(frozen=True)
class Fit:
    """What a child is: in which role, and the record with it."""

    role: str
    entity: Any


@dataclass(frozen=True)
class Another(Unfit):
    """It is about something that the record has no place for, by its code."""


def is_ours(body: Mapping[str, Any]) -> bool:
    """Whether we sent it, whatever became of the answer: then it is no child, and delivery finds it."""
    meta = body.get("meta")
    return our_identifier(body) is not None or (isinstance(meta, dict) and meta.get("source") == META["source"])


def adopt(act: Act, child: Child) -> Accepted | None:
    """Takes a child into the record of its parent. Nothing for what is no child or is known; None while something of the record is being sent.

    Takes the locks of a publish, in its order: patient, entity, streams, clock.
    """
    tx, now, target = act.tx, micros(act.tenant.now()), child.target
    [(_, name, key, *_)] = resources.keys(tx, nums=[child.parent.resource])
    kind, type_, id_ = KINDS[name], str(child.news.body.get("resourceType")), str(child.news.body.get("id"))
    if is_ours(child.news.body) or type_ not in children.types_of(kind):
        return Nothing()
    stored, patient = locked(tx, kind, key)
    if patient is None or any(found == type_ for _, found, _, _ in copies.there(tx, target.id, [id_])):
        return Nothing()
    if SENDING in streams.open_states(tx, target.id, reading.of_entity(tx, stored.num)).values():
        return None
    level = levels.level(tx, target.reader, patient.num, target.level, now)
    if stored.erased or level < Level.C0 or not target.takes(type_):
        return Unfit(((type_, "was entered in error here" if stored.erased else "is not of what this EHR has of the patient"),))
    said = in_our_ids(tx, target.id, child.news.body, target.base_url)
    entity: Any = model.revive(kind.entity, read(stored.document))
    fit = _fit(Record(kind, stored, entity, id_, ids_of(act, said), Level(level)), said)
    if isinstance(fit, Unfit):
        return Nothing() if isinstance(fit, Another) and not child.listed else fit
    try:
        published = publish(act, kind, fit.entity)
    except Unprocessable as refusal:
        return Unfit(tuple(refusal.problems))
    uuid = uuid_of(act.tenant.ids().id(kind.name, key, fit.role, id_))
    [num] = reading.numbers(tx, [uuid]).values()
    copies.hold(tx, [Copy(target.id, num, id_, child.news.version, MADE_THERE, level, b"", child.news.digest)], now)
    audit.record(tx, [audit.Event(now, act.client, "accept", f"{kind.name}/{key}", 200, patient=stored.patient, level=level)])
    return Taken(published, (f"/{id_}",))


def _fit(of: Record, said: Json) -> Fit | Unfit:
    """The one thing that a resource can be in a record, or why it is none."""
    type_ = str(said["resourceType"])
    if not model.matches(model.ID, of.item):
        return Unfit(((f"{type_}.id", f"should be {model.ID.says}"),))
    fits, problems, another = list[Fit](), dict[PROBLEM, None](), True
    shapes = children.shapes(of.kind, said, of.view)
    for shape in shapes:
        found = _as_item(of, shape, said)
        if isinstance(found, Unfit):
            problems |= dict.fromkeys(found.problems)
            another &= any(path.startswith(f"{type_}.{children.CODE}") for path, _ in found.problems)
        else:
            fits.append(Fit(shape.role, found))
    if len(fits) == 1:
        return fits[0]
    if fits:
        return Unfit(((type_, f"could be any of {', '.join(fit.role for fit in fits)}"),))
    told = tuple(problems) or ((f"{type_}.{children.CODE}", f"is of nothing that a {of.kind.name} has of this type"),)
    return Another(told) if another else Unfit(told)


def _as_item(of: Record, shape: Resource, said: Json) -> Any:
    """The record with a resource as an item in the place that a shape has for it, or Unfit with every problem."""
    type_, over = shape.type, model.field_at(of.kind.entity, str(shape.over))
    mine = {**said, "id": of.ids.id(of.kind.name, of.entity.id, shape.role, of.item)}
    try:
        heard = withhold(of.kind.from_fhir([mine], of.ids, of.view, new=True), of.view)
    except MappingError as refusal:
        return Unfit(tuple(refusal.problems))
    problems = list(modified(said, {}, type_))
    if heard is None or heard.patient_id != of.entity.patient_id:
        problems.append((children.whose(shape), "is not the patient whose record this is"))
    items = model.document_of(heard).get(over.json) if heard is not None else None
    if problems or not items:
        return Unfit(tuple(problems) or ((type_, f"says nothing that a {of.kind.name} has"),))
    document = model.document_of(of.entity)
    at = len(document.get(over.json, []))
    try:
        entity = load(of.kind, read(encode({**document, over.json: [*document.get(over.json, []), *items]})))
    except Refused as refusal:
        return Unfit(tuple(_pathed(shape, f"/{over.json}/{at}/", problem) for problem in refusal.problems))
    problems = list(_otherwise(of, shape, entity, mine, items))
    return Unfit(tuple(problems)) if problems else entity


def _pathed(shape: Resource, item: str, problem: PROBLEM) -> PROBLEM:
    """A problem of the record by FHIRPath, where it is of an element of the new resource."""
    pointer, words = problem
    path = children.path_of(shape, pointer.removeprefix(item)) if pointer.startswith(item) else None
    return path or pointer, words


def _otherwise(of: Record, shape: Resource, entity: Any, mine: Json, items: Any) -> Iterator[PROBLEM]:
    """What a resource says otherwise than what the record with it will say of it, and what would be lost when both are said together."""
    rendered = of.kind.to_fhir(withhold(entity, of.view), of.ids, of.view)
    ours = next((one for one in rendered if one["id"] == mine["id"]), None)
    if ours is None:
        yield shape.type, f"yields no {shape.type} here"
        return
    found = [*children.astray(ours, mine), *children.contradictions(ours, mine, shape.type)]
    yield from found
    both = merge(agreed([First(ours)], mine, {}) or {}, ours, mine, {})
    try:
        again = withhold(of.kind.from_fhir([{**both.body, "resourceType": shape.type, "id": mine["id"]}], of.ids, of.view, new=True), of.view)
    except MappingError as refusal:
        yield from refusal.problems
        return
    over = model.field_at(of.kind.entity, str(shape.over))
    if not found and (again is None or model.document_of(again).get(over.json) != items):
        yield shape.type, "would say something else beside what the record says"
