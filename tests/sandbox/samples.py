"""The least body of each type that R4 takes."""

import itertools

from sandbox.required import REQUIRED
from tests.sandbox.client import Fhir

CODED = {"coding": [{"system": "urn:example:codes", "code": "a"}]}
numbers = itertools.count(1)

LEAST: dict[str, Fhir] = {
    "AdverseEvent": {"actuality": "actual", "date": "2026-03-02"},
    "AllergyIntolerance": {"clinicalStatus": {"coding": [{"code": "active"}]}},
    "CarePlan": {"status": "active", "intent": "plan", "category": [CODED]},
    "Communication": {"status": "completed"},
    "ConceptMap": {"status": "draft"},
    "Consent": {"status": "active", "scope": CODED, "category": [CODED]},
    "DetectedIssue": {"status": "final"},
    "DiagnosticReport": {"status": "final", "code": CODED},
    "DocumentReference": {"status": "current", "content": [{"attachment": {"title": "note"}}]},
    "Encounter": {"status": "finished", "class": {"code": "AMB"}},
    "EpisodeOfCare": {"status": "active", "type": [CODED]},
    "Goal": {"lifecycleStatus": "active", "description": {"text": "sleep"}},
    "MedicationAdministration": {"status": "completed", "medicationCodeableConcept": CODED, "effectiveDateTime": "2026-03-02T10:00:00Z"},
    "MedicationRequest": {"status": "active", "intent": "order", "medicationCodeableConcept": CODED},
    "MedicationStatement": {"status": "active", "medicationCodeableConcept": CODED},
    "Observation": {"status": "final", "code": CODED},
    "Procedure": {"status": "completed"},
    "Provenance": {"recorded": "2026-03-02T13:10:00Z", "agent": [{"who": {"display": "a clinic"}}]},
    "QuestionnaireResponse": {"status": "completed"},
    "RiskAssessment": {"status": "final"},
    "ServiceRequest": {"status": "active", "intent": "order"},
    "Task": {"status": "requested", "intent": "plan"},
}
BY_PATIENT = {"AllergyIntolerance", "BodyStructure", "Consent", "DetectedIssue", "EpisodeOfCare", "RelatedPerson"}
OF_NOBODY = {"ConceptMap", "Location", "Medication", "Organization", "Patient", "Practitioner", "PractitionerRole"}
UNIDENTIFIED = {"Provenance"}


def least(kind: str, patient: str) -> Fhir:
    """A resource of that type about the patient (`Patient/id`) with an identifier of its own, where the type has one."""
    about: Fhir = {"reference": patient}
    subject = (
        {"for": about} if kind == "Task" else {"target": [about]} if kind == "Provenance" else {"patient": about} if kind in BY_PATIENT else {"subject": about}
    )
    identifier = {"identifier": identify()} if kind in {"AdverseEvent", "ConceptMap", "QuestionnaireResponse"} else {"identifier": [identify()]}
    return {
        "resourceType": kind,
        **({} if kind in UNIDENTIFIED else identifier),
        **({} if kind in OF_NOBODY else subject),
        **LEAST.get(kind, {}),
    }


def identify() -> Fhir:
    return {"system": "urn:example:ids", "value": f"n{next(numbers)}"}


def condition(resource: Fhir) -> str:
    """The If-None-Exist for a resource that has an identifier."""
    [identifier] = resource["identifier"]
    return f"identifier={identifier['system']}|{identifier['value']}"


assert {*LEAST, *BY_PATIENT, *OF_NOBODY} <= REQUIRED.keys()
