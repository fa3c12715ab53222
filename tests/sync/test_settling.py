"""What an outcome makes of a delivery, and of its EHR."""

import random
from dataclasses import replace

import pytest

from service.store.streams import Settled
from service.store.tables import FOREVER
from service.sync.deliver import Owed
from service.sync.outcomes import Delivered, Held, Matched, Moot, Outcome, Refused, Retry, Unsupported, Unsure, Waits
from service.sync.retry import SECOND
from service.sync.settling import fared, put_back, settled

NOW = 1_000_000_000_000
OWED = Owed(7, 70, "u", "Observation", "v", 1, 0, {"resourceType": "Observation"})


def became(outcome: Outcome, owed: Owed = OWED) -> Settled:
    return replace(settled(owed, outcome, NOW - 5, NOW, random.Random(1)), attempt=None)


@pytest.mark.parametrize(
    ("outcome", "state", "reason", "counted"),
    [
        (Delivered("r", 'W/"1"', 201), "delivered", "", True),
        (Delivered(None, None, 201), "parked", "The EHR took it and gave no id for it", True),
        (Held(), "delivered", "It held just this already", False),
        (Matched(), "delivered", "It is the EHR's own, and is referred to", False),
        (Refused("no", 422), "parked", "no", True),
        (Unsupported("not this"), "unsupported", "not this", False),
        (Moot("withheld"), "cancelled", "withheld", False),
        (Waits((3,), "waits"), "waiting", "waits", False),
    ],
)
def test_an_outcome_has_one_state(outcome: Outcome, state: str, reason: str, counted: bool) -> None:
    assert became(outcome) == Settled(7, state, reason, FOREVER, counted, False)


def test_a_deletion_is_delivered_without_an_id() -> None:
    assert became(Delivered(None, None, 204), replace(OWED, body=None)).state == "delivered"


@pytest.mark.parametrize("outcome", [Retry("transient", "failed"), Retry("auth", "who?"), Retry("conflict", "other"), Unsure("lost")])
def test_a_failure_is_tried_again_until_its_attempts_are_used_up(outcome: Outcome) -> None:
    again = became(outcome)
    assert (again.state, again.counted) == ("waiting", True) and NOW <= again.next_at < FOREVER
    over = became(outcome, replace(OWED, attempts=99))
    assert (over.state, over.next_at, over.counted) == ("parked", FOREVER, True)


def test_being_asked_to_wait_is_no_attempt() -> None:
    assert became(Retry("transient", "wait", 429, "9", snoozes=True), replace(OWED, attempts=99)) == Settled(7, "waiting", "wait", NOW, False, False)
    assert put_back(replace(OWED, unsure=True), NOW) == Settled(7, "waiting", "", NOW, False, True)


@pytest.mark.parametrize(
    "outcome", [Retry("transient", "x"), Retry("transient", "x", snoozes=True), Retry("conflict", "x"), Unsure("x"), Waits((), "x"), Refused("x")]
)
def test_what_may_be_there_already_stays_unsure_until_it_has_been_looked_at(outcome: Outcome) -> None:
    assert became(outcome, replace(OWED, unsure=True)).unsure
    assert became(outcome).unsure == isinstance(outcome, Unsure)


@pytest.mark.parametrize("outcome", [Delivered("r", None, 200), Held(), Matched(), Moot("x")])
def test_what_is_over_is_sure(outcome: Outcome) -> None:
    assert not became(outcome, replace(OWED, unsure=True)).unsure


def test_only_what_was_sent_is_an_attempt_in_the_log() -> None:
    logged = settled(OWED, Refused("no", 422), NOW - 5, NOW, random.Random(1)).attempt
    assert logged == {"at": NOW - 5, "request": "Observation/u", "outcome": "refused", "status": 422, "words": "no"}
    for outcome in (Held(), Matched(), Moot("x"), Unsupported("x"), Waits((), "x")):
        assert settled(OWED, outcome, NOW, NOW, random.Random(1)).attempt is None


def test_the_breaker_opens_at_the_fifth_failure_in_a_row_and_stays_open_longer_each_time() -> None:
    failures, seen = 0, []
    for _ in range(12):
        until, failures = fared(Retry("transient", "x"), failures, NOW)
        seen.append((until - NOW) // SECOND if until else 0)
    assert seen == [0, 0, 0, 0, 10, 20, 40, 80, 160, 300, 300, 300]
    assert fared(Delivered("r", None, 201), failures, NOW) == (0, 0)


@pytest.mark.parametrize(
    ("outcome", "is_a_failure"),
    [
        (Unsure("x"), True), (Retry("auth", "x"), True), (Retry("conflict", "x"), False), (Refused("x"), False), (Held(), False), (Waits((), "x"), False),
        (Retry("transient", "x", 429, "7", snoozes=True), False),
    ],
)  # fmt: skip
def test_what_counts_as_a_failure_of_the_ehr(outcome: Outcome, is_a_failure: bool) -> None:
    until, failures = fared(outcome, 2, NOW)
    assert failures == 2 + is_a_failure
    assert until == (NOW + 7 * SECOND if getattr(outcome, "snoozes", False) else 0)
