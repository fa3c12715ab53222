"""What makes one EHR differ from another: data, read by the generic server. A persona is one short file with its vendor's facts on top."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from types import MappingProxyType
from typing import Any
from uuid import uuid4

from sandbox.elements import Fhir
from sandbox.outcome import Refused
from sandbox.parameters import EVERY_TYPE, PARAMETERS, Parameter
from sandbox.patches import patched
from sandbox.wire import FHIR_JSON, Answer, refusal

READ, VREAD, HISTORY, SEARCH = "read", "vread", "history-instance", "search-type"
CREATE, UPDATE, PATCH, DELETE, HISTORY_TYPE = "create", "update", "patch", "delete", "history-type"
INTERACTIONS = (READ, VREAD, HISTORY, HISTORY_TYPE, SEARCH, CREATE, UPDATE, PATCH, DELETE)
TRANSACTION, BATCH, HISTORY_SYSTEM = "transaction", "batch", "history-system"
SYSTEM_INTERACTIONS = (TRANSACTION, BATCH, HISTORY_SYSTEM)

CLINIC_TYPES = (
    "Patient", "Practitioner", "PractitionerRole", "Organization", "Location", "RelatedPerson", "Consent", "EpisodeOfCare", "CareTeam", "Procedure",
    "Condition", "AllergyIntolerance", "MedicationStatement", "Encounter", "QuestionnaireResponse", "Observation", "RiskAssessment", "DetectedIssue",
    "MedicationRequest", "MedicationAdministration", "Medication", "CarePlan", "Goal", "Task", "AdverseEvent", "Provenance", "DocumentReference",
)  # fmt: skip
"""The types that the records of a clinic of this kind consist of."""

Query = Sequence[tuple[str, str]]
NOTHING: Mapping[Any, Any] = MappingProxyType({})


def _as_asked(_kind: str, _used: Query, count: int) -> tuple[int, int]:
    return count, count


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
    realm: str = ""
    """The path below which every other base is that of a tenant who is not here: 403. Without one there is nothing beside its base."""
    media: str = FHIR_JSON
    new_id: Callable[[], str] = lambda: str(uuid4())
    tell: Callable[[Refused], Answer] = refusal
    """How it says that something is not done."""

    conditional_create: bool = False
    """Else If-None-Exist is a header like any other that it has never heard of."""
    exact_if_match: bool = False
    """Whether whoever changes something has to mirror its ETag, as it came."""
    stale_status: int = 412
    """Of a change to what has changed meanwhile."""
    missing: tuple[int, str] = (422, "error")
    """Status and severity of a required element that is missing."""
    ignored: Mapping[str, frozenset[str]] = field(default_factory=lambda: NOTHING)
    """Elements that it takes and forgets, by type."""
    refused_elements: Mapping[str, frozenset[str]] = field(default_factory=lambda: NOTHING)
    """Elements that it does not take, by type: 422."""
    takes_modifiers: bool = True
    """Else a modifierExtension anywhere, or implicitRules, is 422."""
    silent_writes: bool = False
    """Whether a write is answered by an empty text/html, and a create by a Location without a version, whatever is preferred."""
    patch: Callable[[Fhir, Any], Fhir] = patched
    """A resource after the patch of a body. Raises Refused."""
    method_override: bool = False
    """Whether a POST may say X-HTTP-Method-Override."""
    request_id: str | None = None
    """The header, a UUID, that every request needs; a write that comes again with the same one is answered as it was and not done again."""
    echoed: tuple[str, ...] = ()
    """Headers that come back as they came."""

    last_updated: bool = False
    """Whether `_lastUpdated` can be searched for and sorted by."""
    id_alone: bool = False
    """Whether a search with `_id` ignores whatever else it asks."""
    needs: Mapping[str, str] = field(default_factory=lambda: NOTHING)
    """A parameter without which a type cannot be searched."""
    always: Mapping[str, tuple[str, str]] = field(default_factory=lambda: NOTHING)
    """A criterion that every search of a type has, asked or not."""
    refused_values: Mapping[tuple[str, str], frozenset[str]] = field(default_factory=lambda: NOTHING)
    """Values on which a search fails, by type and parameter."""
    exclusive: frozenset[str] = frozenset()
    """Parameters of which a search has one at most."""
    newest_first: bool = False
    """The order in which a search that asks for none is answered."""
    page_parameter: str = "_page"
    """What a link to a further page has in its query."""
    page_sizes: Callable[[str, Query, int], tuple[int, int]] = _as_asked
    """How many are on the first page and on the others, by type, query and the count that was asked for."""

    @cached_property
    def parameters(self) -> Mapping[str, Mapping[str, Parameter]]:
        """What can be searched for, by type."""
        common = {name: one for name, one in EVERY_TYPE.items() if name != "_lastUpdated" or self.last_updated}
        return {kind: {**common, **PARAMETERS[kind]} for kind in self.types}
