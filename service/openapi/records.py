"""The operations on the clinic's records: every row of our API's table that is for all kinds, at each kind, and each of its lists."""

from collections.abc import Callable, Iterator
from typing import Any

from mappings import KINDS, model
from mappings.kind import Kind
from service.api.entities import kebab
from service.api.envelope import scope_type
from service.api.routes import BASE, ROUTES, Route
from service.openapi import parameters as p
from service.openapi.operations import Operation, Reply
from service.openapi.schemas import Schema, item_of, name_of, ref, words_of

JSON, FHIR_JSON = "application/json", "application/fhir+json"
READS, WRITES = (400, 401, 403, 406, 429), (400, 401, 403, 406, 412, 413, 415, 422, 429)


def operations() -> list[Operation]:
    return [made for route in ROUTES if "<kind>" in route.rule and route.name in EXPANDED for made in EXPANDED[route.name](route)]


def _each(name: str, summary: str, letters: str, **more: Any) -> Callable[[Route], Iterator[Operation]]:
    """The operation at each kind; what depends on the kind is a function of it."""
    def made(route: Route) -> Iterator[Operation]:
        for kind in KINDS.values():
            said = {key: value(kind) if callable(value) else value for key, value in more.items()}
            yield _operation(route, kind, name, summary, letters, **said)

    return made


def _operation(route: Route, kind: Kind, name: str, summary: str, letters: str, **more: Any) -> Operation:
    path = BASE + route.rule.replace("<kind>", kind.plural).replace("<", "{").replace(">", "}")
    of = more.pop("of", name_of(kind))
    return Operation(
        name.format(of), "api", route.name, route.method, more.pop("path", path), kind.plural, summary.format(words_of(kind)),
        tuple(f"system/{scope_type(kind)}.{letter}" for letter in letters), kind=kind, **more,
    )  # fmt: skip


def _missing(kind: Kind) -> tuple[int, ...]:
    return (404,) if kind.of_patient else ()


def _body(schema: Schema) -> dict[str, Schema]:
    return {JSON: schema}


def _kept(kind: Kind) -> Schema:
    return ref(f"{name_of(kind)}Kept")


def _written(kind: Kind, *statuses: int) -> dict[int, Reply]:
    said = {200: "What is there now, and whether this changed it.", 201: "What is there now: it is new."}
    return {s: Reply(said[s], JSON, ref(f"{name_of(kind)}Written"), ("ETag", "Location") if s == 201 else ("ETag",)) for s in statuses}


def _items(name: str, summary: str, **more: Any) -> Callable[[Route], Iterator[Operation]]:
    def made(route: Route) -> Iterator[Operation]:
        for kind in KINDS.values():
            for field in kind.lists:
                path = f"{BASE}/{kind.plural}/{{id}}/{kebab(field.json)}/{{item}}"
                body = _body(ref(item_of(field))) if route.method == "PUT" else {}
                of = f"{name_of(kind)}{field.json[:1].upper()}{field.json[1:]}"
                own = (404, 412, 422) if body or needed(kind, field) else (404, 412)
                yield _operation(
                    route, kind, name, summary.replace("LIST", _spaced(field.json)), "u", path=path, list=field, body=body, of=of,
                    parameters=(p.KEY, p.ITEM, p.IF_MATCH), replies=_written(kind, 200), errors=(*(WRITES if body else READS), *own), own=own, **more,
                )  # fmt: skip

    return made


def needed(kind: Kind, field: model.Field) -> bool:
    """Whether a record can be wrong without an item: something in it refers to the item, or to an item elsewhere that may be gone by then."""
    return any(to.items is not None and (to.via is not None or to.items == field.name) for to in referring(kind.entity))


def referring(cls: type) -> Iterator[model.To]:
    for field in model.fields_of(cls):
        to = field.note(model.To)
        if to is not None:
            yield to
        if field.group is not None:
            yield from referring(field.group)


def _spaced(name: str) -> str:
    return "".join(f" {c.lower()}" if c.isupper() else c for c in name)


EXPANDED: dict[str, Callable[[Route], Iterator[Operation]]] = {
    "list": _each(
        "list{}", "List records of kind {}, in the order in which they last changed", "s",
        parameters=lambda kind: (*((p.PATIENT,) if kind.of_patient else ()), *p.LIST), errors=lambda kind: (*READS, *_missing(kind)),
        own=lambda kind: (400, *_missing(kind)),
        replies=lambda kind: {200: Reply("A page of records.", JSON, ref(f"{name_of(kind)}Page"), ("Link",))},
    ),
    "create": _each(
        "create{}", "Create a record of kind {}", "c", parameters=(p.IDEMPOTENCY_KEY, p.IF_MATCH), body=lambda kind: _body(ref(name_of(kind))),
        replies=lambda kind: _written(kind, 201), errors=(*WRITES, 409), own=(409, 412, 422),
    ),
    "preview": _each(
        "preview{}", "See what a record of kind {} would become at each level; nothing is stored", "r", body=lambda kind: _body(ref(name_of(kind))),
        replies={200: Reply("A Bundle for each level, the findings, and what each level withholds.", JSON, ref("Preview"))},
        errors=tuple(s for s in WRITES if s != 412), own=(422,),
    ),
    "get": _each(
        "get{}", "Read a record of kind {}", "r", parameters=(p.KEY, p.IF_NONE_MATCH), errors=(*READS, 404), own=(404,),
        replies=lambda kind: {200: Reply("The record.", JSON, _kept(kind), ("ETag",)), 304: Reply("You have this version.", headers=("ETag",))},
    ),
    "put": _each(
        "put{}", "Create or replace a record of kind {}; the same body twice changes nothing", "cu", parameters=(p.KEY, p.IF_MATCH, p.IF_NEW),
        body=lambda kind: _body(ref(name_of(kind))), replies=lambda kind: _written(kind, 200, 201),
        errors=lambda kind: (*WRITES, *_missing(kind)), own=lambda kind: (*_missing(kind), 412, 422),
    ),
    "delete": _each(
        "delete{}", "Enter a record of kind {} in error; nothing is ever taken out", "d", parameters=(p.KEY, p.IF_MATCH),
        replies=lambda kind: _written(kind, 200), errors=(*READS, 404, 412), own=(404, 412),
    ),
    "get bundle": _each(
        "get{}AsFhir", "See a record of kind {} as FHIR, as a reader of a level does", "r", parameters=(p.KEY, p.VIEW), errors=(*READS, 404), own=(400, 404),
        replies={200: Reply("A Bundle of what the record yields, of the types that your scopes allow.", FHIR_JSON, ref("FhirBundle"))},
    ),
    "get deliveries": _each(
        "get{}Deliveries", "Did a record of kind {} arrive, and where?", "r", parameters=(p.KEY,), errors=(*READS, 404), own=(404,),
        replies={200: Reply("The newest delivery of each resource to each EHR.", JSON, ref("DeliveryPage"))},
    ),
    "put item": _items("put{}Item", "Create or replace one of the LIST of a record of kind {}"),
    "delete item": _items("delete{}Item", "Take out one of the LIST of a record of kind {}"),
}  # fmt: skip
