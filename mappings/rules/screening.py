"""Rules of a screening."""

from decimal import Decimal
from typing import Any

from mappings.instruments import INSTRUMENTS
from mappings.rules.rule import Around, Rule, Said, Thresholds

ITEMS = ("screening:instruments.instrument", "screening:instruments.items.item", "screening:instruments.items.answer")
SENSITIVE = tuple(f"screening:sensitive_instruments.{name}" for name in ("instrument", "total", "items.item", "items.answer"))


def _answers(one: Any) -> dict[int, int]:
    return {a.item: a.answer for a in one.items}


def _score(one: Any) -> Any:
    """The total that is stated, or that the complete answers give; None where neither does."""
    instrument = INSTRUMENTS[one.instrument]
    if one.total is not None or instrument.score is None:
        return one.total
    answers = _answers(one)
    return instrument.score(list(answers.values())) if len(answers) == len(instrument.links) else None


def suicidal_item(it: Any, _around: Around, _set: Thresholds) -> Said:
    asked = any(one.instrument == "C-SSRS" for one in it.instruments)
    for n, one in enumerate(it.instruments):
        if one.instrument == "PHQ-9" and _answers(one).get(9, 0) > 0 and not asked:
            yield "warning", f"/instruments/{n}"


def alcohol(it: Any, around: Around, thresholds: Thresholds) -> Said:
    sex = around.patient.sex_registered if around.patient else None
    positive = thresholds.audit_c_women if sex != "male" else thresholds.audit_c_men
    for n, one in enumerate(it.sensitive_instruments):
        if one.instrument == "AUDIT-C" and (score := _score(one)) is not None and score >= positive:
            yield "warning", f"/sensitiveInstruments/{n}"


def dissociative(it: Any, _around: Around, thresholds: Thresholds) -> Said:
    for n, one in enumerate(it.sensitive_instruments):
        if one.instrument == "DES-II" and (score := _score(one)) is not None and score >= Decimal(str(thresholds.des_ii_gate)):
            yield "warning", f"/sensitiveInstruments/{n}"


def contraindicated(it: Any, _around: Around, _set: Thresholds) -> Said:
    for n, one in enumerate(it.contraindications):
        if one.present:
            yield ("critical" if one.level == "absolute" else "warning"), f"/contraindications/{n}"


def pregnant(it: Any, _around: Around, _set: Thresholds) -> Said:
    if it.pregnancy in ("pregnant", "possible"):
        yield ("critical" if it.pregnancy == "pregnant" else "warning"), "/pregnancy"


def pressure_at_screening(it: Any, _around: Around, thresholds: Thresholds) -> Said:
    if it.vitals is not None:
        yield from pressure(it.vitals.bp, "/vitals/bp", thresholds)


def pressure(bp: Any, pointer: str, thresholds: Thresholds) -> Said:
    """Blood pressure above what a dose should be given at without a decision."""
    if bp is None:
        return
    for name, value, warning, critical in (
        ("sys", bp.sys, thresholds.bp_warning_sys, thresholds.bp_critical_sys),
        ("dia", bp.dia, thresholds.bp_warning_dia, thresholds.bp_critical_dia),
    ):
        if value is not None and value > warning:
            yield ("critical" if value > critical else "warning"), f"{pointer}/{name}"


def acute_risk(it: Any, _around: Around, _set: Thresholds) -> Said:
    for n, one in enumerate(it.instruments):
        if one.instrument == "C-SSRS" and (_answers(one).get(4) or _answers(one).get(5)):
            yield "critical", f"/instruments/{n}"


def high_risk(it: Any, _around: Around, _set: Thresholds) -> Said:
    for n, one in enumerate(it.instruments):
        if one.risk_level == "high":
            yield "critical", f"/instruments/{n}/riskLevel"


PHYSIOLOGIC = {"hr": (25, 220), "spo2": (50, 100), "rr": (4, 60)}
PRESSURES = {"sys": (50, 260), "dia": (30, 160)}


def implausible(reading: Any, pointer: str) -> Said:
    """Values that a device can give and a body hardly has."""
    for name, (low, high) in PHYSIOLOGIC.items():
        value = getattr(reading, name)
        if value is not None and not low <= value <= high:
            yield "warning", f"{pointer}/{name}"
    yield from implausible_pressure(reading.bp, f"{pointer}/bp")


def implausible_pressure(bp: Any, pointer: str) -> Said:
    if bp is None:
        return
    for name, (low, high) in PRESSURES.items():
        value = getattr(bp, name)
        if value is not None and not low <= value <= high:
            yield "warning", f"{pointer}/{name}"
    if bp.sys is not None and bp.dia is not None and bp.sys <= bp.dia:
        yield "warning", pointer


def implausible_vitals(it: Any, _around: Around, _set: Thresholds) -> Said:
    if it.vitals is not None:
        yield from implausible(it.vitals, "/vitals")


RULES = (
    Rule("R01", "screening", "none", "PHQ-9", "PHQ-9 item 9 is answered above zero: a C-SSRS is expected", ITEMS, suicidal_item),
    Rule("R04", "screening", "none", "loinc.org/75626-2", "AUDIT-C is positive",
         (*SENSITIVE, "patient:sex_registered"), alcohol),
    Rule("R06", "screening", "processing", "DES-II >= 30: EMDR readiness", "DES-II gates trauma processing without a senior's override",
         SENSITIVE, dissociative),
    Rule("R20", "screening", "dose", "US esketamine label; Oxford Health NHS FT", "A contraindication is present",
         ("screening:contraindications.present", "screening:contraindications.level"), contraindicated),
    Rule("R21", "screening", "dose", "Oxford Health NHS FT", "Pregnancy is possible or confirmed", ("screening:pregnancy",), pregnant),
    Rule("R22", "screening", "dose", "US esketamine label; Swiss esketamine label", "Blood pressure needs a decision before a dose",
         ("screening:vitals.bp.sys", "screening:vitals.bp.dia"), pressure_at_screening),
    Rule("R25", "screening", "dose", "C-SSRS screener", "Acute suicidal intent or plan: escalate", ITEMS, acute_risk),
    Rule("R25L", "screening", "dose", "C-SSRS screener", "The suicide risk level is high: escalate", ("screening:instruments.risk_level",), high_risk),
    Rule("R31", "screening", "none", "physiologic ranges", "A reading is outside the physiologic range",
         tuple(f"screening:vitals.{name}" for name in ("hr", "spo2", "rr", "bp.sys", "bp.dia")), implausible_vitals),
)
