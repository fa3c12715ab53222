"""What an entity would become, and nothing stored: a Bundle for each view, the findings, and what each view withholds."""

from collections.abc import Iterator
from typing import Any

from sqlalchemy import Connection

from mappings import KINDS, model
from mappings.disclosure import VIEWS, Level, withhold
from mappings.kind import Kind
from mappings.rules import findings
from mappings.rules.rule import around, decider_of, looks_at
from mappings.schema import load
from service.api import envelope
from service.api.envelope import JSON, allow, kind_of
from service.errors import Malformed, Unprocessable
from service.references import check
from service.renderings import text_of
from service.store import entities, reading
from service.store.reading import Reader
from service.web import Answer, Call
from service.wire import encode, read

FHIR_JSON = "application/fhir+json"


def preview(call: Call) -> Answer:
    """POST /api/v1/{kind}/preview"""
    kind = kind_of(call)
    allow(call, kind, "r")
    entity = load(kind, call.json(JSON))
    with call.service.database.reading() as connection:
        found, unresolved = _judged(call, connection, kind, entity)
    ids = call.service.tenant.ids()
    views = {}
    whole = model.document_of(entity)
    for view in VIEWS:
        seen = withhold(entity, view)
        resources = kind.to_fhir(seen, ids, view, found)
        views[view.name] = {
            "bundle": _collection(resources),
            "withheld": list(withheld(whole, model.document_of(seen) if seen is not None else {}, "")),
        }
    said = {"findings": [f.document() for f in found], "unresolved": unresolved, "views": views}
    return Answer(200, encode(said), JSON)


def _judged(call: Call, connection: Connection, kind: Kind, entity: Any) -> tuple[tuple[Any, ...], list[dict[str, str]]]:
    """The findings with what is stored around the entity, and the references that would be refused."""
    patient = entities.get(connection, "patient", getattr(entity, "patient_id", ""))
    if patient is not None and not envelope.sees(call, connection, patient.num):
        patient = None
    others = entities.of_patient(connection, patient.num, looks_at(kind.name)) if patient is not None and looks_at(kind.name) else []
    decider = entities.get(connection, "practitioner", decider_of(entity) or "")
    kept = [s for s in [*others, *([decider] if decider is not None else [])] if not s.erased and (s.kind, s.id) != (kind.name, entity.id)]
    seen: list[tuple[str, Any]] = [(s.kind, model.revive(KINDS[s.kind].entity, read(s.document))) for s in kept]
    found = findings(kind, entity, around(entity, seen), call.service.tenant.thresholds, KINDS)
    try:
        check(connection, kind, entity, None, patient)
    except Unprocessable as refusal:
        return found, [{"pointer": pointer, "detail": problem} for pointer, problem in refusal.problems]
    return found, []


def withheld(whole: Any, seen: Any, pointer: str) -> Iterator[str]:
    """JSON pointers of what a view does not show, or shows more coarsely."""
    if isinstance(whole, dict) and isinstance(seen, dict):
        for name, value in whole.items():
            if name not in seen:
                yield f"{pointer}/{name}"
            else:
                yield from withheld(value, seen[name], f"{pointer}/{name}")
    elif isinstance(whole, list) and isinstance(seen, list):
        by_id = {one["id"]: one for one in seen if isinstance(one, dict) and "id" in one}
        for n, value in enumerate(whole):
            other = by_id.get(value.get("id")) if isinstance(value, dict) and "id" in value else seen[n] if n < len(seen) else None
            if other is None:
                yield f"{pointer}/{n}"
            else:
                yield from withheld(value, other, f"{pointer}/{n}")
    elif whole != seen:
        yield pointer


def bundle(call: Call) -> Answer:
    """GET /api/v1/{kind}/{id}/fhir?view=C0..C3: what the entity yields now, of the types that the token's scopes allow"""
    kind = kind_of(call)
    allow(call, kind, "r")
    name = call.request.args.get("view", "C3")
    if name not in [view.name for view in VIEWS]:
        raise Malformed("The query cannot be carried out", [("view", "should be one of C0, C1, C2, C3")])
    with call.service.database.reading() as connection:
        stored = envelope.look_at(call, connection, entities.get(connection, kind.name, call.args["id"]), f"{kind.name} {call.args['id'][:64]}")
        reader = Reader("", int(Level[name]), moved=False)
        nums = reading.of_entity(connection, stored.num)
        seen = reading.several(connection, reader, call.now, nums, reading.latest_seq(connection))
    scopes = call.who.scopes
    entries = [
        b'{"fullUrl":' + encode(f"{call.service.settings.base}/fhir/r4/{s.type}/{text_of(s.uuid)}") + b',"resource":' + s.body + b"}"
        for num in nums if (s := seen.get(num)) is not None and scopes.allow(s.type, "r")
    ]  # fmt: skip
    body = b'{"resourceType":"Bundle","type":"collection"' + (b',"entry":[' + b",".join(entries) + b"]}" if entries else b"}")
    return Answer(200, body, FHIR_JSON)


def _collection(resources: list[dict[str, Any]]) -> dict[str, Any]:
    made: dict[str, Any] = {"resourceType": "Bundle", "type": "collection"}
    entries = [{"fullUrl": f"urn:uuid:{r['id']}", "resource": r} for r in resources]
    return {**made, "entry": entries} if entries else made


