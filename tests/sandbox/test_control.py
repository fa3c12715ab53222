"""What no EHR has: counts, the log of requests, the reset, the index page."""

from collections.abc import Iterator

import pytest
import requests

from tests.sandbox.client import Client, Fhir, link, name
from tests.sandbox.samples import least


@pytest.fixture(autouse=True)
def emptied(origin: str, session: requests.Session) -> Iterator[None]:
    assert session.delete(f"{origin}/_sandbox").status_code == 204
    yield


def test_counts_tell_by_persona_and_type_what_is_there_and_what_ever_was(origin: str, plain: Client, epic_patient: str) -> None:
    about = name(plain.create({"resourceType": "Patient"}))
    observations = [plain.create(least("Observation", about)) for _ in range(3)]
    plain.update(observations[0])
    plain.delete(name(observations[1]))
    assert epic_patient
    assert plain.get(f"{origin}/_sandbox/counts").json() == {
        "plain": {"Observation": {"current": 2, "versions": 5}, "Patient": {"current": 1, "versions": 1}},
        "epic": {"Patient": {"current": 1, "versions": 1}},
        "oracle": {},
        "nhs": {},
    }


def test_the_log_tells_the_last_requests_the_newest_first_and_no_bodies(origin: str, plain: Client, patient: Fhir) -> None:
    plain.get("Observation?colour=blue")
    plain.get("Patient/never")
    log = plain.get(f"{origin}/_sandbox/log?limit=3").json()
    assert [(one["persona"], one["method"], one["path"], one["query"], one["status"]) for one in log] == [
        ("plain", "GET", "/fhir/r4/Patient/never", "", 404),
        ("plain", "GET", "/fhir/r4/Observation", "colour=blue", 200),
        ("plain", "POST", "/fhir/r4/Patient", "", 201),
    ]
    assert log[0].keys() == {"time", "persona", "method", "path", "query", "status", "ms", "faults"}
    assert len(plain.get(f"{origin}/_sandbox/log?limit=1").json()) == 1
    assert plain.get(f"{origin}/_sandbox/log?limit=all").status_code == 400


def test_a_reset_empties_everything(origin: str, plain: Client, about: str) -> None:
    body = least("Observation", about)
    plain.create(body)
    assert plain.delete(f"{origin}/_sandbox").status_code == 204
    assert plain.get(f"{origin}/_sandbox/counts").json() == {"plain": {}, "epic": {}, "oracle": {}, "nhs": {}}
    assert plain.get(f"{origin}/_sandbox/log").json() == []
    assert plain.get(about).status_code == 404
    assert plain.found("Observation", identifier=body["identifier"][0]["value"]) == set()


def test_the_index_page_shows_bases_counts_and_requests_and_loads_nothing(origin: str, plain: Client) -> None:
    plain.create({"resourceType": "Patient"})
    plain.get("Observation?subject=<script>alert(1)</script>")
    page = plain.get(f"{origin}/")
    assert page.headers["Content-Type"] == "text/html; charset=utf-8"
    assert page.headers["Content-Security-Policy"].startswith("default-src 'none'")
    for shown in (f"{origin}/fhir/r4/metadata", f"{origin}/epic/fhir/r4", "/_sandbox/counts", "<td>Patient</td>", "<td>POST</td>"):
        assert shown in page.text
    assert "<script" not in page.text
    assert "src=" not in page.text.replace("default-src", "")


def test_its_own_users_write_what_the_interface_takes_from_nobody_and_are_checked_all_the_same(epic: Client, in_epic: Client, epic_patient: str) -> None:
    plan = in_epic.create(least("CarePlan", epic_patient))
    assert in_epic.update({**plan, "title": "changed at the desk"})["meta"]["versionId"] == "2"
    assert epic.get(name(plan)).json()["title"] == "changed at the desk"
    assert in_epic.post("CarePlan", {"resourceType": "CarePlan"}).status_code == 422
    assert in_epic.delete(name(plan)).status_code == 204
    assert epic.get(name(plan)).status_code == 410


def test_its_own_users_turn_pages_too(origin: str, session: requests.Session, oracle: Client, oracle_patient: str) -> None:
    ids = {oracle.create(least("Observation", oracle_patient))["id"] for _ in range(3)}
    first = Client(session, f"{origin}/_sandbox/records/oracle").search("Observation", subject=oracle_patient, _count="2")
    second = oracle.get(link(first, "next") or "").json()
    assert {entry["resource"]["id"] for bundle in (first, second) for entry in bundle["entry"]} == ids


@pytest.mark.parametrize("path", ["/nothing", "/_sandbox", "/_sandbox/records", "/_sandbox/records/nobody/Patient", "/fhir", "/fhir/r4x/Patient"])
def test_what_is_not_there_says_what_is(origin: str, session: requests.Session, path: str) -> None:
    answer = session.get(origin + path)
    assert answer.status_code == 404
    assert "/epic/fhir/r4" in answer.json()["issue"][0]["diagnostics"]
