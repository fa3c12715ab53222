"""Rules of an EMDR procedure."""

from datetime import timedelta
from typing import Any

from mappings.rules.rule import Around, Rule, Said, Thresholds, number

E = "emdr-procedure:"
PROCESSING = {4, 5, 6}  # desensitisation, installation, body scan


def _processes(it: Any) -> bool:
    return it.status != "not-done" and (it.focus == "trauma-processing" or bool(PROCESSING & set(it.phases)))


def _earlier(it: Any, around: Around) -> list[Any]:
    return [s for s in around.sessions if s.id != it.id and s.start < it.start and s.status == "completed"]


def prepared(it: Any, around: Around, thresholds: Thresholds) -> Said:
    """Phases 4 to 6 only after sessions of history and preparation, with readiness signed and no acute risk."""
    if not _processes(it):
        return
    if not {1, 2} <= {phase for session in _earlier(it, around) for phase in session.phases}:
        yield "critical", "/phases"
    if it.safety is not None and it.safety.cs_srs_level == "high":
        yield "critical", "/safety/csSrsLevel"
    ready = it.readiness
    if ready is None or ready.signed_by is None:
        yield "critical", "/readiness"
    if ready is None:
        return
    if ready.override is None:
        if ready.des_ii is None:
            yield "warning", "/readiness/desIi"
        elif ready.des_ii >= number(thresholds.des_ii_gate):
            yield "critical", "/readiness/desIi"
    for name, json in (("not_suicidal", "notSuicidal"), ("not_self_harming", "notSelfHarming")):
        if getattr(ready, name) is False:
            yield "critical", f"/readiness/{json}"


def begins_gently(it: Any, around: Around, _set: Thresholds) -> Said:
    if it.status != "not-done" and it.focus in ("trauma-processing", "future-template") and not _earlier(it, around):
        yield "warning", "/focus"


def completeness(it: Any, _around: Around, _set: Thresholds) -> Said:
    """Complete means disturbance gone (0, or an ecological 1), the positive belief valid (6 or 7) and a clear body scan.

    What is not complete is said to be so, and closed with containment. A session that neither processes nor measures is not judged.
    """
    if not (_processes(it) or it.suds_after is not None or it.voc_after is not None):
        return
    done = it.suds_after in (0, 1) and it.voc_after is not None and it.voc_after >= 6 and it.body_scan_clear is True
    ended = it.status in ("completed", "stopped")
    contradicts = it.completeness is not None and (it.completeness == "complete") != done
    uncontained = ended and _processes(it) and not done and it.completeness in (None, "incomplete")
    if contradicts or uncontained:
        yield "warning", "/completeness"


def belief_named(it: Any, _around: Around, _set: Thresholds) -> Said:
    if (it.voc_before is not None or it.voc_after is not None) and it.positive_cognition is None:
        yield "info", "/positiveCognition"


def still_sedated(it: Any, around: Around, thresholds: Thresholds) -> Said:
    """Processing within the acute window of a dose, before discharge was possible and decided."""
    if not _processes(it):
        return
    for visit in around.dosing:
        doses = [a for a in visit.administrations if a.status != "not-done"]
        if doses and min(a.start for a in doses) <= it.start < _window_ends(visit, max(a.end or a.start for a in doses), thresholds):
            yield "critical", "/start"


def _window_ends(visit: Any, last_dose: Any, thresholds: Thresholds) -> Any:
    decided = (visit.discharge.decided_at if visit.discharge is not None else None) or visit.end
    return max(last_dose + timedelta(minutes=thresholds.monitored_minutes), decided or last_dose + timedelta(hours=thresholds.acute_hours))


def high_risk(it: Any, _around: Around, _set: Thresholds) -> Said:
    if it.safety is not None and it.safety.cs_srs_level == "high":
        yield "critical", "/safety/csSrsLevel"


def _reads(*paths: str) -> tuple[str, ...]:
    return tuple(path if ":" in path else E + path for path in paths)


_EARLIER = ("id", "start", "status")
_PROCESSES = ("status", "focus", "phases")
_READY = tuple(f"readiness.{name}" for name in ("signed_by", "des_ii", "override", "not_suicidal", "not_self_harming"))
_DOSED = tuple(f"dosing-encounter:{name}" for name in (
    "administrations.end", "administrations.start", "administrations.status", "discharge.decided_at", "end",
))  # fmt: skip

RULES = (
    Rule("R25L", "emdr-procedure", "processing", "C-SSRS screener", "The suicide risk level is high: escalate", _reads("safety.cs_srs_level"), high_risk),
    Rule("R50", "emdr-procedure", "processing", "EMDR eight phases; readiness for phase 4", "Trauma processing without complete preparation",
         _reads(*_EARLIER, *_PROCESSES, *_READY, "safety.cs_srs_level"), prepared),
    Rule("R51", "emdr-procedure", "processing", "clinic policy", "The first session is neither for stabilisation nor on a present trigger",
         _reads(*_EARLIER, "focus"), begins_gently),
    Rule("R52", "emdr-procedure", "none", "EMDR eight phases", "How the session closed does not fit its measures, or closure and containment are expected",
         _reads("suds_after", "voc_after", "body_scan_clear", "completeness", *_PROCESSES), completeness),
    Rule("R52C", "emdr-procedure", "none", "EMDR eight phases", "A validity of cognition without a positive cognition",
         _reads("voc_before", "voc_after", "positive_cognition"), belief_named),
    Rule("R53", "emdr-procedure", "processing", "clinic policy", "Trauma processing within the acute window of a dose",
         _reads("start", *_PROCESSES, *_DOSED), still_sedated),
)
