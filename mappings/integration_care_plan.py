"""Integration care plan: what shifted, and the goals, small experiments and sessions that protect the change.

| our field                                                 | R4                                                  | class |
| --------------------------------------------------------- | --------------------------------------------------- | ----- |
| id, patientId                                             | CarePlan.identifier; .subject                       | C0    |
| status, title, period, author                             | CarePlan.status, .title, .period, .author           | C1    |
| pathwayId                                                 | CarePlan extension; repeated by sessions' Encounters | C1    |
| crisisPlanRef, reviewDate                                 | CarePlan extensions                                 | C1    |
| goals                                                     | Goal; its text is C2                                | C1-C2 |
| smallExperiments                                          | Task                                                | C2    |
| sessions                                                  | Encounter                                           | C0-C1 |
| whatShifted, whatFeltNewlyPossible, fearOfLosing, journal | Observation integration-reflection                  | C3    |
| recordedAt, recordedBy                                    | CarePlan extension recorded; repeated by Provenance | C1    |
"""

from collections.abc import Iterator
from datetime import date, datetime
from decimal import Decimal
from typing import Annotated, Any

from mappings import codes
from mappings.code_table import own, table
from mappings.datatypes import code, coding, concept, day, extension, extension_of, quantity, string
from mappings.disclosure import C0, C1, C2, C3, Level
from mappings.instruments import INSTRUMENTS
from mappings.kind import Kind, Resource
from mappings.medication import PractitionerKey
from mappings.model import SCORE, Between, Key, Label, Narrative, Text, To, record
from mappings.parts import component, follows, iso, own_each, practitioner, recorded, subject
from mappings.readings import observation
from mappings.shape import Refers, Writing, derived, key
from mappings.visit import Status, StatusMark, VisitStatus, attended_by, visit_shape

PLAN_STATUS = table("http://hl7.org/fhir/request-status", {
    "draft": "Draft", "active": "Active", "on-hold": "On Hold", "revoked": "Revoked", "completed": "Completed",
}, name="care plan status")
GOAL_STATUS = table("http://hl7.org/fhir/goal-status", {
    "proposed": "Proposed", "planned": "Planned", "accepted": "Accepted", "active": "Active", "on-hold": "On Hold",
    "completed": "Completed", "cancelled": "Cancelled",
})
ACHIEVEMENT = table(codes.HL7 + "goal-achievement", {
    "in-progress": "In Progress", "improving": "Improving", "worsening": "Worsening", "no-change": "No Change", "achieved": "Achieved",
    "sustaining": "Sustaining", "not-achieved": "Not Achieved", "no-progress": "No Progress", "not-attainable": "Not Attainable",
})
GOAL_CATEGORY = own("goal-category", "What an integration goal is about", {
    "sleep": "Sleep", "boundaries": "Boundaries", "self-compassion": "Less self-attack", "relationships": "Relationships", "avoidance": "Less avoidance",
    "symptoms": "Symptoms", "work": "Work and role", "body": "Body and movement", "meaning": "Meaning", "other": "Other",
})
MEASURE = codes.Codes("goal measures", {name: total for name in ("PHQ-9", "GAD-7", "PCL-5") if (total := INSTRUMENTS[name].total)},
                      texts={name: f"{name} total" for name in ("PHQ-9", "GAD-7", "PCL-5")})
EXPERIMENT_STATUS = table("http://hl7.org/fhir/task-status", {
    "not-started": ("requested", "Requested"), "scheduled": ("accepted", "Accepted"), "in-progress": ("in-progress", "In Progress"),
    "completed": ("completed", "Completed"), "stopped": ("cancelled", "Cancelled"),
}, name="experiment status")
DOMAIN = own("experiment-domain", "What a small experiment is about", {
    "sleep": "Small experiment: sleep", "boundaries": "Small experiment: boundaries", "self-attack": "Small experiment: self-attack",
    "relationships": "Small experiment: relationships", "avoidance": "Small experiment: avoidance",
})
NOTED = own("experiment-note", "What is noted of a small experiment", {"prediction": "Prediction", "frequency": "How often", "outcome": "What was learnt"})
ATTENDANCE = VisitStatus({"planned": "planned", "attended": "finished", "missed": ("cancelled", "not-attended"), "cancelled": "cancelled"})
ATTENDANCES = table(codes.ENCOUNTER_STATUS, {term: term for term in ATTENDANCE.rows}, name="attendance")
PERTAINS_TO_GOAL = "http://hl7.org/fhir/StructureDefinition/resource-pertainsToGoal"
EPISODE_OF_CARE = "http://hl7.org/fhir/StructureDefinition/workflow-episodeOfCare"


@record
class Period:
    start: C1[date | None] = None
    end: C1[date | None] = None


@record
class GoalTarget:
    measure: C1[Annotated[str, MEASURE]]
    value: C1[Annotated[Decimal, SCORE, Between(0, 100)] | None] = None
    due: C1[date | None] = None


@record
class Goal:
    id: C0[Key]
    category: C1[Annotated[str, GOAL_CATEGORY]]
    text: C2[Text | None] = None
    lifecycle: C1[Annotated[str, GOAL_STATUS]]
    achievement: C1[Annotated[str, ACHIEVEMENT] | None] = None
    target: C1[GoalTarget | None] = None


@record
class SmallExperiment:
    id: C0[Key]
    goal_id: C2[Annotated[Key, To("integration-care-plan", "goals")] | None] = None
    domain: C2[Annotated[str, DOMAIN]]
    description: C2[Text | None] = None
    frequency: C2[Label | None] = None
    start: C2[date | None] = None
    review: C2[date | None] = None
    status: C2[Annotated[str, EXPERIMENT_STATUS]]
    prediction: C2[Text | None] = None
    outcome: C2[Text | None] = None


@record
class Session:
    """A visit, so it has a clinic of its own."""

    id: C0[Key]
    clinic_id: C0[Annotated[Key, To("clinic")]]
    start: C0[datetime]
    end: C0[datetime | None] = None
    mode: C0[Annotated[str, codes.MODE]]
    site: C0[Key | None] = None
    attendance: Annotated[C0[Annotated[str, ATTENDANCES]], ATTENDANCE.coarse()]
    clinician: C1[PractitionerKey | None] = None


@record
class IntegrationCarePlan:
    id: C0[Key]
    patient_id: C0[Annotated[Key, To("patient")]]
    recorded_at: C1[datetime]
    recorded_by: C1[PractitionerKey]
    status: C1[Annotated[str, PLAN_STATUS]]
    pathway_id: C1[Annotated[Key, To("pathway")] | None] = None
    title: C1[Label | None] = None
    period: C1[Period | None] = None
    author: C1[PractitionerKey | None] = None
    goals: C1[tuple[Goal, ...]] = ()
    small_experiments: C2[tuple[SmallExperiment, ...]] = ()
    sessions: C0[tuple[Session, ...]] = ()
    crisis_plan_ref: C1[Label | None] = None
    review_date: C1[date | None] = None
    what_shifted: C3[Narrative | None] = None
    what_felt_newly_possible: C3[Narrative | None] = None
    fear_of_losing: C3[Narrative | None] = None
    journal: C3[Narrative | None] = None


def _episode(_it: Any, of: Writing) -> Any:
    return of.entity.pathway_id and of.ids.reference("EpisodeOfCare", "pathway", of.entity.pathway_id, "episode")


def _session() -> Resource:
    return Resource("Encounter", "session", "Integration session", plain="Visit", over="sessions", since=Level.C0, shape=visit_shape(
        "integration", Status(ATTENDANCE, "attendance"), mark=StatusMark(ATTENDANCE, "attendance", None),
        episode=derived("the plan's `pathwayId`", _episode), participants=[attended_by("clinician")],
    ))


def _goal() -> Resource:
    return Resource("Goal", "goal", "Goal of integration", over="goals", shape={
        "lifecycleStatus": code("lifecycle"),
        "achievementStatus": concept("achievement"),
        "description": {"coding": [coding("category")], "text": string("text")},
        "subject": subject(),
        "target": [{
            "measure": concept("target.measure"),
            "detailQuantity": quantity("target.value", comparator="<="),
            "dueDate": day("target.due"),
        }],
    })


def _experiment() -> Resource:
    def noted(term: str, name: str) -> dict[str, Any]:
        return {"type": key(codes.concept(NOTED.coding(term))), "valueString": string(name)}

    return Resource("Task", "experiment", "Small experiment", over="small_experiments", shape={
        "status": code("status"),
        "intent": "plan",
        "code": concept("domain"),
        "description": string("description"),
        "for": subject(),
        "owner": derived("the patient", lambda _it, of: of.ids.reference("Patient", "patient", of.entity.patient_id, "patient")),
        "executionPeriod": {"start": day("start")},
        "input": [noted("prediction", "prediction"), noted("frequency", "frequency")],
        "output": [noted("outcome", "outcome")],
        "extension": [
            extension_of(PERTAINS_TO_GOAL, valueReference=Refers("Goal", "goal_id", role="goal")),
            extension("review-date", valueDate=day("review")),
        ],
    })


def _plan() -> Resource:
    return Resource("CarePlan", "plan", "Integration care plan", head=True, since=Level.C1, shape={
        "status": code("status"),
        "intent": "plan",
        "category": [codes.concept(codes.snomed("734163000", "Care plan"))],
        "title": string("title"),
        "subject": subject(),
        "period": {"start": day("period.start"), "end": day("period.end")},
        "author": practitioner("author"),
        "supportingInfo": own_each("session"),
        "goal": own_each("goal"),
        "activity": derived("the small experiments", lambda _it, of: [{"reference": task} for task in of.own_each("experiment") or []] or None),
        "extension": [
            recorded(),
            extension_of(EPISODE_OF_CARE, valueReference=Refers("EpisodeOfCare", "pathway_id", role="episode")),
            extension("crisis-plan", valueString=string("crisis_plan_ref")),
            extension("review-date", valueDate=day("review_date")),
        ],
    })


def _reflection() -> Resource:
    parts = {"what_shifted": "what-shifted", "what_felt_newly_possible": "what-felt-newly-possible", "fear_of_losing": "fear-of-losing", "journal": "journal"}
    return observation("reflection", "Reflection on integration", codes.observed("integration-reflection"), category="therapy",
                       effective={"effectiveDateTime": follows("recorded_at", iso)}, performer=[subject()],
                       more={"component": [component(codes.part(part), valueString=string(name)) for name, part in parts.items()]})


def check(it: IntegrationCarePlan) -> Iterator[tuple[str, str]]:
    if it.period and it.period.start and it.period.end and it.period.end < it.period.start:
        yield "/period/end", "is before the start"
    for n, session in enumerate(it.sessions):
        if session.start and session.end and session.end < session.start:
            yield f"/sessions/{n}/end", "is before the start"
    goals = {goal.id for goal in it.goals}
    for n, experiment in enumerate(it.small_experiments):
        if experiment.goal_id is not None and experiment.goal_id not in goals:
            yield f"/smallExperiments/{n}/goalId", "is no goal of this plan"


KIND = Kind(
    "integration-care-plan", "integration-care-plans", IntegrationCarePlan, check=check,
    resources=[_session(), _goal(), _experiment(), _plan(), _reflection()],
)
