"""How FHIR answers: resources as they are stored, Bundles around them, and OperationOutcome for every error."""

import time
from collections.abc import Iterable
from functools import lru_cache
from typing import Any

from service.errors import MOST_PROBLEMS, NotAcceptable, Problems, ServiceError
from service.renderings import instant, text_of
from service.store.reading import Seen
from service.web import Answer, Call
from service.wire import encode, encode_pretty, read

FHIR_JSON = "application/fhir+json; charset=utf-8"
TAKEN = ("application/fhir+json", "application/json", "text/json", "json", "*/*", "application/*")
SUBSETTED = {"system": "http://terminology.hl7.org/CodeSystem/v3-ObservationValue", "code": "SUBSETTED"}
DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")

# What R4 requires of each type, which stays where a caller asks for some elements only.
REQUIRED = {
    "RelatedPerson": ("patient",), "Consent": ("status", "scope", "category"), "EpisodeOfCare": ("status", "patient"), "Procedure": ("status", "subject"),
    "Condition": ("subject",), "AllergyIntolerance": ("patient",), "MedicationStatement": ("status", "medicationCodeableConcept", "subject"),
    "Encounter": ("status", "class"), "QuestionnaireResponse": ("status",), "Observation": ("status", "code"), "RiskAssessment": ("status", "subject"),
    "DetectedIssue": ("status",), "MedicationRequest": ("status", "intent", "medicationCodeableConcept", "subject"),
    "MedicationAdministration": ("status", "medicationCodeableConcept", "medicationReference", "subject", "effectiveDateTime", "effectivePeriod"),
    "CarePlan": ("status", "intent", "subject"), "Goal": ("lifecycleStatus", "description", "subject"), "Task": ("status", "intent"),
    "AdverseEvent": ("actuality", "subject"), "Provenance": ("target", "recorded", "agent"),
}  # fmt: skip


class Outcomes:
    """Errors as OperationOutcome (R4 3.1.0.1.5)."""

    def error(self, error: ServiceError, call: Call) -> Answer:
        issues = [issue("error", error.code, problem, path) for path, problem in error.problems[:MOST_PROBLEMS]]
        body = encode({"resourceType": "OperationOutcome", "issue": issues or [issue("error", error.code, error.detail or error.title)]})
        return Answer(error.status, body, FHIR_JSON, dict(error.headers))


def issue(severity: str, code: str, text: str, expression: str | None = None) -> dict[str, Any]:
    made: dict[str, Any] = {"severity": severity, "code": code, "diagnostics": text}
    return {**made, "expression": [expression]} if expression else made


def outcome(severity: str, code: str, problems: Problems) -> dict[str, Any]:
    return {"resourceType": "OperationOutcome", "issue": [issue(severity, code, problem, path) for path, problem in problems]}


def check_format(call: Call) -> None:
    """JSON is what we speak: `_format` beats Accept, as R4 3.1.0.1.11 says."""
    if not _taken(_parameter(call, "_format") or call.header("Accept") or "*/*"):
        raise NotAcceptable("Only JSON is offered: application/fhir+json")


@lru_cache(maxsize=100)
def _taken(accepted: str) -> bool:
    return any(part.split(";")[0].strip() in TAKEN for part in accepted.split(","))


def _parameter(call: Call, name: str) -> str | None:
    return call.request.args.get(name) if call.request.query_string else None


def resource(call: Call, seen: Seen, *, status: int = 200) -> Answer:
    """A stored resource, byte for byte, unless the caller asked for less or for line breaks."""
    headers = {"ETag": f'W/"{seen.version}"', "Last-Modified": http_date(seen.at), "Cache-Control": "private, no-cache"}
    if status == 200 and _unchanged(call, seen):
        return Answer(304, headers=headers)
    return Answer(status, _shown(call, seen), FHIR_JSON, headers)


def _unchanged(call: Call, seen: Seen) -> bool:
    """A conditional read (R4 3.1.0.5.1): If-None-Match, else If-Modified-Since."""
    tags = call.header("If-None-Match")
    if tags is not None:
        return any(tag.strip() in (f'W/"{seen.version}"', f'"{seen.version}"', "*") for tag in tags.split(","))
    since = call.request.if_modified_since if call.header("If-Modified-Since") is not None else None
    return since is not None and seen.at // 1_000_000 <= int(since.timestamp())


def _shown(call: Call, seen: Seen) -> bytes:
    if not call.request.query_string:
        return seen.body
    pretty, elements = _parameter(call, "_pretty") == "true", _parameter(call, "_elements")
    if not pretty and not elements:
        return seen.body
    found = subset(seen, elements.split(",")) if elements else read(seen.body)
    return encode_pretty(found) if pretty else encode(found)


def subset(seen: Seen, elements: Iterable[str]) -> dict[str, Any]:
    """The resource with some of its elements, those that R4 requires, and the tag that says so (R4 3.1.1.5.9)."""
    whole: dict[str, Any] = read(seen.body)
    kept = {"resourceType", "id", "meta", *REQUIRED.get(seen.type, ()), *(e.strip().removeprefix(f"{seen.type}.") for e in elements)}
    found = {name: value for name, value in whole.items() if name in kept or name.removeprefix("_") in kept}
    return {**found, "meta": {**whole["meta"], "tag": [SUBSETTED]}}


def bundle(call: Call, kind: str, entries: Iterable[bytes], links: dict[str, str], total: int | None = None) -> Answer:
    """A Bundle put together from bytes: what is stored is not parsed again."""
    head: dict[str, Any] = {"resourceType": "Bundle", "type": kind, "timestamp": instant(call.now)}
    if total is not None:
        head["total"] = total
    head["link"] = [{"relation": relation, "url": url} for relation, url in links.items()]
    made = list(entries)
    body = encode(head)[:-1] + (b',"entry":[' + b",".join(made) + b"]}" if made else b"}")
    if _parameter(call, "_pretty") == "true":
        body = encode_pretty(read(body))
    return Answer(200, body, FHIR_JSON, {"Cache-Control": "private, no-cache"})


def entry(base: str, seen: Seen, mode: str | None, body: bytes | None = None) -> bytes:
    url = encode(f"{base}/{seen.type}/{text_of(seen.uuid)}")
    search = f',"search":{{"mode":"{mode}"}}'.encode() if mode else b""
    return b'{"fullUrl":' + url + b',"resource":' + (body or seen.body) + search + b"}"


def outcome_entry(found: dict[str, Any]) -> bytes:
    return b'{"resource":' + encode(found) + b',"search":{"mode":"outcome"}}'


def http_date(at: int) -> str:
    """A time in microseconds as HTTP writes it (RFC 9110, 5.6.7), whatever the locale."""
    minute, second = divmod(at // 1_000_000, 60)
    return f"{_minute(minute)}:{second:02} GMT"


@lru_cache(maxsize=1000)
def _minute(number: int) -> str:
    year, month, day, hour, minute, _, weekday, _, _ = time.gmtime(number * 60)
    return f"{DAYS[weekday]}, {day:02} {MONTHS[month - 1]} {year} {hour:02}:{minute:02}"
