"""What patients, practitioners and clinics have in common: names, addresses, ways to reach them."""

from typing import Annotated, Any

from mappings import codes
from mappings.datatypes import code, string
from mappings.disclosure import C0
from mappings.model import Label, Pattern, record
from mappings.shape import Each, each


@record
class Name:
    use: C0[Annotated[str, codes.NAME_USE] | None] = None
    family: C0[Label | None] = None
    given: C0[tuple[Label, ...]] = ()
    prefix: C0[tuple[Label, ...]] = ()


@record
class Address:
    use: C0[Annotated[str, codes.ADDRESS_USE] | None] = None
    lines: C0[tuple[Label, ...]] = ()
    city: C0[Label | None] = None
    district: C0[Label | None] = None
    postal_code: C0[Annotated[str, Pattern(r"[A-Za-z0-9][A-Za-z0-9 -]{0,15}", "a postal code")] | None] = None
    country: C0[Label | None] = None


@record
class Contact:
    system: C0[Annotated[str, codes.CONTACT_SYSTEM]]
    value: C0[Label]
    use: C0[Annotated[str, codes.CONTACT_USE] | None] = None


def human_name() -> dict[str, Any]:
    return {"use": code("use"), "family": string("family"), "given": [each("given", string())], "prefix": [each("prefix", string())]}


def address() -> dict[str, Any]:
    return {
        "use": code("use"), "line": [each("lines", string())], "city": string("city"), "district": string("district"),
        "postalCode": string("postal_code"), "country": string("country"),
    }


def contact_points(name: str = "telecom") -> Each:
    return each(name, {"system": code("system"), "value": string("value"), "use": code("use")})
