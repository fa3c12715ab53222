"""Calls that are made at the same time, from threads that begin together."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from tests.conftest import Http

T = TypeVar("T")


def at_once(calls: list[Callable[[], T]]) -> list[T]:
    """What each call answers, in their order; none begins before all are ready."""
    together = threading.Barrier(len(calls))

    def begin(call: Callable[[], T]) -> T:
        together.wait()
        return call()

    with ThreadPoolExecutor(len(calls)) as pool:
        return list(pool.map(begin, calls))


def another(http: Http) -> Http:
    """The same caller in a thread of its own: a test client keeps the state of one conversation."""
    client: Any = http.web
    return Http(client.application.test_client(), http.token)
