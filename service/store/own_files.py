"""Files beside a SQLite database, by whose locks its processes know of each other."""

import fcntl
import os
import threading
from pathlib import Path
from typing import IO


class OwnFile:
    """A file to be locked, which each process opens for itself: a lock that came with a fork would be the parent's too."""

    def __init__(self, path: Path):
        self._path, self._opened = path, dict[int, IO[bytes]]()

    @property
    def is_open(self) -> bool:
        return os.getpid() in self._opened

    def lock(self, how: int) -> None:
        """Locks it as flock does. Raises OSError, and with LOCK_NB BlockingIOError where another process has it."""
        if not self.is_open:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._opened[os.getpid()] = self._path.open("ab")
        try:
            fcntl.flock(self._opened[os.getpid()], how)
        except BaseException:
            self.close()  # so that what is open is locked
            raise

    def close(self) -> None:
        """Lets go of it, locked or not."""
        found = self._opened.pop(os.getpid(), None)
        if found is not None:
            found.close()


class WriteQueue:
    """The place where the writers of all processes and threads stand in line: a lock on a file beside the database."""

    def __init__(self, path: Path):
        self._file, self._mine = OwnFile(path), threading.Lock()

    def __enter__(self) -> None:
        self._mine.acquire()
        try:
            self._file.lock(fcntl.LOCK_EX)
        except BaseException:
            self._mine.release()
            raise

    def __exit__(self, *_: object) -> None:
        self._file.lock(fcntl.LOCK_UN)
        self._mine.release()

    def close(self) -> None:
        self._file.close()
