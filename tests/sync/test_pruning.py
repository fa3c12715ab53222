"""What ended long ago is taken out of the log of deliveries; what is not over, and the last of each resource, stays."""

from collections.abc import Callable
from typing import Any

import pytest

from service.store import pruning
from service.store.clock import micros
from service.store.database import Database
from service.sync.worker import Worker
from service.wiring import Service
from tests.conftest import Clock, Http
from tests.service.records import dosing, patient, people, put
from tests.service.tables import dicts
from tests.sync.conftest import Connect
from tests.sync.small import Small

Work = Callable[[], int]


def log(database: Database) -> dict[int, tuple[str, int]]:
    """Each delivery's state and how many attempts are kept of it."""
    attempts = [row["delivery"] for row in dicts(database, "attempt")]
    return {row["num"]: (row["state"], attempts.count(row["num"])) for row in dicts(database, "delivery")}


def prune(database: Database, before: int) -> int:
    return database.write(lambda tx: pruning.prune(tx, 0, before))


@pytest.fixture
def grown(clinic: Http, ehr: Small, connect: Connect, work: Work) -> Http:
    """Two versions of a patient that were delivered, a third that waits, an Encounter that was refused and one that was given up."""
    connect("their", ehr.base, 1)
    ehr.answers = lambda method, path: (422, {}) if method == "POST" and path.startswith("/Encounter") else None
    people(clinic)
    put(clinic, "dosing-encounters", dosing())
    work()
    for gender in ("other", "unknown"):
        put(clinic, "patients", patient(gender=gender))
        work()
    put(clinic, "patients", patient(gender="male"))
    return clinic


def test_what_ended_long_ago_is_taken_out_with_its_attempts(grown: Http, database: Database, clock: Clock) -> None:
    before = log(database)
    assert prune(database, micros(clock())) == 0 and log(database) == before  # nothing is old yet
    later = micros(clock()) + 1
    prune(database, later)
    left = log(database)
    gone = {num: before[num] for num in before.keys() - left.keys()}
    assert len(gone) >= 2 and {state for state, _ in gone.values()} <= {"delivered", "superseded"}
    assert all(left[num] == before[num] for num in left if before[num][0] in ("parked", "waiting"))
    assert any(state == "parked" for state, _ in left.values())
    assert {attempts for state, attempts in left.values() if state in pruning.ENDED} == {0}


def test_what_an_operator_gave_up_stays_given_up(grown: Http, ehr: Small, database: Database, clock: Clock) -> None:
    parked = [num for num, (state, _) in log(database).items() if state == "parked"]
    for num in parked:
        assert grown.post(f"/api/v1/deliveries/{num}/cancel").status == 200
    prune(database, micros(clock()) + 1)
    assert all(log(database)[num] == ("cancelled", 0) for num in parked)


def test_it_goes_on_where_it_was(grown: Http, database: Database, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pruning, "SOME", 3)
    at, seen = 0, 0
    while at or not seen:
        at = database.write(lambda tx, at=at: pruning.prune(tx, at, micros(clock()) + 1))
        seen += 1
    assert seen >= len(log(database)) // 3 and {n for state, n in log(database).values() if state == "delivered"} == {0}


def test_a_worker_does_so_once_it_is_time(grown: Http, service: Service, database: Database, clock: Clock) -> None:
    clock.forward(days=service.settings.delivery_days + 1)
    before: Any = len(log(database))
    Worker(service).run(until_idle=True)
    assert len(log(database)) < before
