"""A served deployment, over real HTTP, that holds the example pathway; and tokens for it."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import requests

from service.app import create_app
from service.config import Settings
from service.wiring import Service, wire
from tests.conftest import SECRET, Http, examples, token_for


@dataclass(frozen=True)
class Live:
    base: str
    service: Service

    @property
    def fhir(self) -> str:
        return f"{self.base}/fhir/r4"

    def token(self, level: int = 1, scopes: str = "system/*.rs") -> str:
        return token_for(self.service, level, scopes)


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    with socket.socket() as tried:
        tried.bind(("127.0.0.1", 0))
        port = tried.getsockname()[1]
    home = tmp_path_factory.mktemp("live")
    base = f"http://127.0.0.1:{port}"
    settings = Settings(database_url=f"sqlite:///{home}/pathway.db", secret=SECRET, public_url=base, log_level="ERROR")
    service = wire(settings)
    clinic = Http(create_app(service=service).test_client(), token_for(service, role="clinic"))
    for plural, id_, entity in examples():
        assert clinic.put(f"/api/v1/{plural}/{id_}", entity).status == 201
    named = {"DATABASE_URL": settings.database_url, "SECRET": SECRET, "PUBLIC_URL": base, "PORT": str(port), "LOG_LEVEL": "ERROR", "WEB_WORKERS": "1"}
    environment = {**os.environ, **{f"PATHWAY_FHIR_{name}": value for name, value in named.items()}}
    process = subprocess.Popen([sys.executable, "-m", "service.cli.run", "serve"], env=environment, cwd=Path(__file__).parent.parent.parent)
    try:
        _wait(f"{base}/health/ready")
        yield Live(base, service)
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(30)
        service.close()


def _wait(url: str) -> None:
    for _ in range(300):
        try:
            if requests.get(url, timeout=5).status_code == 200:
                return
        except requests.RequestException:
            time.sleep(0.1)
    raise AssertionError(f"{url} does not answer")


@pytest.fixture
def token(live: Live) -> Callable[..., str]:
    return live.token
