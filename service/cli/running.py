"""Processes: the web service, a worker, the sandbox EHR."""

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
import structlog
from gunicorn.app.base import BaseApplication

from sandbox import __main__ as sandboxes
from service import logs
from service.cli.crew import Crew
from service.config import Settings, load
from service.sync.worker import Worker
from service.wiring import wire


class Web(BaseApplication):  # type: ignore[misc]
    """gunicorn, in the foreground, with threads: requests wait for the database and for locks, and threads wait cheaply."""

    def __init__(self, settings: Settings, **more: Any):
        self._settings, self._more = settings, more
        super().__init__()

    def load_config(self) -> None:
        settings = self._settings
        chosen = {
            "bind": f"{settings.host}:{settings.port}", "workers": settings.web_workers, "threads": settings.web_threads, "worker_class": "gthread",
            "worker_tmp_dir": _memory(), "preload_app": True, "keepalive": 75, "timeout": 60, "graceful_timeout": 20, "max_requests": 0,
            "limit_request_line": 8190, "limit_request_fields": 60, "loglevel": "warning", "proc_name": "pathway-fhir", "backlog": 512,
            "child_exit": _child_exit, "worker_exit": _worker_exit, **self._more,
        }  # fmt: skip
        for name, value in chosen.items():
            self.cfg.set(name, value)

    def load(self) -> Any:
        from service.app import create_app

        app = create_app(self._settings)
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


@click.command()
@click.option("--until-idle", is_flag=True, help="End when nothing is due any more.")
@click.option("--threads", type=click.IntRange(1, 64), help="Streams sent at the same time, by each process.")
@click.option("--processes", type=click.IntRange(1, 64), default=1, show_default=True, help="Workers that run side by side; one that dies is replaced.")
def work(until_idle: bool, threads: int | None, processes: int) -> None:
    """Run a worker, or several, which send what EHRs are owed. Any number can run side by side."""
    settings = load()
    logs.set_up(settings)
    if processes == 1:
        sys.exit(_work(settings, threads, None, None, until_idle=until_idle))
    log = structlog.get_logger()
    crew = Crew(
        processes, lambda name, before: _work(settings, threads, name, before, until_idle=until_idle),
        lambda pid, code: log.error("worker_lost", pid=pid, code=code),
    )  # fmt: skip
    sys.exit(crew.run())


def _work(settings: Settings, threads: int | None, name: str | None, before: str | None, *, until_idle: bool) -> int:
    service = wire(settings)
    worker = Worker(service, threads=threads, name=name, before=before)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: worker.stop())
    try:
        worker.run(until_idle=until_idle)
    finally:
        service.close()
    return 0


sandbox = sandboxes.command(("plain", "epic"))

COMMANDS = (serve, work, sandbox)

