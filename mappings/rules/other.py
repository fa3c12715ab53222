"""Rules of care plans and adverse events."""

from typing import Any

from mappings.rules.rule import Around, Rule, Said, Thresholds


def whole_plan(it: Any, _around: Around, _set: Thresholds) -> Said:
    if it.status == "active" and not it.goals:
        yield "warning", "/goals"
    if it.status == "active" and it.review_date is None:
        yield "warning", "/reviewDate"


def experiments_belong(it: Any, _around: Around, _set: Thresholds) -> Said:
    for n, experiment in enumerate(it.small_experiments):
        if experiment.goal_id is None:
            yield "info", f"/smallExperiments/{n}/goalId"


def needs_review(it: Any, _around: Around, _set: Thresholds) -> Said:
    if (it.serious or it.grade == "severe") and it.reviewed_at is None:
        yield "critical", "/reviewedAt"


RULES = (
    Rule("R60", "integration-care-plan", "none", "clinic policy", "An active care plan has no goal or no review date",
         tuple(f"integration-care-plan:{name}" for name in ("status", "goals", "review_date")), whole_plan),
    Rule("R60X", "integration-care-plan", "none", "clinic policy", "A small experiment belongs to no goal",
         ("integration-care-plan:small_experiments.goal_id",), experiments_belong),
    Rule("R61", "adverse-event", "dose", "clinic policy", "A severe or serious adverse event has not been reviewed",
         tuple(f"adverse-event:{name}" for name in ("serious", "grade", "reviewed_at")), needs_review),
)
