"""How what may be at an EHR already is looked for there, and by what of it it is known again. Pure."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any
from urllib.parse import quote

from service.sync.abilities import Abilities
from service.sync.deliver import Ready, our_identifier
from service.sync.matching import identifiers
from service.sync.outcomes import Outcome, Retry, objects

CONDITION, IDENTIFIER, UNCHANGING, NOTHING = "condition", "identifier", "unchanging", "nothing"

# sic: R4 gives these no search by identifier; they are looked for by what never changes in them, and told by our words in them.
# A Provenance is not looked for by its targets: they may have gone out by our identifiers the first time, and by the EHR's ids now.
OTHERWISE: dict[str, tuple[str, Callable[[Mapping[str, Any]], str]]] = {
    "AdverseEvent": ("subject", lambda body: str(body["subject"]["reference"])),
    "Provenance": ("recorded", lambda body: str(body["recorded"])),
}


def once(body: Mapping[str, Any], able: Abilities, *, careful: bool) -> str:
    """What keeps an EHR from making it twice: a condition, a search by our identifier or by what never changes, or nothing.

    One that must be careful looks for what the EHR is not sure to have none of: it may have been sent.
    """
    type_, identifier = str(body["resourceType"]), our_identifier(body)
    if identifier is not None and able.searches(type_, "identifier"):
        return CONDITION if type_ in able.conditional_create else IDENTIFIER
    if type_ in OTHERWISE and able.searches(type_, OTHERWISE[type_][0]) and (careful or identifier is not None):
        return UNCHANGING
    return NOTHING


def doubted(outcome: Outcome, ready: Ready, able: Abilities) -> Outcome:
    """What came of a send; unsure where an EHR that failed may have made what nothing keeps it from making twice, and can be asked for it."""
    if not isinstance(outcome, Retry) or (outcome.status or 0) < 500 or ready.remote is not None or ready.owed.body is None:
        return outcome
    blind, asking = (once(ready.body, able, careful=careful) for careful in (False, True))
    return replace(outcome, unsure=True) if blind == NOTHING != asking else outcome


def condition(identifier: Mapping[str, str]) -> str:
    """If-None-Exist: created unless something there has our identifier."""
    return f"identifier={identifier['system']}|{identifier['value']}"


def by(identifier: Mapping[str, str]) -> str:
    return f"identifier={_quoted(identifier['system'])}%7C{_quoted(identifier['value'])}"


def by_what_never_changes(body: Mapping[str, Any]) -> str:
    parameter, value = OTHERWISE[str(body["resourceType"])]
    return f"{parameter}={_quoted(value(body))}"


def is_in_our_words(body: Mapping[str, Any]) -> bool:
    """Whether what never changes in it is there as we say it: a reference is by the EHR's own ids there."""
    return OTHERWISE[str(body["resourceType"])][0] == "recorded"


def people(ours: Mapping[str, Any], able: Abilities) -> list[str]:
    """How a person or place is looked for, the surest way first."""
    type_ = str(ours["resourceType"])
    queries = [by(one) for one in identifiers(ours)] if able.searches(type_, "identifier") else []
    family = next((name["family"] for name in objects(ours.get("name")) if isinstance(name.get("family"), str)), None)
    if type_ == "Patient" and family and ours.get("birthDate") and able.searches(type_, "family", "birthdate"):
        queries.append(f"family={_quoted(family)}&birthdate={_quoted(str(ours['birthDate']))}")
    return queries


def source(body: Mapping[str, Any]) -> Any:
    """Our words by which a resource is known without a search by identifier: its own identifier, or that of its source."""
    return our_identifier(body) or [what.get("identifier") for e in objects(body.get("entity")) if isinstance(what := e.get("what"), dict)]


def is_hidden(body: Mapping[str, Any]) -> bool:
    """Whether a search may not find it although it is there: Epic finds no allergy that is not active."""
    status = body.get("clinicalStatus")
    found = [one.get("code") for one in objects(status.get("coding"))] if isinstance(status, dict) else []
    return body.get("resourceType") == "AllergyIntolerance" and "active" not in found


def _quoted(text: str) -> str:
    return quote(text, safe="")
