"""What becomes of a resource that is no longer yielded: R4's own way of saying that it was entered in error, type by type."""

from typing import Any

from mappings.code_table import HL7, coding, concept
from mappings.element import Fhir

STATUS = {
    "Encounter": "status", "Procedure": "status", "Observation": "status", "QuestionnaireResponse": "status", "RiskAssessment": "status",
    "DetectedIssue": "status", "MedicationRequest": "status", "MedicationAdministration": "status", "MedicationStatement": "status",
    "Medication": "status", "CarePlan": "status", "Task": "status", "Consent": "status", "EpisodeOfCare": "status", "CareTeam": "status",
    "Goal": "lifecycleStatus",
}  # fmt: skip
INACTIVE = frozenset({"Patient", "Practitioner", "PractitionerRole", "Organization", "RelatedPerson"})
VERIFICATION = {"Condition": HL7 + "condition-ver-status", "AllergyIntolerance": HL7 + "allergyintolerance-verification"}


def entered_in_error(resource: Fhir) -> Fhir | None:
    """The resource as R4 says that it was entered in error, or None where its type cannot say so and it is deleted."""
    type_ = resource["resourceType"]
    if type_ in STATUS:
        return _marked(resource, STATUS[type_], "entered-in-error")
    if type_ in INACTIVE:
        return _marked(resource, "active", False)
    if type_ == "Location":
        return _marked(resource, "status", "inactive")
    if type_ in VERIFICATION:  # con-5 and ait-2: what was entered in error has no clinical status
        marked = _marked(resource, "verificationStatus", concept(coding(VERIFICATION[type_], "entered-in-error", "Entered in Error")))
        return {name: value for name, value in marked.items() if name != "clinicalStatus"}
    return None


def _marked(resource: Fhir, name: str, value: Any) -> Fhir:
    return {**resource, name: value}
