"""What somebody else made as a child of ours: which shapes it can have, and what it may not say."""

from typing import Any

import pytest

from mappings import KINDS, codes
from mappings.children import LISTED, alike, contradictions, listing, path_of, shapes, whose
from mappings.disclosure import Level

DOSING, PLAN = KINDS["dosing-encounter"], KINDS["integration-care-plan"]


@pytest.mark.parametrize(("said", "level", "roles"), [
    ({"resourceType": "Observation", "code": codes.HEART_RATE}, Level.C0, ["observation-hr"]),
    ({"resourceType": "Observation", "code": codes.BLOOD_PRESSURE}, Level.C0, ["observation-bp"]),
    ({"resourceType": "Observation", "code": codes.observed("rass")}, Level.C0, ["observation"]),
    ({"resourceType": "Observation", "code": codes.observed("rass")}, Level.C1, ["observation-rass"]),
    ({"resourceType": "MedicationAdministration"}, Level.C1, ["administration", "rescue-medication"]),
    ({"resourceType": "MedicationAdministration"}, Level.C0, []),
    ({"resourceType": "QuestionnaireResponse"}, Level.C3, []),
    ({"resourceType": "Condition"}, Level.C3, []),
])  # fmt: skip
def test_a_child_can_be_what_has_its_type_and_its_code_at_this_level(said: dict[str, Any], level: Level, roles: list[str]) -> None:
    assert [shape.role for shape in shapes(DOSING, said, level)] == roles


def test_a_care_plan_lists_goals_tasks_and_sessions() -> None:
    assert listing(PLAN.head) - {"identifier"} == {"goal", "activity", "supportingInfo"}
    assert {("CarePlan", "goal", "Goal"), ("CarePlan", "activity", "Task"), ("CarePlan", "supportingInfo", "Encounter")} <= LISTED
    assert all(type_ != "Patient" for _, _, type_ in LISTED)


@pytest.mark.parametrize(("ours", "theirs", "paths"), [
    ({"status": "final"}, {"status": "preliminary"}, ["X.status"]),
    ({"status": "final"}, {}, []),
    ({"code": codes.loinc("1", "One")}, {"code": {"coding": [{"system": codes.LOINC, "code": "2"}]}}, ["X.code"]),
    ({"code": codes.loinc("1", "One")}, {"code": {"coding": [{"system": "x", "code": "y"}, {"system": codes.LOINC, "code": "1"}]}}, []),
    ({"category": [1]}, {"category": [2]}, []),
    ({"period": {"start": "2026-03-02T10:00:00+00:00"}}, {"period": {"start": "2026-03-02T10:00:00Z", "end": "2026-03-03"}}, []),
    ({"period": {"start": "2026-03-02T10:00:00+00:00"}}, {"period": {"start": "2026-03-02T10:00:01Z"}}, ["X.period.start"]),
    ({"id": "ours", "text": "ours"}, {"id": "theirs", "text": "theirs"}, []),
])  # fmt: skip
def test_what_both_say_and_each_otherwise_has_its_path(ours: dict[str, Any], theirs: dict[str, Any], paths: list[str]) -> None:
    assert [path for path, _ in contradictions(ours, theirs, "X")] == paths


def test_a_value_is_the_same_in_whatever_offset_it_is_written() -> None:
    assert alike("2026-03-02T10:00:00+01:00", "2026-03-02T09:00:00Z") and alike(0, 0)
    assert not alike("2026-03-02", "2026-03-03") and not alike("a", "b")


def test_a_field_of_an_item_has_the_path_in_which_its_resource_says_it() -> None:
    [heart_rate] = shapes(DOSING, {"resourceType": "Observation", "code": codes.HEART_RATE}, Level.C1)
    assert (path_of(heart_rate, "hr"), path_of(heart_rate, "at"), path_of(heart_rate, "rass")) == (
        "Observation.valueQuantity", "Observation.effectiveDateTime", None,
    )  # fmt: skip
    [goal] = shapes(PLAN, {"resourceType": "Goal"}, Level.C1)
    assert (path_of(goal, "target/measure"), whose(goal)) == ("Goal.target.measure", "Goal.subject")
