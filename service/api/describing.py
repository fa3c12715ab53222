"""What is allowed, for software to discover: JSON Schemas, code lists, rules. Made from what the mapping itself uses."""

from collections.abc import Callable
from functools import cache
from typing import Any

from marshmallow import fields

from mappings import KINDS, model
from mappings.code_table import Codes
from mappings.disclosure import level_of
from mappings.rules import RULES, level_of_rule
from mappings.schema import MOST_ITEMS, Items, Plain, json_type, schema_of
from service.api.envelope import JSON, kind_of
from service.web import Answer, Call
from service.wire import encode

SCHEMA_JSON = "application/schema+json"
DIALECT = "https://json-schema.org/draft/2020-12/schema"


def schema(call: Call) -> Answer:
    """GET /api/v1/schemas/{kind}"""
    kind = KINDS.get(call.args["kind"])
    if kind is None:
        kind = kind_of(call)
    return Answer(200, encode({"$schema": DIALECT, "title": kind.name, **json_schema(kind.entity)}), SCHEMA_JSON)


def schemas(call: Call) -> Answer:
    """GET /api/v1/schemas"""
    base = f"{call.service.settings.base}/api/v1/schemas"
    return Answer(200, encode({"items": [{"kind": k.name, "plural": k.plural, "schema": f"{base}/{k.name}"} for k in KINDS.values()]}), JSON)


@cache
def json_schema(cls: Any) -> dict[str, Any]:
    """The JSON Schema of an entity, group or item. Unknown members are refused, as they are when a body is read."""
    return json_schema_of(cls, json_schema)


def json_schema_of(cls: Any, group: Callable[[Any], dict[str, Any]]) -> dict[str, Any]:
    """The JSON Schema of an entity, group or item; `group` says how one stands within another: in full, or as a reference."""
    found = schema_of(cls)().fields
    properties = {str(f.data_key): {**_property(f, group), "x-disclosure-class": level_of(f.metadata["model"]).name} for f in found.values()}
    made: dict[str, Any] = {"type": "object", "additionalProperties": False, "properties": properties}
    required = [str(f.data_key) for f in found.values() if f.required]
    if required:
        made["required"] = required
    described = (cls.__doc__ or "").strip().split("\n\n")[0]
    return {**made, "description": " ".join(described.split())} if described and not described.startswith(cls.__name__ + "(") else made


def _property(field: fields.Field[Any], group: Callable[[Any], dict[str, Any]]) -> dict[str, Any]:
    if isinstance(field, Items):
        return {"type": "array", "maxItems": MOST_ITEMS, "items": _property(field.inner, group)}
    if isinstance(field, fields.Nested):
        return group(field.metadata["model"].group)
    assert isinstance(field, Plain)
    return json_type(field)


def codes(_call: Call) -> Answer:
    """GET /api/v1/codes: every closed list, each term with its codes, and the fields that take it"""
    return Answer(200, encode({"items": code_lists()}), JSON)


@cache
def code_lists() -> list[dict[str, Any]]:
    used: dict[str, tuple[Codes, list[str]]] = {}
    for kind in KINDS.values():
        for path, table in _coded(kind.entity, ""):
            used.setdefault(table.name, (table, []))[1].append(f"{kind.name}{path}")
    return [
        {"name": name, "fields": paths, "terms": [{"term": term, "codings": table.codings(term)} for term in table]}
        for name, (table, paths) in sorted(used.items())
    ]  # fmt: skip


def _coded(cls: type, pointer: str) -> list[tuple[str, Codes]]:
    found = []
    for field in model.fields_of(cls):
        here = f"{pointer}/{field.json}" + ("/*" if field.many else "")
        if field.group is not None:
            found += _coded(field.group, here)
        elif (table := field.note(Codes)) is not None:
            found.append((here, table))
    return found


def rules(call: Call) -> Answer:
    """GET /api/v1/rules: what findings there can be, from which fields, and the clinic's thresholds"""
    items = [
        {"rule": r.id, "kind": r.kind, "gates": r.gates, "text": r.text, "source": r.source, "reads": list(r.reads), "class": level_of_rule(r, KINDS).name}
        for r in RULES
    ]  # fmt: skip
    thresholds = {name: getattr(call.service.tenant.thresholds, name) for name in type(call.service.tenant.thresholds).__dataclass_fields__}
    return Answer(200, encode({"items": items, "thresholds": thresholds}), JSON)
