"""What would be sent is shown before anything is, and is what is sent then."""

from collections import Counter
from collections.abc import Callable

import pytest
import requests

from tests.cli.conftest import Said
from tests.conftest import Http

Run = Callable[..., Said]


@pytest.fixture
def owing(run: Run, pushed: Http, sandbox: str) -> Http:
    """Two EHRs that are owed the example pathway."""
    for name, path in (("plain", "/fhir/r4"), ("strict", "/epic/fhir/r4")):
        run("ehr", "add", name, f"{sandbox}{path}", "--create-people", "--private")
        run("ehr", "pause", name)
    run("work", "--until-idle")
    return pushed


def asked(sandbox: str) -> list[tuple[str, str]]:
    log = requests.get(f"{sandbox}/_sandbox/log?limit=1000", timeout=10).json()
    return [(one["method"], one["path"]) for one in reversed(log) if not one["path"].endswith("/metadata")]


def test_the_plan_is_what_is_asked_and_nothing_is_before(run: Run, owing: Http, sandbox: str) -> None:
    planned = run("deliveries", "plan", "--ehr", "plain").rows
    assert planned and asked(sandbox) == []
    wanted = Counter((one["method"], one["url"].removeprefix(sandbox).partition("?")[0]) for row in planned for one in row["requests"])
    run("ehr", "resume", "plain")
    run("work", "--until-idle")
    more = Counter(asked(sandbox)) - wanted
    assert not wanted - Counter(asked(sandbox))
    assert {method for method, _ in more} <= {"PUT"}, "what was sent before what it refers to is sent again with that"


def test_a_plan_has_the_very_requests(run: Run, owing: Http) -> None:
    planned = run("deliveries", "plan", "--ehr", "plain", "--patient", "ann").rows
    [patient] = [row for row in planned if row["resource"].startswith("Patient/")]
    [request] = patient["requests"]
    assert request["method"] == "POST" and request["headers"]["If-None-Exist"].startswith("identifier=") and request["body"]["resourceType"] == "Patient"
    [encounter, *_] = [row["requests"][0]["body"] for row in planned if row["resource"].startswith("Encounter/")]
    assert encounter["subject"]["reference"].startswith("Patient/id-")
    assert run("deliveries", "plan", "--ehr", "plain", "--patient", "nobody").code == 3
    assert run("deliveries", "plan", "--ehr", "nobody").code == 3


def test_what_goes_together_is_planned_as_one_bundle(run: Run, pushed: Http, sandbox: str) -> None:
    run("ehr", "add", "one", f"{sandbox}/fhir/r4", "--create-people", "--private", "--transactions")
    run("ehr", "pause", "one")
    run("work", "--until-idle")
    planned = run("deliveries", "plan", "--ehr", "one", "--patient", "ann").rows
    bundles = [one["body"] for row in planned for one in row["requests"] if one.get("body", {}).get("resourceType") == "Bundle"]
    assert bundles and all(one["type"] == "transaction" and 1 < len(one["entry"]) <= 25 for one in bundles)
    assert len([row for row in planned if row["words"] == "In the Bundle above"]) == sum(len(one["entry"]) - 1 for one in bundles)


def test_a_strict_ehr_is_searched_before_it_is_sent_and_what_it_does_not_take_is_said(run: Run, owing: Http) -> None:
    planned = run("deliveries", "plan", "--ehr", "strict").rows
    assert {row["words"] for row in planned if row["resource"].startswith("CarePlan/")} == {"This EHR does not take CarePlan"}
    found = [[one["method"] for one in row["requests"]] for row in planned if row["resource"].startswith("Observation/")]
    assert found and all(methods == ["GET", "POST"] for methods in found)


def test_a_forecast_says_type_by_type_what_is_sent_and_how(run: Run, owing: Http) -> None:
    how = {row["type"]: row["sent"] for row in run("ehr", "forecast", "strict").rows}
    assert how["CarePlan"] == "unsupported" and how["Observation"].startswith("search, then create")
    assert {row["type"]: row["sent"] for row in run("ehr", "forecast", "plain").rows}["CarePlan"] == "conditional create"
    assert run("ehr", "forecast", "nobody").code == 3


def test_a_plan_shows_which_headers_an_ehr_wants_and_no_gateways_key(run: Run, pushed: Http, sandbox: str) -> None:
    header = ("--header", "apikey=a-gateways-key", "--header", "X-Request-ID={request_id}")
    run("ehr", "add", "plain", f"{sandbox}/fhir/r4", "--create-people", "--private", *header)
    run("ehr", "pause", "plain")
    run("work", "--until-idle")
    said = run("deliveries", "plan", "--ehr", "plain")
    requests_ = [request for one in said.rows for request in one["requests"]]
    assert {request["headers"]["apikey"] for request in requests_} == {"(not shown)"} and "a-gateways-key" not in said.out
    assert len({request["headers"]["X-Request-ID"] for request in requests_}) == len(requests_)
