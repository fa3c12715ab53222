"""A resource is held against R4, all its problems at once: fhir.resources by itself lets half of these pass."""

import copy
import json
from decimal import Decimal
from typing import Any

import pytest
from fhir.resources.R4B import get_fhir_model_class

from mappings.disclosure import VIEWS
from mappings.required_codes import CODES
from mappings.validation import problems
from tests.mappings.goldens import FILES, GOLDEN, Case, cases


@pytest.mark.parametrize("one", cases(), ids=str)
def test_every_golden_resource_is_r4(one: Case) -> None:
    for view in VIEWS:
        assert [problem for resource in one.view(view) for problem in problems(resource)] == []
        assert problems(json.loads((one.folder / FILES[view]).read_text(), parse_float=Decimal)) == []


def golden(case: str, type_: str) -> dict[str, Any]:
    bundle = json.loads((GOLDEN / case / "r4.json").read_text(), parse_float=Decimal)
    return next(copy.deepcopy(e["resource"]) for e in bundle["entry"] if e["resource"]["resourceType"] == type_)


SCREENING, DOSING, BACKGROUND = "screening/every-field", "dosing-encounter/iv-infusion-with-wasted-drug", "medical-background/every-field"
ENCOUNTER_STATUS = "should be one of planned, arrived, triaged, in-progress, onleave, finished, cancelled, entered-in-error, unknown"


@pytest.mark.parametrize(("case", "type_", "changes", "expected"), [
    (DOSING, "Encounter", {"status": "bogus"}, [("Encounter.status", ENCOUNTER_STATUS)]),
    (DOSING, "Encounter", {"status": ...}, [("Encounter.status", "is required")]),
    (DOSING, "Encounter", {"class": ...}, [("Encounter.class", "is required")]),
    (DOSING, "Encounter", {"colour": "blue"}, [("Encounter.colour", "is no element of this type")]),
    (DOSING, "Encounter", {"fhir_comments": "hidden"}, [("Encounter.fhir_comments", "is no element of this type")]),
    (DOSING, "Encounter", {"id": "a" * 65}, [("Encounter.id", "should be 1 to 64 letters, digits, - and .")]),
    (DOSING, "Encounter", {"id": "a_b"}, [("Encounter.id", "should be 1 to 64 letters, digits, - and .")]),
    (DOSING, "Encounter", {"id": "a" * 64}, []),
    (DOSING, "Encounter", {"subject": {"reference": "Practitioner/1"}}, [("Encounter.subject", "should refer to Patient or Group, not Practitioner")]),
    (DOSING, "Encounter", {"subject": {"reference": "https://ehr.example/fhir/Practitioner/1"}}, [("Encounter.subject", "should refer to Patient or Group, not Practitioner")]),
    (DOSING, "Encounter", {"subject": {"type": "Device", "identifier": {"value": "1"}}}, [("Encounter.subject", "should refer to Patient or Group, not Device")]),
    (DOSING, "Encounter", {"subject": {"reference": "Patient/" + "a" * 65}}, [("Encounter.subject.reference", "should lead to an id of 1 to 64 letters, digits, - and .")]),
    (DOSING, "Encounter", {"subject": {"reference": "somebody"}}, [("Encounter.subject.reference", "should be a type and an id, or a URL")]),
    (DOSING, "Encounter", {"subject": {"reference": "https://ehr.example/fhir/Patient/1/_history/2"}}, []),
    (DOSING, "Encounter", {"subject": {"reference": "urn:uuid:6f1c7a0e-5b7e-4f0e-9c4b-0d1f6a2b3c4d"}}, []),
    (DOSING, "Encounter", {"subject": {"reference": "#contained"}}, []),
    (DOSING, "Encounter", {"period": {"start": "2026-03-02T10:00:00"}}, [("Encounter.period.start", "DateTime value string does not match spec regex")]),
    (DOSING, "Encounter", {"participant": {}}, [("Encounter.participant", "should not be empty: leave out what is not known")]),
    (DOSING, "Encounter", {"participant": "Ellery"}, [("Encounter.participant", "should be an array")]),
    (DOSING, "Encounter", {"participant": ["Ellery"]}, [("Encounter.participant[0]", "should be an object")]),
    (DOSING, "Encounter", {"participant": []}, [("Encounter.participant", "should not be empty: leave out what is not known")]),
    (DOSING, "Encounter", {"period": None}, [("Encounter.period", "should not be empty: leave out what is not known")]),
    (DOSING, "Encounter", {"location": [{"physicalType": {"text": "Room"}}]}, [("Encounter.location[0].location", "is required")]),
    (DOSING, "MedicationAdministration", {"medicationCodeableConcept": {"text": "Ketamine"}},
     [("MedicationAdministration.medication[x]", "should be of one type, not medicationCodeableConcept and medicationReference")]),
    (DOSING, "MedicationAdministration", {"effectivePeriod": ...}, [("MedicationAdministration.effective[x]", "is required")]),
    (DOSING, "MedicationAdministration", {"dosage": {"dose": {"value": "34", "comparator": "~"}}}, [
        ("MedicationAdministration.dosage.dose.comparator", "should be one of <, <=, >=, >"), ("MedicationAdministration.dosage.dose.value", "should be a number")]),
    (DOSING, "RelatedPerson", {"active": "true"}, [("RelatedPerson.active", "should be true or false")]),
    (BACKGROUND, "AllergyIntolerance", {"clinicalStatus": {"text": "Active"}}, [("AllergyIntolerance.clinicalStatus",
     "should have a code of http://terminology.hl7.org/CodeSystem/allergyintolerance-clinical: active, inactive, resolved")]),
    (SCREENING, "QuestionnaireResponse", {"status": "final"}, [("QuestionnaireResponse.status", "should be one of in-progress, completed, amended, entered-in-error, stopped")]),
    ("consent/every-field", "Consent", {"provision": {"provision": [{"type": "allow"}]}}, [("Consent.provision.provision[0].type", "should be one of deny, permit")]),
], ids=lambda it: str(it)[:60])  # fmt: skip
def test_what_is_wrong_is_said_by_its_path(case: str, type_: str, changes: dict[str, Any], expected: list[tuple[str, str]]) -> None:
    assert problems({name: value for name, value in {**golden(case, type_), **changes}.items() if value is not ...}) == expected


def test_every_problem_is_said_at_once() -> None:
    """In fhir.resources the wrong period and the unknown element would hide the missing status and the second type of value."""
    found = problems({
        "resourceType": "Observation", "id": "x" * 70, "effectivePeriod": {"start": "yesterday"}, "colour": "blue", "valueString": "a", "valueBoolean": True,
        "subject": {"reference": "Encounter/1"}, "component": [{"valueQuantity": {"value": "1"}}],
    })  # fmt: skip
    assert [path for path, _ in found] == [
        "Observation.code", "Observation.colour", "Observation.component[0].code", "Observation.component[0].valueQuantity.value",
        "Observation.effectivePeriod.start", "Observation.id", "Observation.status", "Observation.subject", "Observation.value[x]",
    ]  # fmt: skip


def test_what_is_in_a_bundle_or_contained_is_looked_at_too() -> None:
    inner = {"resourceType": "Patient", "gender": "x"}
    assert [path for path, _ in problems({"resourceType": "Bundle", "type": "collection", "entry": [{"resource": inner}]})] == ["Bundle.entry[0].resource.gender"]
    assert [path for path, _ in problems({"resourceType": "Medication", "contained": [inner, {"resourceType": "Nothing"}]})] == [
        "Medication.contained[0].gender", "Medication.contained[1].resourceType",
    ]  # fmt: skip


@pytest.mark.parametrize("resource", [None, [], "Patient", {}, {"resourceType": 7}, {"resourceType": "HumanName"}, {"resourceType": "Bogus"}])
def test_what_is_no_resource_is_said_to_be_none(resource: Any) -> None:
    assert problems(resource) == [("resourceType", "should name a type of resource")]


def test_a_status_that_is_unknown_may_say_so_by_its_extension() -> None:
    unknown = {"extension": [{"url": "http://hl7.org/fhir/StructureDefinition/data-absent-reason", "valueCode": "unknown"}]}
    assert problems({"resourceType": "Encounter", "_status": unknown, "class": {"code": "AMB"}}) == []


def test_the_required_codes_agree_with_fhir_resources_as_far_as_it_has_them() -> None:
    for path, codes in CODES.items():
        *owner, name = path.split(".")
        model = get_fhir_model_class("".join(part[:1].upper() + part[1:] for part in owner))
        known = ((model.model_fields[name].json_schema_extra or {}).get("enum_values")) or []
        if "+" not in known:
            assert set(known) <= set(codes.split()), path
        assert {code for code in known if code != "+"} <= set(codes.split()), path
