"""Observations of one value each, and the set that holds together what was taken at one time.

HL7's vital sign profiles and UK Core fix codes, units and words; they are kept to here, so that a profile has nothing to add.
"""

from decimal import Decimal
from typing import Annotated, Any

from mappings import codes, model
from mappings.datatypes import quantity
from mappings.disclosure import C0
from mappings.kind import Resource
from mappings.model import Between, record
from mappings.parts import CELSIUS, CENTIMETRE, PER_MINUTE, PERCENT, PRESSURE, Pressures, follows, follows_item, iso, own, own_of_item, subject, the_clinic
from mappings.shape import Element, Fhir, Writing, derived, getter

MmHg = Annotated[Decimal, PRESSURE, Between(0, 400)]
PerMinute = Annotated[Decimal, PER_MINUTE, Between(0, 400)]
Percent = Annotated[Decimal, PERCENT, Between(0, 100)]
Celsius = Annotated[Decimal, CELSIUS, Between(10, 50)]
Kilograms = Annotated[Decimal, model.KG, Between(1, 700)]
Centimetres = Annotated[Decimal, CENTIMETRE, Between(20, 280)]


@record
class BloodPressure:
    sys: C0[MmHg | None] = None
    dia: C0[MmHg | None] = None


def observation(
    role: str,
    title: str,
    code: Any,
    *,
    over: str | None = None,
    category: str = "exam",
    at: str = "at",
    effective: Fhir | None = None,
    status: Any = "final",
    performer: Any = None,
    more: Fhir | None = None,
    **rest: Any,
) -> Resource:
    """One Observation. A charted reading is `final`: the observation is complete; a correction replaces it.

    `at` names the field of the item (or, with a dot or without `over`, of the entity) that says when.
    """
    when = effective or {"effectiveDateTime": (follows_item if over else follows)(at, iso)}
    return Resource("Observation", role, title, over=over, **rest, shape={
        "status": status,
        "category": [codes.CATEGORY[category]],
        "code": code,
        "subject": subject(),
        "encounter": own("visit"),
        **when,
        "performer": performer or [the_clinic()],
        **(more or {}),
    })


def taken_during() -> Element:
    """The administration that a reading of an item belongs to, from C1, where both are seen."""
    def write(it: Any, of: Writing) -> Any:
        found = it.administration_id
        return None if found is None else [of.ids.reference("MedicationAdministration", of.kind, of.entity.id, "administration", found)]

    return derived("the item's `administrationId`", write)


VITALS: dict[str, tuple[str, str, Fhir]] = {  # field -> role, title, code
    "bp": ("bp", "Blood pressure", codes.BLOOD_PRESSURE),
    "hr": ("hr", "Heart rate", codes.HEART_RATE),
    "spo2": ("spo2", "Oxygen saturation", codes.OXYGEN_SATURATION),
    "rr": ("rr", "Respiratory rate", codes.RESPIRATORY_RATE),
    "temperature": ("temperature", "Body temperature", codes.TEMPERATURE),
    "weight": ("weight", "Body weight", codes.BODY_WEIGHT),
    "height": ("height", "Body height", codes.BODY_HEIGHT),
}


def vital_sign(name: str, *, role: str, prefix: str = "", more: Fhir | None = None, **rest: Any) -> Resource:
    _, title, code = VITALS[name]
    value = {"component": Pressures(f"{prefix}{name}.")} if name == "bp" else {"valueQuantity": quantity(f"{prefix}{name}")}
    return observation(role, title, code, category="vital-signs", more={**value, **(more or {})}, **rest)


def scale(role: str, name: str, title: str, *, over: str | None = None, at: str = "at", code: Any = None, more: Fhir | None = None, **rest: Any) -> Resource:
    """A rating on a scale of our own code system, as a Quantity of score: 0 is a value."""
    return observation(role, title, code or codes.observed(role.removeprefix("observation-")), over=over, category="survey", at=at,
                       more={"valueQuantity": quantity(name, model.SCORE), **(more or {})}, **rest)


def set_code(vitals: tuple[str, ...], otherwise: str = "observation-set") -> Element:
    """A set with vital signs in it is the vital signs panel; one without is a set of ours."""
    return derived("whether vital signs are among them", lambda _it, of: codes.VITAL_SIGNS_PANEL if of.own_of_item(*vitals) else codes.observed(otherwise))


def members(*roles: str) -> Element:
    return own_of_item(*roles)


def set_category(vitals: tuple[str, ...]) -> Element:
    return derived("whether vital signs are among them", lambda _it, of: [codes.CATEGORY["vital-signs" if of.own_of_item(*vitals) else "exam"]])


def quantity_or_unknown(name: str) -> Fhir:
    """valueQuantity, or where only its time is known, that the value is unknown."""
    get = getter(name)
    unknown = codes.concept(codes.coding(codes.DATA_ABSENT, "unknown", "Unknown"))
    return {"valueQuantity": quantity(name), "dataAbsentReason": derived("whether it is known", lambda it, _of: unknown if get(it) is None else None)}
