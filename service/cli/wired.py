"""The service, as commands use it: wired for as long as one takes."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from service import logs
from service.config import load
from service.store.clock import micros
from service.wiring import Service, wire


@contextmanager
def wired() -> Iterator[Service]:
    settings = replace(load(), log_level="ERROR")
    logs.set_up(settings)
    service = wire(settings)
    try:
        yield service
    finally:
        service.close()


def now(service: Service) -> int:
    return micros(service.tenant.now())
