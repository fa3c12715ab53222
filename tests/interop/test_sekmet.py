"""SEKMET, a FHIR server that nobody here had a hand in: the example pathway goes to it over HTTP, and is there when it is read back."""

import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from service.wiring import Service
from tests.conftest import Http
from tests.service.test_accepting import plan
from tests.sync.conftest import Connect, connect, deliveries, states, work
from tests.sync.personas.conftest import Work, reconciled
from tests.sync.test_pulling import pull_of

__all__ = ["connect", "work"]
Json = dict[str, Any]
NOT_THERE = {"AdverseEvent", "CareTeam", "DetectedIssue", "Goal", "QuestionnaireResponse", "RiskAssessment"}
SETTINGS = """
base_url: {base}
host: 127.0.0.1
port: {port}
data_dir: {home}
own_private_key_path: {home}/key.pem
"""


@pytest.fixture
def sekmet(tmp_path: Path) -> Iterator[str]:
    """Its FHIR base. It validates what it is sent by the models of R4, and is otherwise as it comes."""
    home = tmp_path / "sekmet"
    home.mkdir()
    with socket.socket() as tried:
        tried.bind(("127.0.0.1", 0))
        port = tried.getsockname()[1]
    base = f"http://127.0.0.1:{port}/fhir"
    (home / "settings.yaml").write_text(SETTINGS.format(base=base, port=port, home=home))
    command = [str(Path(sys.executable).with_name("sekmet")), "serve", "--config", "settings.yaml"]
    with (home / "log").open("wb") as log, subprocess.Popen(command, cwd=home, stdout=log, stderr=log) as process:
        try:
            _wait(f"{base}/metadata", process)
            yield base
        finally:
            process.terminate()
            process.wait(20)


def _wait(url: str, process: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + 60
    while time.monotonic() < until and process.poll() is None:
        try:
            if requests.get(url, timeout=5).status_code == 200:
                return
        except requests.RequestException:
            time.sleep(0.1)
    raise AssertionError(f"{url} does not answer")


@pytest.fixture
def delivered(pathway: Http, connect: Connect, work: Work, sekmet: str) -> Http:
    connect("sekmet", sekmet)
    work()
    return pathway


def total(base: str, type_: str) -> int:
    found: int = requests.get(f"{base}/{type_}?_summary=count", timeout=10).json()["total"]
    return found


def only(base: str, type_: str) -> Json:
    [entry] = requests.get(f"{base}/{type_}?_count=2", timeout=10).json()["entry"]
    found: Json = entry["resource"]
    return found


def test_the_whole_pathway_is_there_as_we_say_it_and_what_it_does_not_take_is_unsupported(delivered: Http, sekmet: str, service: Service) -> None:
    assert set(states(delivered)) == {"delivered", "unsupported"}  # and nothing twice
    assert {one["resource"]["type"] for one in deliveries(delivered, state="unsupported")} == NOT_THERE
    findings, problems = reconciled(service, "sekmet")
    assert problems == [] and {one.type for one in findings if one.verdict != "same"} == NOT_THERE
    assert Counter(one.type for one in findings if one.verdict == "same")["Observation"] == total(sekmet, "Observation") > 90


def test_what_is_there_already_is_found_and_not_made_again(delivered: Http, sekmet: str, connect: Connect, work: Work, service: Service) -> None:
    before = {type_: total(sekmet, type_) for type_ in ("Patient", "Encounter", "Observation", "CarePlan", "MedicationAdministration")}
    connect("again", sekmet.replace("127.0.0.1", "localhost"))  # two EHRs of ours are never at one URL
    work()
    assert set(states(delivered, ehr="again")) <= {"delivered", "superseded", "unsupported"}
    assert {type_: total(sekmet, type_) for type_ in before} == before


def test_both_sides_change_a_care_plan_and_both_have_both(delivered: Http, sekmet: str, work: Work, service: Service) -> None:
    assert pull_of(service, "sekmet", "CarePlan").problems == []
    there = only(sekmet, "CarePlan")
    changed = {**there, "status": "on-hold", "contributor": [{"display": "Someone there"}]}
    assert requests.put(f"{sekmet}/CarePlan/{there['id']}", json=changed, timeout=10).status_code == 200
    id_, entity = plan(delivered)
    assert delivered.put(f"/api/v1/integration-care-plans/{id_}", {**entity, "title": "Another title"}).status == 200
    done = pull_of(service, "sekmet", "CarePlan")
    assert (done.taken, done.contested, done.unfit, done.problems) == (1, 0, 0, [])
    work()
    there, here = only(sekmet, "CarePlan"), plan(delivered)[1]
    assert (there["status"], there["title"], there["contributor"]) == ("on-hold", "Another title", [{"display": "Someone there"}])
    assert (here["status"], here["title"]) == ("on-hold", "Another title") and states(delivered)["parked"] == 0


def test_what_was_removed_there_is_missing_here(delivered: Http, sekmet: str, service: Service) -> None:
    pull_of(service, "sekmet", "Task")
    entries = requests.get(f"{sekmet}/Task", timeout=10).json()["entry"]
    gone = entries[0]["resource"]["id"]
    assert requests.delete(f"{sekmet}/Task/{gone}", timeout=10).status_code == 200
    done = pull_of(service, "sekmet", "Task")
    assert (done.vanished, done.problems) == (1, [])
    assert [one.remote_ids for one in reconciled(service, "sekmet")[0] if one.verdict == "missing"] == [(gone,)]
