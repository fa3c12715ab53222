"""Medical background: a patient's conditions, allergies, medications and history, which outlive any visit.

| our field                          | R4                                                  | class |
| ---------------------------------- | --------------------------------------------------- | ----- |
| id, patientId                      | Observation background-history, identifier; subject | C0    |
| conditions                         | Condition                                           | C1    |
| allergies                          | AllergyIntolerance                                  | C0    |
| medications                        | MedicationStatement                                 | C1    |
| priorAntidepressantTrials          | Observation background-history, component           | C1    |
| psychosis, mania, seizure, bladder | Observation background-history, components          | C1    |
| substanceHistory                   | Observation substance-history                       | C2    |
| recordedAt, recordedBy             | Observation background-history, extension recorded  | C1    |
"""

from collections.abc import Iterator
from datetime import datetime
from typing import Annotated, Any

from mappings import codes
from mappings.code_table import codings_of, own, table
from mappings.datatypes import boolean, code, concept, extension, integer, partial_date, string, text_of
from mappings.disclosure import C0, C1, C2, Level
from mappings.kind import Kind, Resource
from mappings.medication import PractitionerKey
from mappings.model import Between, Key, Label, Narrative, PartialDate, Pattern, To, record
from mappings.parts import component, follows, iso, recorded, subject
from mappings.pathway import CONDITION
from mappings.readings import observation
from mappings.shape import Codec, Element, Reading, Said, Writing, derived

CONDITION_STATUS = table(codes.HL7 + "condition-clinical", {
    "active": "Active", "recurrence": "Recurrence", "relapse": "Relapse", "inactive": "Inactive", "remission": "Remission", "resolved": "Resolved",
})
CONDITION_VERIFICATION = table(codes.HL7 + "condition-ver-status", {
    "unconfirmed": "Unconfirmed", "provisional": "Provisional", "differential": "Differential", "confirmed": "Confirmed", "refuted": "Refuted",
})
ALLERGY_STATUS = table(codes.HL7 + "allergyintolerance-clinical", {"active": "Active", "inactive": "Inactive", "resolved": "Resolved"})
ALLERGY_VERIFICATION = table(codes.HL7 + "allergyintolerance-verification", {
    "unconfirmed": "Unconfirmed", "confirmed": "Confirmed", "refuted": "Refuted",
})
CRITICALITY = table("http://hl7.org/fhir/allergy-intolerance-criticality", {
    "low": "Low Risk", "high": "High Risk", "unable-to-assess": "Unable to Assess Risk",
})
MEDICATION_STATUS = table("http://hl7.org/fhir/CodeSystem/medication-statement-status", {
    "active": "Active", "completed": "Completed", "intended": "Intended", "stopped": "Stopped", "on-hold": "On Hold",
    "unknown": "Unknown", "not-taken": "Not Taken",
})
MEDICATION_CLASS = own("medication-class", "Medicines that matter to ketamine", {
    "benzodiazepine": "Benzodiazepine", "z-drug": "Z-drug", "opioid": "Opioid", "MAOI": "Monoamine oxidase inhibitor",
    "psychostimulant": "Psychostimulant", "lamotrigine": "Lamotrigine", "other": "Other",
})
DmdCode = Annotated[str, Pattern(r"[1-9]\d{5,17}", "a dm+d code of 6 to 18 digits")]


@record
class Condition:
    id: C0[Key]
    code: C1[Annotated[str, CONDITION]]
    clinical_status: C1[Annotated[str, CONDITION_STATUS] | None] = None
    verification: C1[Annotated[str, CONDITION_VERIFICATION] | None] = None
    onset: C1[PartialDate | None] = None


@record
class Allergy:
    id: C0[Key]
    substance: C0[Label]
    clinical_status: C0[Annotated[str, ALLERGY_STATUS]]  # ait-1 wants one, and its binding knows no way to say that it is unknown
    reaction: C0[Label | None] = None
    criticality: C0[Annotated[str, CRITICALITY] | None] = None
    verification: C0[Annotated[str, ALLERGY_VERIFICATION] | None] = None


@record
class Medication:
    """A medicine that the patient takes or took. `code` is a dm+d code as the clinic's system holds it; `text` names the medicine."""

    id: C0[Key]
    status: C1[Annotated[str, MEDICATION_STATUS]]
    code: C1[DmdCode | None] = None
    text: C1[Label | None] = None
    dose: C1[Label | None] = None
    route: C1[Annotated[str, codes.ROUTE] | None] = None
    frequency: C1[Label | None] = None
    class_: C1[Annotated[str, MEDICATION_CLASS] | None] = None
    since: C1[PartialDate | None] = None


@record
class MedicalBackground:
    id: C0[Key]
    patient_id: C0[Annotated[Key, To("patient")]]
    recorded_at: C1[datetime]
    recorded_by: C1[PractitionerKey]
    conditions: C1[tuple[Condition, ...]] = ()
    allergies: C0[tuple[Allergy, ...]] = ()
    medications: C1[tuple[Medication, ...]] = ()
    prior_antidepressant_trials: C1[Annotated[int, Between(0, 200)] | None] = None
    psychosis: C1[bool | None] = None
    mania: C1[bool | None] = None
    seizure: C1[bool | None] = None
    bladder: C1[bool | None] = None
    substance_history: C2[Narrative | None] = None


def _verhoeff(number: str) -> bool:
    """Whether the last digit of a SNOMED CT identifier is the check digit of the rest (SNOMED CT Technical Implementation Guide)."""
    permute = (1, 5, 7, 6, 2, 8, 3, 0, 9, 4)
    check = 0
    for place, digit in enumerate(map(int, reversed(number))):
        permuted = digit
        for _ in range(place % 8):
            permuted = permute[permuted]
        check = _dihedral(check, permuted)
    return check == 0


def _dihedral(a: int, b: int) -> int:
    """The product of two symmetries of the pentagon: 0 to 4 are rotations, 5 to 9 reflections."""
    turned = (a % 5 + b % 5) % 5 if a < 5 else (a % 5 - b % 5) % 5
    return turned + 5 * ((a >= 5) != (b >= 5))


def check(it: MedicalBackground) -> Iterator[tuple[str, str]]:
    for n, medication in enumerate(it.medications):
        if medication.code is None and medication.text is None:
            yield f"/medications/{n}", "has neither a dm+d code nor a text"
        if medication.code is not None and not _verhoeff(medication.code):
            yield f"/medications/{n}/code", "is no dm+d code: its check digit is wrong"


def _recorder(it: Any, of: Writing) -> Any:
    """Who took the history down: it belongs to no visit, so no clinic stands for it."""
    return [of.ids.reference("Practitioner", "practitioner", of.entity.recorded_by, "practitioner")]


class DmdCoding(Element):
    """medicationCodeableConcept: the clinic's dm+d code, its words for the medicine, or both."""

    wants = dict
    says = True

    def __init__(self) -> None:
        self.code = Said("code", lambda f: Codec("Coding", lambda v: {"system": codes.DMD, "code": v}, lambda v: text_of(f)(v.get("code")), (codes.DMD,)))
        self.text = string("text")

    def inside(self) -> Iterator[tuple[str, Element]]:
        yield ".coding", self.code
        yield ".text", self.text

    def write(self, it: Any, of: Writing) -> Any:
        coded, text = self.code.write(it, of), self.text.write(it, of)
        return {**({"coding": [coded]} if coded else {}), **({"text": text} if text else {})} or None

    def read(self, value: Any, at: str, into: dict[str, Any], of: Reading) -> None:
        coded = [one for one in codings_of(value) if one.get("system") == codes.DMD]
        if len(coded) > 1:
            of.refuse(f"{at}.coding", "has more than one dm+d code")
        for one in coded:
            self.code.hear(one, f"{at}.coding", into, of)
        if "text" in value:
            self.text.hear(value["text"], f"{at}.text", into, of)


KIND = Kind(
    "medical-background", "medical-backgrounds", MedicalBackground, check=check,
    resources=[
        Resource("Condition", "condition", "Condition", over="conditions", shape={
            "clinicalStatus": concept("clinical_status"),
            "verificationStatus": concept("verification"),
            "category": [codes.concept(codes.coding(codes.HL7 + "condition-category", "problem-list-item", "Problem List Item"))],
            "code": concept("code"),
            "subject": subject(),
            "onsetDateTime": partial_date("onset"),
            "recordedDate": follows("recorded_at", iso),
        }),
        Resource("AllergyIntolerance", "allergy", "Allergy or intolerance", over="allergies", shape={
            "clinicalStatus": concept("clinical_status"),
            "verificationStatus": concept("verification"),
            "criticality": code("criticality"),
            "code": {"text": string("substance")},
            "patient": subject(),
            "reaction": [{"manifestation": [{"text": string("reaction")}]}],
        }),
        Resource("MedicationStatement", "medication", "Medicine taken", over="medications", shape={
            "status": code("status"),
            "medicationCodeableConcept": DmdCoding(),
            "subject": subject(),
            "effectivePeriod": {"start": partial_date("since")},
            "dosage": [{"text": string("dose"), "timing": {"code": {"text": string("frequency")}}, "route": concept("route")}],
            "extension": [extension("medication-class", valueCodeableConcept=concept("class_"))],
        }),
        observation("background", "History relevant to the pathway", codes.observed("background-history"), category="social-history", head=True,
                    since=Level.C1, effective={"effectiveDateTime": follows("recorded_at", iso)}, performer=derived("`recordedBy`", _recorder), more={
                        "component": [
                            component(codes.part("antidepressant-trials"), valueInteger=integer("prior_antidepressant_trials")),
                            *(component(codes.part(name), valueBoolean=boolean(name)) for name in ("psychosis", "mania", "seizure", "bladder")),
                        ],
                        "extension": [recorded()],
                    }),
        observation("substance-history", "Substance use history", codes.observed("substance-history"), category="social-history",
                    effective={"effectiveDateTime": follows("recorded_at", iso)}, performer=derived("`recordedBy`", _recorder),
                    more={"valueString": string("substance_history")}),
    ],
)
