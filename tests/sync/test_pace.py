"""An EHR with an agreed rate is called no faster, whoever calls it."""

import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests

from service.store import targets
from service.store.clock import micros
from service.sync.abilities import abilities
from service.sync.rehearsing import planned
from service.wiring import Service
from tests.conftest import Clock, Http
from tests.service.records import patient, people, put
from tests.service.tables import dicts
from tests.sync.conftest import Connect, Sandbox, states
from tests.sync.test_echoes import Work


def test_all_who_call_take_turns(service: Service, connect: Connect, sandbox: Sandbox, clock: Clock) -> None:
    connect("one", sandbox.url("plain"))
    now = micros(clock())
    with ThreadPoolExecutor(8) as pool:
        turns = sorted(pool.map(lambda _: service.database.write(lambda tx: targets.next_call(tx, "one", now, 250_000)), range(20)))
    assert turns == [now + n * 250_000 for n in range(20)]
    assert service.database.write(lambda tx: targets.next_call(tx, "one", now + 60_000_000, 250_000)) == now + 60_000_000, "time that was not used is lost"


def test_a_plan_takes_no_turns(clinic: Http, connect: Connect, sandbox: Sandbox, service: Service) -> None:
    connect("one", sandbox.url("plain"), rate=2)
    people(clinic)
    with service.database.glance() as connection:
        target = targets.get(connection, "one")
    assert target is not None
    able = abilities(requests.get(f"{sandbox.url('plain')}/metadata", timeout=10).json())
    assert sum(len(one.requests) for one in planned(service, target, able)) > 3
    assert [row["paced_until"] for row in dicts(service.database, "target")] == [0]


def test_what_is_sent_comes_no_faster_than_agreed(clinic: Http, connect: Connect, sandbox: Sandbox, work: Work, monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float] = []
    monkeypatch.setattr(time, "sleep", waits.append)
    connect("one", sandbox.url("plain"), rate=2)
    people(clinic)
    put(clinic, "patients", patient())
    work()
    assert states(clinic)["waiting"] == 0
    asked = len(sandbox.log("plain"))
    assert max(waits) == pytest.approx((asked - 1) / 2, abs=1), "the clock stands still: each waits half a second longer than the one before"
