"""What R4 requires of each type that this server knows, from the minimum cardinalities of HL7's definitions.

An element below another (`performer.actor`) is required wherever its parent is there. `[x]` stands for any of its types.
"""

from sandbox.elements import Fhir, choices
from sandbox.outcome import Issue

REQUIRED: dict[str, tuple[str, ...]] = {
    name: tuple(paths.split())
    for name, paths in {
        "AdverseEvent": "actuality subject suspectEntity.instance",
        "AllergyIntolerance": "patient reaction.manifestation",
        "BodyStructure": "patient",
        "CarePlan": "status intent subject activity.detail.status",
        "CareTeam": "",
        "Communication": "status payload.content[x]",
        "ConceptMap": "status group.element group.element.target.equivalence group.unmapped.mode "
        "group.element.target.dependsOn.property group.element.target.dependsOn.value",
        "Condition": "subject",
        "Consent": "status scope category verification.verified provision.actor.role provision.actor.reference provision.data.meaning provision.data.reference",
        "DetectedIssue": "status mitigation.action",
        "DiagnosticReport": "status code media.link",
        "DocumentReference": "status content content.attachment relatesTo.code relatesTo.target",
        "Encounter": "status class statusHistory.status statusHistory.period classHistory.class classHistory.period diagnosis.condition location.location",
        "EpisodeOfCare": "status patient statusHistory.status statusHistory.period diagnosis.condition",
        "Goal": "lifecycleStatus description subject",
        "Location": "position.longitude position.latitude",
        "Medication": "ingredient.item[x]",
        "MedicationAdministration": "status medication[x] subject effective[x] performer.actor",
        "MedicationRequest": "status intent medication[x] subject substitution.allowed[x]",
        "MedicationStatement": "status medication[x] subject",
        "Observation": "status code component.code",
        "Organization": "",
        "Patient": "communication.language link.other link.type",
        "Practitioner": "qualification.code",
        "PractitionerRole": "notAvailable.description",
        "Procedure": "status subject performer.actor focalDevice.manipulated",
        "Provenance": "target recorded agent agent.who entity.role entity.what",
        "QuestionnaireResponse": "status item.linkId",
        "RelatedPerson": "patient communication.language",
        "RiskAssessment": "status subject",
        "ServiceRequest": "status intent subject",
        "Task": "status intent input.type input.value[x] output.type output.value[x]",
    }.items()
}


def missing(resource: Fhir) -> list[Issue]:
    """One issue for every required element that is not there."""
    name = resource["resourceType"]
    return [
        Issue("required", f"{path} is required", path)
        for required in REQUIRED[name]
        for path in _absent(resource, required.split("."), name)
    ]  # fmt: skip


def _absent(element: Fhir, steps: list[str], path: str) -> list[str]:
    first, *rest = steps
    if not rest:
        # A primitive that says only why it is absent is there: `_status` with a data-absent-reason.
        return [] if choices(element, first) or choices(element, f"_{first}") else [f"{path}.{first.removesuffix('[x]')}"]
    inner = element.get(first)
    if isinstance(inner, list):
        return [absent for number, one in enumerate(inner) for absent in _below(one, rest, f"{path}.{first}[{number}]")]
    return _below(inner, rest, f"{path}.{first}")


def _below(inner: object, steps: list[str], path: str) -> list[str]:
    return _absent(inner, steps, path) if isinstance(inner, dict) else []
