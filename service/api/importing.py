"""Import: many entities of any kinds in any order, one JSON object a line, each stored whole or not at all."""

from typing import Any

from sqlalchemy import Connection

from mappings import KINDS
from mappings.schema import load
from service.api import envelope
from service.errors import Malformed, ServiceError, Unprocessable, WrongMediaType, as_service_error
from service.exchange import Act, publish
from service.store import audit
from service.web import Answer, Call
from service.wire import decode, encode

NDJSON = "application/x-ndjson"
MOST_LINES = 5000
ORDER = {name: n for n, name in enumerate(KINDS)}


def import_(call: Call) -> Answer:
    """POST /api/v1/import: lines of {"kind": ..., "entity": {...}}; the report has a line for each, in their order"""
    if call.request.mimetype not in (NDJSON, "application/ndjson"):
        raise WrongMediaType(f"The body has to be {NDJSON}")
    texts = call.body().split(b"\n")
    lines = [(n, text) for n, text in enumerate(texts, 1) if text.strip()]
    if len(lines) > MOST_LINES:
        raise Malformed(f"An import may have {MOST_LINES} lines")
    reports: dict[int, dict[str, Any]] = {}
    ready = []
    for n, text in lines:
        try:
            ready.append((n, *_read(call, text)))
        except Exception as error:  # noqa: BLE001 (a line that cannot be read is reported, and the others go on)
            reports[n] = _problem(n, error)
    _store(call, sorted(ready, key=lambda line: (ORDER[line[1].name], line[0])), reports)
    body = b"".join(encode(reports[n]) + b"\n" for n, _ in lines)
    return Answer(200, body, NDJSON)


def _read(call: Call, text: bytes) -> tuple[Any, Any]:
    line = decode(text)
    if not isinstance(line, dict) or set(line) != {"kind", "entity"}:
        raise Unprocessable(problems=[("", 'should be an object with "kind" and "entity"')])
    kind = KINDS.get(line["kind"]) if isinstance(line["kind"], str) else None
    if kind is None:
        raise Unprocessable(problems=[("/kind", f"should be one of {', '.join(KINDS)}")])
    envelope.allow(call, kind, "cu")
    return kind, load(kind, line["entity"])


def _store(call: Call, waiting: list[tuple[int, Any, Any]], reports: dict[int, dict[str, Any]]) -> None:
    """Stores what can be stored; what refers to what is not there yet is tried again, as long as that gets on."""
    while waiting:
        left = []
        for n, kind, entity in waiting:
            try:
                reports[n] = _one(call, n, kind, entity)
            except Unprocessable as error:
                left.append((n, kind, entity))
                reports[n] = _problem(n, error)
            except Exception as error:  # noqa: BLE001 (as above)
                reports[n] = _problem(n, error)
        if len(left) == len(waiting):
            return
        waiting = left


def _one(call: Call, n: int, kind: Any, entity: Any) -> dict[str, Any]:
    def run(tx: Connection) -> dict[str, Any]:
        envelope.check_may_write(call, tx, kind, entity.id, getattr(entity, "patient_id", None))
        done = publish(Act(call.service.tenant, tx, call.who.client), kind, entity)
        call.patient, call.detail = done.stored.patient, f"{kind.name}/{entity.id} version={done.stored.version} changed={done.changed}"
        status = 201 if done.created else 200
        audit.record(tx, [call.event(f"import {kind.name}", status)])
        return {"line": n, "status": status, "kind": kind.name, "id": entity.id, "version": done.stored.version, "changed": done.changed}

    return call.service.database.write(run)


def _problem(n: int, error: Exception) -> dict[str, Any]:
    known = as_service_error(error)
    if known is None:
        known = ServiceError("The line could not be stored")
    said: dict[str, Any] = {"line": n, "status": known.status, "title": known.title}
    if known.detail and known.detail != known.title:
        said["detail"] = known.detail
    if known.problems:
        said["errors"] = [{"pointer": pointer, "detail": problem} for pointer, problem in known.problems]
    return said


