"""Patient: whose record it is.

| our field                  | R4 Patient                                              | class |
| -------------------------- | ------------------------------------------------------- | ----- |
| id                         | identifier of our system patient                        | C0    |
| nhsNumber, nhsNumberStatus | identifier of NHS numbers, with its verification status | C0    |
| name, birthDate, gender    | name, birthDate, gender                                 | C0    |
| address, telecom           | address, telecom                                        | C0    |
| gpOdsCode                  | generalPractitioner, by ODS code                        | C0    |
| communicationLanguage      | communication.language                                  | C0    |
| sexRegistered              | extension sex-registered                                | C1    |
| emergencyContact           | contact                                                 | C1    |
| deceasedAt                 | deceasedDateTime                                        | C0    |
| recordedAt, recordedBy     | extension recorded; repeated by Provenance              | C0    |
"""

from collections.abc import Iterator
from datetime import date, datetime
from typing import Annotated, Any

from mappings import codes
from mappings.code_table import codings_of
from mappings.datatypes import code, concept, day, extension, extension_of, logical, moment, string
from mappings.disclosure import C0, C1
from mappings.kind import Kind, Resource
from mappings.medication import PractitionerKey
from mappings.model import Key, Label, Pattern, record
from mappings.parts import recorded
from mappings.people import Address, Contact, Name, address, contact_points, human_name
from mappings.shape import Codec, Said, Tree, each, key

VERIFICATION_STATUS = "https://fhir.hl7.org.uk/StructureDefinition/Extension-UKCore-NHSNumberVerificationStatus"
NhsNumber = Annotated[str, Pattern(r"\d{10}", "ten digits")]
Language = Annotated[str, Pattern(r"[a-z]{2,3}(-[A-Z][a-z]{3})?(-[A-Z]{2})?", "a language tag of BCP 47, such as en-GB")]
LANGUAGES = "urn:ietf:bcp:47"


@record
class EmergencyContact:
    name: C1[Label]
    relationship: C1[Annotated[str, codes.RELATIONSHIP] | None] = None
    phone: C1[Label | None] = None


@record
class Patient:
    id: C0[Key]
    recorded_at: C0[datetime]
    recorded_by: C0[PractitionerKey | None] = None
    nhs_number: C0[NhsNumber | None] = None
    nhs_number_status: C0[Annotated[str, codes.NHS_NUMBER_STATUS] | None] = None
    name: C0[tuple[Name, ...]] = ()
    birth_date: C0[date | None] = None
    gender: C0[Annotated[str, codes.ADMINISTRATIVE_GENDER] | None] = None
    address: C0[tuple[Address, ...]] = ()
    telecom: C0[tuple[Contact, ...]] = ()
    gp_ods_code: C0[Key | None] = None
    communication_language: C0[Language | None] = None
    sex_registered: C1[Annotated[str, codes.ADMINISTRATIVE_GENDER] | None] = None
    emergency_contact: C1[EmergencyContact | None] = None
    deceased_at: C0[datetime | None] = None


def is_nhs_number(number: str) -> bool:
    """Whether ten digits are an NHS number: modulus 11 over the first nine, and not one digit ten times (NHS Data Dictionary)."""
    if len(number) != 10 or not number.isdecimal() or not number.isascii() or len(set(number)) == 1:
        return False
    check = 11 - sum(int(digit) * weight for digit, weight in zip(number, range(10, 1, -1), strict=False)) % 11
    return check % 11 == int(number[9]) and check != 10


def check(it: Patient) -> Iterator[tuple[str, str]]:
    if it.nhs_number is not None and not is_nhs_number(it.nhs_number):
        yield "/nhsNumber", "is no NHS number: its check digit is wrong"
    if it.nhs_number is not None and it.id == it.nhs_number:
        yield "/id", "is the clinic's own key, never the NHS number"


def _language() -> Said:
    def back(value: Any) -> str:
        found = next((c.get("code") for c in codings_of(value) if c.get("system") == LANGUAGES), None)
        if not isinstance(found, str):
            raise ValueError(f"should have a coding of {LANGUAGES}")
        return found

    return Said("communication_language", lambda _f: Codec("CodeableConcept", lambda v: {"coding": [{"system": LANGUAGES, "code": v}]}, back, (LANGUAGES,)))


KIND = Kind(
    "patient", "patients", Patient, check=check,
    resources=[
        Resource("Patient", "patient", "Patient", head=True, shape={
            "identifier": Tree({
                "extension": [extension_of(VERIFICATION_STATUS, valueCodeableConcept=concept("nhs_number_status"))],
                "system": key(codes.NHS_NUMBER),
                "value": string("nhs_number"),
            }),
            "active": True,
            "name": [each("name", human_name())],
            "telecom": [contact_points()],
            "gender": code("gender"),
            "birthDate": day("birth_date"),
            "deceasedDateTime": moment("deceased_at"),
            "address": [each("address", address())],
            "contact": [{
                "extension": [extension("relationship", valueCodeableConcept=concept("emergency_contact.relationship"))],
                "relationship": [codes.concept(codes.EMERGENCY_CONTACT)],
                "name": {"text": string("emergency_contact.name")},
                "telecom": [{"system": "phone", "value": string("emergency_contact.phone")}],
            }],
            "communication": [{"language": _language()}],
            "generalPractitioner": [logical("Organization", codes.ODS_ORGANISATION, "gp_ods_code")],
            "extension": [recorded(), extension("sex-registered", valueCode=code("sex_registered"))],
        }),
    ],
)
