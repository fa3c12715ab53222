"""A worker, or several."""

import signal
import sys

import click
import structlog

from service import logs
from service.cli.crew import Crew
from service.config import Settings, load
from service.sync.worker import Worker
from service.wiring import wire


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
