"""Deployments to measure: a real service process on a database of a given size, SQLite or PostgreSQL."""

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import requests

from mappings import KINDS, model
from mappings.schema import load as load_entity
from service.config import Settings
from service.exchange import Act, publish
from service.security import clients
from service.security.clients import Client
from service.security.scopes import parse
from service.store.clock import micros
from service.store.sql import run
from service.wire import encode, read
from service.wiring import Service, wire
from tests import postgres

ROOT = Path(__file__).parent.parent
EXAMPLES = ROOT / "examples" / "pathway"
SECRET = "a secret of the benchmarks, long enough to be one"
ENCOUNTERS_A_PATIENT = 6
FIRST_DAY = datetime.fromisoformat("2026-01-05T09:30:00+00:00")


@dataclass
class Deployment:
    """A running service. `patients` are resource ids of patients, `observations` of some readings."""

    name: str
    port: int
    process: subprocess.Popen[bytes]
    token: str
    service: Service
    environment: dict[str, str]
    ready_after: float

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def ids(self, type_: str, limit: int = 200) -> list[str]:
        with self.service.database.glance() as connection:
            found = run(connection, "SELECT uuid FROM resource WHERE type = : ORDER BY num DESC LIMIT :", (type_, limit))
        return [_text(bytes(row[0]).hex()) for row in found]

    def count(self) -> int:
        with self.service.database.glance() as connection:
            return int(run(connection, "SELECT COUNT(*) FROM resource")[0][0])

    def memory(self) -> list[int]:
        """Resident memory of the web workers, in MB."""
        return [int(one) for one in resident(self.process.pid)]


def resident(pid: int) -> list[float]:
    """Resident memory of the processes below one, or of itself where it has none, in MB. One that ends meanwhile has none."""
    below = subprocess.run(["pgrep", "-P", str(pid)], capture_output=True, text=True, check=False).stdout.split()
    found: list[float] = []
    for one in below or [str(pid)]:
        with suppress(OSError):
            found += [int(line.split()[1]) / 1024 for line in Path(f"/proc/{one}/status").read_text().splitlines() if line.startswith("VmRSS")]
    return found


def _text(h: str) -> str:
    return f"{h[:8]}-{h[8:12]}-{h[12:16]}-{h[16:20]}-{h[20:]}"


@contextmanager
def databases(kinds: tuple[str, ...]) -> Iterator[dict[str, list[str]]]:
    """URLs of two empty databases of each kind: `sqlite` and `postgresql`."""
    with tempfile.TemporaryDirectory(prefix="pathway-bench-", dir=os.environ.get("BENCH_DIRECTORY")) as home:
        found: dict[str, list[str]] = {}
        if "sqlite" in kinds:
            found["sqlite"] = [f"sqlite:///{home}/{name}/pathway.db" for name in ("small", "large")]
        if "postgresql" not in kinds:
            yield found
            return
        with postgres.server(None) as server, postgres.database(server) as small, postgres.database(server) as large:  # type: ignore[arg-type]
            found["postgresql"] = [small, large]
            yield found


@contextmanager
def deployed(name: str, url: str) -> Iterator[Deployment]:
    """A service on a database, its token checked, with full durability as it comes."""
    settings = Settings(database_url=url, secret=SECRET, log_level="ERROR")
    service = wire(settings)
    now = micros(service.tenant.now())
    caller = Client("bench", "The benchmarks", 3, parse("system/*.cruds pathway/operate"), role="clinic")
    service.database.write(lambda tx: clients.add(tx, caller, now) if clients.get(tx, "bench") is None else None)
    token = service.database.write(lambda tx: clients.issue(tx, caller, caller.scopes, 86_400, now))
    port = free_port()
    environment = {
        **os.environ, "PATHWAY_FHIR_DATABASE_URL": url, "PATHWAY_FHIR_SECRET": SECRET, "PATHWAY_FHIR_PORT": str(port),
        "PATHWAY_FHIR_PUBLIC_URL": f"http://127.0.0.1:{port}", "PATHWAY_FHIR_OUTBOUND_PRIVATE": "true",
    }  # fmt: skip
    began = time.monotonic()
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen([sys.executable, "-m", "service.cli.run", "serve"], env=environment, stdout=log, stderr=log, cwd=ROOT)
        try:
            _wait(f"http://127.0.0.1:{port}/health/ready", process)
            yield Deployment(name, port, process, token, service, environment, time.monotonic() - began)
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(30)
            service.close()


def _wait(url: str, process: subprocess.Popen[bytes]) -> None:
    for _ in range(400):
        with suppress(requests.RequestException):
            if requests.get(url, timeout=2).status_code == 200:
                return
        if process.poll() is not None:
            raise RuntimeError("the service did not start")
        time.sleep(0.02)
    raise RuntimeError("the service is not ready")


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


# --- what is stored


def example(plural: str, name: str) -> dict[str, Any]:
    found: dict[str, Any] = read((EXAMPLES / plural / f"{name}.json").read_bytes())
    return found


def seed_places(service: Service) -> None:
    for plural in ("practitioners", "clinics"):
        for path in sorted((EXAMPLES / plural).glob("*.json")):
            _publish(service, plural, example(plural, path.stem))


def _publish(service: Service, plural: str, document: dict[str, Any]) -> None:
    kind = next(k for k in KINDS.values() if k.plural == plural)
    entity = load_entity(kind, document)
    service.database.write(lambda tx: publish(Act(service.tenant, tx, "bench"), kind, entity))


def patient(n: int) -> dict[str, Any]:
    found = example("patients", "ann")
    return {**{k: v for k, v in found.items() if k not in ("nhsNumber", "nhsNumberStatus")}, "id": f"patient-{n}"}


def dose(n: int) -> dict[str, Any]:
    """The n-th dosing encounter: the example's with two of its five sets of readings, of its own patient and day; 28 resources."""
    found = example("dosing-encounters", "ann-dose-1")
    found["observations"] = found["observations"][:2]
    moved = timedelta(hours=n)
    for name in ("pathwayId", "screeningId", "consentId"):
        found.pop(name)
    kind = KINDS["dosing-encounter"]
    entity = load_entity(kind, {**found, "id": f"dose-{n}", "patientId": f"patient-{n // ENCOUNTERS_A_PATIENT}"})
    return model.document_of(_moved(entity, moved))


def _moved(it: Any, by: timedelta) -> Any:
    """The entity some time later, all of it."""
    changed: dict[str, Any] = {}
    for field in model.fields_of(type(it)):
        value = getattr(it, field.name)
        if isinstance(value, datetime):
            changed[field.name] = value + by
        elif field.group is not None and value:
            changed[field.name] = tuple(_moved(v, by) for v in value) if field.many else _moved(value, by)
    return replace(it, **changed)


def fill(service: Service, resources: int, *, first: int = 0) -> int:
    """Stores dosing encounters until there are so many resources. Returns the number of the next one."""
    seed_places(service)
    n = first
    while True:
        with service.database.glance() as connection:
            if int(run(connection, "SELECT COUNT(*) FROM resource")[0][0]) >= resources:
                return n
        for _ in range(50):
            if n % ENCOUNTERS_A_PATIENT == 0:
                _publish(service, "patients", patient(n // ENCOUNTERS_A_PATIENT))
            _publish(service, "dosing-encounters", dose(n))
            n += 1


def next_doses(service: Service, first: int, count: int) -> list[tuple[int, bytes]]:
    """Bodies of further dosing encounters, whose patients are there."""
    for n in range(first, first + count):
        if n % ENCOUNTERS_A_PATIENT == 0 or n == first:
            _publish(service, "patients", patient(n // ENCOUNTERS_A_PATIENT))
    return [(n, encode(dose(n))) for n in range(first, first + count)]
