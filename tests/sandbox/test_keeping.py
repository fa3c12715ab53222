"""All that an EHR ever held is kept and put back as it was."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from sandbox.process import started
from tests.sandbox.client import Client, Fhir, name
from tests.sandbox.samples import least


@pytest.fixture(autouse=True)
def emptied(origin: str, session: requests.Session) -> Iterator[None]:
    assert session.delete(f"{origin}/_sandbox").status_code == 204
    yield


def kept(origin: str, plain: Client) -> str:
    return plain.get(f"{origin}/_sandbox/plain/versions").text


def put_back(origin: str, plain: Client, what: str) -> requests.Response:
    return plain.session.put(f"{origin}/_sandbox/plain/versions", data=what.encode(), timeout=10)


def test_everything_is_as_it_was_with_its_ids_versions_and_times(origin: str, plain: Client, patient: Fhir) -> None:
    changed, gone = (plain.create(least("Observation", name(patient))) for _ in range(2))
    plain.update(changed)
    plain.delete(name(gone))
    what, counts = kept(origin, plain), plain.get(f"{origin}/_sandbox/counts").json()
    before = plain.get(f"{name(changed)}/_history").json()["entry"]
    plain.update(plain.get(name(changed)).json())
    plain.create(least("Observation", name(patient)))
    assert put_back(origin, plain, what).status_code == 200
    assert kept(origin, plain) == what
    assert plain.get(f"{origin}/_sandbox/counts").json() == counts
    assert plain.get(f"{name(changed)}/_history").json()["entry"] == before
    assert plain.get(name(gone)).status_code == 410
    assert plain.found("Observation", identifier=changed["identifier"][0]["value"]) == {changed["id"]}
    assert plain.create(least("Observation", name(patient)))["meta"]["versionId"] == "1"


def test_it_is_there_after_a_restart(tmp_path: Path, session: requests.Session) -> None:
    with started(("plain", "epic"), tmp_path) as origin:
        session.post(f"{origin}/_sandbox/plain/seed", json={"resourceType": "Patient", "id": "ada"})
        session.post(f"{origin}/_sandbox/epic/seed", json={"resourceType": "Patient", "id": "eve"})
        what = session.get(f"{origin}/_sandbox/plain/versions").content
        session.post(f"{origin}/_sandbox/plain/seed", json={"resourceType": "Patient", "id": "bob"})
        assert session.put(f"{origin}/_sandbox/plain/versions", data=what).status_code == 200
    with started(("plain", "epic"), tmp_path) as origin:
        assert session.get(f"{origin}/_sandbox/plain/versions").content == what
        assert session.get(f"{origin}/_sandbox/counts").json()["epic"] == {"Patient": {"current": 1, "versions": 1}}


def test_all_that_is_wrong_is_said_and_nothing_is_done(origin: str, plain: Client, patient: Fhir) -> None:
    what = kept(origin, plain)
    good = {"type": "Patient", "id": "ada", "number": 1, "sequence": 5, "updated": "2026-01-05T09:30:00Z", "resource": {"resourceType": "Patient", "id": "ada"}}
    said = [good, good, {**good, "id": "b/c", "updated": "then"}, {**good, "id": "eve"}, {**good, "type": "Unicorn"}, 9]
    answer = put_back(origin, plain, json.dumps(said))
    assert answer.status_code == 422
    assert [error["pointer"] for error in answer.json()["errors"]] == ["/2/id", "/2/updated", "/3/resource", "/4/type", "/5"]
    [error] = put_back(origin, plain, json.dumps(said[:2])).json()["errors"]
    assert error["pointer"] == "/1/sequence"
    assert put_back(origin, plain, "{}").status_code == 422
    assert kept(origin, plain) == what
