"""Logs are events: one line for each request and each attempt to deliver, with ids and never a name, and nothing clinical."""

import atexit
import contextlib
import logging
import os
import sys
import threading
import time
from typing import Any

import orjson
import structlog

from service.config import Settings

LEVELS = {"DEBUG": 10, "INFO": 20, "WARNING": 30, "ERROR": 40}


def set_up(settings: Settings) -> None:
    as_json = settings.log_format == "json"
    shown: Any = structlog.processors.JSONRenderer(serializer=orjson.dumps) if as_json else structlog.dev.ConsoleRenderer(colors=False)
    structlog.configure(
        processors=[structlog.processors.add_log_level, structlog.processors.TimeStamper(fmt="iso", utc=True), shown],
        wrapper_class=structlog.make_filtering_bound_logger(LEVELS[settings.log_level]),
        logger_factory=(lambda *_: _lines) if as_json else structlog.WriteLoggerFactory(file=sys.stderr),
        cache_logger_on_first_use=False,
    )
    logging.getLogger("werkzeug").setLevel(logging.ERROR)


class Lines:
    """JSON lines on their way to stderr: written together within 50 ms, and at once where they tell of trouble or the process ends.

    A write for each line gives up the interpreter's lock as often, which costs a tenth of the throughput of reads (measured).
    """

    WITHIN = 0.05

    def __init__(self) -> None:
        self._waiting: list[bytes] = []
        self._lock, self._wake = threading.Lock(), threading.Event()
        self._process = 0
        atexit.register(self.flush)

    def info(self, line: bytes) -> None:
        with self._lock:
            self._waiting.append(line)
            if self._process != os.getpid():
                self._process = os.getpid()
                threading.Thread(target=self._run, name="log", daemon=True).start()
        if not self._wake.is_set():
            self._wake.set()

    debug = msg = info

    def warning(self, line: bytes) -> None:
        self.info(line)
        self.flush()

    error = critical = exception = fatal = warn = warning

    def flush(self) -> None:
        with self._lock:
            lines, self._waiting = self._waiting, []
        if lines:
            with contextlib.suppress(ValueError, OSError):  # stderr is closed: there is nobody left to tell
                sys.stderr.buffer.write(b"".join(line + b"\n" for line in lines))
                sys.stderr.buffer.flush()

    def _run(self) -> None:
        while True:
            self._wake.wait()
            time.sleep(self.WITHIN)
            self._wake.clear()
            self.flush()


_lines = Lines()
