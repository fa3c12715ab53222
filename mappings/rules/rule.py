"""What a rule is, what it may look at beside the entity, and the thresholds that a clinic sets."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

SEVERITIES = ("info", "warning", "critical")
Said = Iterator[tuple[str, str]]  # (severity, JSON pointer into the entity)


@dataclass(frozen=True)
class Around:
    """What an entity refers to, as far as it is known: a rule says nothing of what it cannot see."""

    patient: Any = None
    pathway: Any = None
    screening: Any = None
    consent: Any = None
    dosing: tuple[Any, ...] = ()  # the patient's dosing encounters
    sessions: tuple[Any, ...] = ()  # the patient's EMDR procedures
    adverse_events: tuple[Any, ...] = ()


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
    monitored_minutes: float = 120
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
