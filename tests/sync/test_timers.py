"""Consents that begin and end by date, while others write and other workers follow them: what an EHR newly sees is owed to it, once."""

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Connection, select, text

from mappings import KINDS
from mappings.schema import load
from service import exchange
from service.store.clock import micros
from service.store.database import Database
from service.store.tables import stream
from service.sync.timers import follow_timers
from service.wire import decode, encode
from service.wiring import Service
from tests.conftest import Clock, Http
from tests.service.records import consent, dosing, people, practitioner, provision, put
from tests.service.tables import dicts
from tests.sync.conftest import Connect, deliveries

ENDS = "2026-04-01T10:00:00+00:00"  # an hour after the clock of the tests begins


@pytest.fixture
def denied(clinic: Http, connect: Connect) -> Http:
    """An EHR from which a patient's records are kept until ENDS."""
    connect("ehr", "http://127.0.0.1:1/fhir", 1)
    people(clinic)
    put(clinic, "consents", consent(provisions=[provision("deny", "C0", role="ehr")], validTo=ENDS))
    return clinic


def publish(service: Service, plural: str, body: dict[str, Any]) -> Callable[[Connection], Any]:
    kind = next(kind for kind in KINDS.values() if kind.plural == plural)
    return lambda tx: exchange.publish(exchange.Act(service.tenant, tx, "a test"), kind, load(kind, decode(encode(body))))


def follow(service: Service) -> Callable[[Connection], Any]:
    return lambda tx: follow_timers(tx, micros(service.tenant.now()))


@contextmanager
def kept_open(database: Database, first: Callable[[Connection], Any]) -> Iterator[None]:
    """Runs `first` in a transaction that commits when the block ends."""
    begun, let_go = threading.Event(), threading.Event()

    def held(tx: Connection) -> None:
        first(tx)
        begun.set()
        assert let_go.wait(20)

    with ThreadPoolExecutor(1) as pool:
        one = pool.submit(database.write, held)
        try:
            assert begun.wait(20)
            yield
        finally:
            let_go.set()
            one.result(20)


def while_open(database: Database, first: Callable[[Connection], Any], *others: Callable[[Connection], Any]) -> list[Any]:
    """Runs `first` in a transaction that is kept open until the others wait for it, and gives back what the others did."""
    with ThreadPoolExecutor(len(others)) as pool:
        with kept_open(database, first):
            following = [pool.submit(database.write, other) for other in others]
            _wait_until_stuck(database, following)
        return [other.result(20) for other in following]


def _wait_until_stuck(database: Database, following: list[Future[Any]]) -> None:
    """On PostgreSQL until each waits for a lock, or has ended; on SQLite a write does not begin before the one before it has ended."""
    until = time.monotonic() + 20
    while not database.sqlite and time.monotonic() < until:
        with database.reading() as connection:
            stuck = connection.execute(text("SELECT count(DISTINCT pid) FROM pg_locks WHERE NOT granted")).scalar_one()
        if stuck + sum(other.done() for other in following) >= len(following):
            return
        time.sleep(0.01)


def owed(clinic: Http) -> Counter[str]:
    return Counter(one["resource"]["type"] for one in deliveries(clinic, state="waiting", patient="ann"))


def test_what_is_published_while_a_denial_ends_is_owed(denied: Http, service: Service, clock: Clock) -> None:
    clock.forward(minutes=59)
    early = publish(service, "dosing-encounters", dosing())

    def commits_late(tx: Connection) -> None:
        early(tx)
        clock.forward(minutes=2)

    while_open(service.database, commits_late, follow(service))
    assert owed(denied)["Encounter"] == 1 and owed(denied)["Patient"] == 1


def test_what_is_published_by_a_clock_that_is_behind_once_a_denial_has_ended_is_owed(denied: Http, service: Service, clock: Clock) -> None:
    clock.forward(minutes=61)
    behind = replace(service, tenant=replace(service.tenant, now=lambda: clock() - timedelta(minutes=2)))
    while_open(service.database, follow(service), publish(behind, "dosing-encounters", dosing()))
    assert owed(denied)["Encounter"] == 1


def test_workers_that_follow_the_same_end_at_once_owe_everything_once(denied: Http, service: Service, clock: Clock) -> None:
    put(denied, "dosing-encounters", dosing())
    clock.forward(minutes=61)
    assert while_open(service.database, follow(service), follow(service), follow(service)) == [0, 0]
    made = Counter(row["resource"] for row in dicts(service.database, "delivery") if row["created_at"] == micros(clock()))
    assert len(made) >= 3 and set(made.values()) == {1}
    assert dicts(service.database, "timer") == []


def test_a_write_that_waits_for_a_stream_keeps_nobody_else_from_writing(denied: Http, service: Service, database: Database) -> None:
    """The commit clock is the last lock: whoever has it waits for nobody."""
    if database.sqlite:
        pytest.skip("SQLite has one writer")
    [num] = [row["num"] for row in dicts(database, "resource") if row["type"] == "Practitioner"]
    [of_the_practitioner] = [row["num"] for row in dicts(database, "stream") if row["key"] == -num]

    def settling(tx: Connection) -> None:
        tx.execute(select(stream).where(stream.c.num == of_the_practitioner).with_for_update())

    with ThreadPoolExecutor(1) as pool:
        with kept_open(database, settling):
            waiting = pool.submit(database.write, publish(service, "practitioners", practitioner(active=False)))
            _wait_until_stuck(database, [waiting])
            put(denied, "dosing-encounters", dosing())
            assert not waiting.done()
        assert waiting.result(20).changed
