"""Faults of one request: it is answered late, otherwise, not to the end or not at all, and is carried out or is not."""

import socket
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from sandbox import fhir_json
from sandbox.faults.fault import Asked, Fault
from sandbox.line import Speech, half, hang_up, reset
from sandbox.outcome import Issue, Refused
from sandbox.patches import merged
from sandbox.wire import Answer, refusal

GoOn = Callable[[], Answer]
ISSUE_CODES = {401: "login", 403: "forbidden", 404: "not-found", 409: "conflict", 410: "deleted", 412: "conflict", 422: "processing", 429: "throttled"}
"""HL7's issue-type of a refusal; of what is not here `transient`."""


def latency(fault: Fault, asked: Asked, go_on: GoOn) -> Answer:
    if fault.strikes(asked):
        fault.wait(fault["seconds"])
    return go_on()


def status(fault: Fault, asked: Asked, go_on: GoOn) -> Answer:
    if not fault.strikes(asked):
        return go_on()
    if fault["after"]:
        go_on()
    number: int = fault["status"]
    said = refusal(Refused(number, Issue(ISSUE_CODES.get(number, "transient"), f"a fault of the sandbox: {number}")))
    said.headers["Content-Type"] = asked.ehr.persona.media
    if fault["body"] is not None:
        said.body = fault["body"].encode() if isinstance(fault["body"], str) else fhir_json.write(fault["body"])
        said.headers["Content-Type"] = "text/plain; charset=utf-8" if isinstance(fault["body"], str) else "application/json"
    told = {"Content-Type": fault["contentType"], "Retry-After": fault["retryAfter"], **(fault["headers"] or {})}
    if number in (204, 304):
        said.body = b""
    said.headers |= {name: str(value) for name, value in told.items() if value is not None}
    return said


def cut_off(fault: Fault, asked: Asked, go_on: GoOn) -> Answer:
    """`reset`: the connection ends where an answer was due."""
    return _unanswered(fault, asked, go_on, reset)


def hang(fault: Fault, asked: Asked, go_on: GoOn) -> Answer:
    def silence(line: socket.socket, _head: bytes, _body: bytes) -> None:
        fault.wait(fault["seconds"])
        hang_up(line)

    return _unanswered(fault, asked, go_on, silence)


def _unanswered(fault: Fault, asked: Asked, go_on: GoOn, speech: Speech) -> Answer:
    if not fault.strikes(asked):
        return go_on()
    if fault["when"] == "after":
        go_on()
    return Answer(0, speech=speech)


def halved(fault: Fault, asked: Asked, go_on: GoOn) -> Answer:
    said = go_on()
    return replace(said, speech=half) if not said.speech and fault.strikes(asked) else said


def drip(fault: Fault, asked: Asked, go_on: GoOn) -> Answer:
    def dripping(line: socket.socket, head: bytes, body: bytes) -> None:
        if fault["part"] == "body":
            line.sendall(head)
        for byte in body if fault["part"] == "body" else head:
            fault.wait(fault["seconds"])
            line.sendall(bytes([byte]))
        if fault["part"] == "head":
            line.sendall(body)
        hang_up(line)

    said = go_on()
    return replace(said, speech=dripping) if not said.speech and fault.strikes(asked) else said


def empty(fault: Fault, asked: Asked, go_on: GoOn) -> Answer:
    said = go_on()
    if not (asked.request.writes and 200 <= said.status < 300 and fault.strikes(asked)):
        return said
    return replace(said, body=b"", headers={**said.headers, "Content-Type": "text/html"})


def stale(fault: Fault, asked: Asked, go_on: GoOn) -> Answer:
    expected = asked.request.header("If-Match") if asked.request.method != "GET" else None
    if expected is None or (fault["really"] and not _can_change(asked)) or not fault.strikes(asked):
        return go_on()
    if fault["really"]:
        _change(asked, fault["change"] or {})
        return go_on()
    return refusal(Refused(fault["status"], Issue("conflict", f"{'/'.join(asked.parts)} is no longer at version {expected}")))


def _can_change(asked: Asked) -> bool:
    return asked.ehr.records.holds("/".join(asked.parts))


def _change(asked: Asked, change: dict[str, Any]) -> None:
    """What somebody else wrote in between."""
    records, (kind, resource_id) = asked.ehr.records, asked.parts
    with records.lock:
        latest = records.latest(kind, resource_id)
        assert latest is not None
        records.write(merged(fhir_json.read(latest.body), change), resource_id)
