"""What is measured: each a function that returns figures by name."""

import os
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from uuid import UUID

import requests

from benchmarks.deployment import ROOT, Deployment, _wait, example, free_port, next_doses
from benchmarks.load import load, request
from mappings import KINDS
from mappings.disclosure import Level
from mappings.ids import Ids
from mappings.schema import load as load_entity

Figures = dict[str, float]


def mapping(rounds: int = 7, each: int = 300) -> Figures:
    """Full dosing encounters that one core maps to FHIR in a second, all of their resources at C3."""
    kind = KINDS["dosing-encounter"]
    entity = load_entity(kind, example("dosing-encounters", "ann-dose-1"))
    count = len(kind.to_fhir(entity, Ids(UUID(int=1)), Level.C3))
    found = []
    for _ in range(rounds):
        began = time.process_time()
        for _ in range(each):
            kind.to_fhir(entity, Ids(UUID(int=1)), Level.C3)
        found.append(each / (time.process_time() - began))
    return {"encounters/s": statistics.median(found), "resources each": count}


@contextmanager
def bare_route(like: Deployment, size: int) -> Iterator[int]:
    """The bare routes in the same gunicorn: the same worker class, processes and threads, and as many bytes."""
    port, settings = free_port(), like.service.settings
    sizes = ["-w", str(settings.web_workers), "--threads", str(settings.web_threads), "--keep-alive", "75"]
    command = [sys.executable, "-m", "gunicorn", "-k", "service.cli.serving.Threads", *sizes]
    environment = {**os.environ, "BARE_BYTES": str(size), "BARE_DATABASE": settings.database_url}
    process = subprocess.Popen([*command, "-b", f"127.0.0.1:{port}", "benchmarks.bare:app"], cwd=ROOT, stderr=subprocess.DEVNULL, env=environment)
    try:
        _wait(f"http://127.0.0.1:{port}/fhir/r4/a/b", process)
        yield port
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(30)


def single(on: Deployment) -> list[bytes]:
    """Requests for single resources."""
    return [request("GET", f"/fhir/r4/Observation/{one}", on.token) for one in on.ids("Observation")]


def size_of_one(on: Deployment) -> int:
    """How many bytes a read is answered with, the median of those that are asked for."""
    def asked(one: str) -> int:
        return len(requests.get(f"{on.url}/fhir/r4/Observation/{one}", headers={"Authorization": f"Bearer {on.token}"}, timeout=10).content)

    return int(statistics.median(asked(one) for one in on.ids("Observation")))


def reads(on: Deployment, rounds: int = 15, seconds: float = 1.5) -> Figures:
    """Reads of single resources against the bare route, turn by turn; a ratio is the median of the turns'.

    Beside it stands what the bare route comes to that asks the database for a 1: the most that a read could on this machine.
    """
    ours, found = single(on), dict[str, list[float]]()
    asking = [request("GET", "/asking/r4/Observation/one", on.token)]
    with bare_route(on, size_of_one(on)) as port:
        turns = {"reads/s": (on.port, ours), "bare/s": (port, ours), "bare that asks/s": (port, asking)}
        for there, asked in turns.values():
            load(there, asked, seconds=1)
        for _ in range(rounds):
            for name, (there, asked) in turns.items():
                measured = load(there, asked, seconds=seconds)
                assert not measured.failed, name
                found.setdefault(name, []).append(measured.per_second)
    by_bare = {name: statistics.median(a / b for a, b in zip(found[name], found["bare/s"], strict=True)) for name in ("reads/s", "bare that asks/s")}
    return {name: statistics.median(all_) for name, all_ in found.items()} | {
        "ratio": by_bare["reads/s"], "ratio of the bare route that asks": by_bare["bare that asks/s"],
    }  # fmt: skip


def searches(on: Deployment, seconds: float = 3) -> Figures:
    """Search by patient, and a page of 50 encounters by date."""
    patients = on.ids("Patient", 50)
    by_patient = [request("GET", f"/fhir/r4/Encounter?patient={one}", on.token) for one in patients]
    by_date = [request("GET", f"/fhir/r4/Encounter?date=ge2026-03-0{day}&_sort=date&_count=50", on.token) for day in range(1, 8)]
    found: Figures = {}
    for name, asked in (("by patient/s", by_patient), ("page of 50 by date/s", by_date)):
        load(on.port, asked, seconds=0.5)
        measured = [load(on.port, asked, seconds=seconds) for _ in range(3)]
        assert not any(m.failed for m in measured), name
        found[name] = statistics.median(m.per_second for m in measured)
    return found


def publishes(on: Deployment, first: int, count: int = 150, connections: int = 6) -> Figures:
    """Full publishes through HTTP, each of a dosing encounter of its own."""
    bodies = next_doses(on.service, first, count)
    asked = [request("PUT", f"/api/v1/dosing-encounters/dose-{n}", on.token, body) for n, body in bodies]
    found = load(on.port, asked, connections=connections, each_once=True)
    assert not found.failed, f"{found.failed} publishes failed"
    return {"publishes/s": found.per_second, "p99 ms": found.p99}


def publish_cost(small: Deployment, large: Deployment, first: tuple[int, int], rounds: int = 15, each: int = 30) -> Figures:
    """The time of one publish at 100,000 stored resources by that at 1,000, turn by turn."""
    ratios, at = [], list(first)
    for turn in range(rounds):
        took = {}
        for n, on in enumerate((small, large) if turn % 2 else (large, small)):
            which = 0 if on is small else 1
            took[which] = 1 / publishes(on, at[which], each, connections=1)["publishes/s"]
            at[which] += each
            del n
        ratios.append(took[1] / took[0])
    return {"cost at 100,000 / at 1,000": statistics.median(ratios)}


def process(on: Deployment) -> Figures:
    return {"ready after s": on.ready_after, "web worker MB": max(on.memory())}


