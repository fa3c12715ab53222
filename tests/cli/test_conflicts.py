"""Conflicts on the command line: shown side by side, and settled."""

from collections.abc import Callable

import pytest
import requests

from tests.cli.conftest import Said
from tests.conftest import Http

Run = Callable[..., Said]


@pytest.fixture
def contested(run: Run, pushed: Http, sandbox: str) -> str:
    """An EHR renamed the clinic, and so did we: its URL there."""
    run("ehr", "add", "one", f"{sandbox}/fhir/r4", "--create-people", "--private", "--types", "Organization")
    run("work", "--until-idle")
    entity = pushed.get("/api/v1/clinics/riverside").json["entity"]
    [entry] = [e for e in requests.get(f"{sandbox}/fhir/r4/Organization", timeout=10).json()["entry"] if e["resource"]["name"] == entity["name"]]
    url = f"{sandbox}/fhir/r4/Organization/{entry['resource']['id']}"
    assert requests.put(url, json={**entry["resource"], "name": "Theirs"}, timeout=10).status_code == 200
    assert pushed.put("/api/v1/clinics/riverside", entity | {"name": "Ours"}).status == 200
    assert run("work", "--until-idle").code == 0
    return url


def test_both_sides_are_shown_and_the_one_that_is_kept_stands(run: Run, contested: str) -> None:
    (found,) = run("conflicts", "list").rows
    assert found["elements"][0]["element"] == "Organization.name"
    (shown,) = run("conflicts", "show", str(found["id"])).rows
    assert (shown["elements"][0]["ours"], shown["elements"][0]["theirs"]) == ("Ours", "Theirs")
    assert run("conflicts", "settle", str(found["id"]), "--keep", "ours").code == 0
    run("work", "--until-idle")
    assert requests.get(contested, timeout=10).json()["name"] == "Ours"
    assert run("conflicts", "list").rows == [] and [row["state"] for row in run("conflicts", "list", "--all").rows] == ["ours"]
    again = run("conflicts", "settle", str(found["id"]), "--keep", "theirs")
    assert again.code == 4 and "already" in again.err


def test_conflicts_are_listed_by_what_they_are_about(run: Run, contested: str) -> None:
    assert len(run("conflicts", "list", "--type", "Organization", "--ehr", "one").rows) == 1
    assert run("conflicts", "list", "--type", "Goal").rows == run("conflicts", "list", "--patient", "ann").rows == []
    assert run("conflicts", "list", "--patient", "nobody").code == 3


def test_a_conflict_that_is_not_there_is_not_found(run: Run) -> None:
    assert run("conflicts", "show", "7").code == 3
    assert run("conflicts", "settle", "7", "--keep", "ours").code == 3
    assert run("conflicts", "settle", "7").code == 2
    assert run("conflicts", "show", str(2**63)).code == run("conflicts", "settle", str(2**63), "--keep", "ours").code == 2
    assert run("deliveries", "show", "0").code == run("deliveries", "replay", str(2**63)).code == 2


@pytest.mark.parametrize("command", [("conflicts", "list"), ("deliveries", "list"), ("deliveries", "list", "--summary"), ("deliveries", "cancel"), ("pull", "list")])
def test_an_ehr_that_never_was_is_said_not_to_be_there(run: Run, command: tuple[str, ...]) -> None:
    said = run(*command, "--ehr", "tpyo")
    assert said.code == 3 and "There is no EHR tpyo" in said.err and not said.rows
