"""The service as its operator runs it, in processes of its own that a test can kill: gunicorn with its workers, and workers that send."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import requests

from service.config import Settings
from service.wiring import Service, wire
from tests.conftest import SECRET, token_for

ROOT = Path(__file__).parent.parent.parent


def free_port() -> int:
    with socket.socket() as tried:
        tried.bind(("127.0.0.1", 0))
        return int(tried.getsockname()[1])


class Running:
    """One deployment: its settings, and whatever processes of it a test has running."""

    def __init__(self, database_url: str, directory: Path, **settings: str):
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        given = {
            "DATABASE_URL": database_url, "SECRET": SECRET, "SECRET_FILE": str(directory / "secret"), "PORT": str(self.port), "PUBLIC_URL": self.url,
            "LOG_LEVEL": "ERROR", "OUTBOUND_PRIVATE": "true", "SEND_SECONDS": "1.5", "LEASE_SECONDS": "2", **settings,
        }  # fmt: skip
        self.environment = {**os.environ, **{f"PATHWAY_FHIR_{name}": value for name, value in given.items()}}
        self.settings = Settings(database_url=database_url, secret=SECRET, secret_file=directory / "secret", log_level="ERROR", outbound_private=True)
        self.service: Service = wire(self.settings)
        self.token = token_for(self.service, role="clinic")
        self._started: list[subprocess.Popen[bytes]] = []

    def start(self, *words: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "service.cli.run", *words]
        made = subprocess.Popen(command, cwd=ROOT, env=self.environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
        self._started.append(made)
        return made

    def kill(self, process: subprocess.Popen[bytes]) -> None:
        """-9, to it and to what it started."""
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(10)
        self._started.remove(process)

    def restart(self) -> None:
        """-9 to whatever is running, then one process that serves."""
        for process in list(self._started):
            self.kill(process)
        self.start("serve")
        self.wait_until_ready()

    def wait_until_ready(self) -> None:
        until = time.monotonic() + 30
        while time.monotonic() < until:
            try:
                if requests.get(f"{self.url}/health/ready", timeout=5).status_code == 200:
                    return
            except requests.RequestException:
                time.sleep(0.05)
        raise AssertionError("the service is not ready")

    def session(self) -> requests.Session:
        made = requests.Session()
        made.trust_env = False
        made.headers["Authorization"] = f"Bearer {self.token}"
        return made

    def put(self, session: requests.Session, plural: str, entity: dict[str, Any]) -> requests.Response:
        return session.put(f"{self.url}/api/v1/{plural}/{entity['id']}", json=entity, timeout=10)

    def close(self) -> None:
        for process in list(self._started):
            self.kill(process)
        self.service.close()


@contextmanager
def running(database_url: str, directory: Path, **settings: str) -> Iterator[Running]:
    made = Running(database_url, directory, **settings)
    try:
        yield made
    finally:
        made.close()


def children(pid: int) -> list[int]:
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
