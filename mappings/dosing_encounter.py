"""Dosing encounter: one monitored ketamine session, from the checks before it to the discharge after it.

| our field                          | R4                                                            | class |
| ---------------------------------- | ------------------------------------------------------------- | ----- |
| id, patientId                      | Encounter.identifier; .subject                                | C0    |
| status, reason                     | Encounter.status; reasonCancelled or `ended-early` (visit.py) | C0-C1 |
| start, end, site, clinicId         | Encounter.period, .location, .serviceProvider                 | C0    |
| pathwayId, room, participants      | Encounter.episodeOfCare, .location, .participant              | C1    |
| screeningId, consentId             | Encounter extensions screening, treatment-consent             | C1    |
| escort                             | RelatedPerson                                                 | C1    |
| preChecks                          | Observation set, Observation blood pressure, C-SSRS response  | C0-C2 |
| prescription                       | MedicationRequest, Observation body weight (medication.py)    | C0-C1 |
| administrations, rescueMedications | MedicationAdministration, Medication (medication.py)          | C1    |
| observations                       | one Observation a reading, held together by a set             | C0-C1 |
| discharge                          | Observation discharge-readiness                               | C1    |
| controlledDrugRegisterRef          | Encounter extension controlled-drug-register                  | C1    |
| recordedAt, recordedBy             | Encounter extension recorded; repeated by Provenance          | C1    |
"""

from collections.abc import Iterator
from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any

from mappings import codes, medication
from mappings.datatypes import boolean, concept, extension, moment, quantity, string
from mappings.disclosure import C0, C1, C2, Level
from mappings.instruments import INSTRUMENTS, RISK_LEVEL, Answer, check_answers
from mappings.kind import Kind, Resource
from mappings.medication import Administration, PractitionerKey, Prescription, RescueMedication
from mappings.model import HOURS, MINUTES, SCORE, Between, Key, Label, Rating, To, record
from mappings.parts import component, follows, iso, moment_or_unknown, own, own_each, practitioner, recorded, subject, the_clinic
from mappings.readings import BloodPressure, Celsius, Percent, PerMinute, members, observation, scale, set_category, set_code, taken_during, vital_sign
from mappings.responses import Items
from mappings.shape import Element, Refers, derived, fixed
from mappings.visit import Status, StatusMark, VisitStatus, attended_by_each, episode, escorted, visit_shape

STATUS = VisitStatus({
    "planned": "planned", "arrived": "arrived", "in-progress": "in-progress", "finished": "finished", "cancelled": "cancelled",
    "no-show": ("cancelled", "not-attended"), "aborted": ("finished", "ended-early"),
})
STATUSES = codes.table(codes.ENCOUNTER_STATUS, {status: status for status in STATUS.rows}, name="dosing status")
C_SSRS = INSTRUMENTS["C-SSRS"]
FUNCTION = codes.own("visit-function", "What a clinician did at a visit", {
    "prescriber": "Prescriber", "administrator": "Administrator", "checker": "Checker", "monitor": "Monitor", "therapist": "Therapist",
})


@record
class Participant:
    practitioner: C1[PractitionerKey]
    function: C1[Annotated[str, FUNCTION]]


@record
class Escort:
    name: C1[Label | None] = None
    relationship: C1[Annotated[str, codes.RELATIONSHIP] | None] = None


@record
class PreChecks:
    checked_at: C0[datetime]  # R4 knows no blood pressure without its time
    bp: C0[BloodPressure | None] = None
    fast_food_hours: C1[Annotated[Decimal, HOURS, Between(0, 500)] | None] = None
    fluids_minutes: C1[Annotated[Decimal, MINUTES, Between(0, 30_000)] | None] = None
    alcohol_24h: C2[bool | None] = None
    recreational_drugs: C2[bool | None] = None
    escort_confirmed: C1[bool | None] = None
    pregnancy_rechecked: C1[bool | None] = None
    cs_srs_level: C1[Annotated[str, RISK_LEVEL] | None] = None
    cs_srs_answers: C2[tuple[Answer, ...]] = ()


@record
class Observed:
    """What was read at one time. There are readings before the first dose, so `administrationId` is optional."""

    id: C0[Key]
    at: C0[datetime]
    bp: C0[BloodPressure | None] = None
    hr: C0[PerMinute | None] = None
    spo2: C0[Percent | None] = None
    rr: C0[PerMinute | None] = None
    temperature: C0[Celsius | None] = None
    minutes_from_dose: C1[Annotated[Decimal, MINUTES, Between(-10_000, 10_000)] | None] = None
    administration_id: C1[Annotated[Key, To("dosing-encounter", "administrations")] | None] = None
    acvpu: C1[Annotated[str, codes.ACVPU] | None] = None
    rass: C1[Annotated[int, SCORE, Between(-5, 4)] | None] = None
    moaas: C1[Annotated[int, SCORE, Between(0, 5)] | None] = None
    dissociation: C1[Rating | None] = None
    cadss: C1[Annotated[int, SCORE, Between(0, 112)] | None] = None
    nausea: C1[Rating | None] = None
    anxiety: C1[Rating | None] = None


@record
class Discharge:
    decided_at: C1[datetime | None] = None
    bp_acceptable: C1[bool | None] = None
    sedation_resolved: C1[bool | None] = None
    dissociation_resolved: C1[bool | None] = None
    mobile_unaided: C1[bool | None] = None
    escort_present: C1[bool | None] = None
    advice_given: C1[bool | None] = None
    no_driving_until: C1[datetime | None] = None
    decided_by: C1[PractitionerKey | None] = None


@record
class DosingEncounter:
    id: C0[Key]
    patient_id: C0[Annotated[Key, To("patient")]]
    clinic_id: C0[Annotated[Key, To("clinic")]]
    recorded_at: C1[datetime]
    recorded_by: C1[PractitionerKey]
    status: Annotated[C0[Annotated[str, STATUSES]], STATUS.coarse()]
    start: C0[datetime]
    end: C0[datetime | None] = None
    site: C0[Key | None] = None
    reason: C1[Annotated[str, codes.VISIT_REASON] | None] = None
    pathway_id: C1[Annotated[Key, To("pathway")] | None] = None
    screening_id: C1[Annotated[Key, To("screening")] | None] = None
    consent_id: C1[Annotated[Key, To("consent")] | None] = None
    room: C1[Annotated[Key, To("clinic", "rooms", via="clinic_id")] | None] = None
    participants: C1[tuple[Participant, ...]] = ()
    escort: C1[Escort | None] = None
    pre_checks: C0[PreChecks | None] = None
    prescription: C0[Prescription | None] = None
    administrations: C0[tuple[Administration, ...]] = ()
    observations: C0[tuple[Observed, ...]] = ()
    rescue_medications: C0[tuple[RescueMedication, ...]] = ()
    discharge: C1[Discharge | None] = None
    controlled_drug_register_ref: C1[Label | None] = None


_ITEM_VITALS = ("bp", "hr", "spo2", "rr", "temperature")
_ITEM_SCALES = {
    "rass": "RASS", "moaas": "MOAA/S", "dissociation": "Dissociation", "cadss": "CADSS", "nausea": "Nausea", "anxiety": "Anxiety",
}
_VITAL_ROLES = tuple(f"observation-{name}" for name in _ITEM_VITALS)
_MEMBER_ROLES = (*_VITAL_ROLES, "observation-acvpu", *(f"observation-{name}" for name in _ITEM_SCALES))


def _observations() -> list[Resource]:
    """One Observation a reading, and the set that holds those of one time together."""
    during = {"partOf": taken_during()}
    return [
        *(vital_sign(name, role=f"observation-{name}", over="observations", more=during) for name in _ITEM_VITALS),
        observation("observation-acvpu", "Level of consciousness", codes.ACVPU_CODE, over="observations", category="vital-signs",
                    more={"valueCodeableConcept": concept("acvpu"), **during}),
        *(scale(f"observation-{name}", name, title, over="observations", more=during) for name, title in _ITEM_SCALES.items()),
        observation(
            "observation", "Observations taken together", set_code(_VITAL_ROLES), over="observations", since=Level.C0,
            effective={"effectiveDateTime": moment("at")},
            more={
                "category": set_category(_VITAL_ROLES),
                "partOf": [Refers("MedicationAdministration", "administration_id", role="administration")],
                "hasMember": members(*_MEMBER_ROLES),
                "extension": [extension("time-point", valueDuration=quantity("minutes_from_dose"))],
            },
        ),
    ]


def _pre_checks() -> list[Resource]:
    checked: dict[str, Any] = {"at": "pre_checks.checked_at"}
    return [
        vital_sign("bp", role="pre-check-bp", prefix="pre_checks.", **checked),
        Resource("QuestionnaireResponse", "pre-check-c-ssrs", "Answers to an instrument", shape={
            "questionnaire": C_SSRS.canonical,
            "status": "completed",
            "subject": subject(),
            "encounter": own("visit"),
            "authored": follows("pre_checks.checked_at", iso),
            "item": Items(C_SSRS, "pre_checks.cs_srs_answers", total=None, risk="pre_checks.cs_srs_level"),
        }),
        observation(
            "pre-check-risk", "Suicide risk level", codes.loinc("93374-7", "Suicide risk level"), category="survey", **checked,
            since=Level.C1, when=lambda it, _of: it.pre_checks is not None and it.pre_checks.cs_srs_level is not None,
            more={"valueCodeableConcept": follows("pre_checks.cs_srs_level", RISK_LEVEL.concept),
                  "derivedFrom": own_each("pre-check-c-ssrs")},
        ),
        observation(
            "pre-check", "Checks before a dose", like_any_set_at_c0(codes.observed("pre-dose-checks"), set_code(PRESSURE)),
            plain="Observations taken together", since=Level.C0,
            effective={"effectiveDateTime": moment("pre_checks.checked_at")},
            when=lambda it, _of: it.pre_checks is not None,
            more={
                "category": like_any_set_at_c0([codes.CATEGORY["exam"]], set_category(PRESSURE)),
                "hasMember": own_each("pre-check-bp", "pre-check-risk"),
                "component": [
                    component(codes.loinc("87527-8", "Time since last food"), valueQuantity=quantity("pre_checks.fast_food_hours")),
                    component(codes.part("fluids-interval"), valueQuantity=quantity("pre_checks.fluids_minutes")),
                    component(codes.part("alcohol-24h"), valueBoolean=boolean("pre_checks.alcohol_24h")),
                    component(codes.part("recreational-drugs"), valueBoolean=boolean("pre_checks.recreational_drugs")),
                    component(codes.part("escort-confirmed"), valueBoolean=boolean("pre_checks.escort_confirmed")),
                    component(codes.part("pregnancy-rechecked"), valueBoolean=boolean("pre_checks.pregnancy_rechecked")),
                ],
            },
        ),
    ]


PRESSURE = ("pre-check-bp",)


def like_any_set_at_c0(its_own: Any, as_any: Element) -> Element:
    """At C0 a set of checks before a dose looks like any other set of observations, in its code and its category."""
    return derived("the view", lambda it, of: as_any.write(it, of) if of.view < Level.C1 else its_own)


def _discharge() -> Resource:
    answers = ("bp_acceptable", "sedation_resolved", "dissociation_resolved", "mobile_unaided", "escort_present", "advice_given")
    return observation(
        "discharge", "Readiness for discharge", fixed(codes.observed("discharge-readiness")),
        effective=moment_or_unknown("effectiveDateTime", "discharge.decided_at"),
        performer=[practitioner("discharge.decided_by"), the_clinic()],
        when=lambda it, _of: it.discharge is not None,
        more={"component": [
            *(component(codes.part(name.replace("_", "-")), valueBoolean=boolean(f"discharge.{name}")) for name in answers),
            component(codes.part("no-driving-until"), valueDateTime=moment("discharge.no_driving_until")),
        ]},
    )


def check(it: DosingEncounter) -> Iterator[tuple[str, str]]:
    """What cannot be represented: time that runs backwards, a reason for what needs none, a cancelled visit with a dose in it."""
    if it.start and it.end and it.end < it.start:
        yield "/end", "is before the start"
    if it.reason is not None and it.status not in ("cancelled", "no-show", "aborted"):
        yield "/reason", "is the reason of a cancelled, missed or aborted visit"
    if it.status in ("cancelled", "no-show") and it.administrations:
        yield "/status", f"{it.status} means ended before it has begun, and there is an administration: use aborted"
    if it.pre_checks is not None:
        yield from check_answers(C_SSRS, it.pre_checks.cs_srs_answers, "/preChecks/csSrsAnswers")
    if it.prescription is not None and it.prescription.weight_kg is not None and it.prescription.weight_measured_at is None:
        yield "/prescription/weightMeasuredAt", "is needed with a weight: R4 knows no body weight without its time, nor that it is unknown (vs-1)"
    for name, doses in (("administrations", it.administrations), ("rescueMedications", it.rescue_medications)):
        for n, dose in enumerate(doses):
            if dose.start and dose.end and dose.end < dose.start:
                yield f"/{name}/{n}/end", "is before the start"
    given = {dose.id for dose in it.administrations}
    for n, reading in enumerate(it.observations):
        if reading.administration_id is not None and reading.administration_id not in given:
            yield f"/observations/{n}/administrationId", "is no administration of this encounter"


KIND = Kind(
    "dosing-encounter", "dosing-encounters", DosingEncounter, check=check,
    resources=[
        Resource("RelatedPerson", "escort", "Escort", shape={
            "patient": subject(),
            "relationship": [concept("escort.relationship")],
            "name": [{"text": string("escort.name")}],
        }),
        Resource("Encounter", "visit", "Ketamine dosing session", plain="Visit", head=True, key_since=Level.C1, shape=visit_shape(
            "dosing", Status(STATUS, "status"), mode=fixed(codes.MODE.coding("in-person")), mark=StatusMark(STATUS, "status", "reason"),
            episode=episode(), room="room",
            participants=[escorted(), attended_by_each("participants", "function", "practitioner")],
            extensions=[
                recorded(),
                extension("screening", valueReference=Refers("Encounter", "screening_id", role="visit")),
                extension("treatment-consent", valueReference=Refers("Consent", "consent_id", role="consent")),
                extension("controlled-drug-register", valueString=string("controlled_drug_register_ref")),
            ],
        )),
        *_pre_checks(),
        *medication.prescription(),
        *medication.administrations("administrations", "administration", product="product", prescribed=True),
        *medication.administrations("rescue_medications", "rescue-medication", product=None, prescribed=False),
        *_observations(),
        _discharge(),
    ],
)
