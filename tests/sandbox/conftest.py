from collections.abc import Callable, Iterator
from typing import Any

import pytest
import requests

from sandbox.personas import PERSONAS
from sandbox.process import started
from tests.sandbox.client import Client, Fhir, name


@pytest.fixture(scope="session")
def origin() -> Iterator[str]:
    with started(tuple(PERSONAS)) as where:
        yield where


@pytest.fixture
def session() -> Iterator[requests.Session]:
    with requests.Session() as opened:
        yield opened


@pytest.fixture
def plain(origin: str, session: requests.Session) -> Client:
    return Client(session, f"{origin}/fhir/r4")


@pytest.fixture
def epic(origin: str, session: requests.Session) -> Client:
    return Client(session, f"{origin}/epic/fhir/r4")


@pytest.fixture
def oracle(origin: str, session: requests.Session) -> Client:
    return Client(session, f"{origin}/oracle/fhir/r4/tenant-a")


@pytest.fixture
def nhs(origin: str, session: requests.Session) -> Client:
    return Client(session, f"{origin}/nhs/fhir/r4")


@pytest.fixture
def in_epic(origin: str, session: requests.Session) -> Client:
    """The EHR's own users, who write what its interface takes from nobody."""
    return Client(session, f"{origin}/_sandbox/records/epic")


@pytest.fixture
def patient(plain: Client) -> Fhir:
    return plain.create({"resourceType": "Patient"})


@pytest.fixture
def about(patient: Fhir) -> str:
    return name(patient)


@pytest.fixture
def epic_patient(epic: Client) -> str:
    return name(epic.create({"resourceType": "Patient"}))


@pytest.fixture
def oracle_patient(oracle: Client) -> str:
    return name(oracle.create({"resourceType": "Patient"}))


@pytest.fixture
def nhs_patient(nhs: Client) -> Fhir:
    return nhs.create({"resourceType": "Patient", "name": [{"id": "n1", "family": "Example"}]})


@pytest.fixture
def fault(origin: str, session: requests.Session) -> Iterator[Callable[..., str]]:
    """Sets a fault and says its id: `fault("status", status=429)`. All are gone when the test ends."""

    def set_one(name: str, **options: Any) -> str:
        answer = session.post(f"{origin}/_sandbox/faults", json={"fault": name, **options})
        assert answer.status_code == 201, answer.text
        return answer.json()["id"]

    yield set_one
    assert session.delete(f"{origin}/_sandbox/faults").status_code == 204
