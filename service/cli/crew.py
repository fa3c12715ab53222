"""Processes forked from one that has loaded everything: one that dies is replaced within milliseconds."""

import gc
import os
import secrets
import signal
import sys
import threading
import time
from collections.abc import Callable
from typing import Any, NoReturn

from service.sync.worker import named

LIVES = 1.0  # a process that dies sooner (seconds) is replaced only then: what kills it may kill the next one
ENDS = (signal.SIGTERM, signal.SIGINT)


class Crew:
    """So many processes that do the same. They end together: when they are told to, when this one is gone, or each when it is done.

    `work` is called in each after the fork, with its name and that of the one whose place it takes, and returns its exit code.
    Nothing that a fork would share (a thread, a connection) may exist before. A name has the process's id and is nobody else's.
    """

    def __init__(self, size: int, work: Callable[[str, str | None], int], lost: Callable[[int, int], object]):
        self._size, self._work, self._lost = size, work, lost
        self._began: dict[int, tuple[float, str]] = {}
        self._told = False

    def run(self) -> int:
        """Returns 0 once all are done or have ended as they were told."""
        for number in ENDS:
            signal.signal(number, self._tell)
        gc.collect()
        gc.freeze()  # what is here stays shared
        for _ in range(self._size):
            self._fork()
        while self._began:
            pid, status = os.wait()
            began, name = self._began.pop(pid, (None, ""))
            code = os.waitstatus_to_exitcode(status)
            if began is None or code == 0 or self._told:  # another's child, done, or told
                continue
            self._lost(pid, code)
            time.sleep(max(0.0, began + LIVES - time.monotonic()))
            self._fork(name)
        return 0

    def _tell(self, *_: Any) -> None:
        self._told = True
        for pid in tuple(self._began):
            os.kill(pid, signal.SIGTERM)

    def _fork(self, before: str | None = None) -> None:
        """Nothing once it is told, which it is before or after and never between: each process is told, and none does what this one does then."""
        signal.pthread_sigmask(signal.SIG_BLOCK, ENDS)
        if not self._told:
            ours, own = os.getpid(), secrets.token_hex(3)
            pid = os.fork()
            if pid == 0:
                self._become(ours, named(own), before)
            self._began[pid] = time.monotonic(), named(own, pid)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, ENDS)

    def _become(self, parent: int, name: str, before: str | None) -> NoReturn:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # a Ctrl-C reaches all of a terminal's processes; the first one tells
        signal.pthread_sigmask(signal.SIG_UNBLOCK, ENDS)
        threading.Thread(target=_ends_with, args=(parent,), name="parent", daemon=True).start()
        sys.exit(self._work(name, before))


def _ends_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(1)
    os.kill(os.getpid(), signal.SIGTERM)
