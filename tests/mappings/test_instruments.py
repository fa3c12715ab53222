"""Rating scales: a stated total is the instrument's own score of its complete items (R01 to R07), or is taken as stated."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from mappings import Ids
from mappings.disclosure import Level, withhold
from mappings.instruments import INSTRUMENTS, Administered, Answer, SensitivelyAdministered, check
from tests.generate import TENANT
from tests.mappings.altered import altered
from tests.mappings.goldens import case

SCORED = [("PHQ-9", 9, 3, 27), ("GAD-7", 7, 3, 21), ("PCL-5", 20, 4, 80), ("MADRS", 10, 6, 60), ("AUDIT-C", 3, 4, 12), ("DES-II", 28, 100, 100)]


def problems(instrument: str, total: Any, answers: list[int] | None = None, **rest: Any) -> list[str]:
    cls: Any = SensitivelyAdministered if instrument in ("AUDIT-C", "DES-II") else Administered
    items = tuple(Answer(item=n, answer=answer) for n, answer in enumerate(answers or [], 1))
    given = cls(id="i", instrument=instrument, authored_at=datetime(2026, 3, 2, tzinfo=UTC), total=None if total is None else Decimal(str(total)), items=items, **rest)
    return [pointer for pointer, _ in check(given, "")]


@pytest.mark.parametrize(("instrument", "items", "most", "highest"), SCORED)
def test_an_instrument_has_its_items_its_answers_and_its_highest_score(instrument: str, items: int, most: int, highest: int) -> None:
    assert len(INSTRUMENTS[instrument].links) == items
    assert problems(instrument, highest, [most] * items) == []
    assert problems(instrument, 0, [0] * items) == []
    assert problems(instrument, None, [most] * items + [0]) == [f"/items/{items}/item"]
    assert problems(instrument, None, [most + 1] + [0] * (items - 1)) == ["/items/0/answer"]


@pytest.mark.parametrize(("instrument", "items", "most", "highest"), SCORED)
def test_a_total_without_items_is_taken_as_stated_within_the_instruments_range(instrument: str, items: int, most: int, highest: int) -> None:
    assert problems(instrument, highest) == problems(instrument, 0) == []
    assert problems(instrument, highest + 1) == ["/total"]


@pytest.mark.parametrize(("instrument", "items", "most", "highest"), SCORED)
def test_a_total_that_is_not_the_score_of_the_items_is_refused(instrument: str, items: int, most: int, highest: int) -> None:
    assert problems(instrument, 1, [0] * items) == ["/total"]


@pytest.mark.parametrize(("instrument", "items", "most", "highest"), SCORED)
def test_with_an_item_missing_there_is_no_total(instrument: str, items: int, most: int, highest: int) -> None:
    assert problems(instrument, 0, [0] * (items - 1)) == ["/total"]
    assert problems(instrument, None, [0] * (items - 1)) == []


@pytest.mark.parametrize(("total", "taken"), [("14.29", True), ("14.3", True), ("14.24", True), ("14.23", False), ("14.34", False)])
def test_the_mean_of_des_ii_may_be_rounded(total: str, taken: bool) -> None:
    assert problems("DES-II", total, [10] * 24 + [40] * 4) == ([] if taken else ["/total"])


def test_c_ssrs_has_a_risk_level_and_no_total() -> None:
    assert problems("C-SSRS", None, [1, 0], risk_level="none") == []
    assert problems("C-SSRS", 1) == ["/total"]
    assert problems("PHQ-9", None, risk_level="low") == ["/riskLevel"]


def responses(name: str, view: Level = Level.C3) -> list[dict[str, Any]]:
    one = case(name)
    return one.kind.to_fhir(withhold(one.entity, view), Ids(TENANT), view)


def test_phq_9_with_a_missing_item_has_an_answer_to_each_of_the_others_and_no_score() -> None:
    [phq_9, *_] = [r for r in responses("screening/phq-9-with-a-missing-item") if r["resourceType"] == "QuestionnaireResponse"]
    assert [item["linkId"] for item in phq_9["item"]] == ["44250-9", "44255-8", "44254-1", "44251-7", "44258-2", "44252-5", "44253-3", "44260-8"]
    assert not [r for r in responses("screening/phq-9-with-a-missing-item") if r.get("code", {}).get("text") == "PHQ-9 total"]


def test_item_9_of_phq_9_has_an_observation_of_its_own_even_where_it_is_zero() -> None:
    [item_9] = [r for r in responses("screening/negative-c-ssrs") if r.get("code", {}).get("text") == "PHQ-9 item 9"]
    assert item_9["valueCodeableConcept"]["coding"] == [{"system": "http://loinc.org", "code": "LA6568-5", "display": "Not at all"}]


def test_a_negative_risk_level_is_said_as_such() -> None:
    [level] = [r for r in responses("screening/negative-c-ssrs", Level.C1) if r.get("code", {}).get("text") == "Suicide risk level"]
    assert level["valueCodeableConcept"]["coding"][0] == {
        "system": "https://pathway-fhir.example/CodeSystem/suicide-risk-level", "code": "none", "display": "No risk found",
    }  # fmt: skip


def test_a_score_of_zero_is_a_score() -> None:
    one = case("screening/by-video")
    zero = altered(one.entity, "instruments.0.total", Decimal(0))
    [score] = [r for r in one.kind.to_fhir(zero, Ids(TENANT), Level.C3) if r.get("code", {}).get("text") == "PCL-5 total"]
    assert score["valueQuantity"]["value"] == 0
