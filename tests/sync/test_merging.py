"""Two changes of one resource: what one side changed stands, what both changed differently is a person's to settle."""

from typing import Any

import pytest

from mappings.parts import system_of
from service.sync.merging import First, agreed, as_made, made_of, merge

Json = dict[str, Any]
UUID = "6fa0a4fe-7f0b-5d0b-8d3b-0c8c5b6d1111"
KNOWN = {"Encounter/e1": {"system": system_of("Encounter"), "value": UUID}}
THEIRS, OURS = {"reference": "Encounter/e1"}, {"reference": f"Encounter/{UUID}"}
LOGICAL = {"type": "Encounter", "identifier": KNOWN["Encounter/e1"]}


def said(base: Json, ours: Json, theirs: Json) -> tuple[Json, tuple[str, ...], tuple[str, ...]]:
    found = merge(base, ours, theirs, KNOWN)
    return found.body, found.kept, found.conflicts


@pytest.mark.parametrize(
    ("base", "ours", "theirs", "expected"),
    [
        ({"status": "a"}, {"status": "b"}, {"status": "a"}, ({"status": "b"}, (), ())),
        ({"status": "a"}, {"status": "a"}, {"status": "b"}, ({"status": "b"}, ("status",), ())),
        ({"status": "a"}, {"status": "b"}, {"status": "b"}, ({"status": "b"}, (), ())),
        ({"status": "a"}, {"status": "b"}, {"status": "c"}, ({"status": "b"}, (), ("status",))),
        ({"status": "a"}, {"status": "a"}, {}, ({}, ("status",), ())),
        ({"status": "a"}, {}, {"status": "a"}, ({}, (), ())),
        ({"status": "a"}, {"status": "b"}, {}, ({"status": "b"}, (), ("status",))),
        ({}, {"note": 1}, {"reason": 2}, ({"note": 1, "reason": 2}, ("reason",), ())),
        ({}, {"score": 0}, {}, ({"score": 0}, (), ())),
        ({"active": True}, {"active": False}, {"active": True}, ({"active": False}, (), ())),
        ({"a": 1, "b": 1}, {"a": 2, "b": 1}, {"a": 1, "b": 2}, ({"a": 2, "b": 2}, ("b",), ())),
    ],
)
def test_an_element_is_as_the_side_has_it_that_changed_it(base: Json, ours: Json, theirs: Json, expected: Any) -> None:
    assert said(base, ours, theirs) == expected


def test_what_an_ehr_adds_to_what_we_said_is_no_change_and_stays() -> None:
    base = {"code": {"coding": [{"code": "1"}]}, "note": [{"text": "a"}]}
    theirs = {"code": {"coding": [{"code": "1"}, {"code": "x"}], "text": "One"}, "note": [{"text": "a"}, {"text": "theirs"}]}
    assert said(base, base, theirs) == (theirs, (), ())
    ours = {"code": {"coding": [{"code": "2"}]}, "note": [{"text": "b"}]}
    body = {"code": {"coding": [{"code": "2"}, {"code": "x"}], "text": "One"}, "note": [{"text": "b"}, {"text": "theirs"}]}
    assert said(base, ours, theirs) == (body, (), ())


def test_a_reference_is_what_it_means_however_it_is_written() -> None:
    for theirs in (THEIRS, LOGICAL, {"reference": "https://ehr.test/fhir/Encounter/e1", "display": "A visit"}):
        assert said({"encounter": OURS}, {"encounter": THEIRS}, {"encounter": theirs})[1:] == ((), ())
    assert said({"encounter": OURS}, {"encounter": THEIRS}, {"encounter": LOGICAL})[0] == {"encounter": THEIRS}
    assert said({"encounter": OURS}, {"encounter": THEIRS}, {"encounter": {"reference": "Encounter/e2"}}) == (
        {"encounter": {"reference": "Encounter/e2"}}, ("encounter",), (),
    )  # fmt: skip


def test_what_an_ehr_adds_to_one_item_stays_when_we_change_another() -> None:
    base = {"component": [{"code": "trials", "value": 3}, {"code": "psychosis", "value": False}, {"code": "mania", "value": False}]}
    ours = {"component": [{"code": "trials", "value": 4}, *base["component"][1:]]}
    noted = {"code": "psychosis", "value": False, "interpretation": ["reviewed"]}
    own = {"code": "their-own"}
    theirs = {"component": [own, base["component"][2], noted, base["component"][0]]}
    assert said(base, ours, theirs) == ({"component": [ours["component"][0], noted, base["component"][2], own]}, (), ())


def test_what_we_take_away_goes_and_what_they_added_beside_it_stays() -> None:
    base = {"note": ["a"], "member": [{"who": "x"}, {"who": "y"}], "period": {"start": "1", "end": "2"}}
    ours = {"member": [{"who": "x"}], "period": {"start": "1"}}
    theirs = {**base, "note": ["a"], "member": [{"who": "x"}, {"who": "y"}, {"who": "z"}], "status": "theirs"}
    assert said(base, ours, theirs)[0] == {"member": [{"who": "x"}, {"who": "z"}], "period": {"start": "1"}, "status": "theirs"}


@pytest.mark.parametrize(("ours", "theirs", "expected"), [
    (["new", "own"], ["new"], ["new", "own"]), (["new"], ["new", "added"], ["new", "added"]), (["own", "new"], ["new"], ["own", "new"]),
    (["old", "own"], ["new"], None), (["new", "old"], ["new"], None), (["other"], ["new"], None),
])  # fmt: skip
def test_what_they_changed_in_a_list_and_came_in_stands_beside_what_we_added_since(ours: list[str], theirs: list[str], expected: Any) -> None:
    found = merge({"telecom": ["old"]}, {"telecom": ours}, {"telecom": theirs}, KNOWN)
    assert (found.conflicts, found.body["telecom"]) == (((), expected) if expected is not None else (("telecom",), ours))


def test_of_versions_that_it_holds_all_of_the_one_that_says_most_is_agreed() -> None:
    new, old = {"status": "a"}, {"status": "a", "note": ["b"]}
    assert agreed([new, old], {**old, "more": 1}, {}) is old and agreed([new, old], new, {}) is new
    assert agreed([old, new], {**old, "more": 1}, {}) is old and agreed([new, dict(new)], new, {}) is new


@pytest.mark.parametrize("element", ["subject", "patient", "for"])
def test_whose_a_resource_is_is_never_left_to_the_ehr_without_a_person(element: str) -> None:
    ours, theirs = {element: {"reference": "Patient/p2"}, "status": "a"}, {element: {"reference": "Patient/p1"}, "status": "b"}
    assert said(ours, ours, theirs) == ({**ours, "status": "b"}, ("status",), (element,))
    assert said(ours, ours, {"status": "a"}) == (ours, (), (element,))


def test_our_narrative_does_not_stand_beside_what_they_say() -> None:
    ours = {"resourceType": "Task", "id": "1", "meta": {"source": "us"}, "text": {"div": "ours"}, "status": "a", "note": "b"}
    assert said({"status": "a"}, ours, {"status": "a"})[0] == {n: v for n, v in ours.items() if n != "id"}
    assert "text" not in said({"status": "a"}, ours, {"status": "c"})[0]


def test_what_was_agreed_last_is_the_newest_of_ours_that_they_still_hold() -> None:
    second, first = {"id": "x", "status": "b"}, {"id": "x", "status": "a"}
    assert agreed([second, first], {"id": "9", "status": "b", "more": 1}, KNOWN) == second
    assert agreed([second, first], {"status": "a"}, KNOWN) == first
    assert agreed([second, first], {"status": "z"}, KNOWN) == first
    assert agreed([], {"status": "z"}, KNOWN) is None


def test_of_what_the_ehr_made_itself_what_both_say_is_agreed_and_ours_goes_beside_theirs() -> None:
    ours = {"identifier": [{"value": "ours"}], "period": {"start": "2026-03-02T10:00:00+00:00", "end": "2026-03-03"}, "status": "a", "encounter": OURS}
    theirs = {"identifier": [{"value": "7"}], "period": {"start": "2026-03-02T10:00:00Z"}, "status": "a", "encounter": THEIRS, "note": ["theirs"]}
    base = agreed([First(ours)], theirs, KNOWN)
    assert base == {"identifier": [], "period": {"start": "2026-03-02T10:00:00Z"}, "status": "a", "encounter": OURS}
    both = {**ours, "identifier": [{"value": "ours"}, {"value": "7"}], "encounter": THEIRS, "note": ["theirs"]}
    assert said(base, {**ours, "encounter": THEIRS}, theirs) == (both, ("note",), ())
    assert said(base, {**ours, "status": "b", "encounter": THEIRS}, theirs) == ({**both, "status": "b"}, ("note",), ())
    changed_there = agreed([First(ours)], {**theirs, "status": "c"}, KNOWN)
    assert changed_there is not None and said(changed_there, {**ours, "encounter": THEIRS}, {**theirs, "status": "c"})[0]["status"] == "c"


def test_what_an_ehr_made_of_what_it_was_sent_is_its_own_word_or_nothing() -> None:
    ours = {"id": "1", "text": "x", "status": "a", "code": {"text": "Pulse"}, "note": [{"text": "n"}], "count": 0}
    assert made_of(ours, {"id": "9", "status": "a", "code": {"text": "Heart rate"}, "count": 0, "more": 1}) == {"code": {"text": "Heart rate"}, "note": None}
    assert made_of(ours, {**ours, "note": [{"text": "theirs"}, {"text": "n"}]}) == {}
    assert made_of({"count": 0}, {}) == {"count": None}


def test_what_we_said_is_held_against_theirs_as_they_made_it_as_long_as_we_say_the_same() -> None:
    newest, sent = {"status": "b", "note": ["x"], "code": "new"}, {"status": "a", "note": ["x"], "code": "old"}
    made = {"note": None, "code": "OLD"}
    assert as_made([newest, sent], made) == [{"status": "b", "code": "new"}, {"status": "a", "code": "OLD"}]
    assert as_made([newest, sent], {}) == [newest, sent] and as_made([], made) == []
    assert agreed(as_made([newest, sent], made), {"status": "b", "code": "new"}, KNOWN) == {"status": "b", "code": "new"}
