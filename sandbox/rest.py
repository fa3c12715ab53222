"""Which of FHIR's interactions a request means, and whether this persona has it. `interactions.py` says what each of them does."""

import re
from collections.abc import Callable

from sandbox import interactions
from sandbox.access import permit
from sandbox.bundles import carry_out
from sandbox.capability import Security, capability_statement
from sandbox.ehr import Ehr
from sandbox.outcome import Issue, Refused
from sandbox.personas.persona import (
    BATCH,
    CREATE,
    DELETE,
    HISTORY,
    HISTORY_SYSTEM,
    HISTORY_TYPE,
    PATCH,
    READ,
    SEARCH,
    TRANSACTION,
    UPDATE,
    VREAD,
)
from sandbox.smart import token_url
from sandbox.wire import Answer, Request, answer

ID = re.compile(r"[A-Za-z0-9.-]{1,64}")
Handler = Callable[..., Answer]
"""Of an EHR, a request and what its URL names: the type, the id, the version."""


def respond(ehr: Ehr, request: Request, parts: list[str]) -> Answer:
    """The answer to a request for `parts` below the base. Raises Refused."""
    if parts == ["metadata"]:
        if request.method != "GET":
            raise _not_allowed(request.method, "metadata", ["GET"])
        base = ehr.base(request)
        return answer(200, capability_statement(ehr.persona, base, ehr.started, _security(ehr, base)))
    shape = _shape(parts)
    if shape is None:
        raise Refused(404, Issue("not-supported", f"this server has nothing at {'/'.join(parts)}"))
    kind = parts[0] if parts and parts[0] != "_history" else None
    if kind is not None and kind not in ehr.persona.types:
        raise Refused(404, Issue("not-supported", f"this server has no resources of type {kind}"))
    has = ehr.persona.system if kind is None else ehr.persona.types[kind]
    offered = {method: (codes, handler) for method, (codes, handler) in shape.items() if has.intersection(codes)}
    if request.method not in offered:
        raise _not_allowed(request.method, kind or "the base", list(offered)) if offered else _not_there(parts)
    codes, handler = offered[request.method]
    permit(request, kind, codes[0])
    return handler(ehr, request, *(part for part in parts if part not in ("_history", "_search")))


def _security(ehr: Ehr, base: str) -> Security | None:
    if ehr.smart.on:
        return Security("SMART Backend Services: a bearer token by private_key_jwt", token_url(base))
    return Security("a bearer token, given to you by whoever started this sandbox") if ehr.token is not None else None


def _shape(parts: list[str]) -> dict[str, tuple[tuple[str, ...], Handler]] | None:
    """What can be done, by method, with a URL of this form; None for a form that no server here has."""
    match parts:
        case []:
            return {"POST": ((TRANSACTION, BATCH), _together)}
        case ["_history"]:
            return {"GET": ((HISTORY_SYSTEM,), interactions.history)}
        case [_]:
            return {"GET": ((SEARCH,), interactions.search), "POST": ((CREATE,), interactions.create)}
        case [_, "_search"]:
            return {"POST": ((SEARCH,), interactions.search)}
        case [_, "_history"]:
            return {"GET": ((HISTORY_TYPE,), interactions.history)}
        case [_, resource_id] if ID.fullmatch(resource_id):
            return {
                "GET": ((READ,), interactions.read),
                "PUT": ((UPDATE,), interactions.update),
                "PATCH": ((PATCH,), interactions.patch),
                "DELETE": ((DELETE,), interactions.delete),
            }
        case [_, resource_id, "_history"] if ID.fullmatch(resource_id):
            return {"GET": ((HISTORY,), interactions.history)}
        case [_, resource_id, "_history", version] if ID.fullmatch(resource_id) and ID.fullmatch(version):
            return {"GET": ((VREAD,), interactions.vread)}
    return None


def _together(ehr: Ehr, request: Request) -> Answer:
    return carry_out(ehr, request, respond)


def _not_allowed(method: str, what: str, allowed: list[str]) -> Refused:
    return Refused(405, Issue("not-supported", f"{method} is not supported for {what}"), headers={"Allow": ", ".join(allowed)})


def _not_there(parts: list[str]) -> Refused:
    named = "/".join([*parts[:1], *(["[id]"] if len(parts) > 2 or parts[1:] not in ([], ["_history"]) else []), *parts[2:3]])
    return Refused(404, Issue("not-supported", f"this server does not offer {named or 'interactions at its base'}"))
