"""Screening: assessment and preparation before the pathway, ending in who is suitable for what.

| our field                                | R4                                                           | class |
| ---------------------------------------- | ------------------------------------------------------------ | ----- |
| id, patientId                            | Encounter.identifier; .subject                               | C0    |
| status                                   | Encounter.status; `amended` from C1 (visit.py)               | C0-C1 |
| start, completedAt, mode, site, clinicId | Encounter.period, .class, .location, .serviceProvider        | C0    |
| pathwayId, clinician                     | Encounter.episodeOfCare, .participant                        | C1    |
| instruments                              | QuestionnaireResponse; derived Observations (instruments.py) | C1-C2 |
| sensitiveInstruments                     | the same                                                     | C2    |
| vitals, ecg, lft                         | Observations                                                 | C0    |
| pregnancy, pregnancyTestDate             | Observation 82810-3                                          | C1    |
| uds, traumaType                          | Observations                                                 | C2    |
| contraindications                        | one Observation each, present or looked for and absent       | C1-C2 |
| medicationReview                         | Procedure review of medication                               | C1    |
| stability                                | Observation stability                                        | C1-C2 |
| supportPerson                            | RelatedPerson                                                | C1    |
| outcome, reasons, validUntil             | RiskAssessment                                               | C1-C2 |
| recommendedPathway                       | RiskAssessment extension recommended-pathway                 | C1    |
| recordedAt, recordedBy                   | Encounter extension recorded; repeated by Provenance         | C1    |
"""

from collections.abc import Iterator
from datetime import date, datetime
from decimal import Decimal
from typing import Annotated

from mappings import codes, instruments
from mappings.assessment import (
    OUTCOME,
    RECOMMENDED,
    TRAUMA_TYPE,
    Contraindication,
    MedicationReview,
    Reason,
    Stability,
    SupportPerson,
    assessment,
)  # fmt: skip
from mappings.code_table import own, table
from mappings.datatypes import boolean, concept, day, extension, moment, quantity, string
from mappings.disclosure import C0, C1, C2, Level
from mappings.instruments import Administered, SensitivelyAdministered
from mappings.kind import Kind, Resource
from mappings.medication import PractitionerKey
from mappings.model import Between, Key, To, Unit, record
from mappings.parts import component, own_each, recorded, subject
from mappings.readings import BloodPressure, Centimetres, Kilograms, Percent, PerMinute, members, observation, set_category, set_code, vital_sign
from mappings.responses import administered
from mappings.shape import each
from mappings.visit import Status, StatusMark, VisitStatus, attended_by, episode, visit_shape

STATUS = VisitStatus({"in-progress": "in-progress", "completed": "finished", "amended": ("finished", "amended"), "cancelled": "cancelled"})
STATUSES = codes.table(codes.ENCOUNTER_STATUS, {status: status for status in STATUS.rows}, name="screening status")
MILLISECONDS, UNITS_PER_LITRE, MICROMOLES = Unit("ms", "ms"), Unit("U/L", "U/L"), Unit("umol/L", "umol/L")
Enzyme = Annotated[Decimal, UNITS_PER_LITRE, Between(0, 100_000)]

PREGNANCY = own(
    "pregnancy", "Pregnancy status",
    {"pregnant": "Pregnant", "not-pregnant": "Not pregnant", "possible": "Possible pregnancy", "not-applicable": "Not applicable"},
    {
        "pregnant": [codes.snomed("77386006", "Pregnant")], "not-pregnant": [codes.snomed("60001007", "Not pregnant")],
        "possible": [codes.snomed("102874004", "Possible pregnancy")],
    },
)
ECG = own("ecg-interpretation", "Interpretation of an ECG", {
    "normal": "Normal", "abnormal-not-significant": "Abnormal, not clinically significant", "abnormal-significant": "Abnormal, clinically significant",
})
DRUG_TESTED = own("drug-tested", "Drugs looked for in urine", {
    "amphetamines": "Amphetamines", "benzodiazepines": "Benzodiazepines", "cannabis": "Cannabis", "cocaine": "Cocaine", "ketamine": "Ketamine",
    "mdma": "MDMA", "methadone": "Methadone", "opiates": "Opiates",
})
TEST_RESULT = table(codes.V3 + "ObservationInterpretation", {
    "positive": ("POS", "Positive"), "negative": ("NEG", "Negative"), "indeterminate": ("IND", "Indeterminate"),
})


@record
class Vitals:
    at: C0[datetime]
    bp: C0[BloodPressure | None] = None
    hr: C0[PerMinute | None] = None
    spo2: C0[Percent | None] = None
    rr: C0[PerMinute | None] = None
    weight: C0[Kilograms | None] = None
    height: C0[Centimetres | None] = None


@record
class Ecg:
    qtc: C0[Annotated[Decimal, MILLISECONDS, Between(100, 1000)] | None] = None
    interpretation: C0[Annotated[str, ECG] | None] = None


@record
class LiverFunction:
    alt: C0[Enzyme | None] = None
    ast: C0[Enzyme | None] = None
    alp: C0[Enzyme | None] = None
    bilirubin: C0[Annotated[Decimal, MICROMOLES, Between(0, 10_000)] | None] = None


@record
class DrugTest:
    drug: C2[Annotated[str, DRUG_TESTED]]
    result: C2[Annotated[str, TEST_RESULT]]


@record
class Screening:
    id: C0[Key]
    patient_id: C0[Annotated[Key, To("patient")]]
    clinic_id: C0[Annotated[Key, To("clinic")]]
    recorded_at: C1[datetime]
    recorded_by: C1[PractitionerKey]
    status: Annotated[C0[Annotated[str, STATUSES]], STATUS.coarse()]
    start: C0[datetime]
    completed_at: C0[datetime | None] = None
    mode: C0[Annotated[str, codes.MODE]]
    site: C0[Key | None] = None
    pathway_id: C1[Annotated[Key, To("pathway")] | None] = None
    valid_until: C1[date | None] = None
    clinician: C1[PractitionerKey | None] = None
    instruments: C1[tuple[Administered, ...]] = ()
    sensitive_instruments: C2[tuple[SensitivelyAdministered, ...]] = ()
    vitals: C0[Vitals | None] = None
    pregnancy: C1[Annotated[str, PREGNANCY] | None] = None
    pregnancy_test_date: C1[date | None] = None
    ecg: C0[Ecg | None] = None
    lft: C0[LiverFunction | None] = None
    uds: C2[tuple[DrugTest, ...]] = ()
    contraindications: C1[tuple[Contraindication, ...]] = ()
    medication_review: C1[MedicationReview | None] = None
    stability: C1[Stability | None] = None
    support_person: C1[SupportPerson | None] = None
    trauma_type: C2[tuple[Annotated[str, TRAUMA_TYPE], ...]] = ()
    outcome: C1[Annotated[str, OUTCOME] | None] = None
    reasons: C1[tuple[Reason, ...]] = ()
    recommended_pathway: C1[Annotated[str, RECOMMENDED] | None] = None


_VITALS = ("bp", "hr", "spo2", "rr", "weight", "height")
_ENZYMES = {"alt": ("1742-6", "Alanine aminotransferase"), "ast": ("1920-8", "Aspartate aminotransferase"),
            "alp": ("6768-6", "Alkaline phosphatase"), "bilirubin": ("1975-2", "Bilirubin")}


def _vitals() -> list[Resource]:
    roles = tuple(f"vitals-{name}" for name in _VITALS)
    return [
        *(vital_sign(name, role=f"vitals-{name}", prefix="vitals.", at="vitals.at") for name in _VITALS),
        observation("vitals", "Observations taken together", set_code(roles), effective={"effectiveDateTime": moment("vitals.at")}, since=Level.C0,
                    more={"category": set_category(roles), "hasMember": members(*roles)}),
    ]


def _tests() -> list[Resource]:
    return [
        observation("ecg", "Electrocardiogram", codes.loinc("11524-6", "ECG study"), category="procedure", at="start", more={
            "valueCodeableConcept": concept("ecg.interpretation"),
            "component": [component(codes.loinc("8636-3", "QTc interval"), valueQuantity=quantity("ecg.qtc"))],
        }),
        *(observation(f"lft-{name}", title, codes.loinc(code, title), category="laboratory", at="start", more={"valueQuantity": quantity(f"lft.{name}")})
          for name, (code, title) in _ENZYMES.items()),
        observation("lft", "Liver function tests", codes.loinc("24325-3", "Liver function tests"), category="laboratory", at="start", since=Level.C0,
                    when=lambda it, _of: it.lft is not None, more={"hasMember": own_each(*(f"lft-{name}" for name in _ENZYMES))}),
        observation("uds", "Drugs looked for in urine", codes.loinc("72479-9", "Drugs of abuse panel"), category="laboratory", at="start", more={
            "component": [each("uds", {"code": concept("drug"), "valueCodeableConcept": concept("result")})],
        }),
        observation("pregnancy", "Pregnancy status", codes.loinc("82810-3", "Pregnancy status"), category="social-history", at="start", more={
            "valueCodeableConcept": concept("pregnancy"),
            "component": [component(codes.part("pregnancy-test-date"), valueDateTime=day("pregnancy_test_date"))],
        }),
    ]


def check(it: Screening) -> Iterator[tuple[str, str]]:
    if it.start and it.completed_at and it.completed_at < it.start:
        yield "/completedAt", "is before the start"
    for name, items in (("instruments", it.instruments), ("sensitiveInstruments", it.sensitive_instruments)):
        for n, one in enumerate(items):
            yield from instruments.check(one, f"/{name}/{n}")
    if it.medication_review is not None and it.medication_review.items and it.medication_review.background_id is None:
        yield "/medicationReview/backgroundId", "is needed to tell whose medications were reviewed"


KIND = Kind(
    "screening", "screenings", Screening, check=check,
    resources=[
        Resource("RelatedPerson", "support-person", "Support person", shape={
            "patient": subject(),
            "relationship": [concept("support_person.relationship")],
            "name": [{"text": string("support_person.name")}],
            "extension": [extension("agreed-to-support", valueBoolean=boolean("support_person.agreed"))],
        }),
        Resource("Encounter", "visit", "Assessment and screening", plain="Visit", head=True, key_since=Level.C1, shape=visit_shape(
            "screening", Status(STATUS, "status"), end="completed_at", mark=StatusMark(STATUS, "status", None),
            episode=episode(), participants=[attended_by("clinician")], extensions=[recorded()],
        )),
        *administered("instruments", "instrument"),
        *administered("sensitive_instruments", "sensitive-instrument"),
        *_vitals(),
        *_tests(),
        *assessment(),
    ],
)
