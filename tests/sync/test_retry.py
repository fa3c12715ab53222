"""When a delivery is tried again, and until when an EHR is left alone."""

import random
from datetime import UTC, datetime
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.store.clock import micros
from service.sync.retry import ATTEMPTS, BREAKER_SECONDS, LONGEST_SNOOZE, POLICIES, SECOND, SHORTEST_SNOOZE, next_attempt_at, snooze_until

NOW = micros(datetime(2026, 4, 1, 9, 0, tzinfo=UTC))


@pytest.mark.parametrize("kind", POLICIES)
def test_the_wait_is_anywhere_up_to_a_bound_that_doubles(kind: str) -> None:
    policy, rng = POLICIES[kind], random.Random(1)
    for attempts in range(ATTEMPTS):
        bound = min(policy.longest, policy.first * 2**attempts)
        waits = [wait - NOW for _ in range(300) if (wait := next_attempt_at(NOW, kind, attempts, rng)) is not None]
        assert len(waits) == 300 and min(waits) >= policy.least and max(waits) <= bound
        assert min(waits) < policy.least + bound / 10 and max(waits) > bound * 9 / 10  # full jitter: the whole of it


@pytest.mark.parametrize("kind", POLICIES)
def test_after_its_attempts_nothing_is_tried_again(kind: str) -> None:
    assert next_attempt_at(NOW, kind, ATTEMPTS - 1, random.Random(1)) is not None
    assert next_attempt_at(NOW, kind, ATTEMPTS, random.Random(1)) is None
    assert next_attempt_at(NOW, kind, ATTEMPTS + 1000, random.Random(1)) is None


@pytest.mark.parametrize(
    ("said", "seconds"),
    [
        ("7", 7), (" 7 ", 7), ("2.5", 2.5), ("0", 1), ("0.001", 1), ("-3", 1), ("300", 300), ("301", 300), ("18000", 300), ("1e30", 300), ("inf", 300),
        ("Wed, 01 Apr 2026 09:00:30 GMT", 30), ("Wed, 01 Apr 2026 10:00:30 +0100", 30), ("Wed, 01 Apr 2026 09:00:30", 30),
        ("Wed, 01 Apr 2026 08:00:00 GMT", 1), ("Thu, 01 Jan 1970 00:00:00 GMT", 1), ("Fri, 31 Dec 9999 23:59:59 GMT", 300),
    ],
)  # fmt: skip
def test_an_ehr_is_left_alone_as_it_asks_within_bounds(said: str, seconds: float) -> None:
    assert snooze_until(NOW, said, 0) - NOW == int(seconds * SECOND)


@pytest.mark.parametrize("said", [None, "", "soon", "nan", "12 minutes", "Wed, 99 Apr 2026 09:00:30 GMT", "\x00", "1,5"])
def test_an_ehr_that_asks_for_nothing_that_we_understand_is_left_alone_as_the_breaker_says(said: str | None) -> None:
    waits = [(snooze_until(NOW, said, over) - NOW) // SECOND for over in (0, 1, 2, 3, 4, 5, 6, 500)]
    assert waits == [*BREAKER_SECONDS, 300, 300]


@given(st.text() | st.floats().map(str) | st.datetimes(timezones=st.timezones()).map(format_datetime) | st.from_regex(r"\w{3}, \d+ \w{3} \d+ \d+:\d+:\d+ [+-]\d+"))
def test_no_header_makes_us_wait_longer_than_is_good_or_not_at_all(said: str) -> None:
    assert SHORTEST_SNOOZE <= snooze_until(NOW, said, 0) - NOW <= LONGEST_SNOOZE
