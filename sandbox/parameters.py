"""The search parameters of R4 that this server knows, by type, with the elements that each one looks at.

Names and paths are HL7's (R4 MedicationAdministration has `context` and `effective-time`, Goal `lifecycle-status`; AdverseEvent and
Provenance have no `identifier`). A word is `name` where path and name are the same, else `name:path`, several paths by `|`.
"""

from dataclasses import dataclass
from typing import Literal

Kind = Literal["token", "reference", "date", "string"]


@dataclass(frozen=True, slots=True)
class Parameter:
    name: str
    kind: Kind
    paths: tuple[str, ...]
    only: str | None = None
    """The one type that a reference may have: `patient` looks at `subject`, but only at patients."""


def _of(tokens: str = "", references: str = "", dates: str = "", strings: str = "") -> dict[str, Parameter]:
    kinds: tuple[tuple[Kind, str], ...] = (("token", tokens), ("reference", references), ("date", dates), ("string", strings))
    return {one.name: one for kind, words in kinds for word in words.split() for one in [_parameter(kind, word)]}


def _parameter(kind: Kind, word: str) -> Parameter:
    name, _, path = word.partition(":")
    return Parameter(name, kind, tuple((path or name).split("|")), "Patient" if name == "patient" else None)


EVERY_TYPE = _of(tokens="_id:id", dates="_lastUpdated:meta.lastUpdated")

PARAMETERS: dict[str, dict[str, Parameter]] = {
    "AdverseEvent": _of(
        tokens="actuality category event seriousness severity",
        references="subject recorder location resultingcondition:resultingCondition substance:suspectEntity.instance",
        dates="date",
    ),
    "AllergyIntolerance": _of(
        tokens="identifier category clinical-status:clinicalStatus verification-status:verificationStatus code:code|reaction.substance criticality type",
        references="patient asserter recorder",
        dates="date:recordedDate last-date:lastOccurrence",
    ),
    "BodyStructure": _of(tokens="identifier location morphology", references="patient"),
    "CarePlan": _of(
        tokens="identifier category intent status",
        references="patient:subject subject encounter based-on:basedOn care-team:careTeam condition:addresses goal part-of:partOf replaces "
        "activity-reference:activity.reference",
        dates="date:period",
    ),
    "CareTeam": _of(tokens="identifier category status", references="patient:subject subject encounter participant:participant.member", dates="date:period"),
    "Communication": _of(
        tokens="identifier category medium status",
        references="patient:subject subject encounter based-on:basedOn part-of:partOf recipient sender",
        dates="received sent",
    ),
    "ConceptMap": _of(tokens="identifier status version", strings="name title", dates="date"),
    "Condition": _of(
        tokens="identifier category clinical-status:clinicalStatus verification-status:verificationStatus code severity",
        references="patient:subject subject encounter asserter",
        dates="recorded-date:recordedDate onset-date:onset[x] abatement-date:abatement[x]",
    ),
    "Consent": _of(
        tokens="identifier category scope status purpose:provision.purpose",
        references="patient organization consentor:performer actor:provision.actor.reference",
        dates="date:dateTime period:provision.period",
    ),
    "DetectedIssue": _of(tokens="identifier code", references="patient author implicated", dates="identified:identified[x]"),
    "DiagnosticReport": _of(
        tokens="identifier category code status",
        references="patient:subject subject encounter based-on:basedOn performer result",
        dates="date:effective[x] issued",
    ),
    "DocumentReference": _of(
        tokens="identifier:masterIdentifier|identifier category status type contenttype:content.attachment.contentType",
        references="patient:subject subject encounter:context.encounter author custodian relatesto:relatesTo.target related:context.related",
        dates="date period:context.period",
        strings="description",
    ),
    "Encounter": _of(
        tokens="identifier class status type reason-code:reasonCode",
        references="patient:subject subject episode-of-care:episodeOfCare participant:participant.individual location:location.location "
        "part-of:partOf service-provider:serviceProvider based-on:basedOn",
        dates="date:period",
    ),
    "EpisodeOfCare": _of(
        tokens="identifier status type",
        references="patient organization:managingOrganization care-manager:careManager condition:diagnosis.condition",
        dates="date:period",
    ),
    "Goal": _of(
        tokens="identifier category lifecycle-status:lifecycleStatus achievement-status:achievementStatus",
        references="patient:subject subject",
        dates="start-date:start[x] target-date:target.due[x]",
    ),
    "Location": _of(tokens="identifier status type", references="organization:managingOrganization partof:partOf", strings="name:name|alias"),
    "Medication": _of(
        tokens="identifier code form status lot-number:batch.lotNumber", references="manufacturer", dates="expiration-date:batch.expirationDate"
    ),
    "MedicationAdministration": _of(
        tokens="identifier code:medicationCodeableConcept status reason-given:reasonCode reason-not-given:statusReason",
        references="patient:subject subject context medication:medicationReference performer:performer.actor request device",
        dates="effective-time:effective[x]",
    ),
    "MedicationRequest": _of(
        tokens="identifier code:medicationCodeableConcept category intent priority status",
        references="patient:subject subject encounter medication:medicationReference requester intended-performer:performer",
        dates="authoredon:authoredOn",
    ),
    "MedicationStatement": _of(
        tokens="identifier code:medicationCodeableConcept category status",
        references="patient:subject subject context medication:medicationReference part-of:partOf source:informationSource",
        dates="effective:effective[x]",
    ),
    "Observation": _of(
        tokens="identifier category code combo-code:code|component.code component-code:component.code method status value-concept:valueCodeableConcept",
        references="patient:subject subject encounter based-on:basedOn derived-from:derivedFrom focus has-member:hasMember part-of:partOf performer",
        dates="date:effective[x]",
    ),
    "Organization": _of(tokens="identifier active type", references="partof:partOf", strings="name:name|alias"),
    "Patient": _of(
        tokens="identifier active gender telecom",
        references="general-practitioner:generalPractitioner organization:managingOrganization link:link.other",
        dates="birthdate:birthDate",
        strings="name family:name.family given:name.given address-postalcode:address.postalCode",
    ),
    "Practitioner": _of(tokens="identifier active gender", strings="name family:name.family given:name.given"),
    "PractitionerRole": _of(tokens="identifier active role:code specialty", references="practitioner organization location", dates="date:period"),
    "Procedure": _of(
        tokens="identifier category code status reason-code:reasonCode",
        references="patient:subject subject encounter based-on:basedOn part-of:partOf performer:performer.actor location",
        dates="date:performed[x]",
    ),
    "Provenance": _of(
        tokens="agent-type:agent.type", references="patient:target target agent:agent.who entity:entity.what", dates="recorded when:occurredDateTime"
    ),
    "QuestionnaireResponse": _of(
        tokens="identifier status",
        references="patient:subject subject encounter questionnaire author source based-on:basedOn part-of:partOf",
        dates="authored",
    ),
    "RelatedPerson": _of(tokens="identifier active gender relationship", references="patient", dates="birthdate:birthDate", strings="name"),
    "RiskAssessment": _of(
        tokens="identifier method risk:prediction.qualitativeRisk",
        references="patient:subject subject encounter condition performer",
        dates="date:occurrenceDateTime",
    ),
    "ServiceRequest": _of(
        tokens="identifier category code intent priority status",
        references="patient:subject subject encounter based-on:basedOn performer requester replaces",
        dates="authored:authoredOn occurrence:occurrence[x]",
    ),
    "Task": _of(
        tokens="identifier code intent priority status business-status:businessStatus",
        references="patient:for subject:for encounter focus owner requester based-on:basedOn part-of:partOf",
        dates="authored-on:authoredOn modified:lastModified period:executionPeriod",
    ),
}  # fmt: skip
