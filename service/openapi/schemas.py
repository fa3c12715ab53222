"""What bodies look like: a JSON Schema of each kind and each of its groups, the envelopes of our API, and FHIR's as open objects."""

import inspect
from collections.abc import Iterator
from typing import Any

from mappings import KINDS, model
from mappings.disclosure import Level
from mappings.kind import Kind
from mappings.search import PARAMETERS
from service.api.describing import json_schema_of
from service.security.keys import ALGORITHMS

Schema = dict[str, Any]


def ref(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


def text(description: str, **more: Any) -> Schema:
    return {"type": "string", "description": description, **more}


def number(description: str, **more: Any) -> Schema:
    return {"type": "integer", "description": description, **more}


def listed(items: Schema, description: str = "") -> Schema:
    return {"type": "array", "items": items} | ({"description": description} if description else {})


def record(description: str, required: dict[str, Schema], optional: dict[str, Schema] | None = None) -> Schema:
    """An object of just these members."""
    properties = {**required, **(optional or {})}
    return {"type": "object", "description": description, "properties": properties, "required": list(required), "additionalProperties": False}


def schemas() -> dict[str, Schema]:
    return {**_entities(), **_envelopes(), **_discovery(), **_fhir(), **_site()}


# --- the clinic's records


def name_of(kind: Kind) -> str:
    return kind.entity.__name__


def words_of(kind: Kind) -> str:
    """What a kind is called in a sentence: `dosing encounter`, `EMDR procedure`."""
    return kind.name.replace("-", " ").replace("emdr", "EMDR")


def told_of(kind: Kind) -> str:
    """The first sentence of the module that maps the kind, without its name."""
    said = (inspect.getmodule(kind.entity).__doc__ or "").strip().split("\n")[0].partition(": ")[2]
    return said[:1].upper() + said[1:]


def item_of(field: model.Field) -> str:
    assert field.group is not None
    return field.group.__name__


def _entities() -> dict[str, Schema]:
    made = {name_of(kind): {"title": name_of(kind), **_schema(kind.entity), "description": told_of(kind)} for kind in KINDS.values()}
    for kind in KINDS.values():
        for group in _groups(kind.entity):
            made.setdefault(group.__name__, _schema(group))
    return made


def _schema(cls: Any) -> Schema:
    return json_schema_of(cls, lambda group: ref(group.__name__))


def _groups(cls: type) -> Iterator[type]:
    for field in model.fields_of(cls):
        if field.group is not None:
            yield field.group
            yield from _groups(field.group)


# --- what is said of them

POINTER = text("A JSON pointer (RFC 6901) into the body; empty for the body as a whole.")
MOMENT = {"type": "string", "format": "date-time"}
CLASS = {"type": "string", "enum": [level.name for level in Level if level >= Level.C0], "description": "A disclosure class."}
VERSION = number("The version of the record, which is its ETag too.", minimum=1)
CHANGED_AT = MOMENT | {"description": "When the record, or what the rules find in it, last changed."}
FINDINGS = listed(ref("Finding"), "What the clinical rules find; a finding never keeps a record from being stored.")
ERASED = {"const": True, "description": "There where the record was entered in error."}


def _envelopes() -> dict[str, Schema]:
    made = {}
    for kind in KINDS.values():
        entity, words = ref(name_of(kind)), words_of(kind)
        kept = {"entity": entity, "version": VERSION, "changedAt": CHANGED_AT, "findings": FINDINGS}
        written = kept | {
            "changed": {"type": "boolean", "description": "Whether this write changed anything; the same body twice does not."},
            "resources": listed(ref("ResourceId"), "Every FHIR resource that the record yields now."),
        }
        made[f"{name_of(kind)}Kept"] = record(f"A record of kind {words}, as it is kept.", kept, {"erased": ERASED})
        made[f"{name_of(kind)}Written"] = record(f"What a write of kind {words} made of the record.", written, {"erased": ERASED})
        made[f"{name_of(kind)}Page"] = record(f"A page of records of kind {words}.", {"items": listed(ref(f"{name_of(kind)}Kept"))})
    return made | {
        "Finding": record("What a clinical rule says of a record. It travels with the record and changes nothing in it.", {
            "rule": text("The rule, as /api/v1/rules lists it."), "severity": {"type": "string", "enum": ["info", "warning", "critical"]},
            "gates": text("What the rule is about, such as a dose or trauma processing."),
            "fields": listed(text("A JSON pointer into the record.")), "source": text("Where the rule comes from."),
            "text": text("What is found, in words for people."), "class": CLASS,
        }),
        "ResourceId": record("A FHIR resource, by its type and id.", {"type": ref("FhirType"), "id": ref("FhirId")}),
        "Problem": _problem(),
        "ProblemError": record("One thing that is wrong.", {
            "pointer": text("A JSON pointer (RFC 6901) into the body, empty for the body as a whole; the name of a parameter of the query."),
            "detail": text("What is wrong there."),
        }),
        "Preview": _preview(),
        "ImportLine": record("One line of an import.", {
            "kind": {"type": "string", "enum": list(KINDS)}, "entity": {"type": "object", "description": "The record, by the schema of its kind."},
        }),
        "ImportReport": record("What became of one line of an import: a success has the record's key, a problem its title.", {
            "line": number("The number of the line, from 1.", minimum=1), "status": number("What a PUT of this record alone would have answered."),
        }, {
            "kind": {"type": "string", "enum": list(KINDS)}, "id": text("The record's key."), "version": VERSION, "changed": {"type": "boolean"},
            "title": text("What went wrong."), "detail": text("What went wrong, in more words."), "errors": listed(ref("ProblemError")),
        }),
    }  # fmt: skip


def _problem() -> Schema:
    return record("A problem (RFC 9457), with everything that is wrong at once.", {
        "type": {"const": "about:blank"}, "title": text("What went wrong, in a few words."), "status": number("The HTTP status."),
        "instance": text("The path that was called."), "requestId": text("What to name when you ask us about it: it is in our log."),
    }, {
        "detail": text("What went wrong, in more words."), "errors": listed(ref("ProblemError"), "Every problem of the body or query, up to a thousand."),
    })  # fmt: skip


def _preview() -> Schema:
    view = record("What a reader of one level would see.", {
        "bundle": ref("FhirBundle"), "withheld": listed(POINTER, "What this view does not show, or shows more coarsely."),
    })  # fmt: skip
    return record("What a record would become, with nothing stored.", {
        "findings": FINDINGS, "unresolved": listed(ref("ProblemError"), "References for which the record would be refused, as things stand."),
        "views": record("A Bundle for each level.", {level.name: view for level in Level if level >= Level.C0}),
    })  # fmt: skip


def _discovery() -> dict[str, Schema]:
    return {
        "SchemaList": record("Every kind, and where its schema is.", {"items": listed(record("A kind.", {
            "kind": {"type": "string", "enum": list(KINDS)}, "plural": text("Its name in paths."), "schema": text("Where its JSON Schema is.", format="uri"),
        }))}),
        "JsonSchema": {"type": "object", "description": "A JSON Schema (draft 2020-12).", "required": ["$schema", "title", "type", "properties"]},
        "CodeLists": record("Every closed list of terms.", {"items": listed(record("A list of terms.", {
            "name": text("The list's name."), "fields": listed(text("A field that takes its terms, as kind/path.")),
            "terms": listed(record("A term, and what it is in FHIR.", {
                "term": {"description": "What stands in our JSON."}, "codings": listed({"type": "object"}),
            })),
        }))}),
        "Rules": record("Every clinical rule, and the clinic's own figures for them.", {
            "items": listed(record("A rule.", {
                "rule": text("The rule's name."), "kind": text("The kind that it judges."), "gates": text("What it is about."),
                "text": text("What it finds."), "source": text("Where it comes from."), "reads": listed(text("What it reads.")), "class": CLASS,
            })),
            "thresholds": {"type": "object", "description": "Figures by name."},
        }),
    }  # fmt: skip


# --- FHIR


def _fhir() -> dict[str, Schema]:
    made = {f"Fhir{type_}": _resource(type_) for type_ in PARAMETERS}
    entry = {"type": "object", "properties": {"fullUrl": {"type": "string"}, "resource": {"type": "object", "required": ["resourceType"]}}}
    bundle = {
        "type": "object", "description": "A FHIR R4 Bundle.", "required": ["resourceType", "type"],
        "properties": {
            "resourceType": {"const": "Bundle"}, "type": {"enum": ["searchset", "history", "collection"]}, "total": number("How many there are.", minimum=0),
            "link": listed({"type": "object", "required": ["relation", "url"]}), "entry": listed(entry),
        },
    }  # fmt: skip
    issue = {
        "type": "object", "required": ["severity", "code", "diagnostics"],
        "properties": {
            "severity": {"enum": ["error", "warning", "information"]}, "code": text("FHIR's code of the kind of issue."),
            "diagnostics": text("What is wrong."), "expression": listed(text("Where it is wrong: a FHIRPath, or http.NAME for a parameter.")),
        },
    }  # fmt: skip
    outcome = {
        "type": "object", "description": "A FHIR R4 OperationOutcome: everything that is wrong at once.", "required": ["resourceType", "issue"],
        "properties": {"resourceType": {"const": "OperationOutcome"}, "issue": listed(issue)},
    }  # fmt: skip
    return made | {
        "FhirType": {"type": "string", "enum": sorted(PARAMETERS), "description": "A resource type of FHIR R4."},
        "FhirId": {"type": "string", "format": "uuid", "description": "The id of a resource."},
        "FhirBundle": bundle, "FhirOperationOutcome": outcome,
        "FhirCapabilityStatement": {
            "type": "object", "description": "A FHIR R4 CapabilityStatement.", "required": ["resourceType", "fhirVersion", "rest"],
            "properties": {"resourceType": {"const": "CapabilityStatement"}, "fhirVersion": {"const": "4.0.1"}},
        },
    }  # fmt: skip


def _resource(type_: str) -> Schema:
    meta = {"type": "object", "required": ["versionId", "lastUpdated"], "properties": {"lastUpdated": MOMENT}}
    return {
        "type": "object", "description": f"A FHIR R4 {type_}.", "required": ["resourceType", "id", "meta"],
        "properties": {"resourceType": {"const": type_}, "id": ref("FhirId"), "meta": meta},
    }  # fmt: skip


# --- who may call, and how we are


def _site() -> dict[str, Schema]:
    return {
        "TokenRequest": record("A request for an access token (SMART Backend Services).", {
            "grant_type": {"const": "client_credentials"},
            "client_assertion_type": {"const": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"},
            "client_assertion": text("A JWT of at most five minutes, signed with one of the client's registered keys (RS384 or ES384)."),
            "scope": text("The scopes that are asked for, parted by spaces."),
        }),
        "Token": record("An access token.", {
            "access_token": text("To be sent as Authorization: Bearer."), "token_type": {"const": "bearer"}, "scope": text("The scopes that were given."),
            "expires_in": number("How many seconds it is good for.", minimum=1),
        }),
        "TokenError": record("Why no token was given (RFC 6749, 5.2).", {
            "error": {"enum": ["invalid_request", "invalid_client", "invalid_scope", "unsupported_grant_type"]}, "error_description": text("In words."),
        }),
        "JwkSet": record("Public keys (RFC 7517).", {"keys": listed(record("A public key: n and e of an RSA key, crv, x and y of one on a curve.", {
            "kid": text("Its id."), "kty": {"enum": ["RSA", "EC"]}, "alg": {"enum": list(ALGORITHMS)}, "use": {"const": "sig"},
        }, {name: text("A part of it, base64url.") for name in ("n", "e", "crv", "x", "y")}))}),
        "SmartConfiguration": {
            "type": "object", "description": "What SMART App Launch 2.0 has a server say of itself.",
            "required": ["token_endpoint", "grant_types_supported", "capabilities"],
            "properties": {"token_endpoint": text("Where tokens are had.", format="uri")},
        },
        "Notification": {
            "type": "object", "description": "A notification of FHIR R5 or of the Subscriptions R5 Backport, or the resource that changed.",
            "properties": {"resourceType": {"type": "string"}}, "required": ["resourceType"],
        },
        "Health": record("How the service is.", {"status": text("live, ready or not ready.")}, {
            "database": text("What keeps the database from being used."),
            "databaseMs": {"type": "number", "description": "How long the database took to answer."},
        }),
    }  # fmt: skip
