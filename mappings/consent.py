"""Consent: to treatment, to disclosure, to research or to recording, each a record of its own.

| our field                           | R4 Consent                                             | class |
| ----------------------------------- | ------------------------------------------------------ | ----- |
| id, patientId                       | identifier; patient                                    | C0    |
| kind                                | extension consent-kind; repeated by scope and category | C1    |
| status, signedAt, signedBy          | status, dateTime, performer                            | C1    |
| clinicId                            | organization                                           | C1    |
| offLabelExplained, capacityAssessed | extensions                                             | C1    |
| witness                             | extension consent-Witness                              | C1    |
| validFrom, validTo                  | provision.period                                       | C1    |
| withdrawnAt, sourceDocumentHash     | extensions                                             | C1    |
| provisions                          | provision.provision; the ids of their content in data  | C1-C3 |
| recordedAt, recordedBy              | extension recorded; repeated by Provenance             | C1    |

The root provision has no type: R4 asks for one in nested rules only, and what no rule names is as the partner's agreement says.
"""

from collections.abc import Iterator
from datetime import datetime
from typing import Annotated, Any

from mappings import codes
from mappings.code_table import HL7, OURS, own, table
from mappings.datatypes import boolean, code, coding, concept, extension, extension_of, moment, string
from mappings.disclosure import C0, C1, C3
from mappings.element import identifier_of, reference_of
from mappings.kind import Kind, Resource
from mappings.medication import PractitionerKey
from mappings.model import Key, Pattern, To, record
from mappings.parts import follows_table, practitioner, recorded, subject, system_of
from mappings.shape import Codec, Element, Fhir, Parts, Reading, Refers, Said, Writing, each

STATUS = table("http://hl7.org/fhir/consent-state-codes", {
    "draft": "Pending", "proposed": "Proposed", "active": "Active", "rejected": "Rejected", "inactive": "Inactive",
}, name="consent status")
CONSENT_KIND = own("consent-kind", "Kinds of consent", {
    "treatment": "Consent to treatment", "disclosure": "Consent to disclosure", "research": "Consent to research", "recording": "Consent to recording",
})
SCOPE = {kind: codes.concept(codes.coding(HL7 + "consentscope", scope, display)) for kind, scope, display in (
    ("treatment", "treatment", "Treatment"), ("disclosure", "patient-privacy", "Privacy Consent"),
    ("research", "research", "Research"), ("recording", "patient-privacy", "Privacy Consent"),  # sic: recording is no consentscope
)}
CATEGORY = {
    "treatment": codes.concept(codes.coding(codes.LOINC, "59284-0")),
    "disclosure": codes.concept(codes.coding(codes.ACT, "IDSCL", "information disclosure")),
    "research": codes.concept(codes.coding(HL7 + "consentcategorycodes", "research", "Research Information Access")),
    "recording": codes.concept(codes.coding(codes.ACT, "ICOL", "information collection")),
}
POLICY = {kind: f"{OURS}/policy/{kind}" for kind in SCOPE}
SIGNED_BY = table(f"{OURS}/CodeSystem/signed-by", {"patient": "Patient", "representative": "Representative"}, name="signed by")
DECISION = table("http://hl7.org/fhir/consent-provision-type", {"permit": "Opt In", "deny": "Opt Out"})
RECIPIENT_ROLE = own("recipient-role", "Roles of those who receive information", {
    "gp": "General practitioner", "ehr": "Electronic health record", "referrer": "Referrer", "mental-health-service": "Mental health service",
    "pharmacy": "Pharmacy", "researcher": "Researcher", "clinic": "The clinic itself", "other": "Other",
})
WITNESS = "http://hl7.org/fhir/StructureDefinition/consent-Witness"
CONTENT = system_of("content")
Content = Annotated[str, Pattern(r"[a-z-]+/[^/\s]{1,64}(/[a-z-]+/[^/\s]{1,64})?", "kind/id or kind/id/list/item id")]
Hash = Annotated[str, Pattern(r"[0-9a-f]{64}", "a SHA-256 in 64 hexadecimal digits")]


@record
class Recipient:
    """Whom a provision is about: an organisation by its ODS code or the clinic's own name for it, a role, or both."""

    organisation: C1[Key | None] = None
    role: C1[Annotated[str, RECIPIENT_ROLE] | None] = None


@record
class ProvisionPeriod:
    start: C1[datetime | None] = None
    end: C1[datetime | None] = None


@record
class Provision:
    recipient: C1[Recipient | None] = None
    data_class: C1[Annotated[str, codes.DISCLOSURE_CLASS]]
    decision: C1[Annotated[str, DECISION]]
    purpose: C1[Annotated[str, codes.PURPOSE] | None] = None
    period: C1[ProvisionPeriod | None] = None
    content: C3[tuple[Content, ...]] = ()


@record
class Consent:
    id: C0[Key]
    patient_id: C0[Annotated[Key, To("patient")]]
    clinic_id: C1[Annotated[Key, To("clinic")]]
    recorded_at: C1[datetime]
    recorded_by: C1[PractitionerKey]
    kind: C1[Annotated[str, CONSENT_KIND]]
    status: C1[Annotated[str, STATUS]]
    off_label_explained: C1[bool | None] = None
    capacity_assessed: C1[bool | None] = None
    signed_at: C1[datetime | None] = None
    signed_by: C1[Annotated[str, SIGNED_BY] | None] = None
    witness: C1[PractitionerKey | None] = None
    valid_from: C1[datetime | None] = None
    valid_to: C1[datetime | None] = None
    withdrawn_at: C1[datetime | None] = None
    provisions: C1[tuple[Provision, ...]] = ()
    source_document_hash: C1[Hash | None] = None


class SignedBy(Element):
    """Consent.performer: the patient, or a representative, of whom the record says no more."""

    says = True
    REPRESENTATIVE = {"type": "RelatedPerson", "display": "Representative of the patient"}

    def __init__(self) -> None:
        self.said = Said("signed_by", lambda _f: Codec("Reference(Patient | RelatedPerson)", str, _signed_by))

    def inside(self) -> Iterator[tuple[str, Element]]:
        yield "", self.said

    def write(self, it: Any, of: Writing) -> Any:
        if it.signed_by is None:
            return None
        return of.ids.reference("Patient", "patient", it.patient_id, "patient") if it.signed_by == "patient" else self.REPRESENTATIVE

    def read(self, value: Any, at: str, into: dict[str, Any], of: Reading) -> None:
        self.said.read(value, at, into, of)


def _signed_by(value: Any) -> str:
    if reference_of(value).startswith("Patient/"):
        return "patient"
    if value.get("type") == "RelatedPerson" or reference_of(value).startswith("RelatedPerson/"):
        return "representative"
    raise ValueError("should be the patient or a representative")


class Actor(Element):
    """provision.actor: R4 wants a role and a reference of each, so a recipient known by its role alone is named by it."""

    wants = dict
    says = True
    ANY: Fhir = {"type": "Organization", "display": "Any in this role"}

    def __init__(self) -> None:
        self.role = Parts([extension("recipient-role", valueCodeableConcept=concept("recipient.role"))])
        codec = Codec("Reference(Organization)", _organisation, _organisation_of, (system_of("recipient"),))
        self.organisation = Said("recipient.organisation", lambda _f: codec)

    def inside(self) -> Iterator[tuple[str, Element]]:
        yield ".extension", self.role
        yield ".reference", self.organisation

    def write(self, it: Any, of: Writing) -> Any:
        role, organisation = self.role.write(it, of), self.organisation.write(it, of)
        if role is None and organisation is None:
            return None
        made: Fhir = {"extension": role} if role else {}
        return {**made, "role": codes.concept(codes.RECIPIENT), "reference": organisation or self.ANY}

    def read(self, value: Any, at: str, into: dict[str, Any], of: Reading) -> None:
        if "extension" in value:
            self.role.hear(value["extension"], f"{at}.extension", into, of)
        if value.get("reference") not in (None, self.ANY):
            self.organisation.hear(value["reference"], f"{at}.reference", into, of)


def _organisation(name: str) -> dict[str, Any]:
    return {"type": "Organization", "identifier": {"system": system_of("recipient"), "value": name}}


def _organisation_of(value: Any) -> str:
    system, name = identifier_of(value)
    if system != system_of("recipient"):
        raise ValueError("should name a recipient by our identifier")
    return name


def _content(name: str) -> dict[str, Any]:
    return {"identifier": {"system": CONTENT, "value": name}}


def _content_of(value: Any) -> str:
    system, name = identifier_of(value)
    if system != CONTENT:
        raise ValueError(f"should name content by an identifier of {CONTENT}")
    return name


CONTENT_CODEC = Codec("Reference", _content, _content_of, (CONTENT,))


def check(it: Consent) -> Iterator[tuple[str, str]]:
    if it.valid_from and it.valid_to and it.valid_to < it.valid_from:
        yield "/validTo", "is before validFrom"
    for n, provision in enumerate(it.provisions):
        period = provision.period
        if period and period.start and period.end and period.end < period.start:
            yield f"/provisions/{n}/period/end", "is before the start"


KIND = Kind(
    "consent", "consents", Consent, check=check,
    resources=[
        Resource("Consent", "consent", "Consent", head=True, shape={
            "status": code("status"),
            "scope": follows_table("kind", SCOPE),
            "category": [follows_table("kind", CATEGORY)],
            "patient": subject(),
            "dateTime": moment("signed_at"),
            "performer": [SignedBy()],
            "organization": [Refers("Organization", "clinic_id", role="clinic")],
            "policy": [{"uri": follows_table("kind", POLICY)}],
            "provision": {
                "period": {"start": moment("valid_from"), "end": moment("valid_to")},
                "provision": [each("provisions", {
                    "type": code("decision"),
                    "period": {"start": moment("period.start"), "end": moment("period.end")},
                    "actor": [Actor()],
                    "purpose": [coding("purpose")],
                    "code": [concept("data_class")],
                    "data": [each("content", {"meaning": "instance", "reference": Said("", lambda _f: CONTENT_CODEC)})],
                })],
            },
            "extension": [
                recorded(),
                extension("consent-kind", valueCodeableConcept=concept("kind")),
                extension_of(WITNESS, valueReference=practitioner("witness")),
                extension("off-label-explained", valueBoolean=boolean("off_label_explained")),
                extension("capacity-assessed", valueBoolean=boolean("capacity_assessed")),
                extension("withdrawn-at", valueDateTime=moment("withdrawn_at")),
                extension("source-document-hash", valueString=string("source_document_hash")),
            ],
        }),
    ],
)
