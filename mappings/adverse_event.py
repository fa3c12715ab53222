"""Adverse event: something untoward that happened to the patient, followed up until it is over.

| our field              | R4 AdverseEvent                                            | class |
| ---------------------- | ---------------------------------------------------------- | ----- |
| id, patientId          | identifier; subject                                        | C0    |
| onset, event, outcome  | date, event, outcome                                       | C0    |
| grade                  | severity                                                   | C1    |
| serious, seriousReason | seriousness, extension seriousness-reason                  | C1    |
| relatedness            | extension relatedness; repeated in suspectEntity.causality | C1    |
| actionTaken            | extension action-taken                                     | C1    |
| encounterId            | encounter                                                  | C1    |
| administrationId       | suspectEntity.instance                                     | C1    |
| yellowCardRef          | extension yellow-card                                      | C1    |
| reviewedBy, reviewedAt | extension reviewed                                         | C1    |
| narrative              | extension adverse-event-narrative                          | C3    |
| recordedAt, recordedBy | extension recorded; repeated by recordedDate, Provenance   | C1    |

R4 has no status here: an adverse event recorded in error is deleted. An administration is named within its encounter.
"""

from collections.abc import Iterator
from datetime import datetime
from typing import Annotated, Any

from mappings import codes
from mappings.code_table import own, table
from mappings.datatypes import complex_extension, concept, extension, moment, part_of, string
from mappings.disclosure import C0, C1, C3
from mappings.kind import Kind, Resource
from mappings.medication import PractitionerKey
from mappings.model import Key, Label, Narrative, To, record
from mappings.parts import follows, iso, practitioner, recorded, subject
from mappings.shape import Refers, Writing, derived

EVENT = own(
    "adverse-event", "Adverse events of sedation and of therapy", {
        "nausea": "Nausea", "vomiting": "Vomiting", "nausea-and-vomiting": "Nausea and vomiting", "raised-blood-pressure": "Raised blood pressure",
        "low-blood-pressure": "Low blood pressure", "tachycardia": "Tachycardia", "bradycardia": "Bradycardia", "sedation": "Sedation",
        "dizziness": "Dizziness", "headache": "Headache", "anxiety": "Anxiety", "hallucinations": "Hallucinations", "disorientation": "Disorientation",
        "confusion": "Acute confusion", "delirium": "Delirium", "diplopia": "Double vision", "blurred-vision": "Blurred vision",
        "depersonalisation": "Depersonalisation", "suicidal-thoughts": "Suicidal thoughts", "suicide-attempt": "Suicide attempt",
        "respiratory-depression": "Respiratory depression", "fall": "Fall", "other": "Other",
    },
    {term: [codes.snomed(code, display)] for term, code, display in (
        ("nausea", "422587007", "Nausea"), ("vomiting", "422400008", "Vomiting"), ("nausea-and-vomiting", "16932000", "Nausea and vomiting"),
        ("raised-blood-pressure", "24184005", "Finding of increased blood pressure"), ("low-blood-pressure", "45007003", "Low blood pressure"),
        ("tachycardia", "3424008", "Tachycardia"), ("bradycardia", "48867003", "Bradycardia"), ("sedation", "17971005", "Sedated"),
        ("dizziness", "404640003", "Dizziness"), ("headache", "25064002", "Headache"), ("anxiety", "48694002", "Anxiety"),
        ("hallucinations", "7011001", "Hallucinations"), ("disorientation", "62476001", "Disorientated"), ("confusion", "130987000", "Acute confusion"),
        ("delirium", "2776000", "Delirium"), ("diplopia", "24982008", "Diplopia"), ("blurred-vision", "111516008", "Blurring of visual image"),
        ("depersonalisation", "79499004", "Depersonalization"), ("suicidal-thoughts", "6471006", "Suicidal thoughts"),
        ("suicide-attempt", "82313006", "Suicide attempt"),
    )},
)
OUTCOME = table(codes.HL7 + "adverse-event-outcome", {
    "resolved": "Resolved", "recovering": "Recovering", "ongoing": "Ongoing", "resolvedWithSequelae": "Resolved with Sequelae", "fatal": "Fatal",
    "unknown": "Unknown",
})
GRADE = table(codes.HL7 + "adverse-event-severity", {"mild": "Mild", "moderate": "Moderate", "severe": "Severe"})
SERIOUSNESS = table(codes.HL7 + "adverse-event-seriousness", {  # sic: R4 spells them with capitals, R5 without
    False: ("Non-serious", "Non-serious"), True: ("Serious", "Serious"),
})
SERIOUS_REASON = own("seriousness-reason", "Why an adverse event is serious", {
    "death": "Death", "life-threatening": "Life-threatening", "hospitalisation": "Hospitalisation", "disability": "Disability",
    "congenital-anomaly": "Congenital anomaly", "other": "Other medically important",
})
RELATEDNESS = table(codes.HL7 + "adverse-event-causality-assess", {
    "certain": ("Certain", "Certain"), "probable": ("Probably-Likely", "Probably/Likely"), "possible": ("Possible", "Possible"),
    "unlikely": ("Unlikely", "Unlikely"), "conditional": ("Conditional-Classified", "Conditional/Classified"),
    "unassessable": ("Unassessable-Unclassifiable", "Unassessable/Unclassifiable"),
})
ACTION = own("action-taken", "What was done about an adverse event", {
    "none": "None", "observed": "Observed", "dose-stopped": "Dose stopped", "dose-reduced": "Dose reduced", "rescue-medication": "Rescue medication given",
    "transferred": "Transferred to hospital", "treatment-ended": "Treatment ended",
})


@record
class AdverseEvent:
    id: C0[Key]
    patient_id: C0[Annotated[Key, To("patient")]]
    recorded_at: C1[datetime]
    recorded_by: C1[PractitionerKey]
    onset: C0[datetime]
    event: C0[Annotated[str, EVENT]]
    outcome: C0[Annotated[str, OUTCOME] | None] = None
    grade: C1[Annotated[str, GRADE] | None] = None
    serious: C1[Annotated[bool, SERIOUSNESS] | None] = None
    serious_reason: C1[Annotated[str, SERIOUS_REASON] | None] = None
    relatedness: C1[Annotated[str, RELATEDNESS] | None] = None
    action_taken: C1[Annotated[str, ACTION] | None] = None
    yellow_card_ref: C1[Label | None] = None
    encounter_id: C1[Annotated[Key, To("dosing-encounter")] | None] = None
    administration_id: C1[Annotated[Key, To("dosing-encounter", "administrations", via="encounter_id")] | None] = None
    reviewed_by: C1[PractitionerKey | None] = None
    reviewed_at: C1[datetime | None] = None
    narrative: C3[Narrative | None] = None


def _causality(it: Any, _of: Writing) -> Any:
    return [{"assessment": RELATEDNESS.concept(it.relatedness)}] if it.relatedness and it.administration_id else None


def check(it: AdverseEvent) -> Iterator[tuple[str, str]]:
    if it.administration_id is not None and it.encounter_id is None:
        yield "/encounterId", "is needed to tell whose administration it was"


KIND = Kind(
    "adverse-event", "adverse-events", AdverseEvent, check=check,
    resources=[
        Resource("AdverseEvent", "event", "Adverse event", head=True, shape={
            "actuality": "actual",
            "event": concept("event"),
            "subject": subject(),
            "encounter": Refers("Encounter", "encounter_id", role="visit"),
            "date": moment("onset"),
            "recordedDate": follows("recorded_at", iso),
            "seriousness": concept("serious"),
            "severity": concept("grade"),
            "outcome": concept("outcome"),
            "suspectEntity": [{
                "instance": Refers("MedicationAdministration", "administration_id", role="administration"),
                "causality": derived("`relatedness`", _causality),
            }],
            "extension": [
                recorded(),
                extension("seriousness-reason", valueCodeableConcept=concept("serious_reason")),
                extension("relatedness", valueCodeableConcept=concept("relatedness")),
                extension("action-taken", valueCodeableConcept=concept("action_taken")),
                extension("yellow-card", valueString=string("yellow_card_ref")),
                complex_extension("reviewed", part_of("at", valueDateTime=moment("reviewed_at")), part_of("by", valueReference=practitioner("reviewed_by"))),
                extension("adverse-event-narrative", valueString=string("narrative")),
            ],
        }),
    ],
)
