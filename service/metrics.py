"""What is counted, for Prometheus: requests, deliveries and how old the oldest waiting one is. Nothing of a patient is a label."""

import os
from collections import Counter as Count
from collections.abc import Sequence
from functools import cache

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest, multiprocess

SECONDS = (0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10)

_requests = Counter("pathway_fhir_requests", "Requests answered", ["action", "status"])
_seconds = Histogram("pathway_fhir_request_seconds", "Time to answer a request", ["action"], buckets=SECONDS)
_attempts = Counter("pathway_fhir_delivery_attempts", "Attempts to deliver a resource to an EHR", ["ehr", "outcome"])


def requests(answered: Sequence[tuple[str, int, float]]) -> None:
    """(action, status, seconds) of requests that were answered."""
    for (action, status), times in Count((action, status) for action, status, _ in answered).items():
        _counter(action, status).inc(times)
    for action, _, seconds in answered:
        _histogram(action).observe(seconds)


@cache
def _counter(action: str, status: int) -> Counter:
    return _requests.labels(action, str(status))


@cache
def _histogram(action: str) -> Histogram:
    return _seconds.labels(action)


def attempt(ehr: str, outcome: str) -> None:
    _outcomes(ehr, outcome).inc()


@cache
def _outcomes(ehr: str, outcome: str) -> Counter:
    return _attempts.labels(ehr, outcome)


def exposition(gauges: dict[tuple[str, str, str], float]) -> bytes:
    """The metrics of all processes in Prometheus' text format, with gauges (name, ehr, state) -> value that are read now."""
    registry = CollectorRegistry()
    if os.environ.get("PROMETHEUS_MULTIPROC_DIR"):
        multiprocess.MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    else:
        for collector in (_requests, _seconds, _attempts):
            registry.register(collector)
    lines = [generate_latest(registry)]
    for name in sorted({name for name, _, _ in gauges}):
        lines.append(f"# TYPE {name} gauge\n".encode())
        lines += [f'{name}{{ehr="{ehr}",state="{state}"}} {value}\n'.encode() for (n, ehr, state), value in sorted(gauges.items()) if n == name]
    return b"".join(lines)
