"""EMDR procedure: one session of eye movement desensitisation and reprocessing, its measures, and (C3) what was said in it.

| our field                                                                      | R4                                                      | class |
| ------------------------------------------------------------------------------ | ------------------------------------------------------- | ----- |
| id, patientId                                                                  | Procedure.identifier; .subject                          | C0    |
| status, reason                                                                 | Procedure.status, .statusReason; at C0 Encounter.status | C0-C1 |
| start, end, mode, site, clinicId                                               | Encounter.period, .class, .location, .serviceProvider   | C0    |
| pathwayId, partOfEncounterId, therapist                                        | Encounter.episodeOfCare, .partOf; Procedure.performer   | C1    |
| carePlanId, bls, daysSinceLastDose                                             | Procedure.basedOn, .usedCode, extension                 | C1    |
| focus, phases, setsCount, supervisionFlag                                      | Procedure extensions                                    | C2    |
| completeness                                                                   | Procedure.outcome                                       | C2    |
| target, beliefTheme                                                            | Observation emdr-target                                 | C2    |
| image, negativeCognition, positiveCognition, emotions, bodyLocation, narrative | Observation emdr-target, components                     | C3    |
| sudsBefore, sudsAfter, vocBefore, vocAfter, access, tolerance                  | Observations, before and after                          | C2    |
| stayedWithinTolerance, bodyScanClear                                           | Observation emdr-session-response                       | C2    |
| readiness                                                                      | Observation emdr-readiness                              | C2-C3 |
| safety                                                                         | Observations                                            | C1-C2 |
| recordedAt, recordedBy                                                         | Procedure extension recorded; repeated by Provenance    | C1    |

The course of which this session is a part belongs to the pathway.
"""

from collections.abc import Iterator
from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any

from mappings import codes
from mappings.code_table import own, table
from mappings.datatypes import boolean, code, complex_extension, concept, extension, integer, part_of, quantity, string
from mappings.disclosure import C0, C1, C2, C3, Coarse, Level
from mappings.instruments import RISK_LEVEL
from mappings.kind import Kind, Resource
from mappings.medication import PractitionerKey
from mappings.model import DAYS, SCORE, Between, Key, Label, Narrative, Rating, Text, To, record
from mappings.parts import component, follows, follows_table, iso, own_each, practitioner, recorded, subject, the_clinic
from mappings.parts import own as own_resource
from mappings.readings import observation, scale
from mappings.shape import Below, Refers, Said, Writing, derived, each
from mappings.visit import episode, visit_shape

PROCEDURE_STATUS = table("http://hl7.org/fhir/event-status", {
    "preparation": "Preparation", "in-progress": "In Progress", "completed": "Completed", "stopped": "Stopped", "not-done": "Not Done",
}, name="EMDR status")
# Below C1 there is no Procedure, and its visit says no more than R4's Encounter can.
VISIT_STATUS = {"preparation": "planned", "in-progress": "in-progress", "completed": "finished", "stopped": "finished", "not-done": "cancelled"}
SEEN_STATUS = table(codes.ENCOUNTER_STATUS, {
    "preparation": ("planned", "Planned"), "in-progress": ("in-progress", "In Progress"), "completed": ("finished", "Finished"),
    "not-done": ("cancelled", "Cancelled"),
}, name="EMDR status at C0")
COARSE = Coarse(Level.C1, {"stopped": "completed"})
EMDR = codes.concept(codes.snomed("449030000", "Eye movement desensitization and reprocessing therapy"), text="EMDR")

REASON = own("emdr-reason", "Why an EMDR session was stopped or not done", {
    "dissociation": "Dissociation", "outside-tolerance": "Outside the window of tolerance", "patient-request": "At the patient's request",
    "clinical-decision": "Clinical decision", "not-attended": "Did not attend", "risk": "Risk", "time": "Out of time", "other": "Other",
})
FOCUS = own("emdr-focus", "Focus of an EMDR session", {
    "stabilisation": "Stabilisation", "present-trigger": "Present trigger", "trauma-processing": "Trauma processing", "future-template": "Future template",
})
BLS = own("bilateral-stimulation", "Bilateral stimulation", {"eye-movement": "Eye movements", "tactile": "Tactile", "auditory": "Auditory"})
TARGET_TYPE = own("target-type", "When an EMDR target lies", {"past": "Past", "present": "Present", "future": "Future"})
BELIEF_THEME = own("belief-theme", "Theme of a belief about oneself", {
    "safety": "Safety", "responsibility": "Responsibility", "control": "Control", "worth": "Worth", "hope": "Hope",
})
COMPLETENESS = own("emdr-completeness", "How an EMDR session closed", {
    "complete": "Complete", "incomplete": "Incomplete", "containment-used": "Incomplete, contained",
})
Validity = Annotated[int, SCORE, Between(1, 7)]


@record
class Target:
    ref: C2[Label | None] = None
    type: C2[Annotated[str, TARGET_TYPE] | None] = None
    label: C2[Label | None] = None


@record
class BeforeAfter:
    before: C2[Rating | None] = None
    after: C2[Rating | None] = None


@record
class Override:
    by: C2[PractitionerKey]
    reason: C3[Text | None] = None


@record
class Readiness:
    alliance: C2[bool | None] = None
    medical_clearance: C2[bool | None] = None
    calm_place_works: C2[bool | None] = None
    can_shift_state: C2[bool | None] = None
    dual_attention: C2[bool | None] = None
    stable_home: C2[bool | None] = None
    not_suicidal: C2[bool | None] = None
    not_self_harming: C2[bool | None] = None
    addiction_controlled: C2[bool | None] = None
    des_ii: C2[Annotated[Decimal, SCORE, Between(0, 100)] | None] = None
    signed_by: C2[PractitionerKey | None] = None
    override: C2[Override | None] = None


@record
class Safety:
    cs_srs_level: C1[Annotated[str, RISK_LEVEL] | None] = None
    dissociation: C2[Rating | None] = None
    grounding_needed: C2[bool | None] = None


@record
class EmdrProcedure:
    id: C0[Key]
    patient_id: C0[Annotated[Key, To("patient")]]
    clinic_id: C0[Annotated[Key, To("clinic")]]
    recorded_at: C1[datetime]
    recorded_by: C1[PractitionerKey]
    status: Annotated[C0[Annotated[str, PROCEDURE_STATUS]], COARSE]
    start: C0[datetime]
    end: C0[datetime | None] = None
    mode: C0[Annotated[str, codes.MODE]]
    site: C0[Key | None] = None
    reason: C1[Annotated[str, REASON] | None] = None
    pathway_id: C1[Annotated[Key, To("pathway")] | None] = None
    care_plan_id: C1[Annotated[Key, To("integration-care-plan")] | None] = None
    part_of_encounter_id: C1[Annotated[Key, To("dosing-encounter")] | None] = None
    focus: C2[Annotated[str, FOCUS] | None] = None
    phases: C2[tuple[Annotated[int, Between(1, 8)], ...]] = ()
    bls: C1[Annotated[str, BLS] | None] = None
    sets_count: C2[Annotated[int, Between(0, 1000)] | None] = None
    target: C2[Target | None] = None
    image: C3[Narrative | None] = None
    negative_cognition: C3[Text | None] = None
    positive_cognition: C3[Text | None] = None
    emotions: C3[Text | None] = None
    body_location: C3[Text | None] = None
    narrative: C3[Narrative | None] = None
    belief_theme: C2[Annotated[str, BELIEF_THEME] | None] = None
    suds_before: C2[Rating | None] = None
    suds_after: C2[Rating | None] = None
    voc_before: C2[Validity | None] = None
    voc_after: C2[Validity | None] = None
    access: C2[BeforeAfter | None] = None
    tolerance: C2[BeforeAfter | None] = None
    stayed_within_tolerance: C2[bool | None] = None
    body_scan_clear: C2[bool | None] = None
    completeness: C2[Annotated[str, COMPLETENESS] | None] = None
    readiness: C2[Readiness | None] = None
    safety: C1[Safety | None] = None
    days_since_last_dose: C1[Annotated[int, DAYS, Between(0, 10_000)] | None] = None
    therapist: C1[PractitionerKey | None] = None
    supervision_flag: C2[bool | None] = None


def _course(it: Any, of: Writing) -> Any:
    return it.pathway_id and [of.ids.reference("Procedure", "pathway", it.pathway_id, "course")]


def _procedure() -> Resource:
    return Resource("Procedure", "procedure", "EMDR session", head=True, since=Level.C1, shape={
        "status": code("status"),
        "statusReason": concept("reason"),
        "code": EMDR,
        "subject": subject(),
        "encounter": own_resource("visit"),
        "performedPeriod": derived("`start` and `end`", lambda it, _of: {"start": iso(it.start), **({"end": iso(it.end)} if it.end else {})}),
        "performer": [{"actor": practitioner("therapist")}],
        "basedOn": [Refers("CarePlan", "care_plan_id", role="plan")],
        "partOf": derived("the EMDR course of `pathwayId`", _course),
        "outcome": concept("completeness"),
        "usedCode": [concept("bls")],
        "extension": [
            recorded(),
            extension("emdr-focus", valueCodeableConcept=concept("focus")),
            each("phases", extension("emdr-phase", valueInteger=integer())),
            extension("bilateral-stimulation-sets", valueInteger=integer("sets_count")),
            extension("days-since-last-dose", valueDuration=quantity("days_since_last_dose")),
            extension("supervision", valueBoolean=boolean("supervision_flag")),
        ],
    })


def _of_the_session(it: Any, of: Writing) -> Any:
    found = of.own("procedure")
    return None if found is None else [found]


DURING = {"partOf": derived("the session's Procedure", _of_the_session)}
AFTERWARDS = follows("end", iso)  # a rating made after the session has no time as long as its end is not known


def _measures() -> list[Resource]:
    """Each rating is an Observation at its own time, so that a trend can be asked for."""
    measured = (
        ("suds", "suds_before", "suds_after", "SUDS"), ("voc", "voc_before", "voc_after", "VOC"),
        ("access", "access.before", "access.after", "Access"), ("tolerance", "tolerance.before", "tolerance.after", "Tolerance"),
    )
    made = []
    for term, before, after, title in measured:
        focus = {"focus": own_each("target")} if term in ("suds", "voc") else {}
        made.append(scale(f"{term}-before", before, title, at="start", code=codes.observed(term), more={**DURING, **focus}))
        made.append(scale(f"{term}-after", after, title, effective={"effectiveDateTime": AFTERWARDS}, code=codes.observed(term), more={**DURING, **focus}))
    return made


def _target() -> Resource:
    said = {"image": "target-image", "negative_cognition": "negative-cognition", "positive_cognition": "positive-cognition",
            "emotions": "emotions", "body_location": "body-location", "narrative": "session-narrative"}
    return observation("target", "EMDR target", codes.observed("emdr-target"), category="therapy", at="start", since=Level.C2, more={
        **DURING,
        "valueString": string("target.label"),
        "component": [
            component(codes.part("target-type"), valueCodeableConcept=concept("target.type")),
            component(codes.part("belief-theme"), valueCodeableConcept=concept("belief_theme")),
            *(component(codes.part(part), valueString=string(name)) for name, part in said.items()),
        ],
        "extension": [extension("target-reference", valueString=string("target.ref"))],
    })


def _response() -> list[Resource]:
    ready = {
        "alliance": "alliance", "medical_clearance": "medical-clearance", "calm_place_works": "calm-place", "can_shift_state": "state-shifting",
        "dual_attention": "dual-attention", "stable_home": "stable-home", "not_suicidal": "not-suicidal", "not_self_harming": "not-self-harming",
        "addiction_controlled": "addiction-controlled",
    }
    return [
        observation("session-response", "Response during the session", codes.observed("emdr-session-response"), category="therapy",
                    effective={"effectiveDateTime": AFTERWARDS}, since=Level.C2, more={
                        **DURING,
                        "component": [
                            component(codes.part("stayed-within-tolerance"), valueBoolean=boolean("stayed_within_tolerance")),
                            component(codes.part("body-scan-clear"), valueBoolean=boolean("body_scan_clear")),
                            component(codes.part("grounding-needed"), valueBoolean=boolean("safety.grounding_needed")),
                        ],
                    }),
        observation("dissociation", "Dissociation", codes.observed("dissociation"), category="survey", at="start",
                    more={"valueQuantity": quantity("safety.dissociation"), **DURING}),
        observation("suicide-risk", "Suicide risk level", codes.loinc("93374-7", "Suicide risk level"), category="survey", at="start",
                    more={"valueCodeableConcept": concept("safety.cs_srs_level"), **DURING}),
        observation("readiness", "Readiness for trauma processing", codes.observed("emdr-readiness"), category="therapy",
                    effective={"effectiveDateTime": follows("start", iso)}, performer=[practitioner("readiness.signed_by"), the_clinic()], more={
                        "component": [
                            *(component(codes.part(part), valueBoolean=boolean(f"readiness.{name}")) for name, part in ready.items()),
                            component(codes.part("des-ii"), valueQuantity=quantity("readiness.des_ii")),
                        ],
                        "extension": [complex_extension(
                            "readiness-override",
                            part_of("by", valueReference=practitioner("readiness.override.by")),
                            part_of("reason", valueString=string("readiness.override.reason")),
                        )],
                    }),
    ]


def check(it: EmdrProcedure) -> Iterator[tuple[str, str]]:
    if it.start and it.end and it.end < it.start:
        yield "/end", "is before the start"


def _visit_status() -> Below:
    seen: Said = code("status", SEEN_STATUS)
    return Below(Level.C1, seen, follows_table("status", VISIT_STATUS))


KIND = Kind(
    "emdr-procedure", "emdr-procedures", EmdrProcedure, check=check,
    resources=[
        Resource("Encounter", "visit", "EMDR session", plain="Visit", since=Level.C0, shape=visit_shape(
            "emdr", _visit_status(), episode=episode(), part_of=Refers("Encounter", "part_of_encounter_id", role="visit"),
        )),
        _procedure(),
        _target(),
        *_measures(),
        *_response(),
    ],
)
