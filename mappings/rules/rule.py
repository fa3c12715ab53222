"""What a rule is, what it may look at beside the entity, and the thresholds that a clinic sets."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

SEVERITIES = ("info", "warning", "critical")
Said = Iterator[tuple[str, str]]  # (severity, JSON pointer into the entity)


@dataclass(frozen=True)
class Around:
    """What an entity refers to, as far as it is known: a rule says nothing of what it cannot see."""

    patient: Any = None
    screening: Any = None
    consent: Any = None
    dosing: tuple[Any, ...] = ()  # the patient's dosing encounters
    sessions: tuple[Any, ...] = ()  # the patient's EMDR procedures
    adverse_events: tuple[Any, ...] = ()
    decider: Any = None  # the practitioner who decided on discharge


@dataclass(frozen=True)
class Thresholds:
    """The clinic's own figures. The defaults are from the guidance that each rule names; they are no advice."""

    screening_valid_days: int = 90
    dose_tolerance_mg: float = 1
    dose_tolerance_percent: float = 5
    weight_valid_days: int = 30
    weight_low_kg: float = 30
    weight_high_kg: float = 250
    iv_most_mg_per_kg: float = 0.5
    iv_least_minutes: float = 40
    oral_least_mg_per_kg: float = 0.25
    oral_most_mg_per_kg: float = 7
    esketamine_nasal_mg: tuple[float, ...] = (28, 56, 84)
    bp_warning_sys: float = 140
    bp_warning_dia: float = 90
    bp_critical_sys: float = 180
    bp_critical_dia: float = 100
    fast_food_hours: float = 2
    fluids_minutes: float = 30
    observation_tolerance_minutes: float = 5
    observation_before_minutes: float = 15
    spo2_critical: float = 92
    rass_critical: int = -3
    moaas_critical: int = 1
    monitored_minutes: float = 120
    acute_hours: float = 24  # after a dose, where neither a discharge nor the end of the visit is known
    des_ii_gate: float = 30
    audit_c_men: int = 4
    audit_c_women: int = 3
    adult_years: int = 18


@dataclass(frozen=True)
class Rule:
    """`reads` names every field that `judge` may look at, as `kind:dotted.path`."""

    id: str
    kind: str
    gates: str
    source: str
    text: str
    reads: tuple[str, ...]
    judge: Callable[[Any, Around, Thresholds], Said] = field(repr=False)


def minutes(later: Any, earlier: Any) -> float:
    return float((later - earlier).total_seconds()) / 60


def number(threshold: float) -> Decimal:
    """A threshold as it is written, to be compared with what was measured."""
    return Decimal(str(threshold))


# What the rules of a kind look at among the patient's other records, and so which records are judged again when one changes.
# Beside these, a practitioner's registration counts as it is when a record is judged: it is no record of a patient.
LOOKS_AT: dict[str, tuple[str, ...]] = {
    "screening": ("patient",),
    "dosing-encounter": ("patient", "screening", "consent", "adverse-event"),
    "emdr-procedure": ("dosing-encounter", "emdr-procedure"),
}


def looks_at(kind: str) -> tuple[str, ...]:
    return LOOKS_AT.get(kind, ())


def dependents(kind: str) -> tuple[str, ...]:
    """The kinds whose rules look at this one."""
    return tuple(name for name, kinds in LOOKS_AT.items() if kind in kinds)


def decider_of(entity: Any) -> str | None:
    """The key of the practitioner at whose registration the rules of an entity look."""
    discharge = getattr(entity, "discharge", None)
    return discharge.decided_by if discharge is not None else None


def looked_at(kind: str, entity: Any, other: str, key: str) -> bool:
    """Whether the rules of an entity may look at this other record."""
    return other in looks_at(kind) or (other == "practitioner" and key == decider_of(entity))


def around(entity: Any, others: list[tuple[str, Any]]) -> Around:
    """What an entity's rules may see of the patient's other records: those it refers to, and all that may have a bearing."""
    def named(kind: str, key: str | None) -> Any:
        return next((other for name, other in others if name == kind and other.id == key), None) if key is not None else None

    def every(kind: str) -> tuple[Any, ...]:
        return tuple(other for name, other in others if name == kind)

    return Around(
        decider=named("practitioner", decider_of(entity)),
        patient=named("patient", getattr(entity, "patient_id", None)),
        screening=named("screening", getattr(entity, "screening_id", None)),
        consent=named("consent", getattr(entity, "consent_id", None)),
        dosing=every("dosing-encounter"), sessions=every("emdr-procedure"), adverse_events=every("adverse-event"),
    )  # fmt: skip
