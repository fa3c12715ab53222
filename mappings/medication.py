"""What was prescribed and what was given at a dosing encounter: one MedicationRequest, one MedicationAdministration a dose.

The order is kept as mg/kg and as mg: two `doseAndRate`, ordered and calculated; the weight it rests on is an Observation.
Where lot or expiry is known the vial is a Medication of its own, which the administration refers to.
"""

from collections.abc import Iterator
from datetime import date, datetime
from decimal import Decimal
from typing import Annotated, Any

from mappings import codes, model
from mappings.code_table import codings_of
from mappings.datatypes import code, coding, complex_extension, concept, day, moment, part_of, quantity, string
from mappings.disclosure import C0, C1, Level
from mappings.element import LOST
from mappings.kind import Resource
from mappings.model import Between, Key, Label, To, Unit, record
from mappings.parts import Effective, data_absent, follows_table, own, own_each, practitioner, subject
from mappings.readings import Kilograms, observation, quantity_or_unknown
from mappings.shape import Element, Fhir, Reading, Writing, key

DosePerKg = Annotated[Decimal, Unit("mg/kg", "mg/kg"), Between(0, 1000)]
Rate = Annotated[Decimal, Unit("mg/h", "mg/h"), Between(0, 100_000)]
PractitionerKey = Annotated[Key, To("practitioner")]


@record
class Prescription:
    drug: C1[Annotated[str, codes.DRUG]]
    product: C1[Annotated[str, codes.PRODUCT] | None] = None
    route: C1[Annotated[str, codes.ROUTE] | None] = None
    intended_mg_per_kg: C1[DosePerKg | None] = None
    weight_kg: C0[Kilograms | None] = None
    weight_measured_at: C0[datetime | None] = None
    dose_mg: C1[model.Dose | None] = None
    cap_mg: C1[model.Dose | None] = None
    prescriber: C1[PractitionerKey | None] = None


@record
class Given:
    """A medicine given, whatever it was."""

    id: C0[Key]
    start: C1[datetime]
    end: C1[datetime | None] = None
    dose_mg: C1[model.Dose | None] = None
    route: C1[Annotated[str, codes.ROUTE] | None] = None
    site: C1[Annotated[str, codes.BODY_SITE] | None] = None
    lot: C1[Label | None] = None
    expiry: C1[date | None] = None
    rate_mg_per_h: C1[Rate | None] = None
    drawn_mg: C1[model.Dose | None] = None
    given_mg: C1[model.Dose | None] = None
    wasted_mg: C1[model.Dose | None] = None
    witnessed_by: C1[PractitionerKey | None] = None
    given_by: C1[PractitionerKey | None] = None
    checked_by: C1[PractitionerKey | None] = None
    status: C1[Annotated[str, codes.ADMINISTRATION_STATUS]]
    reason: C1[Annotated[str, codes.ADMINISTRATION_REASON] | None] = None


@record
class Administration(Given):
    drug: C1[Annotated[str, codes.DRUG]]
    product: C1[Annotated[str, codes.PRODUCT] | None] = None


@record
class RescueMedication(Given):
    """A medicine given for an unwanted effect."""

    drug: C1[Annotated[str, codes.RESCUE_DRUG]]


# A prescription follows its visit.
REQUEST_STATUS = {
    "planned": "active", "arrived": "active", "in-progress": "active", "finished": "completed",
    "aborted": "stopped", "cancelled": "cancelled", "no-show": "cancelled",
}


def prescription() -> list[Resource]:
    return [
        observation(
            "prescription-weight", "Body weight", codes.BODY_WEIGHT, category="vital-signs",
            effective={"effectiveDateTime": moment("prescription.weight_measured_at")},
            more=quantity_or_unknown("prescription.weight_kg"),
        ),
        Resource("MedicationRequest", "prescription", "Prescription for a dosing session", since=Level.C1, shape={
            "status": follows_table("status", REQUEST_STATUS),
            "intent": "order",
            "medicationCodeableConcept": MedicationCode("prescription.drug", "prescription.product"),
            "subject": subject(),
            "encounter": own("visit"),
            "supportingInformation": own_each("prescription-weight"),
            "requester": practitioner("prescription.prescriber"),
            "dosageInstruction": [{
                "route": concept("prescription.route"),
                "doseAndRate": [
                    {"type": key(codes.ORDERED), "doseQuantity": quantity("prescription.intended_mg_per_kg")},
                    {"type": key(codes.CALCULATED), "doseQuantity": quantity("prescription.dose_mg")},
                ],
                "maxDosePerAdministration": quantity("prescription.cap_mg"),
            }],
        }),
    ]


def administrations(over: str, role: str, *, product: str | None, prescribed: bool) -> list[Resource]:
    """The Medication (the vial, where it is known) and the MedicationAdministration of each item of a list."""
    return [
        Resource("Medication", f"{role}-medication", "Medicine given, with its batch", over=over, when=lambda it, _of: from_a_known_vial(it),
                 only="where lot or expiry is known", shape={
            "code": MedicationCode("drug", product),
            "batch": {"lotNumber": string("lot"), "expirationDate": day("expiry")},
        }),
        Resource("MedicationAdministration", role, "Medicine given at a dosing session", over=over, shape={
            "status": code("status"),
            "statusReason": [concept("reason")],
            "category": codes.ADMINISTRATION_OUTPATIENT,
            "+medication": MedicationOf(f"{role}-medication", MedicationCode("drug", product)),
            "subject": subject(),
            "context": own("visit"),
            "supportingInformation": own_each("prescription-weight") if prescribed else None,
            "+effective": Effective("effective", "start", "end"),
            "performer": [_by(codes.PERFORMED, "given_by"), _by(codes.VERIFIED, "checked_by"), _by(codes.WITNESSED, "witnessed_by")],
            "request": own("prescription") if prescribed else None,
            "dosage": {"site": concept("site"), "route": concept("route"), "dose": DoseOrUnknown(), "rateQuantity": quantity("rate_mg_per_h")},
            "extension": [
                complex_extension(
                    "controlled-drug",
                    part_of("drawn", valueQuantity=quantity("drawn_mg")),
                    part_of("given", valueQuantity=quantity("given_mg")),
                    part_of("wasted", valueQuantity=quantity("wasted_mg")),
                )
            ],
        }),
    ]


def from_a_known_vial(it: Any) -> bool:
    return it.lot is not None or it.expiry is not None


def _by(function: codes.Coding, name: str) -> Fhir:
    return {"function": key(codes.concept(function)), "actor": practitioner(name)}


class MedicationCode(Element):
    """The medicine: its dm+d product, where that is known, and its drug, as codings of one CodeableConcept."""

    wants = dict
    says = True

    def __init__(self, drug: str, product: str | None):
        self.drug = concept(drug)
        self.product = coding(product) if product else None

    def inside(self) -> Iterator[tuple[str, Element]]:
        yield "", self.drug
        if self.product:
            yield "", self.product

    def write(self, it: Any, of: Writing) -> Any:
        drug = self.drug.write(it, of)
        product = self.product.write(it, of) if self.product else None
        return drug if drug is None or product is None else {"coding": [product, *drug["coding"]], "text": drug["text"]}

    def read(self, value: Any, at: str, into: dict[str, Any], of: Reading) -> None:
        products = [c for c in codings_of(value) if c.get("system") == codes.DMD]
        self.drug.hear({"coding": [c for c in codings_of(value) if c not in products]}, at, into, of)
        if len(products) > 1:
            of.refuse(at, "names more than one product")
        elif products and self.product:
            self.product.hear(products[0], at, into, of)


class MedicationOf(Element):
    """medication[x] of an administration: a reference to the vial where that is known, else the concept."""

    wants = dict
    says = True

    def __init__(self, vial: str, said: MedicationCode):
        self.vial, self.said = vial, said

    def inside(self) -> Iterator[tuple[str, Element]]:
        yield ".medicationCodeableConcept", self.said

    def write(self, it: Any, of: Writing) -> Any:
        if from_a_known_vial(it):
            return {"medicationReference": of.own(self.vial)}
        return {"medicationCodeableConcept": self.said.write(it, of)}

    def read(self, value: Any, at: str, into: dict[str, Any], of: Reading) -> None:
        if "medicationCodeableConcept" in value:
            self.said.hear(value["medicationCodeableConcept"], f"{at}.medicationCodeableConcept", into, of)

    def read_only(self, sent: Any, given: Any, at: str, of: Reading) -> Iterator[tuple[str, str]]:
        if "medicationReference" in sent and sent["medicationReference"] != given.get("medicationReference"):
            yield f"{at}.medicationReference", "follows from other data and is read-only"
        if "medicationReference" in given and not sent.keys() & {"medicationReference", "medicationCodeableConcept"}:
            yield f"{at}.medication[x]", LOST


class DoseOrUnknown(Element):
    """dosage.dose. mad-1 wants a dose or a rate with any dosage, so a dose that is not known says that it is unknown."""

    wants = dict
    says = True

    def __init__(self) -> None:
        self.dose = quantity("dose_mg")

    def inside(self) -> Iterator[tuple[str, Element]]:
        yield "", self.dose

    def write(self, it: Any, of: Writing) -> Any:
        if it.dose_mg is None and it.rate_mg_per_h is None and (it.route is not None or it.site is not None):
            return {"extension": data_absent()}
        return self.dose.write(it, of)

    def read(self, value: Any, at: str, into: dict[str, Any], of: Reading) -> None:
        if value.get("extension") != data_absent():
            self.dose.hear(value, at, into, of)
