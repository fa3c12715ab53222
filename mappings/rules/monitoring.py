"""Rules of a dosing encounter from its dose on: what is watched, and who may go home when."""

from collections.abc import Iterator
from typing import Any

from mappings.rules.rule import Around, Rule, Said, Thresholds, minutes, number
from mappings.rules.screening import implausible, implausible_pressure

D = "dosing-encounter:"
ENDED = ("finished", "aborted")
REGISTERS = ("GMC", "NMC", "HCPC", "GPhC")  # the registers that UK law keeps of health professionals; others are memberships
BACK_TO_ONESELF = {"acvpu": "alert", "rass": 0, "moaas": 5, "dissociation": 0}


def observed(it: Any, _around: Around, thresholds: Thresholds) -> Said:
    """The blood pressures that monitoring wants: at 0, at about 40 minutes, and before discharge; and readings that alarm."""
    for n, reading in enumerate(it.observations):
        for name, alarms in (
            ("spo2", reading.spo2 is not None and reading.spo2 < number(thresholds.spo2_critical)),
            ("rass", reading.rass is not None and reading.rass <= thresholds.rass_critical),
            ("moaas", reading.moaas is not None and reading.moaas <= thresholds.moaas_critical),
            ("acvpu", reading.acvpu in ("pain", "unresponsive")),
        ):
            if alarms:
                yield "critical", f"/observations/{n}/{name}"
    started = [a.start for a in it.administrations if a.status != "not-done"]
    if it.status not in ENDED or not started:
        return
    measured = [minutes(at, min(started)) for at in _pressures(it)]
    near = thresholds.observation_tolerance_minutes
    at_zero = any(-thresholds.observation_before_minutes <= m <= 0 for m in measured)
    at_forty = any(abs(m - 40) <= near for m in measured)
    decided = it.discharge.decided_at if it.discharge is not None else None
    late = any(m > 40 + near and (decided is None or m <= minutes(decided, min(started))) for m in measured)
    if not (at_zero and at_forty and late):
        yield "warning", "/observations"


def _pressures(it: Any) -> Iterator[Any]:
    """When a blood pressure was measured: among the checks before the dose, or among the readings."""
    if it.pre_checks is not None and it.pre_checks.bp is not None:
        yield it.pre_checks.checked_at
    yield from (reading.at for reading in it.observations if reading.bp is not None)


def implausible_readings(it: Any, _around: Around, _set: Thresholds) -> Said:
    if it.pre_checks is not None:
        yield from implausible_pressure(it.pre_checks.bp, "/preChecks/bp")
    for n, reading in enumerate(it.observations):
        yield from implausible(reading, f"/observations/{n}")


def discharged(it: Any, around: Around, thresholds: Thresholds) -> Said:
    given = [a.end or a.start for a in it.administrations if a.status != "not-done"]
    leaving = it.discharge
    if leaving is None:
        if it.status == "finished" or (it.status == "aborted" and given):
            yield "critical", "/discharge"
        return
    for name, json in (("bp_acceptable", "bpAcceptable"), ("sedation_resolved", "sedationResolved"), ("dissociation_resolved", "dissociationResolved"),
                       ("mobile_unaided", "mobileUnaided"), ("escort_present", "escortPresent"), ("advice_given", "adviceGiven")):
        if getattr(leaving, name) is not True:
            yield "critical", f"/discharge/{json}"
    left = leaving.decided_at or it.end
    if left is not None and given and minutes(left, max(given)) < thresholds.monitored_minutes:
        yield "critical", "/discharge/decidedAt" if leaving.decided_at is not None else "/end"
    if leaving.decided_by is None or not _registered(around.decider):
        yield "critical", "/discharge/decidedBy"
    if leaving.no_driving_until is not None and leaving.no_driving_until.date() <= (leaving.decided_at or it.start).date():
        yield "warning", "/discharge/noDrivingUntil"
    yield from _not_yet_oneself(it)


def _registered(decider: Any) -> bool:
    return decider is None or any(registration.body in REGISTERS for registration in decider.registrations)


def _not_yet_oneself(it: Any) -> Said:
    """The last reading of each scale before discharge: alert and without dissociation."""
    until = it.discharge.decided_at
    for name, well in BACK_TO_ONESELF.items():
        readings = [(r.at, n) for n, r in enumerate(it.observations) if getattr(r, name) is not None and (until is None or r.at <= until)]
        if readings and getattr(it.observations[(last := max(readings)[1])], name) != well:
            yield "critical", f"/observations/{last}/{name}"


def _reads(*paths: str) -> tuple[str, ...]:
    return tuple(path if ":" in path else D + path for path in paths)


_DOSES = ("administrations.start", "administrations.status")
_WHEN = ("pre_checks.bp", "pre_checks.checked_at", "discharge.decided_at")
_DISCHARGE = tuple(f"discharge.{name}" for name in (
    "decided_at", "bp_acceptable", "sedation_resolved", "dissociation_resolved", "mobile_unaided", "escort_present", "advice_given", "decided_by",
    "no_driving_until",
))  # fmt: skip

RULES = (
    Rule("R30", "dosing-encounter", "none", "REMS monitoring form", "Monitoring is incomplete, or a reading needs attention",
         _reads("status", *_DOSES, *_WHEN, *(f"observations.{name}" for name in ("at", "bp", "spo2", "rass", "moaas", "acvpu"))), observed),
    Rule("R31", "dosing-encounter", "none", "physiologic ranges", "A reading is outside the physiologic range",
         _reads("pre_checks.bp.sys", "pre_checks.bp.dia", *(f"observations.{name}" for name in ("hr", "spo2", "rr", "bp.sys", "bp.dia"))),
         implausible_readings),
    Rule("R40", "dosing-encounter", "none", "US esketamine label", "Discharge is missing, early or incomplete",
         _reads("status", "start", "end", "administrations.end", "practitioner:registrations.body", *_DOSES, *_DISCHARGE, "observations.at",
                *(f"observations.{name}" for name in BACK_TO_ONESELF)), discharged),
)
