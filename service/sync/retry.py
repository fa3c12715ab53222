"""When a delivery is tried again: pure, from the outcome and the attempts so far."""

import math
import random
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

SECOND = 1_000_000
SHORTEST_SNOOZE, LONGEST_SNOOZE = 1 * SECOND, 5 * 60 * SECOND  # an EHR has asked for five hours; we look again after five minutes
BREAKER_OPENS = 5  # failures in a row
BREAKER_SECONDS = (10, 20, 40, 80, 160, 300)


@dataclass(frozen=True)
class Policy:
    """Full jitter: a wait between `least` and `first` doubled by every attempt, up to `longest`."""

    first: int
    longest: int
    least: int = 0


ATTEMPTS = 12  # of whatever kinds they fail in, one after another
POLICIES = {
    "transient": Policy(2 * SECOND, 300 * SECOND),
    "auth": Policy(30 * SECOND, 900 * SECOND),
    "conflict": Policy(1 * SECOND, 30 * SECOND),
    "unsure": Policy(2 * SECOND, 120 * SECOND, least=1 * SECOND),  # the EHR may still be at it
}


def next_attempt_at(now: int, kind: str, attempts: int, rng: random.Random) -> int | None:
    """When to try again, in microseconds; None once its attempts are used up."""
    policy = POLICIES[kind]
    if attempts >= ATTEMPTS:
        return None
    return now + int(rng.uniform(policy.least, min(policy.longest, policy.first * 2 ** min(attempts, 20))))


def snooze_until(now: int, retry_after: str | None, failures: int) -> int:
    """Until when a target is left alone: as it asks (seconds, fractions of them, or a date), within bounds, else by the breaker."""
    asked = _asked(now, retry_after)
    if asked is None:
        return now + BREAKER_SECONDS[min(failures, len(BREAKER_SECONDS) - 1)] * SECOND
    return now + max(SHORTEST_SNOOZE, min(LONGEST_SNOOZE, asked))


def _asked(now: int, retry_after: str | None) -> int | None:
    if not retry_after:
        return None
    try:
        seconds = float(retry_after)
    except ValueError:
        try:
            when = parsedate_to_datetime(retry_after)
        except (ValueError, TypeError):
            return None
        when = when.replace(tzinfo=UTC) if when.tzinfo is None else when
        return int((when - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds() * SECOND) - now
    return None if math.isnan(seconds) else int(max(0.0, min(seconds, 1e9)) * SECOND)
