"""Rules of an EMDR procedure."""

from decimal import Decimal
from typing import Any

from mappings.rules.rule import Around, Rule, Said, Thresholds, minutes

E = "emdr-procedure:"
PROCESSING = {4, 5, 6}  # desensitisation, installation, body scan


def _processes(it: Any) -> bool:
    return it.focus == "trauma-processing" or bool(PROCESSING & set(it.phases))


def prepared(it: Any, around: Around, thresholds: Thresholds) -> Said:
    """Phases 4 to 6 only after history and preparation, with readiness signed and no acute risk."""
    if not PROCESSING & set(it.phases):
        return
    earlier = {phase for s in around.sessions if s.id != it.id and s.start < it.start and s.status == "completed" for phase in s.phases}
    if not {1, 2} <= earlier | set(it.phases):
        yield "critical", "/phases"
    ready = it.readiness
    if ready is None or ready.signed_by is None:
        yield "critical", "/readiness"
    elif ready.des_ii is not None and ready.des_ii >= Decimal(str(thresholds.des_ii_gate)) and ready.override is None:
        yield "critical", "/readiness/desIi"
    elif ready.not_suicidal is False or ready.not_self_harming is False:
        yield "critical", "/readiness"
    if it.safety is not None and it.safety.cs_srs_level == "high":
        yield "critical", "/safety/csSrsLevel"


def begins_gently(it: Any, around: Around, _set: Thresholds) -> Said:
    first = not any(s.id != it.id and s.start < it.start and s.status == "completed" for s in around.sessions)
    if first and it.focus == "trauma-processing":
        yield "warning", "/focus"


def completeness(it: Any, _around: Around, _set: Thresholds) -> Said:
    """Complete means disturbance gone (0, or an ecological 1), the positive belief valid (6 or 7) and a clear body scan."""
    done = it.suds_after in (0, 1) and it.voc_after is not None and it.voc_after >= 6 and it.body_scan_clear is True
    if it.completeness == "complete" and not done:
        yield "warning", "/completeness"
    if it.completeness == "incomplete" and it.status == "completed" and _processes(it):
        yield "warning", "/completeness"


def belief_named(it: Any, _around: Around, _set: Thresholds) -> Said:
    if (it.voc_before is not None or it.voc_after is not None) and it.positive_cognition is None:
        yield "info", "/positiveCognition"


def still_sedated(it: Any, around: Around, thresholds: Thresholds) -> Said:
    """Processing within the acute window of a dose, before discharge is possible."""
    if not _processes(it):
        return
    for visit in around.dosing:
        given = [a.end or a.start for a in visit.administrations if a.status != "not-done"]
        if not given or it.start < min(given):
            continue
        decided = visit.discharge.decided_at if visit.discharge is not None else None
        if minutes(it.start, max(given)) < thresholds.monitored_minutes or (decided is not None and it.start < decided):
            yield "critical", "/start"


def _reads(*paths: str) -> tuple[str, ...]:
    return tuple(path if ":" in path else E + path for path in paths)


RULES = (
    Rule("R50", "emdr-procedure", "processing", "EMDR eight phases; readiness for phase 4", "Trauma processing without complete preparation",
         _reads("id", "start", "status", "phases", "readiness.signed_by", "readiness.des_ii", "readiness.override", "readiness.not_suicidal",
                "readiness.not_self_harming", "safety.cs_srs_level"), prepared),
    Rule("R51", "emdr-procedure", "processing", "clinic policy", "The first session processes trauma", _reads("id", "start", "status", "focus"), begins_gently),
    Rule("R52", "emdr-procedure", "none", "EMDR eight phases", "How the session closed does not fit its measures, or closure and containment are expected",
         _reads("suds_after", "voc_after", "body_scan_clear", "completeness", "status", "focus", "phases"), completeness),
    Rule("R52C", "emdr-procedure", "none", "EMDR eight phases", "A validity of cognition without a positive cognition",
         _reads("voc_before", "voc_after", "positive_cognition"), belief_named),
    Rule("R53", "emdr-procedure", "processing", "clinic policy", "Trauma processing within the acute window of a dose",
         _reads("start", "focus", "phases", *(f"dosing-encounter:{name}" for name in (
             "administrations.end", "administrations.start", "administrations.status", "discharge.decided_at"))), still_sedated),
)
