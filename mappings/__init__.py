"""Clinic entities and FHIR R4, both ways. Pure: no storage, no HTTP, no clock.

Read `kind.py` for what a kind is, `shape.py` for how a mapping reads, then any kind: `adverse_event.py` is the shortest.
"""

from mappings import (
    adverse_event,
    clinic,
    consent,
    dosing_encounter,
    emdr_procedure,
    integration_care_plan,
    medical_background,
    pathway,
    patient,
    practitioner,
    screening,
)
from mappings.ids import Ids
from mappings.kind import Kind

KINDS: dict[str, Kind] = {
    module.KIND.name: module.KIND
    for module in (
        practitioner, clinic, patient, consent, pathway, medical_background,
        screening, dosing_encounter, integration_care_plan, emdr_procedure, adverse_event,
    )
}  # fmt: skip  # in an order in which none refers to a kind that comes later


def kind_of(resource: dict[str, object], ids: Ids) -> Kind | None:
    """The kind whose resource this is, by the id that we gave it; None for what is not ours."""
    known = ids.key(str(resource.get("id")))
    return KINDS.get(known.kind) if known else None
