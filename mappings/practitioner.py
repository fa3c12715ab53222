"""Practitioner: who works at the clinic, in which role, registered with whom.

| our field              | R4                                                      | class |
| ---------------------- | ------------------------------------------------------- | ----- |
| id                     | Practitioner.identifier of our system practitioner      | C0    |
| name, telecom, active  | Practitioner.name, .telecom, .active                    | C0    |
| registrations          | Practitioner.identifier, by the system of the body      | C0    |
| alsTrained, alsExpiry  | Practitioner extension advanced-life-support            | C0    |
| role                   | PractitionerRole.code                                   | C0    |
| recordedAt, recordedBy | Practitioner extension recorded; repeated by Provenance | C0    |
"""

from datetime import date, datetime
from typing import Annotated, Any

from mappings import codes
from mappings.datatypes import boolean, complex_extension, concept, day, part_of, string
from mappings.disclosure import C0
from mappings.kind import Kind, Resource
from mappings.medication import PractitionerKey
from mappings.model import Key, Label, record
from mappings.parts import own, recorded
from mappings.people import Contact, Name, contact_points, human_name
from mappings.shape import Codec, Each, Said, each


@record
class Registration:
    body: C0[Annotated[str, codes.REGISTRATION_BODIES]]
    number: C0[Label]


@record
class Practitioner:
    id: C0[Key]
    recorded_at: C0[datetime]
    recorded_by: C0[PractitionerKey | None] = None
    active: C0[bool]
    name: C0[tuple[Name, ...]] = ()
    telecom: C0[tuple[Contact, ...]] = ()
    registrations: C0[tuple[Registration, ...]] = ()
    role: C0[Annotated[str, codes.PRACTITIONER_ROLE] | None] = None
    als_trained: C0[bool | None] = None
    als_expiry: C0[date | None] = None


_BODIES = {system: body for body, system in codes.REGISTRATION_BODY.items()}


def _body(system: Any) -> str:
    if not isinstance(system, str) or system not in _BODIES:
        raise ValueError(f"no registration body that we know: {system!r}")
    return _BODIES[system]


class Registrations(Each):
    """One identifier a registration: the body stands in the system."""

    def __init__(self) -> None:
        super().__init__("registrations", {
            "system": Said("body", lambda _f: Codec("uri", codes.REGISTRATION_BODY.__getitem__, _body, tuple(_BODIES))),
            "value": string("number"),
        })

    def takes(self, value: Any) -> bool:
        return isinstance(value, dict) and value.get("system") in tuple(_BODIES)  # whatever a sender put there


KIND = Kind(
    "practitioner", "practitioners", Practitioner,
    resources=[
        Resource("Practitioner", "practitioner", "Practitioner", head=True, shape={
            "identifier": Registrations(),
            "active": boolean("active"),
            "name": [each("name", human_name())],
            "telecom": [contact_points()],
            "extension": [
                recorded(),
                complex_extension(
                    "advanced-life-support", part_of("trained", valueBoolean=boolean("als_trained")), part_of("expiry", valueDate=day("als_expiry"))
                ),
            ],
        }),
        Resource("PractitionerRole", "role", "Role of a practitioner", shape={"practitioner": own("practitioner"), "code": [concept("role")]}),
    ],
)
