"""Pathway: one patient's course of treatment, which ties the visits together.

| our field                     | R4                                                         | class |
| ----------------------------- | ---------------------------------------------------------- | ----- |
| id, patientId                 | EpisodeOfCare.identifier; .patient, .subject of the others | C0    |
| status, start, end, clinicId  | EpisodeOfCare.status, .period, .managingOrganization       | C1    |
| referral, stage, stageHistory | EpisodeOfCare extensions                                   | C1    |
| closureReason                 | EpisodeOfCare extension closure-reason                     | C1    |
| stuckPattern                  | EpisodeOfCare extension stuck-pattern                      | C2    |
| team                          | CareTeam.participant                                       | C1    |
| course                        | Procedure EMDR, of which the sessions are parts            | C1    |
| recordedAt, recordedBy        | EpisodeOfCare extension recorded; repeated by Provenance   | C1    |
"""

from collections.abc import Iterator
from datetime import date, datetime
from typing import Annotated, Any

from mappings import codes
from mappings.code_table import own, table
from mappings.datatypes import code, complex_extension, concept, day, extension, moment, part_of, string
from mappings.disclosure import C0, C1, C2, Level
from mappings.emdr_procedure import EMDR, PROCEDURE_STATUS
from mappings.kind import Kind, Resource
from mappings.medication import PractitionerKey
from mappings.model import Key, To, record
from mappings.parts import follows_table, own_each, practitioner, recorded, subject, system_of
from mappings.shape import Refers, Writing, derived, each, key

STATUS = table("http://hl7.org/fhir/episode-of-care-status", {
    "planned": "Planned", "active": "Active", "onhold": "On Hold", "finished": "Finished", "cancelled": "Cancelled",
}, name="pathway status")
TEAM_STATUS = {"planned": "proposed", "active": "active", "onhold": "suspended", "finished": "inactive", "cancelled": "inactive"}
PATHWAY = codes.concept(codes.coding(codes.own_system("pathway"), "ketamine-assisted-emdr", "Ketamine-assisted EMDR pathway"))
own("pathway", "Pathways of care", {"ketamine-assisted-emdr": "Ketamine-assisted EMDR pathway"})
REFERRAL_SOURCE = own("referral-source", "Who referred", {
    "gp": "General practitioner", "psychiatrist": "Psychiatrist", "mental-health-service": "Mental health service", "therapist": "Therapist",
    "self": "Self", "other": "Other",
})
CONDITION = own(
    "condition", "Conditions of the pathway", {
        "depressive-disorder": "Depressive disorder", "major-depression": "Major depressive disorder",
        "recurrent-major-depression": "Recurrent major depression",
        "severe-recurrent-major-depression": "Severe recurrent major depression without psychotic features",
        "single-episode-major-depression": "Major depression, single episode",
        "treatment-resistant-depression": "Treatment-resistant depression", "ptsd": "Post-traumatic stress disorder",
        "complex-ptsd": "Complex post-traumatic stress disorder",
        "dissociative-disorder": "Dissociative disorder", "anxiety-disorder": "Anxiety disorder",
        "generalised-anxiety-disorder": "Generalised anxiety disorder",
        "hypertension": "Hypertension", "epilepsy": "Epilepsy", "hyperthyroidism": "Hyperthyroidism", "glaucoma": "Glaucoma", "cystitis": "Cystitis",
        "liver-disorder": "Disorder of liver", "myocardial-infarction": "Myocardial infarction", "stroke": "Stroke", "bipolar-disorder": "Bipolar disorder",
        "psychotic-disorder": "Psychotic disorder", "porphyria": "Porphyria", "other": "Other condition",
    },
    {term: [codes.snomed(number, display)] for term, number, display in (
        ("depressive-disorder", "35489007", "Depressive disorder"), ("major-depression", "370143000", "Major depressive disorder"),
        ("recurrent-major-depression", "66344007", "Recurrent major depression"),
        ("severe-recurrent-major-depression", "36474008", "Severe recurrent major depression without psychotic features"),
        ("single-episode-major-depression", "36923009", "Major depression, single episode"), ("ptsd", "47505003", "Posttraumatic stress disorder"),
        ("complex-ptsd", "443919007", "Complex posttraumatic stress disorder"), ("dissociative-disorder", "44376007", "Dissociative disorder"),
        ("anxiety-disorder", "197480006", "Anxiety disorder"), ("generalised-anxiety-disorder", "21897009", "Generalized anxiety disorder"),
        ("hypertension", "38341003", "Hypertensive disorder, systemic arterial"), ("epilepsy", "84757009", "Epilepsy"),
        ("hyperthyroidism", "34486009", "Hyperthyroidism"), ("glaucoma", "23986001", "Glaucoma"), ("cystitis", "38822007", "Cystitis"),
        ("liver-disorder", "235856003", "Disorder of liver"), ("myocardial-infarction", "22298006", "Myocardial infarction"),
        ("stroke", "230690007", "Cerebrovascular accident"), ("bipolar-disorder", "13746004", "Bipolar disorder"),
        ("psychotic-disorder", "69322001", "Psychotic disorder"), ("porphyria", "418470004", "Porphyria"),
    )},
)
STAGE = own("pathway-stage", "Stages of the pathway", {
    "preparation": "Preparation", "dosing": "Dosing", "emdr": "EMDR", "integration": "Integration", "closed": "Closed",
})
STUCK_PATTERN = own("stuck-pattern", "What a stuck state lacks", {"reduced-access": "Reduced access", "reduced-tolerance": "Reduced tolerance", "both": "Both"})
TEAM_ROLE = own("team-role", "Roles in a care team", {
    "lead-clinician": "Lead clinician", "prescriber": "Prescriber", "therapist": "Therapist", "nurse": "Nurse", "anaesthetist": "Anaesthetist",
    "pharmacist": "Pharmacist", "coordinator": "Coordinator",
})
CLOSURE_REASON = own("closure-reason", "Why a pathway ended", {
    "completed": "Completed", "not-suitable": "Not suitable", "patient-choice": "Patient's choice", "adverse-event": "Adverse event",
    "no-response": "No response", "transferred": "Transferred", "lost-to-follow-up": "Lost to follow-up", "deceased": "Deceased", "other": "Other",
})


@record
class Referral:
    source: C1[Annotated[str, REFERRAL_SOURCE] | None] = None
    date_: C1[date | None] = None
    reason: C1[Annotated[str, CONDITION] | None] = None


@record
class Stage:
    stage: C1[Annotated[str, STAGE]]
    start: C1[date]
    end: C1[date | None] = None


@record
class MemberPeriod:
    start: C1[date | None] = None
    end: C1[date | None] = None


@record
class Member:
    practitioner: C1[PractitionerKey]
    role: C1[Annotated[str, TEAM_ROLE] | None] = None
    period: C1[MemberPeriod | None] = None


@record
class Course:
    """The EMDR course. `id` is the clinic's own key for it."""

    id: C1[Key]
    status: C1[Annotated[str, PROCEDURE_STATUS]]
    start: C1[date | None] = None
    end: C1[date | None] = None


@record
class Pathway:
    id: C0[Key]
    patient_id: C0[Annotated[Key, To("patient")]]
    clinic_id: C1[Annotated[Key, To("clinic")]]
    recorded_at: C1[datetime]
    recorded_by: C1[PractitionerKey]
    status: C1[Annotated[str, STATUS]]
    referral: C1[Referral | None] = None
    stage: C1[Annotated[str, STAGE] | None] = None
    stage_history: C1[tuple[Stage, ...]] = ()
    stuck_pattern: C2[Annotated[str, STUCK_PATTERN] | None] = None
    team: C1[tuple[Member, ...]] = ()
    course: C1[Course]
    start: C1[datetime | None] = None
    end: C1[datetime | None] = None
    closure_reason: C1[Annotated[str, CLOSURE_REASON] | None] = None


def _team_managers(it: Any, of: Writing) -> Any:
    return [of.ids.reference("Organization", "clinic", it.clinic_id, "clinic")]


def check(it: Pathway) -> Iterator[tuple[str, str]]:
    periods: list[tuple[str, Any]] = [("", it), ("/course", it.course)]
    periods += [(f"/stageHistory/{n}", stage) for n, stage in enumerate(it.stage_history)]
    periods += [(f"/team/{n}/period", member.period) for n, member in enumerate(it.team)]
    for pointer, period in periods:
        if period is not None and period.start and period.end and period.end < period.start:
            yield f"{pointer}/end", "is before the start"


KIND = Kind(
    "pathway", "pathways", Pathway, check=check,
    resources=[
        Resource("CareTeam", "team", "Care team", since=Level.C1, shape={
            "status": follows_table("status", TEAM_STATUS),
            "subject": subject(),
            "participant": [each("team", {
                "role": [concept("role")],
                "member": practitioner("practitioner"),
                "period": {"start": day("period.start"), "end": day("period.end")},
            })],
            "managingOrganization": derived("`clinicId`", _team_managers),
        }),
        Resource("EpisodeOfCare", "episode", "Ketamine-assisted EMDR pathway", head=True, since=Level.C1, shape={
            "status": code("status"),
            "type": [PATHWAY],
            "patient": subject(),
            "managingOrganization": Refers("Organization", "clinic_id", role="clinic"),
            "period": {"start": moment("start"), "end": moment("end")},
            "team": own_each("team"),
            "extension": [
                recorded(),
                complex_extension("referral", part_of("source", valueCodeableConcept=concept("referral.source")),
                                  part_of("date", valueDate=day("referral.date_")), part_of("reason", valueCodeableConcept=concept("referral.reason"))),
                extension("pathway-stage", valueCodeableConcept=concept("stage")),
                each("stage_history", complex_extension("stage-history", part_of("stage", valueCodeableConcept=concept("stage")),
                                                        part_of("start", valueDate=day("start")), part_of("end", valueDate=day("end")))),
                extension("stuck-pattern", valueCodeableConcept=concept("stuck_pattern")),
                extension("closure-reason", valueCodeableConcept=concept("closure_reason")),
            ],
        }),
        Resource("Procedure", "course", "EMDR course", since=Level.C1, shape={
            "identifier": {"system": key(system_of("course")), "value": string("course.id")},
            "status": code("course.status"),
            "code": {**EMDR, "text": "EMDR course"},
            "subject": subject(),
            "performedPeriod": {"start": day("course.start"), "end": day("course.end")},
        }),
    ],
)
