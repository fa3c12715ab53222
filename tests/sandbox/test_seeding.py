"""Records that are simply there: what an EHR held before anyone sent it anything."""

from typing import Any

import pytest
import requests

from sandbox.personas import PERSONAS
from tests.sandbox.client import Client, Fhir, name
from tests.sandbox.samples import least

PEOPLE: list[Fhir] = [
    {
        "resourceType": "Patient", "id": "ada", "identifier": [{"system": "https://fhir.nhs.uk/Id/nhs-number", "value": "9000000009"}],
        "name": [{"family": "Example", "given": ["Ada"]}], "birthDate": "1980-05-01",
    },
    {"resourceType": "Practitioner", "identifier": [{"system": "https://fhir.hl7.org.uk/Id/gmc-number", "value": "1234567"}], "name": [{"family": "Sample"}]},
    {"resourceType": "Organization", "identifier": [{"system": "https://fhir.nhs.uk/Id/ods-organization-code", "value": "Y12345"}], "name": "A clinic"},
]  # fmt: skip


@pytest.fixture(autouse=True)
def emptied(origin: str, session: requests.Session) -> None:
    assert session.delete(f"{origin}/_sandbox").status_code == 204


@pytest.mark.parametrize("persona", PERSONAS)
def test_people_and_places_are_found_by_their_identifiers_in_every_ehr(origin: str, session: requests.Session, persona: str) -> None:
    ehr = Client(session, origin + PERSONAS[persona].path)
    answer = ehr.post(f"{origin}/_sandbox/{persona}/seed", PEOPLE)
    assert (answer.status_code, answer.json()[0]) == (201, "Patient/ada")
    for body, there in zip(PEOPLE, answer.json(), strict=True):
        [identifier] = body["identifier"]
        asked = {"identifier": f"{identifier['system']}|{identifier['value']}"}
        assert {f"{body['resourceType']}/{found}" for found in ehr.found(body["resourceType"], **asked)} == {there}
    assert ehr.found("Patient", birthdate="1980-05-01", family="Example") == {"ada"}


def test_one_alone_and_a_bundle_are_taken_too(origin: str, epic: Client) -> None:
    bundle = {"resourceType": "Bundle", "type": "collection", "entry": [{"resource": one} for one in PEOPLE]}
    assert len(epic.post(f"{origin}/_sandbox/epic/seed", bundle).json()) == 3
    assert epic.post(f"{origin}/_sandbox/epic/seed", PEOPLE[0]).json() == ["Patient/ada"]
    assert epic.get("Patient/ada").json()["meta"]["versionId"] == "2"


def test_no_rule_holds_for_them(origin: str, epic: Client, oracle: Client) -> None:
    plan: Fhir = {"resourceType": "CarePlan", "id": "plan", "subject": {"reference": "Patient/not-here"}}
    assert epic.post(f"{origin}/_sandbox/epic/seed", plan).json() == ["CarePlan/plan"]
    assert epic.get("CarePlan/plan").json()["subject"] == plan["subject"]
    body = {**least("Observation", "Patient/1"), "component": [], "id": "bp"}
    assert oracle.post(f"{origin}/_sandbox/oracle/seed", body).status_code == 201


def test_what_cannot_be_is_named_by_its_pointer_and_none_is_written(origin: str, epic: Client) -> None:
    wrong: list[Any] = [
        PEOPLE[0],
        {"resourceType": "Invoice"},
        {"id": "a"},
        "Patient",
        {"resourceType": "Patient", "id": "a b"},
        {"resourceType": "Patient", "meta": 1},
    ]
    answer = epic.post(f"{origin}/_sandbox/epic/seed", wrong)
    assert answer.status_code == 422
    assert {error["pointer"] for error in answer.json()["errors"]} == {"/1/resourceType", "/2/resourceType", "/3", "/4/id", "/5/meta"}
    in_a_bundle = epic.post(f"{origin}/_sandbox/epic/seed", {"resourceType": "Bundle", "entry": [{"resource": {}}, {}]})
    assert {error["pointer"] for error in in_a_bundle.json()["errors"]} == {"/entry/0/resource/resourceType", "/entry/1/resource"}
    assert epic.get("Patient/ada").status_code == 404


def test_the_ehrs_own_users_change_them(origin: str, session: requests.Session, oracle: Client) -> None:
    oracle.post(f"{origin}/_sandbox/oracle/seed", PEOPLE)
    desk = Client(session, f"{origin}/_sandbox/records/oracle")
    assert desk.patch("Patient/ada", {"birthDate": "1981-05-01"}).status_code == 200
    now = oracle.get("Patient/ada").json()
    assert (now["birthDate"], now["meta"]["versionId"]) == ("1981-05-01", "2")
    assert desk.put("Patient/ada", {**now, "active": False}).status_code == 200
    assert desk.delete(name(now)).status_code == 204
    assert oracle.get("Patient/ada").status_code == 410
