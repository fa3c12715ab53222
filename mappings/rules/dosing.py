"""Rules of a dosing encounter up to its dose: the order, what was given, and what ought to stand before."""

from datetime import timedelta
from decimal import Decimal
from typing import Any

from mappings.rules.rule import Around, Rule, Said, Thresholds, minutes, number
from mappings.rules.screening import pressure

D = "dosing-encounter:"
NO_BOUND = Decimal(1_000_000)
CONTROLLED = ("midazolam", "lorazepam", "diazepam")  # of the rescue medicines; ketamine and esketamine are, both


def ordered_dose(it: Any, _around: Around, thresholds: Thresholds) -> Said:
    order = it.prescription
    if order is None:
        return
    if order.dose_mg is not None and order.intended_mg_per_kg is not None and order.weight_kg is not None:
        intended = order.intended_mg_per_kg * order.weight_kg
        if abs(order.dose_mg - intended) > _tolerance(intended, thresholds):
            yield "critical", "/prescription/doseMg"
    if order.weight_measured_at is not None and it.start - order.weight_measured_at > timedelta(days=thresholds.weight_valid_days):
        yield "warning", "/prescription/weightMeasuredAt"
    if order.weight_kg is not None and not thresholds.weight_low_kg <= order.weight_kg <= thresholds.weight_high_kg:
        yield "warning", "/prescription/weightKg"
    yield from _route_range(order, thresholds)


def _tolerance(dose: Decimal, thresholds: Thresholds) -> Decimal:
    return max(number(thresholds.dose_tolerance_mg), dose * number(thresholds.dose_tolerance_percent) / 100)


def _route_range(order: Any, thresholds: Thresholds) -> Said:
    per_kg = order.intended_mg_per_kg
    least, most = _per_kg_by(order.route, thresholds)
    if order.drug == "esketamine" and order.route == "IN":
        if per_kg is not None:
            yield "warning", "/prescription/intendedMgPerKg"
        if order.dose_mg is not None and order.dose_mg not in map(number, thresholds.esketamine_nasal_mg):
            yield "critical", "/prescription/doseMg"
    elif per_kg is not None:
        if not least <= per_kg <= most:
            yield "critical", "/prescription/intendedMgPerKg"
    elif order.dose_mg is not None and order.weight_kg is not None:  # the order is of milligrams alone
        low, high = least * order.weight_kg, most * order.weight_kg
        if not low - _tolerance(low, thresholds) <= order.dose_mg <= high + _tolerance(high, thresholds):
            yield "critical", "/prescription/doseMg"
    if order.cap_mg is not None and order.dose_mg is not None and order.dose_mg > order.cap_mg:
        yield "critical", "/prescription/doseMg"


def _per_kg_by(route: str | None, thresholds: Thresholds) -> tuple[Decimal, Decimal]:
    """The least and the most mg/kg of a route; no guidance that was seen gives bounds of the others."""
    if route == "IV":
        return Decimal(0), number(thresholds.iv_most_mg_per_kg)
    if route == "PO":
        return number(thresholds.oral_least_mg_per_kg), number(thresholds.oral_most_mg_per_kg)
    return Decimal(0), NO_BOUND


def given_dose(it: Any, _around: Around, _set: Thresholds) -> Said:
    order = it.prescription
    amounts = [a.dose_mg if a.dose_mg is not None else a.given_mg for a in it.administrations if a.status != "not-done"]
    if order is not None and order.dose_mg is not None and sum(a for a in amounts if a is not None) > order.dose_mg:
        yield "critical", "/administrations"
    for n, dose in enumerate(it.administrations):
        if dose.status == "not-done":
            continue
        if dose.start < it.start or (it.end is not None and (dose.end or dose.start) > it.end):
            yield "warning", f"/administrations/{n}"


def infusion(it: Any, _around: Around, thresholds: Thresholds) -> Said:
    for n, dose in enumerate(it.administrations):
        if dose.route != "IV" or dose.status not in ("completed", "stopped"):
            continue
        if dose.end is None and dose.rate_mg_per_h is None:
            yield "warning", f"/administrations/{n}"
        if dose.status == "completed" and dose.end is not None and minutes(dose.end, dose.start) < thresholds.iv_least_minutes:
            yield "warning", f"/administrations/{n}/end"


def controlled_drug(it: Any, _around: Around, _set: Thresholds) -> Said:
    for name, doses in (("administrations", it.administrations), ("rescueMedications", it.rescue_medications)):
        for n, dose in enumerate(doses):
            if name == "rescueMedications" and dose.drug not in CONTROLLED:
                continue
            if None not in (dose.drawn_mg, dose.given_mg) and dose.drawn_mg != dose.given_mg + (dose.wasted_mg or 0):
                yield "critical", f"/{name}/{n}/drawnMg"
            if dose.wasted_mg and dose.witnessed_by in (None, dose.given_by):  # nobody witnesses what they waste themselves
                yield "critical", f"/{name}/{n}/wastedMg"


def suitable(it: Any, around: Around, thresholds: Thresholds) -> Said:
    """Everything that ought to stand before a dose is given."""
    if it.status in ("cancelled", "no-show"):
        return
    screening, consent, patient = around.screening, around.consent, around.patient
    if not _screened(screening, it) or _expired(screening, it, thresholds) or _contraindicated(screening) or not _reviewed(screening):
        yield "critical", "/screeningId"
    if not _consented(consent, it):
        yield "critical", "/consentId"
    if patient is not None and (patient.birth_date is None or _years(patient.birth_date, it.start.date()) < thresholds.adult_years):
        yield "critical", "/patientId"


def _screened(screening: Any, it: Any) -> bool:
    if screening is None or screening.status not in ("completed", "amended") or (screening.completed_at or screening.start) > it.start:
        return False
    return screening.outcome in ("eligible", "eligible-with-conditions")


def _contraindicated(screening: Any) -> bool:
    return any(c.present and c.level == "absolute" for c in screening.contraindications)


def _reviewed(screening: Any) -> bool:
    return screening.medication_review is not None and screening.medication_review.outcome in ("clear", "clear-with-actions")


def _expired(screening: Any, it: Any, thresholds: Thresholds) -> bool:
    last = screening.valid_until
    if last is None:
        done = screening.completed_at or screening.start
        last = (done + timedelta(days=thresholds.screening_valid_days)).date()
    return bool(it.start.date() > last)


def _consented(consent: Any, it: Any) -> bool:
    """Whether consent to treatment stood when the visit began. One that was withdrawn later stood until then."""
    if consent is None or consent.kind != "treatment" or consent.signed_at is None or consent.signed_at > it.start:
        return False
    if consent.status != "active" and not (consent.status == "inactive" and consent.withdrawn_at is not None):
        return False
    ends = [end for end in (consent.withdrawn_at, consent.valid_to) if end is not None]
    return (consent.valid_from is None or consent.valid_from <= it.start) and all(it.start < end for end in ends)


def _years(born: Any, on: Any) -> int:
    return int(on.year - born.year - ((on.month, on.day) < (born.month, born.day)))


def pregnancy(_it: Any, around: Around, _set: Thresholds) -> Said:
    if around.screening is not None and around.screening.pregnancy in ("pregnant", "possible"):
        yield "critical", "/screeningId"


def pressure_before(it: Any, _around: Around, thresholds: Thresholds) -> Said:
    if it.pre_checks is not None:
        yield from pressure(it.pre_checks.bp, "/preChecks/bp", thresholds)


def fasting(it: Any, _around: Around, thresholds: Thresholds) -> Said:
    checks = it.pre_checks
    if checks is None:
        return
    if checks.fast_food_hours is not None and checks.fast_food_hours < number(thresholds.fast_food_hours):
        yield "warning", "/preChecks/fastFoodHours"
    if checks.fluids_minutes is not None and checks.fluids_minutes < number(thresholds.fluids_minutes):
        yield "warning", "/preChecks/fluidsMinutes"


def escort(it: Any, _around: Around, _set: Thresholds) -> Said:
    if it.pre_checks is not None and it.pre_checks.escort_confirmed is not True:
        yield "warning", "/preChecks/escortConfirmed"
    if it.pre_checks is None and any(dose.status != "not-done" for dose in it.administrations):
        yield "warning", "/preChecks"


def acute_risk(it: Any, _around: Around, _set: Thresholds) -> Said:
    if it.pre_checks is not None and any(a.item in (4, 5) and a.answer for a in it.pre_checks.cs_srs_answers):
        yield "critical", "/preChecks/csSrsAnswers"


def high_risk(it: Any, _around: Around, _set: Thresholds) -> Said:
    if it.pre_checks is not None and it.pre_checks.cs_srs_level == "high":
        yield "critical", "/preChecks/csSrsLevel"


def unreviewed_event(it: Any, around: Around, _set: Thresholds) -> Said:
    for event in around.adverse_events:
        if (event.serious or event.grade == "severe") and event.onset < it.start and (event.reviewed_at is None or event.reviewed_at > it.start):
            yield "critical", "/start"


def consent_withdrawn(it: Any, around: Around, _set: Thresholds) -> Said:
    consent = around.consent
    if it.status not in ("planned", "arrived") or consent is None or consent.kind != "treatment":
        return
    if consent.withdrawn_at is not None or consent.status in ("inactive", "rejected"):
        yield "critical", "/consentId"


def _reads(*paths: str) -> tuple[str, ...]:
    return tuple(path if ":" in path else D + path for path in paths)


_ORDER = tuple(f"prescription.{name}" for name in ("dose_mg", "intended_mg_per_kg", "weight_kg", "weight_measured_at", "drug", "route", "cap_mg"))
_GIVEN = tuple(f"administrations.{name}" for name in ("dose_mg", "given_mg", "status", "start", "end"))
_INFUSED = tuple(f"administrations.{name}" for name in ("route", "start", "end", "rate_mg_per_h", "status"))
_CONTROLLED = ("rescue_medications.drug", *(f"{items}.{name}" for items in ("administrations", "rescue_medications") for name in (
    "drawn_mg", "given_mg", "wasted_mg", "witnessed_by", "given_by")))  # fmt: skip
_SUITABLE = ("start", "status", "screening_id", "consent_id", "patient:birth_date", *(f"screening:{name}" for name in (
    "status", "outcome", "valid_until", "completed_at", "start", "contraindications.present", "contraindications.level", "medication_review.outcome",
)), *(f"consent:{name}" for name in (
    "kind", "status", "signed_at", "withdrawn_at", "valid_from", "valid_to")))  # fmt: skip

RULES = (
    Rule("R10", "dosing-encounter", "dose", "Oxford Health NHS FT; Andrade 2019; US esketamine label", "The ordered dose does not fit weight, route or cap",
         _reads("start", *_ORDER), ordered_dose),
    Rule("R11", "dosing-encounter", "none", "the order", "More was given than ordered, or outside the visit",
         _reads("start", "end", "prescription.dose_mg", *_GIVEN), given_dose),
    Rule("R12", "dosing-encounter", "none", "FHIR mad-1; Oxford Health NHS FT", "An intravenous dose has neither duration nor rate, or was given too fast",
         _reads(*_INFUSED), infusion),
    Rule("R13", "dosing-encounter", "none", "Misuse of Drugs Regulations 2001", "Controlled drug: drawn is not given and wasted, or waste has no witness",
         _reads(*_CONTROLLED), controlled_drug),
    Rule("R20", "dosing-encounter", "dose", "APA consensus 2017; clinic policy",
         "A condition for dosing is not met: screening, consent, medication review or age",
         _reads(*_SUITABLE), suitable),
    Rule("R21", "dosing-encounter", "dose", "Oxford Health NHS FT", "Pregnancy is possible or confirmed", _reads("screening_id", "screening:pregnancy"),
         pregnancy),
    Rule("R22", "dosing-encounter", "dose", "US esketamine label; Swiss esketamine label", "Blood pressure needs a decision before a dose",
         _reads("pre_checks.bp.sys", "pre_checks.bp.dia"), pressure_before),
    Rule("R23", "dosing-encounter", "dose", "US esketamine label", "Food or drink too short before the dose",
         _reads("pre_checks.fast_food_hours", "pre_checks.fluids_minutes"), fasting),
    Rule("R24", "dosing-encounter", "dose", "US esketamine label", "No escort is confirmed",
         _reads("pre_checks.escort_confirmed", "administrations.status"), escort),
    Rule("R25", "dosing-encounter", "dose", "C-SSRS screener", "Acute suicidal intent or plan: escalate",
         _reads("pre_checks.cs_srs_answers.item", "pre_checks.cs_srs_answers.answer"), acute_risk),
    Rule("R25L", "dosing-encounter", "dose", "C-SSRS screener", "The suicide risk level is high: escalate", _reads("pre_checks.cs_srs_level"), high_risk),
    Rule("R61", "dosing-encounter", "dose", "clinic policy", "A severe or serious adverse event has not been reviewed",
         _reads("start", *(f"adverse-event:{name}" for name in ("serious", "grade", "onset", "reviewed_at"))), unreviewed_event),
    Rule("R62", "dosing-encounter", "dose", "common law", "Consent to treatment was withdrawn before the visit",
         _reads("status", "consent_id", *(f"consent:{name}" for name in ("kind", "withdrawn_at", "status"))), consent_withdrawn),
)
