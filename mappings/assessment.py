"""The assessing part of a screening: what was looked for and found, and what was concluded from it.

| our field             | R4                                                     | class |
| --------------------- | ------------------------------------------------------ | ----- |
| contraindications     | one Observation each, present or looked for and absent | C1-C2 |
| medicationReview      | Procedure review of medication                         | C1    |
| stability, traumaType | Observations                                           | C1-C2 |
| outcome, validUntil   | RiskAssessment.prediction                              | C1    |
| reasons               | RiskAssessment.reasonCode                              | C1-C2 |
| recommendedPathway    | RiskAssessment extension recommended-pathway           | C1    |
"""

from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any

from mappings import codes, model
from mappings.code_table import coding, own, own_system
from mappings.datatypes import boolean, complex_extension, concept, day, extension, moment, part_of, quantity, string
from mappings.datatypes import coding as coding_of
from mappings.disclosure import C0, C1, C2, Level
from mappings.kind import Resource
from mappings.medication import PractitionerKey
from mappings.model import Between, Key, Label, Text, To, record
from mappings.parts import component, follows, follows_table, iso, own_each, practitioner, subject
from mappings.parts import own as own_resource
from mappings.readings import observation
from mappings.responses import SCORE_STATUS
from mappings.shape import Refers, Writing, derived, each, key

# Substance use is no row here: it is C2, and a class never depends on a value.
CONTRAINDICATION = own(
    "contraindication", "Contraindications looked for", {
        "intracranial-aneurysm": "Intracranial aneurysm", "aortic-aneurysm": "Aortic aneurysm", "cerebral-avm": "Cerebral arteriovenous malformation",
        "cerebral-haemorrhage": "Cerebral haemorrhage", "myocardial-infarction": "Myocardial infarction", "stroke": "Stroke",
        "hypertension": "Hypertension", "raised-icp": "Raised intracranial pressure", "glaucoma": "Glaucoma", "hyperthyroidism": "Hyperthyroidism",
        "epilepsy": "Epilepsy", "psychotic-disorder": "Psychotic disorder", "bipolar-disorder": "Bipolar disorder", "porphyria": "Porphyria",
        "liver-disorder": "Disorder of liver", "cystitis": "Cystitis", "hypersensitivity": "Hypersensitivity to ketamine or an excipient",
        "heart-failure": "Heart failure", "pregnancy": "Pregnancy", "breast-feeding": "Breast feeding", "other": "Other",
    },
    {term: [codes.snomed(code, display)] for term, code, display in (
        ("intracranial-aneurysm", "128609009", "Intracranial aneurysm"), ("aortic-aneurysm", "67362008", "Aortic aneurysm"),
        ("cerebral-avm", "234142008", "Cerebral arteriovenous malformation"), ("cerebral-haemorrhage", "274100004", "Cerebral hemorrhage"),
        ("myocardial-infarction", "22298006", "Myocardial infarction"), ("stroke", "230690007", "Cerebrovascular accident"),
        ("hypertension", "38341003", "Hypertensive disorder, systemic arterial"), ("raised-icp", "271719001", "Raised intracranial pressure"),
        ("glaucoma", "23986001", "Glaucoma"), ("hyperthyroidism", "34486009", "Hyperthyroidism"), ("epilepsy", "84757009", "Epilepsy"),
        ("psychotic-disorder", "69322001", "Psychotic disorder"), ("bipolar-disorder", "13746004", "Bipolar disorder"),
        ("porphyria", "418470004", "Porphyria"), ("liver-disorder", "235856003", "Disorder of liver"), ("cystitis", "38822007", "Cystitis"),
        ("pregnancy", "77386006", "Pregnant"),
    )},
)
WEIGHT_OF = own("contraindication-level", "Weight of a contraindication", {"absolute": "Absolute", "relative": "Relative"})
REVIEW_ACTION = own("medication-review-action", "What a medication review decided of one medicine", {
    "continue": "Continue", "hold": "Hold", "taper": "Taper", "stop": "Stop",
})
REVIEW_OUTCOME = own("medication-review-outcome", "Outcome of a medication review", {
    "clear": "Clear", "clear-with-actions": "Clear with actions", "not-clear": "Not clear",
})
STABILITY = own("stability", "Stability", {"stable": "Stable", "fragile": "Fragile", "unstable": "Unstable"})
TRAUMA_TYPE = own("trauma-type", "Types of trauma", {
    "childhood": "Childhood", "combat": "Combat", "sexual-violence": "Sexual violence", "domestic-violence": "Domestic violence", "assault": "Assault",
    "accident": "Accident", "medical": "Medical", "bereavement": "Bereavement", "disaster": "Disaster", "occupational": "Occupational", "other": "Other",
})
OUTCOME = own("screening-outcome", "Outcome of screening", {
    "eligible": "Eligible", "eligible-with-conditions": "Eligible with conditions", "not-eligible": "Not eligible", "deferred": "Deferred",
})
OUTCOME_REASON = own("screening-reason", "Reasons for the outcome of screening", {
    "medical": "Medical", "psychiatric": "Psychiatric", "preference": "Preference", "support": "Support", "other": "Other",
})
RECOMMENDED = own("recommended-pathway", "Recommended pathway", {
    "combined": "Ketamine-assisted EMDR", "emdr-alone": "EMDR alone", "other-therapy": "Other therapy", "none": "None",
})
MEDICATION_REVIEW = codes.concept(codes.snomed("182836005", "Review of medication"), text="Medication review")
SUITABILITY = codes.concept(coding(own_system("assessment"), "suitability", "Suitability for ketamine-assisted EMDR"))
own("assessment", "Assessments", {"suitability": "Suitability for ketamine-assisted EMDR"})


@record
class Contraindication:
    """Looked for, and present or absent: the absence of a row says only that nobody looked."""

    id: C0[Key]
    code: C1[Annotated[str, CONTRAINDICATION]]
    level: C1[Annotated[str, WEIGHT_OF] | None] = None
    present: C1[bool]
    note: C2[Text | None] = None
    mitigation: C1[Text | None] = None


@record
class ReviewedMedication:
    medication: C1[Annotated[Key, To("medical-background", "medications", via="medication_review.background_id")]]
    action: C1[Annotated[str, REVIEW_ACTION]]
    hold_hours: C1[Annotated[Decimal, model.HOURS, Between(0, 10_000)] | None] = None


@record
class MedicationReview:
    """`backgroundId` names the medical background whose medications were reviewed."""

    reviewed_at: C1[datetime | None] = None
    reviewer: C1[PractitionerKey | None] = None
    background_id: C1[Annotated[Key, To("medical-background")] | None] = None
    items: C1[tuple[ReviewedMedication, ...]] = ()
    outcome: C1[Annotated[str, REVIEW_OUTCOME] | None] = None


@record
class Stability:
    housing: C1[Annotated[str, STABILITY] | None] = None
    work: C1[Annotated[str, STABILITY] | None] = None
    sleep: C1[Annotated[str, STABILITY] | None] = None
    risk_to_self: C1[Annotated[str, STABILITY] | None] = None
    substance: C2[Annotated[str, STABILITY] | None] = None
    note: C2[Text | None] = None


@record
class SupportPerson:
    name: C1[Label | None] = None
    relationship: C1[Annotated[str, codes.RELATIONSHIP] | None] = None
    agreed: C1[bool | None] = None


@record
class Reason:
    reason: C1[Annotated[str, OUTCOME_REASON]]
    text: C2[Text | None] = None


REVIEW_STATUS = {"in-progress": "in-progress", "completed": "completed", "amended": "completed", "cancelled": "stopped"}


def _assessor(it: Any, of: Writing) -> Any:
    return it.clinician and of.ids.reference("Practitioner", "practitioner", it.clinician, "practitioner")


def assessment() -> list[Resource]:
    return [
        observation("contraindication", "Contraindication looked for", concept("code"), over="contraindications", category="exam",
                    effective={"effectiveDateTime": follows("start", iso)}, more={
                        "valueBoolean": boolean("present"),
                        "note": [{"text": string("note")}],
                        "component": [
                            component(codes.part("contraindication-level"), valueCodeableConcept=concept("level")),
                            component(codes.part("mitigation"), valueString=string("mitigation")),
                        ],
                    }),
        Resource("Procedure", "medication-review", "Medication review", since=Level.C1, shape={
            "status": follows_table("status", REVIEW_STATUS),
            "code": MEDICATION_REVIEW,
            "subject": subject(),
            "encounter": own_resource("visit"),
            "performedDateTime": moment("medication_review.reviewed_at"),
            "performer": [{"actor": practitioner("medication_review.reviewer")}],
            "outcome": concept("medication_review.outcome"),
            "extension": [
                extension("medical-background", valueReference=Refers("Observation", "medication_review.background_id", role="background")),
                each("medication_review.items", complex_extension(
                    "reviewed-medication",
                    part_of("medication", valueReference=Refers("MedicationStatement", "medication", role="medication")),
                    part_of("action", valueCodeableConcept=concept("action")),
                    part_of("hold", valueDuration=quantity("hold_hours")),
                )),
            ],
        }),
        observation("stability", "Stability", codes.observed("stability"), category="social-history", at="start", more={
            "component": [
                *(component(codes.part(name.replace("_", "-")), valueCodeableConcept=concept(f"stability.{name}"))
                  for name in ("housing", "work", "sleep", "risk_to_self", "substance")),
            ],
            "note": [{"text": string("stability.note")}],
        }),
        observation("trauma-types", "Types of trauma", codes.observed("trauma-types"), category="social-history", at="start", more={
            "component": [each("trauma_type", {"code": key(codes.part("trauma-type")), "valueCodeableConcept": concept()})],
        }),
        Resource("RiskAssessment", "outcome", "Suitability for the pathway", since=Level.C1, shape={
            "status": follows_table("status", SCORE_STATUS),
            "code": SUITABILITY,
            "subject": subject(),
            "encounter": own_resource("visit"),
            "occurrenceDateTime": follows("completed_at", iso),
            "performer": derived("`clinician`", _assessor),
            "reasonCode": [each("reasons", {"coding": [coding_of("reason")], "text": string("text")})],
            "basis": own_each("instrument", "sensitive-instrument", "contraindication", "medication-review"),
            "prediction": [{"qualitativeRisk": concept("outcome"), "whenPeriod": {"end": day("valid_until")}}],
            "extension": [extension("recommended-pathway", valueCodeableConcept=concept("recommended_pathway"))],
        }),
    ]
