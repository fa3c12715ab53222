"""What an EHR holds, held against what it should hold."""

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from mappings.parts import system_of
from service.store.copies import Copy
from service.store.reconciliation import Known
from service.sync.comparing import Difference, Gone, Theirs, Unread, differences, judged, not_there, our_identifiers
from service.sync.deliver import Owed, Ready, digest
from service.sync.outcomes import Refused
from service.sync.targets.rest import seen_hash

BODY: dict[str, Any] = {"resourceType": "Observation", "status": "final", "valueQuantity": {"value": 7, "unit": "of ten"}}
KNOWN = Known(
    1, b"\x01" * 16, "Observation", 5, "screening", "s1", 1, "v1", 0, b"{}", "r1", 'W/"1"', "v1", 1, digest(BODY), None, 9, "delivered", "",
)  # fmt: skip
READY = Ready(Owed(0, 1, "u", "Observation", "v1", 1, 0, BODY), BODY, digest(BODY), Copy("", 1, "r1", None, "v1", 1, b""))
OTHER = {**BODY, "status": "amended"}


def verdict(theirs: Theirs, one: Known = KNOWN, *, taken: bool = True) -> tuple[str, str] | None:
    found = judged(one, theirs, READY, taken=taken)
    return (found.verdict, found.words) if found is not None else None


def test_what_an_ehr_adds_is_its_own() -> None:
    assert verdict({**BODY, "id": "r1", "meta": {"versionId": "4"}, "note": [{"text": "theirs"}]}) == ("same", "")


def test_what_differs_is_told_by_its_place() -> None:
    found = judged(KNOWN, OTHER, READY, taken=True)
    assert found is not None and (found.verdict, found.differences) == ("differs", (Difference("Observation.status", "final", "amended"),))


def test_what_an_ehr_made_of_what_it_was_sent_is_right_until_it_changes() -> None:
    written = {**BODY, "valueQuantity": {"value": Decimal("7.0"), "code": "{score}"}, "status": "Final"}
    as_made = ("same", "As the EHR made it, otherwise than we say: status")
    known = replace(KNOWN, seen_hash=seen_hash(written))
    assert verdict({**written, "meta": {"versionId": "9"}}, known) == as_made
    assert verdict({**written, "status": "amended"}, known) == ("differs", "")
    assert verdict(written, replace(known, sent_hash=b"of what we said before")) == ("differs", "")
    assert verdict(written, replace(known, sent_hash=b"")) == as_made  # with a change of its own, which was agreed to
    assert verdict(written, replace(known, sent_hash=b"", held_version="v0")) == ("differs", "")


def test_what_is_gone_is_missing_unless_it_should_be_gone() -> None:
    assert verdict(Gone()) == ("missing", "")
    assert verdict(Gone(), replace(KNOWN, held_version="")) == ("missing", "It is the EHR's own, and was linked")
    for withdrawn in (replace(KNOWN, version=None), replace(KNOWN, state=2)):
        assert verdict(Gone(), withdrawn) is None


@pytest.mark.parametrize(
    ("one", "taken", "words"),
    [
        (replace(KNOWN, version=None), True, "It may not see this any more"),
        (replace(KNOWN, state=2), True, "Deleted here"),
        (KNOWN, False, "Not of its agreement any more"),
        (replace(KNOWN, held_level=2, held_version="v2"), True, "Sent at C2, and it may see C1 now"),
        (replace(KNOWN, level=-1, held_version="v2"), True, "It may not see this any more"),
    ],
)
def test_what_should_not_be_there_is_over_held(one: Known, taken: bool, words: str) -> None:
    assert verdict(BODY, one, taken=taken) == ("over-held", words)
    assert verdict(BODY, replace(one, delivery_state="waiting"), taken=taken) == ("undelivered", f"waiting: {words}")


def test_what_was_sent_at_a_level_that_shows_no_more_is_not_over_held() -> None:
    assert verdict(BODY, replace(KNOWN, held_level=2)) == ("same", "")


@pytest.mark.parametrize(("state", "said"), [("waiting", "undelivered"), ("parked", "undelivered"), ("unsupported", "undelivered"), ("superseded", "differs")])
def test_what_differs_while_it_is_owed_is_not_delivered_yet(state: str, said: str) -> None:
    found = judged(replace(KNOWN, delivery_state=state, reason="why"), OTHER, READY, taken=True)
    assert found is not None and found.verdict == said and found.differences
    if said == "undelivered":
        assert (found.delivery, found.words) == (9, f"{state}: why")
    assert verdict(BODY, replace(KNOWN, delivery_state=state)) == ("same", "")


def test_what_cannot_be_read_or_cannot_be_said_is_told() -> None:
    assert verdict(Unread("403")) == ("unread", "403")
    found = judged(KNOWN, BODY, Refused("refers to nothing"), taken=True)
    assert found is not None and (found.verdict, found.words) == ("differs", "refers to nothing")
    assert verdict({"resourceType": "Patient"}, replace(KNOWN, held_version="")) == ("same", "It is the EHR's own")


def test_what_the_ehr_was_never_brought_is_told_by_its_delivery() -> None:
    never = replace(KNOWN, remote_id=None, delivery=None, delivery_state=None)
    told = {None: "Never owed: `ehr catch-up` owes it", "parked": "parked: why", "waiting": "waiting: why", "cancelled": "cancelled: why"}
    for state, words in told.items():
        found = not_there(replace(never, delivery_state=state, reason="why"), taken=True)
        assert found is not None and (found.verdict, found.words) == ("undelivered", words)
    assert not_there(never, taken=False) is None and not_there(replace(never, version=None), taken=True) is None
    assert not_there(replace(never, state=2), taken=True) is None and not_there(replace(never, state=1), taken=True) is None
    refused = not_there(replace(never, delivery=9, delivery_state="unsupported", reason="not this type"), taken=True)
    assert refused is not None and (refused.verdict, refused.words, refused.delivery) == ("unsupported", "not this type", 9)


@pytest.mark.parametrize(
    ("ours", "theirs", "told"),
    [
        ({"a": 1}, {}, [("X.a", 1, None)]),
        ({"a": {"b": [1, 2]}}, {"a": {"b": [2]}}, [("X.a.b[0]", 1, None)]),
        ({"a": [{"c": 1}, {"c": 2}]}, {"a": [{"c": 2}, {"c": 3}]}, [("X.a[0].c", 1, 3)]),
        ({"a": [{"c": 1, "d": 5}]}, {"a": [{"c": 1, "d": 6}]}, [("X.a[0].d", 5, 6)]),
        ({"a": {"unit": "mm", "display": "x", "code": "y"}}, {"a": {"unit": "millimetre", "code": "y"}}, []),
        ({"a": Decimal("0.50")}, {"a": Decimal("0.5")}, []),
        ({"a": True}, {"a": "true"}, [("X.a", True, "true")]),
        ({"a": [1]}, {"a": 1}, [("X.a", [1], 1)]),
    ],
)
def test_differences_are_of_what_we_say(ours: Any, theirs: Any, told: list[tuple[str, Any, Any]]) -> None:
    assert [(one.path, one.ours, one.theirs) for one in differences(ours, theirs, "X")] == told


def test_our_identifiers_are_told_from_others() -> None:
    ours = {"system": system_of("Task"), "value": "u"}
    assert our_identifiers({"identifier": [{"system": "http://else", "value": "1"}, ours, {"value": "x"}, "?", {"system": system_of("patient")}]}) == [("Task", "u")]
    assert our_identifiers({"identifier": ours}) == [("Task", "u")] and our_identifiers({"identifier": "u"}) == our_identifiers({}) == []
