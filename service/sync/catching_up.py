"""A new EHR is owed everything that it may hold: so many streams a transaction, and nobody waits for long.

    catch_up(...)    one transaction: the next streams of one EHR
    CatchingUp       the thread of a worker that does so until nothing is left
"""

import threading
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


class CatchingUp:
    """Catches up, on a thread of its own, with all EHRs in turn. It rests as long as it works."""

    def __init__(self, service: Service, stopping: Callable[[], bool]):
        self._service, self._stopping = service, stopping
        self._thread: threading.Thread | None = None

    @property
    def under_way(self) -> bool:
        return self._thread is not None and self._thread.is_alive()

    def begin(self) -> None:
        if not self.under_way:
            self._thread = threading.Thread(target=self._run, name="catching up", daemon=True)
            self._thread.start()

    def end(self) -> None:
        if self._thread is not None:
            self._thread.join()

    def _run(self) -> None:
        try:
            while not self._stopping() and (names := self._names()):
                for name in names:
                    self._turn(name)
        except Exception as error:  # noqa: BLE001 (what was owed is owed; the next chore goes on from there)
            self._service.log.error("catching_up_failed", error=type(error).__name__)

    def _names(self) -> list[str]:
        with self._service.database.glance() as connection:
            return catching.catching_up(connection)

    def _turn(self, name: str) -> None:
        began = time.monotonic()
        now = micros(self._service.tenant.now())
        owed = self._service.database.write(lambda tx: catch_up(tx, name, now))
        self._service.log.info("catching_up", ehr=name, owed=owed)
        time.sleep(min(1.0, REST * (time.monotonic() - began)))
