"""Deadlines that hold whatever the other side does: a thread that shuts a call's socket when the call's time is up."""

import heapq
import itertools
import math
import socket
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import Any


class Watchdog:
    """Shuts sockets whose time is up. One thread for a process."""

    def __init__(self) -> None:
        self._due: list[tuple[float, int]] = []
        self._looks_at = math.inf  # when the thread wakes by itself
        self._armed: dict[int, Mapping[str, Any]] = {}
        self._count, self._change = itertools.count(), threading.Condition()
        self._thread: threading.Thread | None = None

    def arm(self, seconds: float, calling: Mapping[str, Any]) -> int:
        """Begins a deadline for a call, which keeps its `socket` in `calling` as soon as it has one. Returns its number."""
        with self._change:
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="deadlines", daemon=True)
                self._thread.start()
            number = next(self._count)
            self._armed[number] = calling
            at = time.monotonic() + seconds
            heapq.heappush(self._due, (at, number))
            if at < self._looks_at:  # what is due later is seen to when the thread looks next: each waking is a switch of threads
                self._change.notify()
            return number

    def disarm(self, number: int) -> bool:
        """Whether the call ended in time."""
        with self._change:
            in_time = self._armed.pop(number, None) is not None
            while self._due and self._due[0][1] not in self._armed:
                heapq.heappop(self._due)
            return in_time

    def _run(self) -> None:
        while True:
            with self._change:
                while not self._due:
                    self._looks_at = math.inf
                    self._change.wait()
                self._looks_at, number = self._due[0]
                left = self._looks_at - time.monotonic()
                if left > 0:
                    self._change.wait(left)
                    continue
                heapq.heappop(self._due)
                calling = self._armed.pop(number, None)
                if calling is not None:
                    self._shut(calling.get("socket"))  # before the thread that is called back can begin another call on it

    @staticmethod
    def _shut(sock: Any) -> None:
        if sock is not None:
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
