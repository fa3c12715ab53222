"""The operations of FHIR REST: every row of its table at each resource type, and what the server says of itself."""

from typing import Any

from mappings.search import PARAMETERS
from mappings.tombstones import entered_in_error
from service.fhir.capability import metadata, smart_configuration
from service.fhir.routes import BASE, OPERATIONS, ROUTES, Route
from service.openapi import parameters as p
from service.openapi.operations import Operation, Reply
from service.openapi.schemas import Schema, ref
from service.web import FORM, Handler

FHIR_JSON = "application/fhir+json"
ERRORS = (400, 401, 403, 406, 429)
ABOUT = "FHIR: the server"


def operations() -> list[Operation]:
    types = [made for route in ROUTES if "<type>" in route.rule for type_ in sorted(PARAMETERS) for made in (_at(route, type_),)]
    return [*_about(), *sorted(types, key=lambda o: o.type), *(_everything(route) for route in ROUTES if route.interaction == "$everything")]


def can_be_deleted(type_: str) -> bool:
    """Whether the type cannot say that it was entered in error, so that what is no longer yielded is deleted."""
    return entered_in_error({"resourceType": type_}) is None


def _at(route: Route, type_: str) -> Operation:
    name = f"{route.interaction} {route.method}" if route.interaction == "search-type" else route.interaction
    gone = (410,) if can_be_deleted(type_) and route.interaction in ("read", "vread") else ()
    made: dict[str, Any] = {
        "read": {"id": f"read{type_}", "summary": f"Read a {type_}", "parameters": (p.RESOURCE_ID, p.IF_NONE_MATCH, p.IF_MODIFIED_SINCE, *_shown()),
                 "replies": _resource(type_), "errors": (*ERRORS, 404, *gone), "own": (404, *gone)},
        "vread": {"id": f"vread{type_}", "summary": f"Read a version of a {type_}", "replies": _resource(type_), "errors": (*ERRORS, 404, *gone),
                  "parameters": (p.RESOURCE_ID, p.VERSION, p.IF_NONE_MATCH, p.IF_MODIFIED_SINCE, *_shown()), "own": (404, *gone)},
        "history-instance": {"id": f"history{type_}", "summary": f"Read every version of a {type_}, the newest first",
                             "errors": (*ERRORS, 404), "own": (400, 404),
                             "parameters": (p.RESOURCE_ID, *map(p.ref, p.HISTORY)), "replies": _bundle("A history Bundle.")},
        "search-type GET": {"id": f"search{type_}", "summary": f"Search {type_}", "parameters": (*_query(type_), p.PREFER), "errors": ERRORS, "own": (400,),
                            "replies": _bundle("A searchset Bundle.")},
        "search-type POST": {"id": f"search{type_}ByPost", "summary": f"Search {type_} with the parameters in the body", "parameters": (p.PREFER,),
                             "body": {FORM: _form(type_)}, "errors": (*ERRORS, 413, 415), "own": (400,), "replies": _bundle("A searchset Bundle.")},
    }[name]  # fmt: skip
    letter = "s" if route.interaction == "search-type" else "r"
    return Operation(
        interface="fhir", name=name, method=route.method, path=_path(route, type_), tag=f"FHIR: {type_}", scopes=(f"system/{type_}.{letter}",), type=type_,
        **made,
    )  # fmt: skip


def _path(route: Route, type_: str) -> str:
    return BASE + route.rule.replace("<type>", type_).replace("<", "{").replace(">", "}")


def _shown() -> tuple[Schema, ...]:
    return tuple(map(p.ref, ("_elements", *p.FORMAT)))


def _resource(type_: str) -> dict[int, Reply]:
    found = Reply(f"The {type_}.", FHIR_JSON, ref(f"Fhir{type_}"), ("ETag", "Last-Modified"))
    return {200: found, 304: Reply("You have this version.", headers=("ETag",))}


def _bundle(description: str) -> dict[int, Reply]:
    return {200: Reply(description, FHIR_JSON, ref("FhirBundle"))}


def _query(type_: str) -> tuple[Schema, ...]:
    return (*(p.in_query(name, schema) for name, schema in p.searched_by(type_).items()), *map(p.ref, (*p.RESULT, *p.FORMAT)))


def _form(type_: str) -> Schema:
    return {"type": "object", "properties": {**p.searched_by(type_), **p.RESULT}}


def _everything(route: Route) -> Operation:
    type_ = route.rule.split("/")[1]
    assert type_ in [on for on, _, _ in OPERATIONS]
    about = {"Patient": "everything about a patient, page by page", "Encounter": "a visit and everything that hangs on it"}[type_]
    return Operation(
        f"everything{type_}", "fhir", route.interaction, route.method, _path(route, type_), f"FHIR: {type_}", f"Read {about}", (f"system/{type_}.r",),
        _bundle("A searchset Bundle, of the types that your scopes allow."), (*ERRORS, 404), (404, 400),
        (p.RESOURCE_ID, *map(p.ref, p.EVERYTHING)), type=type_,
    )  # fmt: skip


def _about() -> list[Operation]:
    handlers: tuple[tuple[str, Handler, str, str, Reply, tuple[int, ...]], ...] = (
        ("/metadata", metadata, "getCapabilityStatement", "Read what this server can do",
         Reply("The CapabilityStatement.", FHIR_JSON, ref("FhirCapabilityStatement")), (400, 406)),
        ("/.well-known/smart-configuration", smart_configuration, "getSmartConfiguration", "Read where tokens are had, and for which scopes",
         Reply("The SMART configuration.", "application/json", ref("SmartConfiguration")), (400,)),
    )  # fmt: skip
    return [
        Operation(id_, "fhir", handler.__name__, "GET", BASE + rule, ABOUT, summary, (), {200: reply}, errors, parameters=_formats(rule))
        for rule, handler, id_, summary, reply, errors in handlers
    ]  # fmt: skip


def _formats(rule: str) -> tuple[Schema, ...]:
    return (p.ref("_format"),) if rule == "/metadata" else ()
