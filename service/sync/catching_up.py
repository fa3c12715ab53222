"""A new EHR is owed everything that it may hold: so many streams a transaction, and nobody waits for long.

    catch_up(...)              one transaction: the next streams of one EHR
    catch_up_with_all(...)     what a worker does until nothing is left
"""

import time
from collections.abc import Callable

from sqlalchemy import Connection

from service.store import catching, entities, levels, outbox, targets
from service.store.clock import micros
from service.store.sql import lock_name
from service.store.targets import Target
from service.wiring import Service

STREAMS = 10  # a transaction: about a thousand resources, some ten milliseconds
REST = 1.0  # of the time that a transaction took, others have the database to themselves


def catch_up(tx: Connection, name: str, now: int) -> int:
    """Owes an EHR what it lacks of its next streams. Returns how many resources those are.

    Locks as a publish does: patients in order, then streams. What is published meanwhile is owed by whoever publishes it.
    """
    lock_name(tx, f"catching up {name}")
    target, at = targets.get(tx, name), catching.position(tx, name)
    if target is None or at is None:
        return 0
    keys = catching.next_keys(tx, at, STREAMS)
    for key in keys:
        if key > 0:
            entities.lock(tx, key)
    owed = sum(_owe(tx, target, key, now) for key in keys)
    catching.come_to(tx, name, keys[-1] if keys else None)
    return owed


def _owe(tx: Connection, target: Target, key: int, now: int) -> int:
    level = levels.level(tx, target.reader, key if key > 0 else None, target.level, now)
    lacking = catching.not_owed(tx, target.id, key, level, target.types)
    if lacking:
        stream = outbox.touch(tx, target.id, [key], now)[key]
        outbox.owe(tx, target.id, dict.fromkeys(lacking, stream), now, reason="Caught up with")
    return len(lacking)


def catch_up_with_all(service: Service, stopping: Callable[[], bool]) -> None:
    """Catches up with all EHRs in turn until nothing is left. It rests as long as it works."""
    while not stopping() and (names := _names(service)):
        for name in names:
            _turn(service, name)


def _names(service: Service) -> list[str]:
    with service.database.glance() as connection:
        return catching.catching_up(connection)


def _turn(service: Service, name: str) -> None:
    began = time.monotonic()
    now = micros(service.tenant.now())
    owed = service.database.write(lambda tx: catch_up(tx, name, now))
    service.log.info("catching_up", ehr=name, owed=owed)
    time.sleep(min(1.0, REST * (time.monotonic() - began)))
