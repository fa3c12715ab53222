"""What an outcome makes of a delivery and of its EHR: pure.

    delivered, held, matched    -> delivered          refused, out of attempts -> parked, with the EHR's words
    asked to wait, not reached  -> waiting, uncounted; the EHR is snoozed, for longer the longer it is not reached
    changed on both sides       -> parked, and a conflict that a person settles
    failed, unsure              -> waiting until the policy's next attempt; what was unsure stays so until it is looked at
    not taken by the EHR        -> unsupported        nothing left to tell     -> cancelled
"""

import random
from typing import Any

from service.store.outbox import CANCELLED, DELIVERED, PARKED, UNSUPPORTED, WAITING
from service.store.streams import Settled
from service.store.tables import FOREVER
from service.sync.deliver import Owed
from service.sync.outcomes import SENT, Contested, Delivered, Held, Matched, Moot, Outcome, Refused, Retry, Unsupported, Unsure, Waits
from service.sync.retry import BREAKER_OPENS, next_attempt_at, snooze_until


def settled(owed: Owed, outcome: Outcome, began: int, now: int, rng: random.Random) -> Settled:
    words, status = getattr(outcome, "words", ""), getattr(outcome, "status", None)
    attempt: dict[str, Any] | None = None
    if isinstance(outcome, SENT):
        attempt = {"at": began, "request": f"{owed.type}/{owed.uuid}", "outcome": type(outcome).__name__.lower(), "status": status, "words": words}

    def become(state: str, reason: str = words, *, next_at: int = FOREVER, counted: bool = False, unsure: bool = False) -> Settled:
        return Settled(owed.delivery, state, reason[:500], next_at, counted, unsure, attempt)

    def again(kind: str, *, unsure: bool = False) -> Settled:
        at = next_attempt_at(now, kind, owed.attempts + 1, rng)
        return become(PARKED if at is None else WAITING, next_at=at or FOREVER, counted=True, unsure=unsure or owed.unsure)

    match outcome:
        case Delivered(remote_id=None) if owed.body is not None:
            return become(PARKED, "The EHR took it and gave no id for it", counted=True)
        case Delivered():
            return become(DELIVERED, counted=True)
        case Held():
            return become(DELIVERED, "It held just this already")
        case Matched():
            return become(DELIVERED, "It is the EHR's own, and is referred to")
        case Refused():
            return become(PARKED, counted=True, unsure=owed.unsure)
        case Contested():
            return become(PARKED, counted=True)
        case Unsupported(remote_id=remote_id):
            return become(UNSUPPORTED, unsure=owed.unsure and remote_id is None)
        case Moot():
            return become(CANCELLED)
        case Waits():
            return become(WAITING, unsure=owed.unsure)
        case Retry(snoozes=True, unsure=unsure):
            return become(WAITING, next_at=now, unsure=unsure or owed.unsure)
        case Retry(kind=kind, unsure=unsure):
            return again(kind, unsure=unsure)
        case Unsure():
            return again("unsure", unsure=True)


def put_back(owed: Owed, now: int) -> Settled:
    """What was not sent after all goes back to wait; it was no attempt."""
    return Settled(owed.delivery, WAITING, "", now, False, owed.unsure)


def fared(outcome: Outcome, failures: int, now: int) -> tuple[int, int]:
    """(until when the EHR is left alone, failures in a row): as it asks, or because it keeps failing; 0 is not at all."""
    match outcome:
        case Retry(kind="unreached"):
            return snooze_until(now, None, failures), failures + 1
        case Retry(snoozes=True, retry_after=retry_after):
            return snooze_until(now, retry_after, 0), failures
        case Unsure() | Retry(kind="transient" | "auth"):
            over = failures + 1 - BREAKER_OPENS
            return (snooze_until(now, None, over) if over >= 0 else 0), failures + 1
        case Delivered():
            return 0, 0
    return 0, failures
