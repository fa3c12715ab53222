"""Pulls on the command line: what an EHR changed comes into the record, at once or with the worker."""

from collections.abc import Callable

import pytest
import requests

from tests.cli.conftest import Said
from tests.conftest import Http

Run = Callable[..., Said]


@pytest.fixture
def held(run: Run, pushed: Http, sandbox: str) -> str:
    """An EHR that holds the example pathway: its base URL."""
    run("ehr", "add", "one", f"{sandbox}/fhir/r4", "--create-people", "--private", "--level", "C2")
    run("work", "--until-idle")
    return f"{sandbox}/fhir/r4"


def hold_on(base: str) -> None:
    [entry] = requests.get(f"{base}/CarePlan", timeout=10).json()["entry"]
    plan = entry["resource"]
    assert requests.put(f"{base}/CarePlan/{plan['id']}", json={**plan, "status": "on-hold"}, timeout=10).status_code == 200


def status(pushed: Http) -> str:
    [plan] = pushed.get("/api/v1/integration-care-plans?patient=ann").json["items"]
    return str(plan["entity"]["status"])


def test_a_change_at_the_ehr_comes_in_when_it_is_pulled(run: Run, pushed: Http, held: str) -> None:
    assert run("pull", "now", "one").code == 3
    assert run("pull", "set", "one", "CarePlan", "Goal", "--every", "60").code == 0
    hold_on(held)
    rows = {row["type"]: row for row in run("pull", "now", "one").rows}
    assert (rows["CarePlan"]["taken"], rows["Goal"]["taken"]) == (1, 0)
    assert status(pushed) == "on-hold"
    assert [row["type"] for row in run("pull", "list").rows] == ["CarePlan", "Goal"] and "held" not in run("pull", "list").rows[0]


def test_a_worker_pulls_by_itself(run: Run, pushed: Http, held: str) -> None:
    run("pull", "set", "one", "CarePlan")
    hold_on(held)
    assert run("work", "--until-idle").code == 0
    assert status(pushed) == "on-hold"


def test_nothing_is_pulled_of_what_is_not_set(run: Run, pushed: Http, held: str) -> None:
    run("pull", "set", "one", "CarePlan")
    assert run("pull", "set", "one").code == 0 and run("pull", "list").rows == []
    assert run("pull", "set", "nobody", "CarePlan").code == 3
    assert run("pull", "list", "--ehr", "nobody").code == 3
    refused = run("pull", "set", "one", "CarePlan", "Invoice")
    assert refused.code == 4 and "/types/1" in refused.err


def test_where_an_ehr_tells_of_changes_is_shown_with_the_header_that_lets_it_in(run: Run, pushed: Http, held: str) -> None:
    assert run("pull", "endpoint", "nowhere").code == 3
    [shown] = run("pull", "endpoint", "one").rows
    name, _, secret = shown["header"].partition(": ")
    path = shown["endpoint"].removeprefix("http://127.0.0.1:8000")
    assert pushed.post(path, {"resourceType": "CarePlan"}, **{name: secret}).status == 200
    assert pushed.post(path, {"resourceType": "CarePlan"}).status == 401
