"""Serving a sandbox over HTTP: by gunicorn in the foreground, one process with several threads, since what it holds is in memory."""

import errno
import socket
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from select import POLLIN, poll
from typing import Any

from gunicorn.app.base import BaseApplication
from gunicorn.workers.base import Worker
from gunicorn.workers.gthread import ThreadWorker

from sandbox.app import Sandbox, create_app
from sandbox.journal import Journal
from sandbox.smart import Smart

THREADS = 64  # as many requests can hang or drip at once while others are answered; a thread that has nothing to do is never started
STAYS_MS = 250
KEEPALIVE_S = 75  # longer than a client's pool keeps a connection that it does not use, so that the client is the one that closes it


class PortTaken(Exception):
    """Another process listens there."""


def run(
    host: str = "127.0.0.1",
    port: int = 8001,
    personas: Sequence[str] = ("plain", "epic"),
    directory: Path | str | None = None,
    threads: int = THREADS,
    *,
    tokens: Mapping[str, str] | None = None,
    smart: Mapping[str, Mapping[str, Any]] | None = None,
) -> None:
    """Serve until SIGINT or SIGTERM, then leave by SystemExit; port 0 takes a free one. Says where it is on standard output.

    Raises PortTaken, InUse and Malformed, with the port, the directory or what is wrong with `smart` in their words.
    """
    for given in (smart or {}).values():
        Smart(given)  # as below, what is wrong is said here and not in the worker
    if directory is not None:
        Journal(Path(directory)).close()  # here a directory in use is one sentence, in the worker it would be a traceback
    listening = _listen(host, port)
    taken: int = listening.getsockname()[1]
    shown = f"[{host}]" if ":" in host else host
    print(f"sandbox: http://{shown}:{taken}", flush=True)  # noqa: T201 - whoever started it with port 0 reads where it is
    _Server(listening.detach(), threads, lambda: create_app(personas, directory, tokens, smart)).run()


def _listen(host: str, port: int) -> socket.socket:
    listening = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    # Before anyone connects: a connection has what its listener had then, and gunicorn sends head and body apart, which costs
    # 40 ms an answer where the kernel waits for the head to be acknowledged.
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    try:
        listening.bind((host, port))
    except OSError as reason:
        listening.close()
        if reason.errno == errno.EADDRINUSE:
            raise PortTaken(f"port {port} of {host} is taken by another process") from None
        raise
    listening.listen(1024)
    return listening


class _Worker(ThreadWorker):  # type: ignore[misc]
    """Gunicorn's, in which a thread stays with its connection while there are threads for all: that of a client which sends one request after
    another is handed round between them no more (measured: 2,200 creations a second, and 1,700 so).

    It ends at once when it is told to: gunicorn's asks its pool to shut down from within the signal's handler, and where that interrupts the
    pool as it takes a request, it waits for a lock that it has itself until it is killed, with what was not in the journal yet."""

    def handle_quit(self, sig: int, frame: object) -> None:
        Worker.handle_quit(self, sig, frame)

    def handle(self, conn: Any) -> Any:
        kept = super().handle(conn)
        while kept is True and self._goes_on(conn):
            kept = super().handle(conn)
        return kept

    def _goes_on(self, conn: Any) -> bool:
        """Whether the next request is there in a moment. What has been read of it already is gunicorn's own to go on with."""
        if not self.alive or conn.is_http2 or self.nr_conns >= self.cfg.threads or conn.parser.unreader.buf.getvalue():
            return False
        there = poll()
        there.register(conn.sock, POLLIN)
        return bool(there.poll(STAYS_MS))


class _Server(BaseApplication):  # type: ignore[misc]
    """Gunicorn with the application made in its one worker: threads and open files do not survive a fork."""

    def __init__(self, listening_fd: int, threads: int, make: Callable[[], Sandbox]) -> None:
        self._options = {
            "bind": f"fd://{listening_fd}",
            "worker_class": _Worker,
            "workers": 1,
            "threads": threads,
            "keepalive": KEEPALIVE_S,
            "worker_connections": 2000,
            "limit_request_line": 8190,  # the most that gunicorn allows; a longer search goes by POST
            "timeout": 120,
            "graceful_timeout": 5,
            "loglevel": "warning",
            "control_socket_disable": True,
            "worker_exit": self._worker_exit,
        }
        self._make = make
        self._sandbox: Sandbox | None = None
        super().__init__()

    def load_config(self) -> None:
        for name, value in self._options.items():
            if name in self.cfg.settings:  # gunicorn before 25 has no control socket to disable
                self.cfg.set(name, value)

    def load(self) -> Sandbox:
        self._sandbox = made = self._make()
        return made

    def _worker_exit(self, _arbiter: object, _worker: object) -> None:
        if self._sandbox is not None:
            self._sandbox.close()
