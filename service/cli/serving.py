"""The web service, alone or with a worker beside it."""

import gc
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
from gunicorn.app.base import BaseApplication
from gunicorn.workers.base import Worker
from gunicorn.workers.gthread import ThreadWorker

from service.config import Settings, load


class Threads(ThreadWorker):  # type: ignore[misc]
    """gunicorn's worker with threads, which shares connections with the others, and ends at once when it is told to.

    gunicorn's own asks its pool to shut down from within the signal's handler. Where that interrupts the pool as it takes a request,
    it waits for a lock that it has itself, until it is killed 20 seconds later (measured: one of thirty).
    """

    def handle_quit(self, sig: int, frame: object) -> None:
        Worker.handle_quit(self, sig, frame)

    def accept(self, listener: Any) -> None:
        """Whoever has connections lets those go first who woke with it: on few cores one took all that came at once (measured: two of 14 times 16)."""
        if self.nr_conns:
            os.sched_yield()
        super().accept(listener)


class Web(BaseApplication):  # type: ignore[misc]
    """gunicorn, in the foreground, with threads: requests wait for the database and for locks, and threads wait cheaply."""

    def __init__(self, settings: Settings, **more: Any):
        self._settings, self._more = settings, more
        super().__init__()

    def load_config(self) -> None:
        settings = self._settings
        chosen = {
            "bind": f"{settings.host}:{settings.port}", "workers": settings.web_workers, "threads": settings.web_threads, "worker_class": Threads,
            "worker_tmp_dir": _memory(), "preload_app": True, "keepalive": 75, "timeout": 60, "graceful_timeout": 20, "max_requests": 0,
            "limit_request_line": 8190, "limit_request_fields": 60, "loglevel": "warning", "proc_name": "pathway-fhir", "backlog": 512,
            "forwarded_allow_ips": "",  # where we are is said by PUBLIC_URL, and by no header
            "child_exit": _child_exit, "worker_exit": _worker_exit, **self._more,
        }  # fmt: skip
        for name, value in chosen.items():
            self.cfg.set(name, value)

    def load(self) -> Any:
        from service.app import create_app

        app = create_app(self._settings)
        app.extensions["pathway"].database.before_fork()
        gc.collect()
        gc.freeze()  # what is here stays: looking for garbage in it again and again would be a tenth of the time of a request (measured)
        return app


def _memory() -> str | None:
    """gunicorn's heartbeat files in memory: on a disk that stalls, workers are taken for dead."""
    return "/dev/shm" if Path("/dev/shm").is_dir() and os.access("/dev/shm", os.W_OK) else None  # noqa: S108


def _child_exit(_server: Any, worker: Any) -> None:
    from prometheus_client import multiprocess

    if os.environ.get("PROMETHEUS_MULTIPROC_DIR"):
        multiprocess.mark_process_dead(worker.pid)  # type: ignore[no-untyped-call]


def _worker_exit(_server: Any, worker: Any) -> None:
    """What is still in memory is written before a process ends."""
    app = getattr(worker, "wsgi", None)
    service = getattr(app, "extensions", {}).get("pathway")
    if service is not None:
        service.close()


@click.command()
@click.option("--host", help="The address to listen on.")
@click.option("--port", type=click.IntRange(1, 65535), help="The port to listen on.")
@click.option("--with-worker", is_flag=True, help="Run one worker beside it. They end together: when one of them does, so does the other.")
def serve(host: str | None, port: int | None, with_worker: bool) -> None:
    """Serve the APIs."""
    given = {name: value for name, value in (("host", host), ("port", port)) if value is not None}
    settings = load(**given)
    if with_worker:
        sys.exit(_together(["serve", *(f"--{name}={value}" for name, value in given.items())], ["work"]))
    with _metrics_directory():  # before anything is counted
        Web(settings).run()


@contextmanager
def _metrics_directory() -> Iterator[None]:
    """Where web processes count together. Each of them, forked within, leaves this too when it ends: the first process alone removes it."""
    if "PROMETHEUS_MULTIPROC_DIR" in os.environ:
        yield
        return
    ours, directory = os.getpid(), tempfile.mkdtemp(prefix="pathway-metrics-", dir=_memory())
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = directory
    try:
        yield
    finally:
        if os.getpid() == ours:
            shutil.rmtree(directory, ignore_errors=True)


def _together(*commands: list[str]) -> int:
    """Runs commands until one of them ends or we are told to, then ends the others. Returns an exit code: 0 if we were told to."""
    started = [subprocess.Popen([sys.executable, "-m", "service.cli.run", *command], start_new_session=True) for command in commands]  # noqa: S603
    told = False

    def tell(*_: Any) -> None:
        nonlocal told
        told = True
        for process in started:
            process.send_signal(signal.SIGTERM)

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, tell)
    ours = {process.pid for process in started}
    while os.wait()[0] not in ours:  # as the first process of a container we inherit others' children too
        pass
    was_told = told
    tell()
    for process in started:
        process.wait()
    return 0 if was_told else 1
