"""What comes one by one and is dealt with together: lines of the log, what is said of requests, rows of the audit trail."""

import os
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Generic, TypeVar
from weakref import WeakMethod

T = TypeVar("T")
AGAIN = 1.0  # seconds until what could not be dealt with is tried again


class Together(Generic[T]):
    """Hands on what it is given, in its order and many at once, by a thread of its own, within some seconds or when it is told to.

    `deal` returns what is left for later. A process that is forked begins with nothing: what waits is its parent's to deal with.
    """

    def __init__(self, deal: Callable[[list[T]], list[T] | None], *, within: float, name: str):
        self._deal, self._within, self._name = deal, within, name
        self._begin()
        begin = WeakMethod(self._begin)
        os.register_at_fork(after_in_child=lambda: (found := begin()) and found())

    def _begin(self) -> None:
        self._waiting: list[T] = []
        self._lock, self._wake, self._stop = threading.Lock(), threading.Event(), threading.Event()
        self._thread: threading.Thread | None = None

    def add(self, *some: T) -> None:
        with self._lock:
            self._waiting += some
            if self._thread is None:
                self._start()
        if not self._wake.is_set():
            self._wake.set()

    def _start(self) -> None:
        thread = threading.Thread(target=self._run, name=self._name, daemon=True)
        with suppress(RuntimeError):  # there is no room for another thread: the next one to come tries again
            thread.start()
            self._thread = thread

    def flush(self) -> bool:
        """Deals with what waits, now. Whether nothing is left: what it fails at is."""
        with self._lock:
            some, self._waiting = self._waiting, []
        if not some:
            return True
        left = some
        with suppress(Exception):  # whatever went wrong with these, there will be others
            left = self._deal(some) or []
        if left:
            with self._lock:
                self._waiting = left + self._waiting
            self._wake.set()
        return not left

    def close(self) -> int:
        """Deals with what is left and ends. How many could not be dealt with."""
        self._stop.set()
        self._wake.set()
        if self._thread is not None:
            self._thread.join(timeout=10)
        self.flush()
        return len(self._waiting)

    def _run(self) -> None:
        while not self._stop.is_set():
            self._wake.wait()
            self._stop.wait(self._within)
            self._wake.clear()
            if not self.flush():
                self._stop.wait(AGAIN)
