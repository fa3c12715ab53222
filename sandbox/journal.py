"""Where the EHRs' versions are kept between runs: one SQLite file, appended to in the background.

An answer does not wait for the disk: the last tenth of a second can be lost when the process is killed. This is a sandbox, not an EHR.
"""

import logging
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from threading import Event, Lock, Thread

from sandbox.records import Version

log = logging.getLogger(__name__)

FLUSH_EVERY_S = 0.1
FILE = "sandbox.sqlite"
TABLE = """
CREATE TABLE IF NOT EXISTS version (
    place INTEGER PRIMARY KEY, persona TEXT NOT NULL, type TEXT NOT NULL, id TEXT NOT NULL, number INTEGER NOT NULL,
    sequence INTEGER NOT NULL, updated TEXT NOT NULL, body BLOB NOT NULL)
"""


class InUse(Exception):
    """Another sandbox has the directory."""


class Journal:
    def __init__(self, directory: Path) -> None:
        """Raises InUse."""
        self._database = _open(directory)
        self._waiting: list[tuple[str, Version]] = []
        self._writing, self._stopped = Lock(), Event()
        self._thread = Thread(target=self._flush_until_stopped, name="sandbox-journal", daemon=True)
        self._thread.start()

    def load(self) -> Iterator[tuple[str, Version]]:
        """Every version that was kept, with its persona, in the order in which they were written."""
        with self._writing:
            for persona, *columns in self._database.execute("SELECT persona, type, id, number, sequence, updated, body FROM version ORDER BY place"):
                yield persona, Version(*columns)

    def append(self, persona: str, version: Version) -> None:
        """Keep a version soon. Raises RuntimeError once the journal is closed: nothing is acknowledged that will not be kept."""
        if self._stopped.is_set():
            raise RuntimeError("the sandbox is stopping")
        self._waiting.append((persona, version))

    def clear(self, persona: str | None = None) -> None:
        """Of one persona, or of all."""
        with self._writing:
            self._waiting[:] = [one for one in self._waiting if persona not in (None, one[0])]
            with self._database:
                self._database.execute("DELETE FROM version WHERE ? IS NULL OR persona = ?", (persona, persona))

    def close(self) -> None:
        self._stopped.set()
        self._thread.join()
        self._flush()
        self._database.close()

    def _flush_until_stopped(self) -> None:
        while not self._stopped.wait(FLUSH_EVERY_S):
            try:
                self._flush()
            except sqlite3.Error:
                log.exception("the sandbox could not write its journal, and tries again")

    def _flush(self) -> None:
        with self._writing:
            batch = self._waiting[:]  # others append meanwhile: only what was seen here is taken off afterwards
            if not batch:
                return
            rows = [(persona, v.type, v.id, v.number, v.sequence, v.updated, v.body) for persona, v in batch]
            with self._database:
                self._database.executemany("INSERT INTO version (persona, type, id, number, sequence, updated, body) VALUES (?, ?, ?, ?, ?, ?, ?)", rows)
            del self._waiting[: len(batch)]


def _open(directory: Path) -> sqlite3.Connection:
    """The file, for this process alone: two EHRs on one file would each not know of half of their records."""
    directory.mkdir(parents=True, exist_ok=True)
    database = sqlite3.connect(directory / FILE, check_same_thread=False, timeout=1)
    try:
        for pragma in ("locking_mode=EXCLUSIVE", "journal_mode=WAL", "synchronous=NORMAL"):
            database.execute(f"PRAGMA {pragma}")
        database.execute(TABLE)
        database.commit()
    except sqlite3.OperationalError as reason:
        database.close()
        if reason.sqlite_errorcode in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            raise InUse(f"another sandbox is using {directory}") from None
        raise
    return database
