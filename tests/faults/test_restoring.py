"""A backup that is made while records are written, and what a restore does with EHRs that hold more than it knows of."""

import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from sandbox.process import started
from service.store import outbox
from service.wiring import wire
from tests.conftest import token_for
from tests.faults.running import Running, running
from tests.service.records import clinic, dosing, patient, practitioner
from tests.sync.conftest import Sandbox, register

pytestmark = pytest.mark.slow
WRITERS, PATIENTS, RECORDS = 4, 3, 4  # records of each writer, which it writes again and again
Versions = dict[str, list[int]]  # of each record, as they were acknowledged


@pytest.fixture
def ehr() -> Iterator[Sandbox]:
    with started(("plain",)) as origin:
        made = Sandbox(origin)
        yield made
        made.close()


@pytest.fixture
def deployment(database_url: str, tmp_path: Path, ehr: Sandbox, postgres_tools: None) -> Iterator[Running]:
    """The service with an EHR and the people whom records are about."""
    with running(database_url, tmp_path) as made:
        register(made.service, "plain", ehr.url("plain"), level=1)
        yield made


def test_what_was_acknowledged_before_a_backup_is_in_it_and_a_restore_doubles_nothing_at_an_ehr(deployment: Running, ehr: Sandbox, tmp_path: Path) -> None:
    processes = serving(deployment)
    session = deployment.session()
    for plural, one in [("practitioners", practitioner()), ("clinics", clinic()), *(("patients", patient(f"p{n}")) for n in range(PATIENTS))]:
        assert deployment.put(session, plural, one).status_code == 201
    path = tmp_path / "backup"
    given, before = written_while_backed_up(deployment, path)
    given["d0-late"] = [deployment.put(session, "dosing-encounters", record("d0-late", 1)).json()["version"]]
    arrived(deployment)  # more than the backup knows of
    held = ehr.counts("plain")
    for n in range(2):  # the same backup, twice
        stop(deployment, processes)
        assert deployment.start("restore", str(path), "--yes").wait(60) == 0
        assert requests.get(f"{ehr.url('plain')}/Patient/restored-{n}", timeout=10).status_code == 404  # where to read its log from
        deployment.token = token_for(again := wire(deployment.settings), role="clinic")
        again.close()
        processes = serving(deployment)
        session = deployment.session()
        for key, version in before.items():
            found = session.get(f"{deployment.url}/api/v1/dosing-encounters/{key}", timeout=10)
            assert found.status_code == 200 and found.json()["version"] > version
            assert int(found.json()["entity"]["controlledDrugRegisterRef"]) >= version  # the version that was sent with it
        for key in given:  # the clinic's software sends again all that it has
            reply = deployment.put(session, "dosing-encounters", record(key, 1000 + n))
            assert reply.status_code in (200, 201), reply.text
            assert reply.json()["version"] not in given[key], key
            given[key].append(reply.json()["version"])
        arrived(deployment)
        assert ehr.counts("plain") == held
        asked = ehr.asked("plain")
        assert unlooked(asked[asked.index(f"GET /Patient/restored-{n}") :]) == []
    assert Counter(one["controlledDrugRegisterRef"] for one in records(session, deployment)) == {"1001": len(given)}
    assert states(deployment) <= {"delivered", "superseded", "cancelled"}


def written_while_backed_up(deployment: Running, path: Path) -> tuple[Versions, dict[str, int]]:
    """Writes on threads all the while, and some more: the versions given, and the last of each before the backup began."""
    given: Versions = {f"d{writer}-{n}": [] for writer in range(WRITERS) for n in range(RECORDS)}
    enough, wrong = threading.Event(), list[str]()

    def write(writer: int) -> None:
        session, version = deployment.session(), 0
        while not enough.is_set() and version < 200:
            version += 1
            for n in range(RECORDS):
                reply = deployment.put(session, "dosing-encounters", record(key := f"d{writer}-{n}", version))
                if reply.status_code not in (200, 201) or reply.json()["version"] != version:
                    wrong.append(reply.text)
                    return
                given[key].append(version)

    threads = [threading.Thread(target=write, args=(n,)) for n in range(WRITERS)]
    for thread in threads:
        thread.start()
    try:
        _until(lambda: wrong or all(len(versions) >= 3 for versions in given.values()))
        before = {key: versions[-1] for key, versions in given.items()}
        made = deployment.start("backup", str(path)).wait(60)
        _until(lambda: wrong or all(versions[-1] > before[key] + 3 for key, versions in given.items()))
    finally:
        enough.set()
        for thread in threads:
            thread.join(30)
    assert (made, wrong) == (0, [])
    return given, before


def record(key: str, version: int) -> dict[str, Any]:
    return dosing(key, f"p{int(key[1]) % PATIENTS}", controlledDrugRegisterRef=str(version), observations=[{"id": "r", "at": "2026-03-02T10:00:00+00:00", "hr": 60}])


def records(session: requests.Session, deployment: Running) -> list[dict[str, Any]]:
    return [one["entity"] for one in session.get(f"{deployment.url}/api/v1/dosing-encounters?limit=100", timeout=10).json()["items"]]


def serving(deployment: Running) -> list[Any]:
    found = [deployment.start("serve"), deployment.start("work")]
    deployment.wait_until_ready()
    return found


def stop(deployment: Running, processes: list[Any]) -> None:
    for process in processes:
        process.terminate()
        process.wait(30)
        deployment.kill(process)
    deployment.service.database.close()


def arrived(deployment: Running) -> None:
    """Waits until nothing is waiting for the EHR any more."""
    _until(lambda: not states(deployment) & {"waiting", "sending"}, 60)


def states(deployment: Running) -> set[str]:
    with deployment.service.database.reading() as connection:
        return {state for _, state in outbox.counts(connection)}


def unlooked(asked: list[str]) -> list[str]:
    """What was written at the EHR without having been looked at before."""
    return [one for n, one in enumerate(asked) if one.startswith("PUT ") and one.replace("PUT", "GET", 1) not in asked[:n]]


def _until(holds: Any, seconds: float = 30) -> None:
    until = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < until
        time.sleep(0.05)
