"""What is measured of workers: how fast they deliver, what leasing costs, and what a backlog does to everybody else."""

import signal
import socket
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial

import requests

from benchmarks.deployment import ROOT, Deployment, next_doses, resident
from benchmarks.load import load, request
from benchmarks.measures import Figures, single
from mappings.disclosure import Level
from sandbox.process import started
from service import operating
from service.store import catching, outbox, streams
from service.store.clock import micros
from service.store.targets import Target
from service.sync.catching_up import catch_up_with_all

PRIVATE = {"create_people": True, "private": True}


def _add(on: Deployment, name: str, url: str, *, in_flight: int = 4, from_now: bool = False, transactions: bool = False) -> None:
    target = Target(name, url, "4.0.1", int(Level.C2), None, None, False, in_flight, 0, 0, settings={**PRIVATE, "transactions": transactions})
    on.service.database.write(lambda tx: operating.add_ehr(on.service.tenant, tx, target, None, _now(on), from_now=from_now))


def _now(on: Deployment) -> int:
    return micros(on.service.tenant.now())


def _pause(on: Deployment, name: str) -> None:
    on.service.database.write(lambda tx: operating.pause(tx, name, paused=True))


def _push(on: Deployment, first: int, visits: int) -> None:
    headers = {"Authorization": f"Bearer {on.token}", "Content-Type": "application/json"}
    for n, body in next_doses(on.service, first, visits):
        requests.put(f"{on.url}/api/v1/dosing-encounters/dose-{n}", data=body, timeout=30, headers=headers).raise_for_status()


# --- deliveries


def deliveries(on: Deployment, name: str, *, workers: int, visits: int, transactions: bool = False) -> Figures:
    """What workers deliver in a second to a sandbox EHR over real HTTP: patients' whole records, in the order of references.

    Each goes by itself, or with `transactions` in a Bundle with what can go together. Their start is within the time. Memory is of the largest worker,
    at a third of the deliveries and at the end.
    """
    with started(("plain",)) as origin:
        _add(on, name, f"{origin}/fhir/r4", in_flight=4 * workers, from_now=True, transactions=transactions)
        first = on.count() * 10  # whose patients nobody else has
        _push(on, first - first % 6, visits)
        owed = _count(on, name, "waiting")
        began = time.monotonic()
        command = [sys.executable, "-m", "service.cli.run", "work", "--until-idle", f"--processes={workers}"]
        with subprocess.Popen(command, env=on.environment, cwd=ROOT, stderr=subprocess.DEVNULL) as process:
            early = _memory_at(on, process, name, owed // 3)
            late = early
            while process.poll() is None:
                late = max(late, _memory(process.pid))
                time.sleep(0.2)
        took = time.monotonic() - began
        delivered = _count(on, name, "delivered")
        held = requests.get(f"{origin}/_sandbox/counts", timeout=10).json()["plain"]
    _pause(on, name)
    assert process.returncode == 0 and delivered >= owed, f"{owed - delivered} were not delivered"
    how = " in transactions" if transactions else ""
    return {
        f"deliveries/s of {workers}{how}": delivered / took, "delivered": delivered, "held by the EHR": sum(c["current"] for c in held.values()),
        "worker MB": late, "worker MB at a third": early,
    }  # fmt: skip


def taken(seconds: float = 5) -> Figures:
    """What the sandbox EHR itself takes in a second when nobody stands between: plain creations over kept-alive connections."""
    body = b'{"resourceType": "Organization", "name": "A measure of the sandbox"}'
    with started(("plain",)) as origin:
        port = int(origin.rpartition(":")[2])
        asked = [request("POST", "/fhir/r4/Organization", "none", body)]
        found = load(port, asked, seconds=seconds, connections=8)
    assert not found.failed
    return {"taken by the sandbox/s": found.per_second}


def _count(on: Deployment, name: str, state: str) -> int:
    with on.service.database.glance() as connection:
        return outbox.counts(connection, name).get((name, state), 0)


def _memory_at(on: Deployment, process: subprocess.Popen[bytes], name: str, delivered: int) -> float:
    while process.poll() is None and _count(on, name, "delivered") < delivered:
        time.sleep(0.2)
    return _memory(process.pid)


def _memory(pid: int) -> float:
    return max(resident(pid), default=0.0)


# --- a backlog


@contextmanager
def _hanging() -> Iterator[str]:
    """An EHR that takes every connection and never answers."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as listening:
        kept: list[socket.socket] = []

        def run() -> None:
            with suppress(OSError):
                while True:
                    kept.append(listening.accept()[0])

        threading.Thread(target=run, daemon=True).start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}/fhir"
        listening.shutdown(socket.SHUT_RDWR)
        for one in kept:
            one.close()


@contextmanager
def _worker(on: Deployment) -> Iterator[None]:
    with subprocess.Popen([sys.executable, "-m", "service.cli.run", "work"], env=on.environment, cwd=ROOT, stderr=subprocess.DEVNULL) as process:
        time.sleep(3)
        yield
        process.send_signal(signal.SIGTERM)


def _leasing(on: Deployment, times: int = 1000) -> tuple[float, float]:
    """(p50, p95) of leasing one stream, in ms. What is leased is given back at once, outside of the time."""
    took = []
    for _ in range(times):
        now = _now(on)
        began = time.perf_counter()
        leases = on.service.database.write(partial(streams.lease, worker="bench", now=now, until=now + 4_000_000, limit=1))
        took.append((time.perf_counter() - began) * 1000)
        for one in leases:
            on.service.database.write(partial(streams.release, one=one, now=now))
    took.sort()
    return took[times // 2], took[times * 95 // 100]


def _reading(on: Deployment, seconds: float = 3) -> Callable[[], tuple[float, float]]:
    """(reads a second, p95 in ms) of single resources."""
    asked = single(on)

    def measured() -> tuple[float, float]:
        found = load(on.port, asked, seconds=seconds)
        assert not found.failed
        return found.per_second, found.p95

    return measured


def backlog(on: Deployment, rounds: int = 3) -> Figures:
    """Leasing and reads with next to nothing owed, while EHRs are caught up with, and with everything owed three times: one EHR hangs, one is paused.

    A worker runs all the time. Ratios are of the medians of the turns.
    """
    reading = _reading(on)
    with _hanging() as url:
        _add(on, "few", f"{url}/few", from_now=True)
        _push(on, 900_000, 6)
        lease_before = _leasing(on)
        with _worker(on):
            before = [reading() for _ in range(rounds)]
            _pause(on, "few")
            _add(on, "paused", f"{url}/paused")
            _pause(on, "paused")
            began = time.monotonic()
            during = []
            while _is_catching_up(on):
                during.append(reading())
            took = time.monotonic() - began
        for name in ("hanging", "waiting"):
            _add(on, name, f"{url}/{name}")
        catch_up_with_all(on.service, lambda: False)
        owed = sum(_count(on, name, "waiting") for name in ("paused", "hanging", "waiting"))
        lease_after = _leasing(on)
        with _worker(on):
            after = [reading() for _ in range(rounds)]
    for name in ("hanging", "waiting"):
        _pause(on, name)
    return {
        "owed": owed, "lease p50 ms": lease_after[0], "lease p95 ms": lease_after[1], "lease p95 by that with nothing owed": lease_after[1] / lease_before[1],
        "caught up with/s": owed / 3 / took, "reads while catching up": _ratio(during, before, 0), "reads p95 with a backlog": _ratio(after, before, 1),
    }  # fmt: skip


def _is_catching_up(on: Deployment) -> bool:
    with on.service.database.glance() as connection:
        return bool(catching.catching_up(connection))


def _ratio(these: list[tuple[float, float]], those: list[tuple[float, float]], which: int) -> float:
    return statistics.median(one[which] for one in these) / statistics.median(one[which] for one in those)
