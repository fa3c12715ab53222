"""Clinic: the organisation that provides the visits, and its rooms.

| our field                                       | R4                                                      | class |
| ----------------------------------------------- | ------------------------------------------------------- | ----- |
| id                                              | Organization.identifier of our system clinic            | C0    |
| odsOrganisationCode, odsSiteCode, cqcLocationId | Organization.identifier, by system                      | C0    |
| name, address, telecom                          | Organization.name, .address, .telecom                   | C0    |
| rooms                                           | Location, one each; extension monitored                 | C1    |
| recordedAt, recordedBy                          | Organization extension recorded; repeated by Provenance | C0    |
"""

from collections.abc import Iterator
from datetime import datetime
from typing import Annotated

from mappings import codes
from mappings.datatypes import boolean, extension, string
from mappings.disclosure import C0, C1
from mappings.kind import Kind, Resource
from mappings.medication import PractitionerKey
from mappings.model import Key, Label, Pattern, record
from mappings.parts import own, recorded, system_of
from mappings.people import Address, Contact, contact_points
from mappings.people import address as address_of
from mappings.shape import each, key

OdsCode = Annotated[str, Pattern(r"[A-Z0-9]{3,12}", "an ODS code")]


@record
class Room:
    id: C0[Key]
    name: C1[Label]
    monitored: C1[bool | None] = None


@record
class Clinic:
    id: C0[Key]
    recorded_at: C0[datetime]
    recorded_by: C0[PractitionerKey | None] = None
    ods_organisation_code: C0[OdsCode | None] = None
    ods_site_code: C0[OdsCode | None] = None
    cqc_location_id: C0[Label | None] = None
    name: C0[Label]
    address: C0[tuple[Address, ...]] = ()
    telecom: C0[tuple[Contact, ...]] = ()
    rooms: C1[tuple[Room, ...]] = ()


def check(it: Clinic) -> Iterator[tuple[str, str]]:
    """R4 gives an organisation no home (org-2, org-3)."""
    uses = [(f"/address/{n}/use", address.use) for n, address in enumerate(it.address)]
    uses += [(f"/telecom/{n}/use", contact.use) for n, contact in enumerate(it.telecom)]
    for pointer, use in uses:
        if use == "home":
            yield pointer, "is not a clinic's"


KIND = Kind(
    "clinic", "clinics", Clinic, check=check,
    resources=[
        Resource("Organization", "clinic", "Clinic", head=True, shape={
            "identifier": [
                {"system": key(codes.ODS_ORGANISATION), "value": string("ods_organisation_code")},
                {"system": key(codes.ODS_SITE), "value": string("ods_site_code")},
                {"system": key(system_of("cqc-location")), "value": string("cqc_location_id")},
            ],
            "active": True,
            "name": string("name"),
            "telecom": [contact_points()],
            "address": [each("address", address_of())],
            "extension": [recorded()],
        }),
        Resource("Location", "room", "Room", over="rooms", shape={
            "name": string("name"),
            "physicalType": codes.concept(codes.PHYSICAL_TYPE.coding("ro")),
            "managingOrganization": own("clinic"),
            "extension": [extension("monitored", valueBoolean=boolean("monitored"))],
        }),
    ],
)
