"""Epic, as its public R4 sandbox described itself in May 2026; sites differ, and each site's own CapabilityStatement wins.

| fact | source | here |
| --- | --- | --- |
| E1: it creates and updates the types below, no others: Encounter, MedicationAdministration, CarePlan, ... are read-only | CapabilityStatement | types |
| E2: no conditional create, update or updateCreate; no batch or transaction. If-None-Exist changes nothing | CapabilityStatement | conditional_create |
| E3: no `_lastUpdated` | SMART Fetch, docs/since.md | last_updated |
| E4: `_id` with other parameters: the others are ignored | SMART Fetch | id_alone |
| E4: CarePlan is not searched without `category`, EpisodeOfCare not without `type` | SMART Fetch | needs |
| E4: AllergyIntolerance searches only what is active, so that absence is not deletion | SMART Fetch | always |
| E4: Observation categories procedure, therapy and activity are errors | SMART Fetch, filtering.py | refused_values |
| ids are long, opaque, case-sensitive and begin with an e | general knowledge | new_id |
| no version reads, no history, no deletes | general knowledge | types |
| E5: assertions for five minutes at most, each for one use; a new key is not known at once | SMART, general knowledge | smart.py, the fault `status` |
| E6: tokens of varying life, and no refresh token | general knowledge | `expiresIn` and `livesFor` of smart.py |
"""

import secrets
import string

from sandbox.personas.persona import CLINIC_TYPES, CREATE, READ, SEARCH, UPDATE, Persona

CREATES = (
    "AllergyIntolerance", "BodyStructure", "Communication", "ConceptMap", "Condition", "DocumentReference", "Observation", "Patient", "Procedure",
    "QuestionnaireResponse", "ServiceRequest",
)  # fmt: skip
UPDATES = (
    "BodyStructure", "DiagnosticReport", "DocumentReference", "Observation", "Procedure", "ServiceRequest", "Task",
)  # fmt: skip


def _takes(kind: str) -> frozenset[str]:
    writes = {CREATE: CREATES, UPDATE: UPDATES}
    return frozenset({READ, SEARCH, *(interaction for interaction, types in writes.items() if kind in types)})


def _new_id() -> str:
    return "e" + "".join(secrets.choice(string.ascii_letters + string.digits) for _ in range(22)) + "3"


EPIC = Persona(
    name="epic",
    title="Epic-like EHR",
    path="/epic/fhir/r4",
    types={kind: _takes(kind) for kind in sorted({*CLINIC_TYPES, *CREATES, *UPDATES})},
    id_alone=True,
    needs={"CarePlan": "category", "EpisodeOfCare": "type"},
    always={"AllergyIntolerance": ("clinical-status", "active")},
    refused_values={("Observation", "category"): frozenset({"procedure", "therapy", "activity"})},
    new_id=_new_id,
)
