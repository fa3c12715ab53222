"""EHRs and deliveries on the command line, against a sandbox that is reached over HTTP."""

from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from service.config import Settings
from service.wiring import wire
from tests.cli.conftest import Said
from tests.conftest import Http
from tests.service.tables import dicts

Run = Callable[..., Said]
DEMO = ("--create-people", "--private")


@pytest.fixture
def delivered(run: Run, pushed: Http, sandbox: str) -> Http:
    """The strict EHR was sent the example pathway."""
    assert run("ehr", "add", "strict", f"{sandbox}/epic/fhir/r4", *DEMO).code == 0
    entity = pushed.get("/api/v1/patients/ann").json["entity"]
    assert pushed.put("/api/v1/patients/ann", entity | {"communicationLanguage": "cy"}).status == 200
    assert run("work", "--until-idle").code == 0
    return pushed


def test_an_ehr_is_added_with_what_it_says_that_it_takes(run: Run, sandbox: str) -> None:
    said = run("ehr", "add", "one", f"{sandbox}/epic/fhir/r4/", *DEMO)
    (told,) = said.rows
    assert said.code == 0 and "It takes AllergyIntolerance, " in told["done"] and "CarePlan" in told["unsupported"] and told["asDocuments"] == [], said
    assert "Condition" in told["onlyCreated"] and f"It does not take {', '.join(told['unsupported'])}." in told["done"]
    (row,) = run("ehr", "list").rows
    assert (row["id"], row["baseUrl"], row["level"], row["state"]) == ("one", f"{sandbox}/epic/fhir/r4", "C1", "open")


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("two", "http://127.0.0.1:9/fhir", "--private"), 1, "cannot be read"),
        (("two", "http://ehr.example.org/fhir"), 4, "https"),
        (("Two!", "{sandbox}/fhir/r4", "--private"), 4, "/id"),
        (("two", "{sandbox}/fhir/r4", "--private", "--types", "Encounter,Invoice"), 4, "Invoice"),
        (("two", "{sandbox}/fhir/r4", "--private", "--level", "C3"), 2, "--level"),
    ],
)
def test_an_ehr_that_cannot_be_added_is_not_there(run: Run, sandbox: str, words: tuple[str, ...], code: int, said: str) -> None:
    found = run("ehr", "add", *(word.format(sandbox=sandbox) for word in words))
    assert found.code == code and said in found.err, found
    assert run("ehr", "list").rows == []


@pytest.mark.parametrize(("path", "said"), [("/fhir/r4", ""), ("/epic/fhir/r4", "It does not advertise transactions: everything goes singly.")])
def test_an_ehr_that_is_asked_for_transactions_and_has_none_is_said_to_get_everything_singly(run: Run, sandbox: str, path: str, said: str) -> None:
    added = run("ehr", "add", "one", f"{sandbox}{path}", *DEMO, "--transactions")
    assert added.code == 0 and ("everything goes singly" in added.out) == bool(said)
    tried = run("ehr", "test", "one")
    assert tried.code == 0 and tried.err.strip() == said
    run("ehr", "set", "one", "--no-transactions")
    assert run("ehr", "test", "one").err == ""


def test_what_would_be_sent_is_shown_before_an_ehr_is_added_and_nothing_is(run: Run, pushed: Http, sandbox: str) -> None:
    said = run("ehr", "add", "one", f"{sandbox}/epic/fhir/r4", *DEMO, "--dry-run")
    assert said.code == 0 and run("ehr", "list").rows == [] and "Nothing is registered." in said.err
    would = {row["type"]: row for row in said.rows}
    assert would["CarePlan"]["sent"] == "unsupported" and would["Condition"]["sent"].endswith("changes of it are unsupported")
    added = run("ehr", "add", "one", f"{sandbox}/epic/fhir/r4", *DEMO)
    assert [row for row in would.values() if row["resources"]] == run("ehr", "forecast", "one").rows
    assert added.rows[0]["unsupported"] == [type_ for type_, row in would.items() if row["sent"] == "unsupported"]
    for name, url in (("one", "/fhir/r4"), ("two", "/epic/fhir/r4")):
        assert run("ehr", "add", name, f"{sandbox}{url}", *DEMO, "--dry-run").code == 4


def test_what_goes_as_documents_is_forecast_as_such(run: Run, pushed: Http, sandbox: str) -> None:
    said = run("ehr", "add", "one", f"{sandbox}/epic/fhir/r4", *DEMO, "--documents")
    assert "CarePlan" in said.rows[0]["asDocuments"] and said.rows[0]["unsupported"] == []
    assert {row["type"]: row["sent"] for row in run("ehr", "forecast", "one").rows}["CarePlan"] == "as a document"


def test_one_base_url_is_given_to_one_ehr_however_it_is_written(run: Run, sandbox: str) -> None:
    run("ehr", "add", "one", f"{sandbox}/fhir/r4", *DEMO)
    for url in (f"{sandbox}/fhir/r4//", f"{sandbox}/fhir/r4".replace("http:", "HTTP:")):
        said = run("ehr", "add", "two", url, *DEMO)
        assert said.code == 4 and "EHR one is at" in said.err, said
    assert [row["id"] for row in run("ehr", "list").rows] == ["one"]
    assert run("ehr", "remove", "one", "--yes").code == 0
    assert run("ehr", "add", "two", f"{sandbox}/fhir/r4", *DEMO).code == 0


def test_a_name_is_given_to_one_ehr(run: Run, sandbox: str) -> None:
    assert run("ehr", "add", "one", f"{sandbox}/fhir/r4", *DEMO).code == 0
    assert run("ehr", "add", "one", f"{sandbox}/epic/fhir/r4", *DEMO).code == 4
    assert [row["baseUrl"] for row in run("ehr", "list").rows] == [f"{sandbox}/fhir/r4"]


def test_a_token_is_kept_encrypted(run: Run, sandbox: str, tmp_path: Path) -> None:
    run("ehr", "add", "one", f"{sandbox}/fhir/r4", *DEMO, "--token", "an-ehrs-own-token")
    assert not [path for path in tmp_path.iterdir() if b"an-ehrs-own-token" in path.read_bytes()]
    assert "an-ehrs-own-token" not in run("ehr", "list").out


def test_a_test_shows_type_by_type_what_an_ehr_takes(run: Run, sandbox: str) -> None:
    run("ehr", "add", "one", f"{sandbox}/epic/fhir/r4", *DEMO, "--types", "Observation,Encounter")
    found = {row["type"]: row for row in run("ehr", "test", "one").rows}
    assert found["Observation"]["create"] and found["Observation"]["sent"]
    assert not found["Encounter"]["create"] and found["Encounter"]["sent"]
    assert not found["Consent"]["sent"]
    assert run("ehr", "test", "nobody").code == 3


def test_a_paused_ehr_is_sent_nothing_until_it_is_resumed(run: Run, pushed: Http, sandbox: str) -> None:
    run("ehr", "add", "one", f"{sandbox}/fhir/r4", *DEMO)
    assert run("ehr", "pause", "one").code == 0
    entity = pushed.get("/api/v1/clinics/riverside").json["entity"]
    pushed.put("/api/v1/clinics/riverside", entity | {"name": "Riverside Clinic, East"})
    run("work", "--until-idle")
    assert run("ehr", "list").rows[0]["state"] == "paused"
    assert {row["state"] for row in run("deliveries", "list").rows} == {"waiting"}
    assert run("ehr", "resume", "one").code == 0
    run("work", "--until-idle")
    assert {row["state"] for row in run("deliveries", "list").rows} <= {"delivered", "superseded"}
    assert run("ehr", "pause", "nobody").code == 3


def test_a_link_is_refused_for_what_is_not_there(run: Run, pushed: Http, sandbox: str) -> None:
    run("ehr", "add", "one", f"{sandbox}/fhir/r4", "--private")
    unseen = run("ehr", "link", "one", "Patient/ann", "8f2c")
    assert unseen.code == 4 and "has no Patient/8f2c" in unseen.err, unseen
    assert run("ehr", "link", "one", "Patient/ann", "8f2c", "--unseen").code == 0
    assert run("ehr", "link", "one", "Patient/nobody", "8f2c").code == 3
    assert run("ehr", "link", "nobody", "Patient/ann", "8f2c").code == 3
    assert run("ehr", "link", "one", "Patient/ann", "Patient/8f2c").code == 4
    refused = run("ehr", "link", "one", "Observation/ann", "8f2c")
    assert refused.code == 4 and "/resource" in refused.err, refused


def test_deliveries_are_listed_by_state_type_patient_and_words(run: Run, delivered: Http) -> None:
    every = run("deliveries", "list", "--limit", "1000").rows
    assert every and {row["ehr"] for row in every} == {"strict"}
    assert [row["id"] for row in every] == sorted((row["id"] for row in every), reverse=True)
    states = {row["state"] for row in every}
    for state in states:
        assert run("deliveries", "list", "--state", state, "--limit", "1000").rows == [row for row in every if row["state"] == state]
    types = run("deliveries", "list", "--type", "Patient", "--limit", "1000").rows
    assert types == [row for row in every if row["resource"]["type"] == "Patient"]
    assert len(run("deliveries", "list", "--limit", "1").rows) == 1
    assert run("deliveries", "list", "--patient", "ann").rows
    assert run("deliveries", "list", "--patient", "nobody").code == 3
    summary = {(row["ehr"], row["state"]): row["count"] for row in run("deliveries", "list", "--summary").rows}
    assert sum(summary.values()) == len(every)


def test_a_delivery_is_shown_with_its_attempts(run: Run, delivered: Http) -> None:
    (number,) = [row["id"] for row in run("deliveries", "list", "--type", "Patient").rows]
    (shown,) = run("deliveries", "show", str(number)).rows
    assert shown["state"] == "delivered" and shown["remoteId"] and shown["log"], shown
    assert run("deliveries", "show", "999999").code == 3


def test_what_was_cancelled_is_owed_again_when_it_is_replayed(run: Run, pushed: Http, sandbox: str) -> None:
    run("ehr", "add", "one", f"{sandbox}/fhir/r4", *DEMO)
    run("ehr", "pause", "one")
    entity = pushed.get("/api/v1/practitioners/dr-shah").json["entity"]
    pushed.put("/api/v1/practitioners/dr-shah", entity | {"alsExpiry": "2028-03-31"})
    number = run("deliveries", "list", "--type", "Practitioner").rows[0]["id"]
    assert run("deliveries", "cancel", str(number)).code == 0
    assert run("deliveries", "list", "--type", "Practitioner").rows[0]["state"] == "cancelled"
    again = run("deliveries", "cancel", str(number))
    assert again.code == 4 and str(number) in again.err, again
    assert run("deliveries", "replay", str(number)).code == 0
    newest = run("deliveries", "list", "--type", "Practitioner").rows[0]
    assert newest["state"] == "waiting" and newest["id"] > number
    assert run("deliveries", "replay", "999999").code == 4
    assert run("deliveries", "replay").code == 2


def test_a_registration_is_changed_by_what_is_given_and_nothing_else(run: Run, sandbox: str) -> None:
    run("ehr", "add", "one", f"{sandbox}/epic/fhir/r4", *DEMO, "--types", "Encounter,Observation", "--organisation", "RVX01", "--documents")
    said = run("ehr", "set", "one", "--level", "C2", "--types", "Observation", "--no-documents", "--without", "organisation", "--max-in-flight", "9")
    assert said.code == 0 and said.rows[0]["changed"] == ["documents", "level", "maxInFlight", "organisation", "types"], said
    (row,) = run("ehr", "list").rows
    assert (row["level"], row["types"], row["organisation"], row["createPeople"]) == ("C2", ["Observation"], None, True)
    assert run("ehr", "set", "one", "--level", "C2").rows[0]["changed"] == []
    assert run("ehr", "set", "one", "--without", "types").code == 0 and run("ehr", "list").rows[0]["types"] is None


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("one",), 2, "Say what is to be another"),
        (("one", "--level", "C3"), 2, "--level"),
        (("one", "--types", "Invoice"), 4, "/types"),
        (("one", "--token", "x", "--without", "token"), 2, "--token"),
        (("one", "--base-url", "http://127.0.0.1:9/fhir"), 1, "cannot be read"),
        (("nobody", "--level", "C2"), 3, "nobody"),
    ],
)
def test_what_cannot_be_changed_stays(run: Run, sandbox: str, words: tuple[str, ...], code: int, said: str) -> None:
    run("ehr", "add", "one", f"{sandbox}/fhir/r4", *DEMO)
    before = run("ehr", "list").rows
    found = run("ehr", "set", *words)
    assert found.code == code and said in found.err, found
    assert run("ehr", "list").rows == before


def test_a_token_that_is_set_is_kept_encrypted_and_shown_nowhere(run: Run, sandbox: str, given: Settings, tmp_path: Path) -> None:
    run("ehr", "add", "one", f"{sandbox}/fhir/r4", *DEMO)
    said = run("ehr", "set", "one", "--token", "an-ehrs-own-token", "--header", "apikey=a-gateways-key")
    assert said.code == 0 and said.rows[0]["changed"] == ["auth", "headers"]
    assert not [path for path in tmp_path.iterdir() if path.is_file() and any(word in path.read_bytes() for word in (b"an-ehrs-own-token", b"a-gateways-key"))]
    with closing(wire(given)) as service:
        told = [(one["action"], one["target"], one["detail"]) for one in dicts(service.database, "audit")]
    assert told == [("ehr add", "ehr/one", "C1"), ("ehr set", "ehr/one", "auth, headers")]


def test_an_ehr_is_removed_once_somebody_says_yes(run: Run, pushed: Http, sandbox: str) -> None:
    run("ehr", "add", "one", f"{sandbox}/fhir/r4", *DEMO)
    asked = run("ehr", "remove", "one")
    assert asked.code == 4 and "--yes" in asked.err and len(run("ehr", "list").rows) == 1
    assert run("ehr", "remove", "one", "--yes").code == 0
    assert run("ehr", "list").rows == []
    assert run("ehr", "remove", "one", "--yes").code == run("ehr", "set", "one", "--level", "C2").code == run("ehr", "test", "one").code == 3
    again = run("ehr", "add", "one", f"{sandbox}/fhir/r4", *DEMO)
    assert again.code == 4 and "its name is not used again" in again.err


@pytest.mark.parametrize("url", ["http://x:99999/", "http://[", "ftp://x/fhir", "http://x/fhir?y=1", "http://u:p@x/fhir", "x"])
def test_what_is_no_base_url_is_refused_in_words(run: Run, url: str) -> None:
    refused = run("ehr", "add", "one", url, "--private")
    assert refused.code == 4 and "/baseUrl" in refused.err, refused
