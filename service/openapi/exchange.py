"""The operations of our API that are of no kind: import, what can be discovered, deliveries, conflicts and EHRs."""

from typing import Any

from service.api.envelope import MERGE_PATCH
from service.api.importing import MOST_LINES, NDJSON
from service.api.routes import BASE, ROUTES
from service.openapi import parameters as p
from service.openapi.operations import Operation, Reply
from service.openapi.schemas import Schema, ref, text
from service.security.scopes import OPERATE

JSON = "application/json"
LINES = text(f"A JSON object a line, each an ImportLine; at most {MOST_LINES}.")
REPORT = text("A JSON object a line, each an ImportReport, in the order of the lines.")
ANYONE, OPERATORS = (400, 401, 406, 429), (400, 401, 403, 406, 429)


def _discovered(id: str, summary: str, schema: str) -> dict[str, Any]:
    return {"id": id, "tag": "discovery", "summary": summary, "replies": {200: Reply("As it is now.", JSON, ref(schema))}, "errors": ANYONE}


def _operated(tag: str, id: str, summary: str, schema: str, parameters: tuple[Schema, ...], *more: int, own: tuple[int, ...] = ()) -> dict[str, Any]:
    return {
        "id": id, "tag": tag, "summary": summary, "scopes": (OPERATE,), "parameters": parameters, "errors": (*OPERATORS, *more), "own": (*more, *own),
        "replies": {200: Reply("As it is now.", JSON, ref(schema), ("Link",) if p.BEFORE in parameters else ())},
    }  # fmt: skip


def _told(body: str, said: dict[str, Any], *types: str) -> dict[str, Any]:
    """An operation that is told something in a body, of these media types or plain JSON."""
    return {**said, "body": dict.fromkeys((*types, JSON), ref(body)), "errors": (*said["errors"], 413, 415, 422), "own": (*said["own"], 422)}


SAID: dict[str, dict[str, Any]] = {
    "list schemas": _discovered("listSchemas", "List the kinds and where their schemas are", "SchemaList"),
    "get schema": {
        "id": "getSchema", "tag": "discovery", "summary": "Read the JSON Schema of a kind", "parameters": (p.KIND,), "errors": (*ANYONE, 404), "own": (404,),
        "replies": {200: Reply("A JSON Schema (draft 2020-12).", "application/schema+json", ref("JsonSchema"))},
    },
    "list codes": _discovered("listCodes", "List every closed list of terms, each term with its codes", "CodeLists"),
    "list rules": _discovered("listRules", "List the clinical rules and the clinic's figures for them", "Rules"),
    "import": {
        "id": "import", "tag": "import", "summary": "Import records of any kinds in any order", "body": {NDJSON: LINES}, "errors": (*ANYONE, 413, 415),
        "description": "Each line is stored whole or not at all, and needs the scopes and the level that a PUT of its kind needs.",
        "replies": {200: Reply("What became of each line.", NDJSON, REPORT)},
    },
    "list deliveries": _operated("deliveries", "listDeliveries", "List deliveries, the newest first", "DeliveryPage", p.DELIVERIES, 404, own=(400,)),
    "get delivery": _operated("deliveries", "getDelivery", "Read a delivery with the log of its attempts", "Delivery", (p.NUMBER,), 404),
    "get attempt": _operated("deliveries", "getAttempt", "Read an attempt with what is kept of its calls", "Attempt", (p.NUMBER, p.ATTEMPT), 404),
    "replay deliveries": _operated(
        "deliveries", "replayDeliveries", "Owe again what is parked or unsupported, as far as it is chosen", "Changed", p.CHANGED, 404, own=(400,)
    ),
    "cancel deliveries": _operated(
        "deliveries", "cancelDeliveries", "Give up what is parked or unsupported, as far as it is chosen", "Changed", p.CHANGED, 404, own=(400,)
    ),
    "replay delivery": _operated("deliveries", "replayDelivery", "Owe a resource again, at its current content", "Delivery", (p.NUMBER,), 404, 409),
    "cancel delivery": _operated("deliveries", "cancelDelivery", "Give up a delivery", "Delivery", (p.NUMBER,), 404, 409),
    "list conflicts": _operated("conflicts", "listConflicts", "List conflicts, the newest first", "ConflictPage", p.CONFLICTS, 404, own=(400,)),
    "get conflict": _operated("conflicts", "getConflict", "Read what both we and an EHR changed, side by side", "Conflict", (p.CONFLICT,), 404),
    "settle conflict": _told("Choice", _operated(
        "conflicts", "settleConflict", "Settle a conflict: ours is sent, or theirs is taken into the record", "Settled", (p.CONFLICT,), 404, 409,
    )) | {"description": "For a client of level C3 that sees both sides."},
    "list ehrs": _operated("ehrs", "listEhrs", "List the EHRs and how they are faring", "EhrList", ()),
    "get ehr": _operated("ehrs", "getEhr", "Read an EHR and how it is faring", "Ehr", (p.NAME,), 404),
    "change ehr": _told("EhrChange", _operated("ehrs", "changeEhr", "Change what an EHR is sent", "Ehr", (p.NAME,), 404), MERGE_PATCH) | {"description": (
        "A JSON merge patch (RFC 7396): what is given becomes another, null takes it away, and all else stays. What follows for what it is owed is done. "
        "Where it is and how it lets us in is changed on the command line alone: `pathway-fhir ehr set`."
    )},
    "remove ehr": _operated("ehrs", "removeEhr", "End an EHR: it is sent and asked nothing more", "RemovedEhr", (p.NAME,), 404) | {"description": (
        "What is open is given up, and what let us in is forgotten. What it holds stays there, its deliveries can be read, and its name is not used again."
    )},
    "get reconciliation": _operated("ehrs", "getReconciliation", "Read what the last reconciliation of an EHR found", "Reconciliation", (p.NAME,), 404),
    "pause ehr": _operated("ehrs", "pauseEhr", "Send an EHR nothing for the time being", "Ehr", (p.NAME,), 404),
    "resume ehr": _operated("ehrs", "resumeEhr", "Send an EHR what it is owed again", "Ehr", (p.NAME,), 404),
    "catch up ehr": _operated("ehrs", "catchUpEhr", "Have a worker look through everything again for what an EHR lacks", "Ehr", (p.NAME,), 404),
    "list pulls": _operated("ehrs", "listPulls", "List the types whose changes come in from an EHR, and how far each has come", "PullList", (p.NAME,), 404),
    "set pulls": _told("Pulls", _operated("ehrs", "setPulls", "Have changes of these types come in, and of no others", "PullList", (p.NAME,), 404)),
    "pull now": _operated("ehrs", "pullNow", "Have a worker pull next, all types or these", "PullList", (p.NAME, p.PULLED), 404, 409, own=(400,)),
    "link": _told("Link", _operated(
        "ehrs", "link", "Say that a person or place of ours is one that an EHR has already", "Linked", (p.NAME, p.LINKED, p.KEY), 404,
    )) | {"description": (
        "For a client of level C3 that sees all of the patient. Where it was another before, all that the EHR holds of the patient is sent again, now naming "
        "this one. Who comes near is asked of the EHR itself: `pathway-fhir ehr match`."
    )},
}  # fmt: skip


def operations() -> list[Operation]:
    return [
        Operation(interface="api", name=route.name, method=route.method, path=BASE + route.rule.replace("<", "{").replace(">", "}"), **{"scopes": (), **said})
        for route in ROUTES if (said := SAID.get(route.name)) is not None
    ]  # fmt: skip
