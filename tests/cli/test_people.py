"""People at an EHR on the command line: who of its own may be ours, and saying who it is."""

from collections.abc import Callable

import requests

from mappings.codes import NHS_NUMBER
from tests.cli.conftest import Said
from tests.conftest import Http

Run = Callable[..., Said]


def entered(sandbox: str, entity: dict[str, object], **other: object) -> str:
    """A patient as the EHR has it, who says of itself what ours does but for what is given."""
    said = {**entity, **other}
    body = {
        "resourceType": "Patient", "birthDate": said["birthDate"], "name": [{"family": said["familyName"]}],
        "identifier": [{"system": NHS_NUMBER, "value": said["nhsNumber"]}],
    }  # fmt: skip
    answer = requests.post(f"{sandbox}/fhir/r4/Patient", json=body, timeout=10)
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


def ann(pushed: Http) -> dict[str, object]:
    found = pushed.get("/api/v1/patients/ann").json["entity"]
    name = found["name"][0]
    return {"birthDate": found["birthDate"], "familyName": name["family"], "nhsNumber": found["nhsNumber"]}


def test_a_patient_whom_the_ehr_has_is_found_by_the_worker(run: Run, pushed: Http, sandbox: str) -> None:
    theirs = entered(sandbox, ann(pushed))
    run("ehr", "add", "gp", f"{sandbox}/fhir/r4", "--private")
    assert run("work", "--until-idle").code == 0
    (row,) = run("deliveries", "list", "--type", "Patient").rows
    assert (row["state"], row["remoteId"]) == ("delivered", theirs)


def test_who_comes_near_is_shown_by_what_agrees_and_linked_by_a_person(run: Run, pushed: Http, sandbox: str) -> None:
    theirs = entered(sandbox, ann(pushed), birthDate="1901-02-03")
    run("ehr", "add", "gp", f"{sandbox}/fhir/r4", "--private")
    run("work", "--until-idle")
    assert run("deliveries", "list", "--type", "Patient").rows[0]["state"] == "parked"
    said = run("ehr", "match", "gp")
    (row,) = [row for row in said.rows if row["resource"] == "Patient/ann"]
    assert row["remoteId"] == theirs and row["differs"] == ["birth date"] and "NHS number" in row["agrees"]
    assert "1901" not in said.out and str(ann(pushed)["familyName"]) not in said.out
    assert run("ehr", "match", "gp", "Patient/ann").rows == [row]
    assert run("ehr", "link", "gp", "Patient/ann", theirs).code == 0
    run("work", "--until-idle")
    assert run("deliveries", "list", "--type", "Patient").rows[0]["state"] == "delivered"
    encounters = requests.get(f"{sandbox}/fhir/r4/Encounter", timeout=10).json()["entry"]
    assert {entry["resource"]["subject"].get("reference") for entry in encounters} == {f"Patient/{theirs}"}


def test_a_link_says_what_agrees_and_never_what_is_there(run: Run, pushed: Http, sandbox: str) -> None:
    theirs = entered(sandbox, ann(pushed), birthDate="1901-02-03")
    run("ehr", "add", "gp", f"{sandbox}/fhir/r4", "--private")
    said = run("ehr", "link", "gp", "Patient/ann", theirs)
    assert said.rows[0]["differs"] == ["birth date"] and "NHS number" in said.rows[0]["agrees"]
    assert "1901" not in said.out and str(ann(pushed)["familyName"]) not in said.out


def test_an_ehr_that_cannot_be_asked_links_unseen_alone(run: Run, pushed: Http, sandbox: str) -> None:
    run("ehr", "add", "gp", f"{sandbox}/fhir/r4", "--private")
    fault = {"fault": "status", "persona": "plain", "status": 403, "method": "GET", "type": "Patient"}
    assert requests.post(f"{sandbox}/_sandbox/faults", json=fault, timeout=10).status_code == 201
    said = run("ehr", "link", "gp", "Patient/ann", "8f2c")
    assert said.code == 1 and "--unseen" in said.err
    assert run("ehr", "link", "gp", "Patient/ann", "8f2c", "--unseen").code == 0


def test_what_was_refused_under_a_wrong_link_is_sent_once_it_is_mended(run: Run, pushed: Http, sandbox: str) -> None:
    theirs = entered(sandbox, ann(pushed), birthDate="1901-02-03")
    run("ehr", "add", "gp", f"{sandbox}/fhir/r4", "--private")
    run("ehr", "link", "gp", "Patient/ann", "not-there", "--unseen")
    fault = {"fault": "status", "persona": "plain", "status": 422, "method": "POST", "type": "Encounter"}
    made = requests.post(f"{sandbox}/_sandbox/faults", json=fault, timeout=10)
    assert made.status_code == 201
    run("work", "--until-idle")
    assert run("deliveries", "list", "--state", "parked", "--type", "Encounter").rows
    assert requests.delete(f"{sandbox}/_sandbox/faults", timeout=10).status_code == 204
    assert run("ehr", "link", "gp", "Patient/ann", theirs).code == 0
    run("work", "--until-idle")
    assert run("deliveries", "list", "--state", "parked", "--patient", "ann").rows == []
    encounters = requests.get(f"{sandbox}/fhir/r4/Encounter", timeout=10).json()["entry"]
    assert {entry["resource"]["subject"].get("reference") for entry in encounters} == {f"Patient/{theirs}"}


def test_nobody_is_asked_of_an_ehr_that_is_not_there(run: Run, pushed: Http, sandbox: str) -> None:
    assert run("ehr", "match", "gp").code == 3
    assert run("ehr", "catch-up", "gp").code == 3
    run("ehr", "add", "gp", f"{sandbox}/fhir/r4", "--private", "--only-changes")
    assert run("ehr", "match", "gp", "Patient/nobody").code == 3


def test_an_ehr_that_was_owed_only_changes_can_be_caught_up_with_later(run: Run, pushed: Http, sandbox: str) -> None:
    run("ehr", "add", "gp", f"{sandbox}/fhir/r4", "--private", "--only-changes")
    run("work", "--until-idle")
    assert run("deliveries", "list").rows == []
    assert run("ehr", "catch-up", "gp").code == 0
    progress = run("ehr", "list").rows[0]["catchingUp"]
    assert progress["lookedAt"] == 0 and progress["of"] > 0
    run("work", "--until-idle")
    assert run("deliveries", "list").rows and "catchingUp" not in run("ehr", "list").rows[0]
