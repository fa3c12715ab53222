"""What no FHIR could represent is refused, by JSON pointer and all at once; everything else is taken and judged by the rules."""

import copy
import json
from decimal import Decimal
from typing import Any

import pytest

from mappings import KINDS, Ids, model
from mappings.disclosure import VIEWS, withhold
from mappings.kind import Kind
from mappings.schema import Refused, load
from tests.mappings.goldens import GOLDEN, TENANT


def body(case: str) -> dict[str, Any]:
    return json.loads((GOLDEN / case / "entity.json").read_text(), parse_float=Decimal)


def altered(case: str, changes: dict[str, Any]) -> dict[str, Any]:
    """A golden body in which the values at some JSON pointers are others; ... takes one away."""
    document = copy.deepcopy(body(case))
    for pointer, value in changes.items():
        *names, last = pointer.strip("/").split("/")
        place: Any = document
        for name in names:
            place = place[int(name)] if isinstance(place, list) else place.setdefault(name, {})
        if value is ...:
            del place[last]
        else:
            place[int(last) if isinstance(place, list) else last] = value
    return document


def refused(case: str, changes: dict[str, Any]) -> list[tuple[str, str]]:
    with pytest.raises(Refused) as refusal:
        load(kind_of(case), altered(case, changes))
    return refusal.value.problems


def kind_of(case: str) -> Kind:
    name, _, _ = case.partition("/")
    return KINDS[name]


DOSING, SCREENING = "dosing-encounter/iv-infusion-with-wasted-drug", "screening/every-field"


@pytest.mark.parametrize(("case", "changes", "pointer"), [
    (DOSING, {"/end": "2026-02-03T09:00:00+00:00"}, "/end"),
    (DOSING, {"/administrations/0/end": "2026-02-03T09:59:00+00:00"}, "/administrations/0/end"),
    (DOSING, {"/start": "2026-02-03T09:15:00"}, "/start"),
    (DOSING, {"/status": "cancelled"}, "/status"),
    (DOSING, {"/status": "no-show"}, "/status"),
    (DOSING, {"/reason": "adverse-event"}, "/reason"),
    (DOSING, {"/observations/0/administrationId": "dose-9"}, "/observations/0/administrationId"),
    (DOSING, {"/observations/1/id": "r-before"}, "/observations/1/id"),
    (DOSING, {"/observations/1/id": "dose-1"}, "/observations/1/id"),
    (DOSING, {"/observations/0/spo2": 101}, "/observations/0/spo2"),
    (DOSING, {"/observations/0/bp/sys": -1}, "/observations/0/bp/sys"),
    (DOSING, {"/observations/0/rass": 5}, "/observations/0/rass"),
    (DOSING, {"/preChecks/checkedAt": ...}, "/preChecks/checkedAt"),
    (DOSING, {"/prescription/weightMeasuredAt": ...}, "/prescription/weightMeasuredAt"),
    (DOSING, {"/preChecks/csSrsAnswers": [{"item": 8, "answer": 0}]}, "/preChecks/csSrsAnswers/0/item"),
    (DOSING, {"/preChecks/csSrsAnswers": [{"item": 1, "answer": 2}]}, "/preChecks/csSrsAnswers/0/answer"),
    (DOSING, {"/preChecks/csSrsAnswers": [{"item": 1, "answer": 0}, {"item": 1, "answer": 0}]}, "/preChecks/csSrsAnswers/1/item"),
    (SCREENING, {"/completedAt": "2026-01-12T08:00:00+00:00"}, "/completedAt"),
    (SCREENING, {"/instruments/0/total": 20}, "/instruments/0/total"),
    (SCREENING, {"/instruments/0/total": ..., "/instruments/0/items/8": {"item": 8, "answer": 1}}, "/instruments/0/items/8/item"),
    (SCREENING, {"/instruments/0/total": ..., "/instruments/0/items/7": {"item": 9, "answer": 1}, "/instruments/0/items/8": {"item": 8, "answer": 1}}, "/instruments/0/items/8/item"),
    (SCREENING, {"/instruments/0/total": ..., "/instruments/0/items/0/answer": 4}, "/instruments/0/items/0/answer"),
    (SCREENING, {"/instruments/3/total": 2}, "/instruments/3/total"),
    (SCREENING, {"/instruments/0/riskLevel": "low"}, "/instruments/0/riskLevel"),
    (SCREENING, {"/sensitiveInstruments/1/total": 15}, "/sensitiveInstruments/1/total"),
    (SCREENING, {"/medicationReview/backgroundId": ...}, "/medicationReview/backgroundId"),
    (SCREENING, {"/vitals/at": ...}, "/vitals/at"),
    ("patient/every-field", {"/nhsNumber": "9912003890"}, "/nhsNumber"),
    ("patient/every-field", {"/nhsNumber": "9999999999"}, "/nhsNumber"),
    ("patient/every-field", {"/id": "9912003888"}, "/id"),
    ("medical-background/every-field", {"/allergies/0/clinicalStatus": ...}, "/allergies/0/clinicalStatus"),
    ("medical-background/every-field", {"/medications/3/code": "8579511000001105"}, "/medications/3/code"),
    ("emdr-procedure/every-field", {"/end": "2026-02-24T13:00:00+00:00"}, "/end"),
    ("emdr-procedure/every-field", {"/sudsAfter": 11}, "/sudsAfter"),
    ("emdr-procedure/every-field", {"/vocAfter": 0}, "/vocAfter"),
    ("emdr-procedure/every-field", {"/phases/1": 9}, "/phases/1"),
    ("integration-care-plan/every-field", {"/smallExperiments/0/goalId": "g-none"}, "/smallExperiments/0/goalId"),
    ("integration-care-plan/every-field", {"/period/end": "2026-01-18"}, "/period/end"),
    ("adverse-event/every-field", {"/encounterId": ...}, "/encounterId"),
    ("consent/every-field", {"/validTo": "2024-01-01T00:00:00+00:00"}, "/validTo"),
    ("pathway/every-field", {"/stageHistory/0/end": "2025-05-01"}, "/stageHistory/0/end"),
    ("clinic/every-field", {"/address/0/use": "home"}, "/address/0/use"),
], ids=lambda value: value if isinstance(value, str) else None)  # fmt: skip
def test_what_cannot_be_represented_is_refused_by_its_pointer(case: str, changes: dict[str, Any], pointer: str) -> None:
    assert [p for p, _ in refused(case, changes)] == [pointer]


def test_every_problem_of_a_body_is_named_at_once() -> None:
    problems = refused(DOSING, {
        "/status": "cancelled", "/start": "yesterday", "/observations/0/spo2": 101, "/observations/1/administrationId": "dose-9",
        "/preChecks/csSrsAnswers/0/answer": 2, "/colour": "blue", "/discharge/bpAcceptable": "yes",
    })  # fmt: skip
    assert [p for p, _ in problems] == [
        "/colour", "/discharge/bpAcceptable", "/observations/0/spo2", "/observations/1/administrationId", "/preChecks/csSrsAnswers/0/answer", "/start", "/status",
    ]  # fmt: skip


@pytest.mark.parametrize(("case", "changes"), [
    *((DOSING, changes) for changes in (
        {"/prescription/doseMg": 340}, {"/administrations/0/doseMg": 99}, {"/consentId": ...}, {"/screeningId": ...}, {"/discharge": ...},
        {"/observations": ...}, {"/observations/0/bp/sys": 300}, {"/preChecks/escortConfirmed": False}, {"/administrations/0/wastedMg": 0},
    )),
    (SCREENING, {"/uds/1/drug": "cannabis"}),
    ("patient/every-field", {"/name": [{"prefix": ["Mr"]}]}),
    ("practitioner/every-field", {"/registrations/1/body": "GMC"}),
    ("dosing-encounter/every-field", {"/escort/name": ...}),
    ("screening/every-field", {"/supportPerson/name": ...}),
    ("pathway/every-field", {"/status": "planned", "/start": ..., "/end": ...}),
    ("integration-care-plan/every-field", {"/title": ...}),
    ("emdr-procedure/every-field", {"/status": "completed"}),
    ("emdr-procedure/every-field", {"/phases": [3, 4, 3, 4]}),
    ("adverse-event/every-field", {"/serious": False}),
], ids=str)  # fmt: skip
def test_what_really_happened_is_taken_whatever_the_rules_say(case: str, changes: dict[str, Any]) -> None:
    document = altered(case, changes)
    entity = load(kind_of(case), document)
    assert model.document_of(entity) == document
    for view in VIEWS:
        ids, seen = Ids(TENANT), withhold(entity, view)
        assert kind_of(case).from_fhir(kind_of(case).to_fhir(seen, ids, view), ids, view) == seen
