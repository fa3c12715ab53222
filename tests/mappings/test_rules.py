"""Each clinical rule of DOMAIN.md 1.2, on both sides of its bound. A golden case in which nothing is found is changed in one respect."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from mappings import KINDS
from mappings.instruments import Administered, Answer, SensitivelyAdministered
from mappings.practitioner import Registration
from mappings.rules import RULES, Around, Thresholds, findings
from mappings.rules.rule import LOOKS_AT, around
from mappings.screening import Contraindication
from tests.mappings.altered import altered_all
from tests.mappings.goldens import case, cases

DOSING, SCREENING, EMDR = "dosing-encounter/iv-infusion-with-wasted-drug", "screening/negative-c-ssrs", "emdr-procedure/trauma-processing-complete"
PLAN, EVENT = "integration-care-plan/every-field", "adverse-event/every-field"
D = Decimal
START = datetime(2026, 2, 3, 9, 15, tzinfo=UTC)  # of the dosing visit
DOSE = datetime(2026, 2, 3, 10, 0, tzinfo=UTC)
NO_DOSE: dict[str, Any] = {"administrations": ()}


@cache
def surroundings(name: str) -> Around:
    one = case(name)
    return around(one.entity, [(other.kind.name, other.entity) for other in cases()])


def said(name: str, changes: Mapping[str, Any], near: Mapping[str, Any] | None = None) -> dict[str, tuple[str, tuple[str, ...]]]:
    """Rule -> (severity, pointers) for a golden case, changed; `near` changes what stands around it (`screening.outcome`)."""
    one = case(name)
    found = findings(one.kind, altered_all(one.entity, changes), altered_all(surroundings(name), near or {}), Thresholds(), KINDS)
    return {finding.rule: (finding.severity, finding.fields) for finding in found}


def answers(*values: int) -> tuple[Answer, ...]:
    return tuple(Answer(item=n, answer=value) for n, value in enumerate(values, 1))


def audit_c(total: int | None, *items: int) -> dict[str, Any]:
    return sensitive("AUDIT-C", None if total is None else D(total), *items)


def sensitive(instrument: str, total: Decimal | None, *items: int) -> dict[str, Any]:
    return {"sensitive_instruments": (SensitivelyAdministered(id="s", instrument=instrument, authored_at=START, total=total, items=answers(*items)),)}


def looked_for(present: bool, level: str | None = None) -> dict[str, Any]:
    return {"contraindications": (Contraindication(id="c", code="stroke", present=present, level=level),)}


def c_ssrs(*items: int, level: str | None = None) -> dict[str, Any]:
    return {"instruments.2": Administered(id="c", instrument="C-SSRS", authored_at=START, risk_level=level, items=answers(*items))}


def without_c_ssrs(item_9: int) -> dict[str, Any]:
    phq_9 = case(SCREENING).entity.instruments[0]
    return {"instruments": (replace(phq_9, items=(*phq_9.items[:8], Answer(item=9, answer=item_9))),)}


ONE = "/sensitiveInstruments/0"


@pytest.mark.parametrize(("changes", "expected"), [
    ({}, {}),
    # R01: PHQ-9 item 9 above 0 wants a C-SSRS
    (without_c_ssrs(0), {}),
    (without_c_ssrs(1), {"R01": ("warning", ("/instruments/0",))}),
    ({"instruments.0.items.8.answer": 1}, {}),
    # R06: DES-II from 30 on; the mean of complete answers where no total is stated
    (sensitive("DES-II", D("29.99")), {}),
    (sensitive("DES-II", D(30)), {"R06": ("warning", (ONE,))}),
    (sensitive("DES-II", None, *[30] * 28), {"R06": ("warning", (ONE,))}),
    (sensitive("DES-II", None, *[30] * 27), {}),
    # R20, contraindications
    (looked_for(False, "absolute"), {}),
    (looked_for(True), {"R20": ("warning", ("/contraindications/0",))}),
    (looked_for(True, "relative"), {"R20": ("warning", ("/contraindications/0",))}),
    (looked_for(True, "absolute"), {"R20": ("critical", ("/contraindications/0",))}),
    # R21, pregnancy
    ({"pregnancy": "not-applicable"}, {}),
    ({"pregnancy": "possible"}, {"R21": ("warning", ("/pregnancy",))}),
    ({"pregnancy": "pregnant"}, {"R21": ("critical", ("/pregnancy",))}),
    # R22: blood pressure
    ({"vitals.bp.sys": D(140), "vitals.bp.dia": D(90)}, {}),
    ({"vitals.bp.sys": D(141)}, {"R22": ("warning", ("/vitals/bp/sys",))}),
    ({"vitals.bp.dia": D(91), "vitals.bp.sys": D(140)}, {"R22": ("warning", ("/vitals/bp/dia",))}),
    ({"vitals.bp.sys": D(180)}, {"R22": ("warning", ("/vitals/bp/sys",))}),
    ({"vitals.bp.sys": D(181)}, {"R22": ("critical", ("/vitals/bp/sys",))}),
    ({"vitals.bp.sys": D(140), "vitals.bp.dia": D(100)}, {"R22": ("warning", ("/vitals/bp/dia",))}),
    ({"vitals.bp.sys": D(140), "vitals.bp.dia": D(101)}, {"R22": ("critical", ("/vitals/bp/dia",))}),
    # R25: intent (item 4) or plan (item 5); R25L: a high level, with or without its answers
    (c_ssrs(1, 1, 1, 0, 0), {}),
    (c_ssrs(1, 1, 1, 1, 0), {"R25": ("critical", ("/instruments/2",))}),
    (c_ssrs(1, 1, 1, 0, 1), {"R25": ("critical", ("/instruments/2",))}),
    (c_ssrs(level="moderate"), {}),
    (c_ssrs(level="high"), {"R25L": ("critical", ("/instruments/2/riskLevel",))}),
    # R31: physiologic ranges, ends included
    ({"vitals.hr": D(25)}, {}),
    ({"vitals.hr": D(24)}, {"R31": ("warning", ("/vitals/hr",))}),
    ({"vitals.hr": D(220)}, {}),
    ({"vitals.hr": D(221)}, {"R31": ("warning", ("/vitals/hr",))}),
    ({"vitals.spo2": D(50)}, {}),
    ({"vitals.spo2": D("49.9")}, {"R31": ("warning", ("/vitals/spo2",))}),
    ({"vitals.rr": D(4)}, {}),
    ({"vitals.rr": D(3)}, {"R31": ("warning", ("/vitals/rr",))}),
    ({"vitals.rr": D(60)}, {}),
    ({"vitals.rr": D(61)}, {"R31": ("warning", ("/vitals/rr",))}),
    ({"vitals.bp.sys": D(50), "vitals.bp.dia": D(30)}, {}),
    ({"vitals.bp.sys": D(49), "vitals.bp.dia": D(30)}, {"R31": ("warning", ("/vitals/bp/sys",))}),
    ({"vitals.bp.sys": D(50), "vitals.bp.dia": D(29)}, {"R31": ("warning", ("/vitals/bp/dia",))}),
    ({"vitals.bp.sys": D(90), "vitals.bp.dia": D(90)}, {"R31": ("warning", ("/vitals/bp",))}),
    ({"vitals.bp.sys": D(91), "vitals.bp.dia": D(90)}, {}),
])  # fmt: skip
def test_a_screening_is_judged(changes: dict[str, Any], expected: dict[str, Any]) -> None:
    assert said(SCREENING, changes) == expected


@pytest.mark.parametrize(("sex", "changes", "positive"), [
    ("female", audit_c(2), False), ("female", audit_c(3), True), ("male", audit_c(3), False), ("male", audit_c(4), True), (None, audit_c(3), True),
    ("female", audit_c(None, 1, 1, 1), True), ("female", audit_c(None, 1, 1), False), ("male", audit_c(None, 1, 1, 1), False),
])  # fmt: skip
def test_audit_c_is_positive_from_4_for_men_and_3_for_women(sex: str | None, changes: dict[str, Any], positive: bool) -> None:
    assert said(SCREENING, changes, {"patient.sex_registered": sex}) == ({"R04": ("warning", (ONE,))} if positive else {})


def order(**rest: Any) -> dict[str, Any]:
    return {**NO_DOSE, **{f"prescription.{name}": value for name, value in rest.items()}}


R10 = "/prescription/doseMg"


@pytest.mark.parametrize(("changes", "expected"), [
    ({}, {}),
    # R10: within 5 % of 0.5 mg/kg for 68.4 kg, or within 1 mg
    (order(dose_mg=D("35.91")), {}),
    (order(dose_mg=D("35.92")), {"R10": ("critical", (R10,))}),
    (order(dose_mg=D("32.49")), {}),
    (order(dose_mg=D("32.48")), {"R10": ("critical", (R10,))}),
    (order(intended_mg_per_kg=D("0.1"), dose_mg=D("7.84")), {}),
    (order(intended_mg_per_kg=D("0.1"), dose_mg=D("7.85")), {"R10": ("critical", (R10,))}),
    (order(weight_measured_at=START - timedelta(days=30)), {}),
    (order(weight_measured_at=START - timedelta(days=30, minutes=1)), {"R10": ("warning", ("/prescription/weightMeasuredAt",))}),
    (order(intended_mg_per_kg=None, dose_mg=None, weight_kg=D(30)), {}),
    (order(intended_mg_per_kg=None, dose_mg=None, weight_kg=D("29.99")), {"R10": ("warning", ("/prescription/weightKg",))}),
    (order(intended_mg_per_kg=None, weight_kg=D(250)), {}),
    (order(intended_mg_per_kg=None, weight_kg=D("250.01")), {"R10": ("warning", ("/prescription/weightKg",))}),
    # an order of milligrams alone is held against the route's mg/kg for the weight, with the same tolerance
    (order(intended_mg_per_kg=None, cap_mg=None, dose_mg=D("35.91")), {}),
    (order(intended_mg_per_kg=None, cap_mg=None, dose_mg=D("35.92")), {"R10": ("critical", (R10,))}),
    (order(intended_mg_per_kg=None, cap_mg=None, dose_mg=D("35.92"), route="IM"), {}),
    (order(intended_mg_per_kg=None, cap_mg=None, dose_mg=D("35.92"), weight_kg=None), {}),
    (order(intended_mg_per_kg=None, cap_mg=None, dose_mg=D("16.1"), route="PO"), {}),
    (order(intended_mg_per_kg=None, cap_mg=None, dose_mg=D(16), route="PO"), {"R10": ("critical", (R10,))}),
    (order(intended_mg_per_kg=D("0.51")), {"R10": ("critical", ("/prescription/intendedMgPerKg",))}),
    (order(intended_mg_per_kg=D("0.51"), dose_mg=None, route="IM"), {}),
    (order(intended_mg_per_kg=D("0.25"), dose_mg=None, route="PO"), {}),
    (order(intended_mg_per_kg=D("0.24"), dose_mg=None, route="PO"), {"R10": ("critical", ("/prescription/intendedMgPerKg",))}),
    (order(intended_mg_per_kg=D(7), dose_mg=None, route="PO"), {}),
    (order(intended_mg_per_kg=D("7.01"), dose_mg=None, route="PO"), {"R10": ("critical", ("/prescription/intendedMgPerKg",))}),
    (order(cap_mg=D(34)), {}),
    (order(cap_mg=D("33.9")), {"R10": ("critical", (R10,))}),
    *((order(drug="esketamine", route="IN", intended_mg_per_kg=None, cap_mg=None, dose_mg=D(dose)), {}) for dose in (28, 56, 84)),
    (order(drug="esketamine", route="IN", intended_mg_per_kg=None, cap_mg=None, dose_mg=D(50)), {"R10": ("critical", (R10,))}),
    (order(drug="esketamine", route="IN", cap_mg=None, dose_mg=D(28)), {"R10": ("critical", (R10, "/prescription/intendedMgPerKg"))}),
    # R11: not more than ordered, and within the visit
    ({"administrations.0.dose_mg": D("34.01"), "prescription.dose_mg": D(34)}, {"R11": ("critical", ("/administrations",))}),
    ({"administrations.0.dose_mg": None, "administrations.0.given_mg": D(35), "administrations.0.wasted_mg": D(15)}, {"R11": ("critical", ("/administrations",))}),
    ({"administrations.0.dose_mg": D(40), "administrations.0.status": "not-done"}, {}),
    ({"start": DOSE, "end": DOSE + timedelta(hours=3)}, {}),
    ({"start": DOSE + timedelta(minutes=1)}, {"R11": ("warning", ("/administrations/0",))}),
    ({"end": DOSE + timedelta(minutes=40)}, {}),
    ({"end": DOSE + timedelta(minutes=39)}, {"R11": ("warning", ("/administrations/0",))}),
    # R12: an infusion has a duration or a rate, and lasts 40 minutes
    ({"administrations.0.end": None}, {}),
    ({"administrations.0.rate_mg_per_h": None}, {}),
    ({"administrations.0.end": None, "administrations.0.rate_mg_per_h": None}, {"R12": ("warning", ("/administrations/0",))}),
    ({"administrations.0.end": None, "administrations.0.rate_mg_per_h": None, "administrations.0.route": "IM"}, {}),
    ({"administrations.0.end": DOSE + timedelta(minutes=39)}, {"R12": ("warning", ("/administrations/0/end",))}),
    ({"administrations.0.end": DOSE + timedelta(minutes=39), "administrations.0.status": "stopped"}, {}),
    # R13: drawn is given and wasted, and another person saw the waste
    ({"administrations.0.drawn_mg": D("50.01")}, {"R13": ("critical", ("/administrations/0/drawnMg",))}),
    ({"administrations.0.wasted_mg": None}, {"R13": ("critical", ("/administrations/0/drawnMg",))}),
    ({"administrations.0.wasted_mg": None, "administrations.0.drawn_mg": D(34)}, {}),
    ({"administrations.0.witnessed_by": None}, {"R13": ("critical", ("/administrations/0/wastedMg",))}),
    ({"administrations.0.witnessed_by": "prac-ellery"}, {"R13": ("critical", ("/administrations/0/wastedMg",))}),
    ({"administrations.0.witnessed_by": None, "administrations.0.wasted_mg": D(0), "administrations.0.drawn_mg": D(34)}, {}),
    # R22 to R24: before the dose
    ({"pre_checks.bp.sys": D(140), "pre_checks.bp.dia": D(90)}, {}),
    ({"pre_checks.bp.sys": D(141)}, {"R22": ("warning", ("/preChecks/bp/sys",))}),
    ({"pre_checks.bp.dia": D(101)}, {"R22": ("critical", ("/preChecks/bp/dia",))}),
    ({"pre_checks.fast_food_hours": D(2), "pre_checks.fluids_minutes": D(30)}, {}),
    ({"pre_checks.fast_food_hours": D("1.9")}, {"R23": ("warning", ("/preChecks/fastFoodHours",))}),
    ({"pre_checks.fluids_minutes": D(29)}, {"R23": ("warning", ("/preChecks/fluidsMinutes",))}),
    ({"pre_checks.escort_confirmed": False}, {"R24": ("warning", ("/preChecks/escortConfirmed",))}),
    ({"pre_checks.escort_confirmed": None}, {"R24": ("warning", ("/preChecks/escortConfirmed",))}),
    ({"pre_checks": None}, {"R24": ("warning", ("/preChecks",))}),
    ({"pre_checks": None, "administrations.0.status": "not-done"}, {}),
    # R25: intent or plan; R25L: a high level
    ({"pre_checks.cs_srs_answers": answers(1, 1, 1, 0, 0)}, {}),
    ({"pre_checks.cs_srs_answers": answers(1, 1, 1, 1, 0)}, {"R25": ("critical", ("/preChecks/csSrsAnswers",))}),
    ({"pre_checks.cs_srs_answers": answers(1, 1, 1, 0, 1)}, {"R25": ("critical", ("/preChecks/csSrsAnswers",))}),
    ({"pre_checks.cs_srs_level": "moderate"}, {}),
    ({"pre_checks.cs_srs_level": "high"}, {"R25L": ("critical", ("/preChecks/csSrsLevel",))}),
    # R31
    ({"pre_checks.bp.sys": D(49), "pre_checks.bp.dia": D(30)}, {"R31": ("warning", ("/preChecks/bp/sys",))}),
    ({"observations.1.hr": D(221)}, {"R31": ("warning", ("/observations/1/hr",))}),
    ({"observations.1.bp.dia": D(136)}, {"R31": ("warning", ("/observations/1/bp",))}),
])  # fmt: skip
def test_a_dose_is_judged(changes: dict[str, Any], expected: dict[str, Any]) -> None:
    assert said(DOSING, changes) == expected


@pytest.mark.parametrize(("drug", "expected"), [("ondansetron", {}), ("labetalol", {}), ("midazolam", {"R13": ("critical", ("/rescueMedications/0/wastedMg",))})])
def test_only_waste_of_a_controlled_drug_needs_a_witness(drug: str, expected: dict[str, Any]) -> None:
    changes = {"rescue_medications.0.drug": drug, "rescue_medications.0.witnessed_by": None}
    assert said("dosing-encounter/every-field", changes) == expected


R20 = {"R20": ("critical", ("/screeningId",))}
R20C = {"R20": ("critical", ("/consentId",))}


@pytest.mark.parametrize(("near", "expected"), [
    ({"screening": None}, R20),
    ({"screening.status": "amended"}, {}),
    ({"screening.status": "in-progress"}, R20),
    ({"screening.outcome": "eligible"}, {}),
    ({"screening.outcome": "deferred"}, R20),
    ({"screening.outcome": "not-eligible"}, R20),
    ({"screening.outcome": None}, R20),
    ({"screening.valid_until": date(2026, 2, 3)}, {}),
    ({"screening.valid_until": date(2026, 2, 2)}, R20),
    ({"screening.valid_until": None, "screening.completed_at": START - timedelta(days=90)}, {}),
    ({"screening.valid_until": None, "screening.completed_at": START - timedelta(days=91)}, R20),
    ({"screening.valid_until": None, "screening.completed_at": None, "screening.start": START - timedelta(days=90)}, {}),
    ({"screening.valid_until": None, "screening.completed_at": None, "screening.start": START - timedelta(days=91)}, R20),
    ({"screening.contraindications.1.present": True}, R20),
    ({"screening.contraindications.3.present": True}, {}),
    ({"screening.medication_review.outcome": "clear"}, {}),
    ({"screening.medication_review.outcome": "not-clear"}, R20),
    ({"screening.medication_review.outcome": None}, R20),
    ({"screening.medication_review": None}, R20),
    ({"screening.completed_at": START}, {}),
    ({"screening.completed_at": START + timedelta(minutes=1)}, R20),
    ({"screening.completed_at": None, "screening.start": START + timedelta(minutes=1)}, R20),
    ({"consent": None}, R20C),
    ({"consent.kind": "research"}, R20C),
    ({"consent.status": "proposed"}, R20C),
    ({"consent.signed_at": START}, {}),
    ({"consent.signed_at": START + timedelta(minutes=1)}, R20C),
    ({"consent.signed_at": None}, R20C),
    ({"consent.valid_from": START}, {}),
    ({"consent.valid_from": START + timedelta(minutes=1)}, R20C),
    ({"consent.valid_to": START + timedelta(minutes=1)}, {}),
    ({"consent.valid_to": START}, R20C),
    ({"consent.status": "inactive", "consent.withdrawn_at": START + timedelta(days=40)}, {}),
    ({"consent.status": "inactive", "consent.withdrawn_at": START}, R20C),
    ({"consent.status": "inactive"}, R20C),
    ({"patient.birth_date": date(2008, 2, 3)}, {}),
    ({"patient.birth_date": date(2008, 2, 4)}, {"R20": ("critical", ("/patientId",))}),
    ({"patient.birth_date": None}, {"R20": ("critical", ("/patientId",))}),
    ({"patient": None}, {}),
    # R21
    ({"screening.pregnancy": "possible"}, {"R21": ("critical", ("/screeningId",))}),
    ({"screening.pregnancy": "pregnant"}, {"R21": ("critical", ("/screeningId",))}),
])  # fmt: skip
def test_what_ought_to_stand_before_a_dose_is_judged(near: dict[str, Any], expected: dict[str, Any]) -> None:
    assert said(DOSING, {}, near) == expected


@pytest.mark.parametrize("status", ["cancelled", "no-show"])
def test_a_visit_that_will_not_be_needs_no_consent(status: str) -> None:
    assert said(DOSING, {"status": status, **NO_DOSE}, {"consent": None, "screening": None}) == {}


@pytest.mark.parametrize(("changes", "expected"), [
    # R30: a blood pressure at 0 (within the 15 minutes before, the checks before the dose among them), at 40 (5 either way) and later; the dose began at 10:00
    ({"observations.0.at": DOSE - timedelta(minutes=15)}, {}),
    ({"observations.0.at": DOSE - timedelta(minutes=16)}, {"R30": ("warning", ("/observations",))}),
    ({"observations.0.at": DOSE}, {}),
    ({"observations.0.at": DOSE + timedelta(minutes=1)}, {"R30": ("warning", ("/observations",))}),
    ({"observations.0.bp": None, "pre_checks.checked_at": DOSE - timedelta(minutes=15)}, {}),
    ({"observations.0.bp": None, "pre_checks.checked_at": DOSE - timedelta(minutes=16)}, {"R30": ("warning", ("/observations",))}),
    ({"observations.0.bp": None, "pre_checks.checked_at": DOSE, "pre_checks.bp": None}, {"R30": ("warning", ("/observations",))}),
    ({"observations.2.at": DOSE + timedelta(minutes=35)}, {}),
    ({"observations.2.at": DOSE + timedelta(minutes=34)}, {"R30": ("warning", ("/observations",))}),
    ({"observations.2.at": DOSE + timedelta(minutes=45)}, {}),
    ({"observations.2.at": DOSE + timedelta(minutes=46)}, {"R30": ("warning", ("/observations",))}),
    ({"observations.3.bp": None, "observations.4.bp": None, "observations.5.bp": None}, {"R30": ("warning", ("/observations",))}),
    ({"observations.3.bp": None, "observations.4.bp": None, "observations.5.at": DOSE + timedelta(minutes=170)}, {}),
    ({"observations.3.bp": None, "observations.4.bp": None, "observations.5.at": DOSE + timedelta(minutes=171)}, {"R30": ("warning", ("/observations",))}),
    ({"observations.0.bp": None}, {"R30": ("warning", ("/observations",))}),
    ({"observations.0.bp": None, "status": "in-progress"}, {}),
    ({"observations.1.spo2": D(92)}, {}),
    ({"observations.1.spo2": D("91.9")}, {"R30": ("critical", ("/observations/1/spo2",))}),
    ({"observations.1.rass": -2}, {}),
    ({"observations.1.rass": -3}, {"R30": ("critical", ("/observations/1/rass",))}),
    ({"observations.1.moaas": 2}, {}),
    ({"observations.1.moaas": 1}, {"R30": ("critical", ("/observations/1/moaas",))}),
    ({"observations.1.acvpu": "voice"}, {}),
    ({"observations.1.acvpu": "pain"}, {"R30": ("critical", ("/observations/1/acvpu",))}),
    # R40: the dose ended at 10:40
    ({"discharge.decided_at": DOSE + timedelta(minutes=160)}, {}),
    ({"discharge.decided_at": DOSE + timedelta(minutes=159)}, {"R40": ("critical", ("/discharge/decidedAt",))}),
    *(({f"discharge.{name}": value}, {"R40": ("critical", (f"/discharge/{json}",))}) for value in (False, None) for name, json in (
        ("bp_acceptable", "bpAcceptable"), ("sedation_resolved", "sedationResolved"), ("dissociation_resolved", "dissociationResolved"),
        ("mobile_unaided", "mobileUnaided"), ("escort_present", "escortPresent"), ("advice_given", "adviceGiven"))),
    ({"discharge.decided_by": None}, {"R40": ("critical", ("/discharge/decidedBy",))}),
    ({"discharge.decided_at": None, "end": DOSE + timedelta(minutes=160)}, {}),
    ({"discharge.decided_at": None, "end": DOSE + timedelta(minutes=159)}, {"R40": ("critical", ("/end",))}),
    ({"discharge.no_driving_until": datetime(2026, 2, 3, 23, 59, tzinfo=UTC)}, {"R40": ("warning", ("/discharge/noDrivingUntil",))}),
    ({"discharge.no_driving_until": datetime(2026, 2, 4, 0, 0, tzinfo=UTC)}, {}),
    ({"discharge.no_driving_until": None}, {}),
    ({"observations.5.rass": -1}, {"R40": ("critical", ("/observations/5/rass",))}),
    ({"observations.5.moaas": 4}, {"R40": ("critical", ("/observations/5/moaas",))}),
    ({"observations.5.acvpu": "confusion"}, {"R40": ("critical", ("/observations/5/acvpu",))}),
    ({"observations.5.dissociation": 1}, {"R40": ("critical", ("/observations/5/dissociation",))}),
    ({"observations.5.dissociation": 1, "observations.5.at": DOSE + timedelta(minutes=171)}, {}),
    ({"discharge": None}, {"R40": ("critical", ("/discharge",))}),
    ({"discharge": None, "status": "aborted"}, {"R40": ("critical", ("/discharge",))}),
    ({"discharge": None, "status": "in-progress"}, {}),
    ({"discharge": None, "administrations": ()}, {"R40": ("critical", ("/discharge",))}),
    ({"discharge": None, "administrations.0.status": "not-done"}, {"R40": ("critical", ("/discharge",))}),
    ({"discharge": None, "administrations.0.status": "not-done", "status": "aborted"}, {}),
    ({"discharge": None, "status": "aborted", "administrations": ()}, {}),
])  # fmt: skip
def test_monitoring_and_discharge_are_judged(changes: dict[str, Any], expected: dict[str, Any]) -> None:
    assert said(DOSING, changes) == expected


@pytest.mark.parametrize(("bodies", "registered"), [
    (("GMC",), True), (("NMC",), True), (("HCPC",), True), (("GPhC",), True), (("BPS", "NMC"), True), (("BPS", "EMDR-accreditation"), False), ((), False),
])  # fmt: skip
def test_a_registered_professional_decides_on_discharge(bodies: tuple[str, ...], registered: bool) -> None:
    near = {"decider.registrations": tuple(Registration(body=body, number="1") for body in bodies)}
    assert said(DOSING, {}, near) == ({} if registered else {"R40": ("critical", ("/discharge/decidedBy",))})


def test_of_a_registration_that_is_not_known_nothing_is_said() -> None:
    assert said(DOSING, {}, {"decider": None}) == {}


HAPPENED = case(EVENT).entity  # severe, serious and reviewed


@pytest.mark.parametrize(("changes", "counts"), [
    ({"onset": START - timedelta(days=1), "reviewed_at": None}, True),
    ({"onset": START - timedelta(days=1), "reviewed_at": START}, False),
    ({"onset": START - timedelta(days=1), "reviewed_at": START + timedelta(minutes=1)}, True),
    ({"onset": START, "reviewed_at": None}, False),
    ({"onset": START - timedelta(days=1), "reviewed_at": None, "grade": "moderate"}, True),
    ({"onset": START - timedelta(days=1), "reviewed_at": None, "grade": "moderate", "serious": False}, False),
    ({"onset": START - timedelta(days=1), "reviewed_at": None, "serious": None}, True),
])  # fmt: skip
def test_an_unreviewed_adverse_event_gates_the_next_dose(changes: dict[str, Any], counts: bool) -> None:
    near = {"adverse_events": (altered_all(HAPPENED, changes),)}
    assert said(DOSING, {}, near) == ({"R61": ("critical", ("/start",))} if counts else {})


@pytest.mark.parametrize(("status", "near", "expected"), [
    ("planned", {}, {}),
    ("planned", {"consent.withdrawn_at": START + timedelta(days=1)}, {"R62": ("critical", ("/consentId",))}),
    ("arrived", {"consent.withdrawn_at": START + timedelta(days=1)}, {"R62": ("critical", ("/consentId",))}),
    ("in-progress", {"consent.withdrawn_at": START + timedelta(days=1)}, {}),
    ("planned", {"consent.kind": "research", "consent.withdrawn_at": START + timedelta(days=1)}, R20C),
    ("planned", {"consent.status": "inactive"}, {**R20C, "R62": ("critical", ("/consentId",))}),
    ("planned", {"consent.status": "rejected"}, {**R20C, "R62": ("critical", ("/consentId",))}),
])  # fmt: skip
def test_a_withdrawn_consent_is_found_before_the_visit(status: str, near: dict[str, Any], expected: dict[str, Any]) -> None:
    assert said(DOSING, {"status": status, **NO_DOSE, "observations": (), "discharge": None}, near) == expected


@pytest.mark.parametrize(("changes", "expected"), [
    ({}, {}),
    # R25L and R50: readiness, DES-II, acute risk
    ({"safety.cs_srs_level": "moderate"}, {}),
    ({"safety.cs_srs_level": "high"}, {"R25L": ("critical", ("/safety/csSrsLevel",)), "R50": ("critical", ("/safety/csSrsLevel",))}),
    ({"readiness": None}, {"R50": ("critical", ("/readiness",))}),
    ({"readiness.signed_by": None}, {"R50": ("critical", ("/readiness",))}),
    ({"readiness.des_ii": D("29.99")}, {}),
    ({"readiness.des_ii": D(30)}, {"R50": ("critical", ("/readiness/desIi",))}),
    ({"readiness.des_ii": None}, {"R50": ("warning", ("/readiness/desIi",))}),
    ({"readiness.not_suicidal": False}, {"R50": ("critical", ("/readiness/notSuicidal",))}),
    ({"readiness.not_self_harming": False}, {"R50": ("critical", ("/readiness/notSelfHarming",))}),
    ({"readiness.not_suicidal": None}, {}),
    ({"readiness": None, "status": "not-done"}, {}),
    # R52: complete is 0 or an ecological 1, a valid belief and a clear body scan
    ({"suds_after": 1}, {}),
    ({"suds_after": 2}, {"R52": ("warning", ("/completeness",))}),
    ({"suds_after": None}, {"R52": ("warning", ("/completeness",))}),
    ({"voc_after": 6}, {}),
    ({"voc_after": 5}, {"R52": ("warning", ("/completeness",))}),
    ({"body_scan_clear": False}, {"R52": ("warning", ("/completeness",))}),
    ({"completeness": None}, {}),
    ({"completeness": "incomplete"}, {"R52": ("warning", ("/completeness",))}),
    ({"suds_after": 4, "completeness": "containment-used"}, {}),
    ({"suds_after": 4, "completeness": "incomplete"}, {"R52": ("warning", ("/completeness",))}),
    ({"suds_after": 4, "completeness": "incomplete", "status": "stopped"}, {"R52": ("warning", ("/completeness",))}),
    ({"suds_after": 4, "completeness": None}, {"R52": ("warning", ("/completeness",))}),
    ({"suds_after": 4, "completeness": None, "status": "in-progress"}, {}),
    ({"suds_after": 3, "completeness": "incomplete", "focus": "present-trigger", "phases": (2, 3)}, {}),
    ({"suds_after": None, "voc_after": None, "completeness": "complete", "focus": "stabilisation", "phases": (2,)}, {}),
    # R52C: a validity needs the belief that it is of
    ({"positive_cognition": None}, {"R52C": ("info", ("/positiveCognition",))}),
    ({"positive_cognition": None, "voc_before": None, "voc_after": None, "completeness": "containment-used"}, {}),
])  # fmt: skip
def test_an_emdr_session_is_judged(changes: dict[str, Any], expected: dict[str, Any]) -> None:
    assert said(EMDR, changes) == expected


@pytest.mark.parametrize("phase", [4, 5, 6])
def test_each_phase_of_processing_wants_preparation_in_an_earlier_session(phase: int) -> None:
    quiet = {"focus": "present-trigger", "suds_after": None, "voc_after": None, "completeness": "containment-used"}
    assert said(EMDR, {**quiet, "phases": (1, 2, phase)}, {"sessions": ()}) == {"R50": ("critical", ("/phases",))}
    assert said(EMDR, {**quiet, "phases": (1, 2, 3, 7, 8)}, {"sessions": ()}) == {}
    assert said(EMDR, {**quiet, "phases": (phase,)}) == {}


@pytest.mark.parametrize(("change", "expected"), [
    ({"status": "stopped"}, {"R50": ("critical", ("/phases",)), "R51": ("warning", ("/focus",))}),
    ({"start": datetime(2026, 3, 1, tzinfo=UTC)}, {"R50": ("critical", ("/phases",)), "R51": ("warning", ("/focus",))}),
    ({"phases": (1,)}, {"R50": ("critical", ("/phases",))}),
    ({}, {}),
])  # fmt: skip
def test_only_a_completed_earlier_session_prepares(change: dict[str, Any], expected: dict[str, Any]) -> None:
    earlier = altered_all(case("emdr-procedure/first-session-stabilisation").entity, change)
    assert said(EMDR, {}, {"sessions": (earlier,)}) == expected


def test_a_seniors_override_lifts_the_des_ii_gate() -> None:
    assert said("emdr-procedure/every-field", {}) == {}
    assert said("emdr-procedure/every-field", {"readiness.override": None}) == {"R50": ("critical", ("/readiness/desIi",))}


@pytest.mark.parametrize(("focus", "warned"), [("stabilisation", False), ("present-trigger", False), ("future-template", True), (None, False)])
def test_a_first_session_begins_gently(focus: str | None, warned: bool) -> None:
    assert said("emdr-procedure/first-session-stabilisation", {"focus": focus}, {"sessions": ()}) == ({"R51": ("warning", ("/focus",))} if warned else {})


EARLY = "emdr-procedure/processing-too-early-after-a-dose"  # dose 10:00 to 10:40, discharge decided 13:10, visit over 13:20
DAY = datetime(2026, 3, 10, tzinfo=UTC)
R53 = {"R53": ("critical", ("/start",))}


@pytest.mark.parametrize(("start", "near", "expected"), [
    (timedelta(hours=9, minutes=59), {}, {}),
    (timedelta(hours=10), {}, R53),
    (timedelta(hours=13, minutes=9), {}, R53),
    (timedelta(hours=13, minutes=10), {}, {}),
    (timedelta(hours=12, minutes=39), {"discharge.decided_at": DAY + timedelta(hours=12)}, R53),
    (timedelta(hours=12, minutes=40), {"discharge.decided_at": DAY + timedelta(hours=12)}, {}),
    (timedelta(hours=13, minutes=19), {"discharge": None}, R53),
    (timedelta(hours=13, minutes=20), {"discharge": None}, {}),
    (timedelta(hours=34, minutes=39), {"discharge": None, "end": None}, R53),
    (timedelta(hours=34, minutes=40), {"discharge": None, "end": None}, {}),
    (timedelta(hours=11), {"administrations.0.status": "not-done"}, {}),
])  # fmt: skip
def test_processing_waits_for_discharge(start: timedelta, near: dict[str, Any], expected: dict[str, Any]) -> None:
    visit = altered_all(case("dosing-encounter/rescue-medication").entity, near)
    assert said(EARLY, {"start": DAY + start}, {"dosing": (visit,)}) == expected


def test_stabilisation_may_follow_a_dose_at_once() -> None:
    assert said(EARLY, {"focus": "stabilisation", "phases": (2,), "completeness": None, "suds_after": None}) == {}


@pytest.mark.parametrize(("changes", "expected"), [
    ({}, {}),
    ({"goals": ()}, {"R60": ("warning", ("/goals",))}),
    ({"review_date": None}, {"R60": ("warning", ("/reviewDate",))}),
    ({"goals": (), "review_date": None}, {"R60": ("warning", ("/goals", "/reviewDate"))}),
    ({"goals": (), "review_date": None, "status": "draft"}, {}),
    ({"small_experiments.1.goal_id": None}, {"R60X": ("info", ("/smallExperiments/1/goalId",))}),
])  # fmt: skip
def test_a_care_plan_is_judged(changes: dict[str, Any], expected: dict[str, Any]) -> None:
    assert said(PLAN, changes) == expected


@pytest.mark.parametrize(("changes", "expected"), [
    ({}, {}),
    ({"reviewed_at": None}, {"R61": ("critical", ("/reviewedAt",))}),
    ({"reviewed_at": None, "serious": None}, {"R61": ("critical", ("/reviewedAt",))}),
    ({"reviewed_at": None, "grade": "moderate"}, {"R61": ("critical", ("/reviewedAt",))}),
    ({"reviewed_at": None, "grade": "moderate", "serious": False}, {}),
])  # fmt: skip
def test_an_adverse_event_is_judged(changes: dict[str, Any], expected: dict[str, Any]) -> None:
    assert said(EVENT, changes) == expected


def test_every_rule_fires_in_some_test() -> None:
    text = Path(__file__).read_text()
    assert [rule.id for rule in RULES if f'"{rule.id}"' not in text] == []


def test_what_a_kind_looks_at_is_what_its_rules_read() -> None:
    """So a record is judged again exactly when another changes that its rules read; EMDR sessions look at each other."""
    read: dict[str, set[str]] = {}
    for rule in RULES:
        read.setdefault(rule.kind, set()).update(path.partition(":")[0] for path in rule.reads)
    others = {kind: kinds - {kind} for kind, kinds in read.items()}
    others["emdr-procedure"].add("emdr-procedure")
    others["dosing-encounter"].discard("practitioner")  # whose registration counts as it was when the visit was written down
    assert {kind: set(kinds) for kind, kinds in LOOKS_AT.items()} == {kind: kinds for kind, kinds in others.items() if kinds}
