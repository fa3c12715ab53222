"""What makes one EHR differ from another: data, read by the generic server. A persona is one short file with its vendor's facts on top."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from types import MappingProxyType
from uuid import uuid4

from sandbox.parameters import EVERY_TYPE, PARAMETERS, Parameter

READ, VREAD, HISTORY, SEARCH = "read", "vread", "history-instance", "search-type"
CREATE, UPDATE, DELETE, HISTORY_TYPE = "create", "update", "delete", "history-type"
INTERACTIONS = (READ, VREAD, HISTORY, HISTORY_TYPE, SEARCH, CREATE, UPDATE, DELETE)
TRANSACTION, BATCH, HISTORY_SYSTEM = "transaction", "batch", "history-system"
SYSTEM_INTERACTIONS = (TRANSACTION, BATCH, HISTORY_SYSTEM)

CLINIC_TYPES = (
    "Patient", "Practitioner", "PractitionerRole", "Organization", "Location", "RelatedPerson", "Consent", "EpisodeOfCare", "CareTeam", "Procedure",
    "Condition", "AllergyIntolerance", "MedicationStatement", "Encounter", "QuestionnaireResponse", "Observation", "RiskAssessment", "DetectedIssue",
    "MedicationRequest", "MedicationAdministration", "Medication", "CarePlan", "Goal", "Task", "AdverseEvent", "Provenance", "DocumentReference",
)  # fmt: skip
"""The types that the records of a clinic of this kind consist of."""


@dataclass(frozen=True)
class Persona:
    name: str
    title: str
    path: str
    """Where its FHIR base is on this server."""
    types: Mapping[str, frozenset[str]]
    """What it lets others do, by type: codes of HL7's restful-interaction."""
    system: frozenset[str] = frozenset()
    """What it lets others do at its base: codes of HL7's system-restful-interaction."""
    conditional_create: bool = False
    """Else If-None-Exist is a header like any other that it has never heard of."""
    last_updated: bool = False
    """Whether `_lastUpdated` can be searched for and sorted by."""
    id_alone: bool = False
    """Whether a search with `_id` ignores whatever else it asks."""
    needs: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    """A parameter without which a type cannot be searched."""
    always: Mapping[str, tuple[str, str]] = field(default_factory=lambda: MappingProxyType({}))
    """A criterion that every search of a type has, asked or not."""
    refused_values: Mapping[tuple[str, str], frozenset[str]] = field(default_factory=lambda: MappingProxyType({}))
    """Values on which a search fails, by type and parameter."""
    new_id: Callable[[], str] = lambda: str(uuid4())

    # Still to come with `oracle` and `nhs`: the status of a stale version (C2), of a missing element (C3), the head of a create's
    # answer (C1), ids and paths in patches (N2), X-Request-ID that de-duplicates (N3), SMART Backend Services (E5, E6).

    @cached_property
    def parameters(self) -> Mapping[str, Mapping[str, Parameter]]:
        """What can be searched for, by type."""
        common = {name: one for name, one in EVERY_TYPE.items() if name != "_lastUpdated" or self.last_updated}
        return {kind: {**common, **PARAMETERS[kind]} for kind in self.types}
