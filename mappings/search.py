"""Search parameters of each resource type, by HL7's names (R4), and what a resource is found by.

A parameter is a line: its name, its type, and the paths it looks at. `index_entries` gives what the index keeps of a resource;
the store turns it into numbers. Parameters that look at the same path share their rows (`patient` and `subject`).
"""

import re
import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from functools import cache, lru_cache, partial
from typing import Any, NamedTuple

from mappings.element import Fhir


@dataclass(frozen=True)
class Parameter:
    """`rows` names the parameter whose index rows this one uses: its own, or another that looks at the same."""

    name: str
    type: str  # token, reference, date, string, quantity
    paths: tuple[str, ...]
    targets: tuple[str, ...] = ()
    rows: str = ""


class Entry(NamedTuple):
    """What the index keeps: `value` and `other` are (code, system), (reference, ''), (start, end), (number, unit) or (folded text, text)."""

    parameter: str
    type: str
    value: Any
    other: Any


def _line(text: str) -> Parameter:
    name, type_, paths, *more = text.split()
    targets = tuple(m.removeprefix(">") for m in more if m.startswith(">"))
    rows = next((m.removeprefix("=") for m in more if m.startswith("=")), name)
    return Parameter(name, type_, tuple(paths.split(",")), targets, rows)


def _lines(*texts: str) -> dict[str, Parameter]:
    return {p.name: p for p in map(_line, texts)}


LONGEST_TEXT = 200  # of a text, so much is searched
IDENTIFIER = "identifier token identifier"
PATIENT, PATIENT_SUBJECT = ("patient reference patient >Patient",), ("patient reference subject >Patient", "subject reference subject >Patient =patient")
ENCOUNTER = "encounter reference encounter >Encounter"

# name, type, paths, >targets, =the parameter whose rows it shares
PARAMETERS: dict[str, dict[str, Parameter]] = {
    "Patient": _lines(
        IDENTIFIER, "active token active", "birthdate date birthDate", "gender token gender", "death-date date deceased",
        "family string name.family", "given string name.given", "name string name.family,name.given,name.prefix,name.text",
        "address-postalcode string address.postalCode", "address-city string address.city", "phone token telecom[phone]", "email token telecom[email]",
        "language token communication.language",
    ),
    "Practitioner": _lines(
        IDENTIFIER, "active token active", "family string name.family", "given string name.given", "name string name.family,name.given,name.prefix,name.text",
    ),
    "PractitionerRole": _lines(IDENTIFIER, "practitioner reference practitioner >Practitioner", "role token code"),
    "Organization": _lines(IDENTIFIER, "active token active", "name string name", "address-postalcode string address.postalCode"),
    "Location": _lines(IDENTIFIER, "name string name", "organization reference managingOrganization >Organization", "status token status"),
    "RelatedPerson": _lines(IDENTIFIER, *PATIENT, "name string name.text", "relationship token relationship", "active token active"),
    "Consent": _lines(
        IDENTIFIER, *PATIENT, "status token status", "scope token scope", "category token category", "date date dateTime", "period date provision.period",
        "organization reference organization >Organization",  # sic: R4's purpose looks at the root provision alone, and ours stand in nested ones
    ),
    "EpisodeOfCare": _lines(
        IDENTIFIER, *PATIENT, "status token status", "type token type", "date date period", "organization reference managingOrganization >Organization",
    ),
    "CareTeam": _lines(IDENTIFIER, *PATIENT_SUBJECT, "status token status", "participant reference participant.member >Practitioner"),
    "Procedure": _lines(
        IDENTIFIER, *PATIENT_SUBJECT, ENCOUNTER, "date date performed", "code token code", "status token status",
        "performer reference performer.actor >Practitioner", "part-of reference partOf >Procedure", "based-on reference basedOn >CarePlan",
        "reason-code token reasonCode",
    ),
    "Condition": _lines(
        IDENTIFIER, *PATIENT_SUBJECT, "code token code", "clinical-status token clinicalStatus", "verification-status token verificationStatus",
        "category token category", "onset-date date onset", "recorded-date date recordedDate",
    ),
    "AllergyIntolerance": _lines(
        IDENTIFIER, *PATIENT, "clinical-status token clinicalStatus", "verification-status token verificationStatus", "criticality token criticality",
        "code token code",
    ),
    "MedicationStatement": _lines(IDENTIFIER, *PATIENT_SUBJECT, "status token status", "code token medicationCodeableConcept", "effective date effective"),
    "Encounter": _lines(
        IDENTIFIER, *PATIENT_SUBJECT, "status token status", "class token class", "type token type", "date date period",
        "participant reference participant.individual >Practitioner >RelatedPerson",
        "practitioner reference participant.individual[Practitioner] >Practitioner",
        "participant-type token participant.type", "episode-of-care reference episodeOfCare >EpisodeOfCare",
        "location reference location.location >Location", "part-of reference partOf >Encounter", "service-provider reference serviceProvider >Organization",
    ),
    "QuestionnaireResponse": _lines(
        IDENTIFIER, *PATIENT_SUBJECT, ENCOUNTER, "authored date authored", "status token status", "questionnaire reference questionnaire >Questionnaire",
        "source reference source >Patient",
    ),
    "Observation": _lines(
        IDENTIFIER, *PATIENT_SUBJECT, ENCOUNTER, "code token code", "category token category", "date date effective", "status token status",
        "value-quantity quantity valueQuantity", "value-concept token valueCodeableConcept",
        "performer reference performer >Organization >Practitioner >Patient",
        "part-of reference partOf >MedicationAdministration >Procedure", "has-member reference hasMember >Observation",
        "derived-from reference derivedFrom >QuestionnaireResponse", "focus reference focus >Observation",
        "component-code token component.code", "component-value-quantity quantity component.valueQuantity",
        "component-value-concept token component.valueCodeableConcept", "data-absent-reason token dataAbsentReason",
    ),
    "RiskAssessment": _lines(
        IDENTIFIER, *PATIENT_SUBJECT, ENCOUNTER, "date date occurrence", "performer reference performer >Practitioner", "risk token prediction.qualitativeRisk",
    ),
    "DetectedIssue": _lines(
        IDENTIFIER, *PATIENT, "code token code", "identified date identified", "implicated reference implicated >MedicationRequest",
    ),
    "MedicationRequest": _lines(
        IDENTIFIER, *PATIENT_SUBJECT, ENCOUNTER, "status token status", "intent token intent", "code token medicationCodeableConcept",
        "requester reference requester >Practitioner",
    ),
    "MedicationAdministration": _lines(
        IDENTIFIER, *PATIENT_SUBJECT, "context reference context >Encounter", "status token status", "effective-time date effective",
        "code token medicationCodeableConcept", "medication reference medicationReference >Medication", "performer reference performer.actor >Practitioner",
        "request reference request >MedicationRequest", "reason-not-given token statusReason",
    ),
    "Medication": _lines(IDENTIFIER, "code token code", "lot-number token batch.lotNumber", "expiration-date date batch.expirationDate", "status token status"),
    "CarePlan": _lines(
        IDENTIFIER, *PATIENT_SUBJECT, "status token status", "intent token intent", "category token category", "date date period",
        "goal reference goal >Goal", "activity-reference reference activity.reference >Task",
    ),
    "Goal": _lines(
        IDENTIFIER, *PATIENT_SUBJECT, "lifecycle-status token lifecycleStatus", "achievement-status token achievementStatus", "target-date date target.dueDate",
    ),
    "Task": _lines(
        IDENTIFIER, "patient reference for >Patient", "subject reference for >Patient =patient", "status token status", "intent token intent",
        "code token code", "owner reference owner >Patient", "period date executionPeriod",
    ),
    "AdverseEvent": _lines(  # sic: R4 gives it no search by identifier, encounter or patient: these are extras of ours
        IDENTIFIER, ENCOUNTER, *PATIENT_SUBJECT, "date date date", "event token event", "severity token severity", "seriousness token seriousness",
        "actuality token actuality",
    ),
    "Provenance": _lines(
        "target reference target >Encounter >Procedure >Patient", "patient reference target[Patient] >Patient", "recorded date recorded",
        "entity reference entity.what >Encounter",
    ),
}  # fmt: skip
COMMON = _lines("_id token id", "_lastUpdated date meta.lastUpdated")
EXTRA = {("AdverseEvent", "identifier"), ("AdverseEvent", "encounter"), ("AdverseEvent", "patient")}  # ours and not HL7's


def index_entries(resource: Fhir) -> Iterator[Entry]:
    """What a resource is found by, parameter by parameter. `_lastUpdated` is the store's own."""
    for name, type_, firsts, walk, keys in _looks(str(resource["resourceType"])):
        for first in firsts:  # most parameters look at what most resources do not say
            if first in resource:
                for value in walk(resource):
                    for one, other in keys(value):
                        yield Entry(name, type_, one, other)
                break


@cache
def _looks(type_: str) -> tuple[tuple[str, str, tuple[str, ...], Callable[[Fhir], list[Any]], Callable[[Any], list[tuple[Any, Any]]]], ...]:
    """Where each parameter with rows of its own looks: the top-level elements that it needs, the walk to its values, and what is kept of one."""
    own = [p for p in PARAMETERS[type_].values() if p.rows == p.name]
    return tuple((p.name, p.type, _choices(path.split(".")[0]), _walk(path), _KEPT[p.type]) for p in own for path in p.paths)


def _choices(name: str) -> tuple[str, ...]:
    """An element by its name, or by its name and type where it is a choice of types."""
    plain = name.partition("[")[0]
    return (plain, *(plain + type_ for type_ in ("DateTime", "Period", "Date")))


def _walk(path: str) -> Callable[[Fhir], list[Any]]:
    """All values at a path of names, through arrays; `telecom[phone]` are those of one system, `target[Patient]` those that refer to one type."""
    steps = [(_choices(name), name.partition("[")[2].rstrip("]")) for name in path.split(".")]
    if len(steps) == 1 and not steps[0][1]:
        return partial(_at_once, steps[0][0])

    def walk(resource: Fhir) -> list[Any]:
        found: list[Any] = [resource]
        for choices, only in steps:
            following: list[Any] = []
            for one in found:
                value = next((one[name] for name in choices if name in one), None) if isinstance(one, dict) else None
                for item in value if isinstance(value, list) else (value,):
                    if item is not None and (not only or item.get("system") == only or str(item.get("reference")).startswith(f"{only}/")):
                        following.append(item)
            found = following
        return found

    return walk


def _at_once(names: tuple[str, ...], resource: Fhir) -> list[Any]:
    """The values of an element of the resource itself."""
    for name in names:
        if name in resource:
            value = resource[name]
            return value if isinstance(value, list) else [value]
    return []


def _tokens(value: Any) -> list[tuple[str, str]]:
    """(code, system) of a CodeableConcept, Coding, Identifier, ContactPoint, code, id or boolean; of what is said in words alone, nothing twice."""
    if isinstance(value, str):
        return [(value, "")]
    if isinstance(value, bool):
        return [(str(value).lower(), "")]
    if "coding" in value:
        return [(coding["code"], coding.get("system", "")) for coding in value["coding"]]
    for name in ("code", "value"):
        if name in value:
            return [(value[name], value.get("system", ""))]
    return [("", "")]


def _references(value: Any) -> list[tuple[str, str]]:
    return [(value if isinstance(value, str) else value.get("reference", ""), "")]


def _dates(value: Any) -> list[tuple[int, int]]:
    return [span(value)] if isinstance(value, str) else [period(value)]


def _quantities(value: Any) -> list[tuple[Decimal, str]]:
    return [(Decimal(value["value"]), value.get("code", ""))] if "value" in value else []


def _texts(value: str) -> list[tuple[str, str]]:
    return [(folded(value), value[:LONGEST_TEXT])]


_KEPT: dict[str, Callable[[Any], list[tuple[Any, Any]]]] = {
    "token": _tokens, "reference": _references, "date": _dates, "quantity": _quantities, "string": _texts,
}  # fmt: skip


# --- times: what a FHIR date of any precision spans, in microseconds since 1970, the end exclusive

OPEN_START, OPEN_END = -(2**62), 2**62
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
PARTIAL = re.compile(r"(\d{4})(?:-(\d\d)(?:-(\d\d))?)?")


def microseconds(moment: datetime) -> int:
    return (moment - EPOCH) // timedelta(microseconds=1)


@lru_cache(maxsize=10_000)
def span(text: str) -> tuple[int, int]:
    """The moments that a FHIR date, dateTime or instant may mean. A date without offset is taken in UTC. Raises ValueError."""
    if "T" not in text:
        parts = PARTIAL.fullmatch(text)
        if parts is None:
            raise ValueError(f"is no date: {text}")
        year, month, day = (int(p) if p else None for p in parts.groups())
        first = date(year or 1, month or 1, day or 1)
        if day:
            after = first + timedelta(days=1)
        elif month:
            after = (first.replace(day=28) + timedelta(days=4)).replace(day=1)
        else:
            after = first.replace(year=first.year + 1)
        return tuple(microseconds(datetime(d.year, d.month, d.day, tzinfo=UTC)) for d in (first, after))  # type: ignore[return-value]
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    start = microseconds(moment)
    seconds = text.split("T")[1]
    precision = 60_000_000 if seconds.count(":") == (2 if re.search(r"[+-]\d\d:\d\d$", seconds) else 1) else 1_000_000 if "." not in seconds else 1
    return start, start + precision


def period(value: Fhir) -> tuple[int, int]:
    start, end = value.get("start"), value.get("end")
    return (span(start)[0] if start else OPEN_START), (span(end)[1] if end else OPEN_END)


def folded(text: str) -> str:
    """Text as a string search compares it: without case and accents (FHIR R4 3.1.1.4.8)."""
    return "".join(c for c in unicodedata.normalize("NFKD", text.casefold()) if not unicodedata.combining(c))[:LONGEST_TEXT]
