"""The audit trail of reads: a row a request, kept in memory for at most 100 ms and written in batches.

A commit for each read would cost four fifths of the throughput. Who must have it sets `audit_reads` to sync.
"""

import os
import threading
from collections.abc import Callable

from service.store import audit
from service.store.audit import Event
from service.store.database import Database

WITHIN = 0.1


class Trail:
    """Events on their way to the table. One for each process; its thread starts with the first event."""

    def __init__(self, database: Database, *, sync: bool = False, failed: Callable[[Exception], None] = lambda _e: None):
        self._database, self._sync, self._failed = database, sync, failed
        self._waiting: list[Event] = []
        self._lock, self._wake, self._stop = threading.Lock(), threading.Event(), threading.Event()
        self._thread: tuple[int, threading.Thread] | None = None

    def note(self, event: Event) -> None:
        if self._sync:
            self._database.write(lambda tx: audit.record(tx, [event]))
            return
        with self._lock:
            self._waiting.append(event)
            if self._thread is None or self._thread[0] != os.getpid():
                self._thread = (os.getpid(), threading.Thread(target=self._run, name="audit", daemon=True))
                self._thread[1].start()
        if not self._wake.is_set():
            self._wake.set()

    def _run(self) -> None:
        while not self._stop.is_set():
            self._wake.wait()
            self._stop.wait(WITHIN)
            self._wake.clear()
            self.flush()

    def flush(self) -> None:
        with self._lock:
            batch, self._waiting = self._waiting, []
        if batch:
            try:
                self._database.write(lambda tx: audit.record(tx, batch))
            except Exception as error:  # noqa: BLE001 (the trail outlives a database that is away; what was not written is kept)
                with self._lock:
                    self._waiting = batch + self._waiting
                self._failed(error)
                self._stop.wait(1)

    def close(self) -> None:
        """Writes what is left and ends."""
        self._stop.set()
        self._wake.set()
        if self._thread is not None and self._thread[0] == os.getpid():
            self._thread[1].join(timeout=5)
        self.flush()
