"""What is kept of an attempt: what was asked and answered by its heads, and of a failed one the bodies, sealed."""

import json
from collections.abc import Callable
from typing import Any

from service.security.secrets import open_sealed
from service.store.database import Database
from service.wiring import Service
from tests.conftest import Http
from tests.service.records import dosing, people, put
from tests.service.tables import dicts
from tests.sync.conftest import Connect, deliveries
from tests.sync.small import Small

Work = Callable[[], int]


def attempts(database: Database, number: int) -> list[dict[str, Any]]:
    return [row for row in dicts(database, "attempt") if row["delivery"] == number]


def test_an_attempt_says_what_was_asked_and_answered(clinic: Http, ehr: Small, connect: Connect, work: Work, database: Database) -> None:
    connect("their", ehr.base, 1)
    people(clinic)
    work()
    [one] = deliveries(clinic, type="Patient", state="delivered")
    [kept] = attempts(database, one["id"])
    looked, created = json.loads(kept["heads"])
    assert (looked["method"], looked["path"], looked["status"]) == ("GET", "/Patient?identifier=", 200)
    assert (created["method"], created["path"], created["status"]) == ("POST", "/Patient", 201)
    assert created["response"]["Location"].endswith(f"/Patient/{one['remoteId']}") and created["request"]["Content-Type"] == "application/fhir+json"
    assert kept["bodies"] is None


def test_bodies_are_kept_of_a_failed_attempt_and_sealed(clinic: Http, ehr: Small, connect: Connect, work: Work, database: Database, service: Service) -> None:
    connect("their", ehr.base, 1)
    people(clinic)
    put(clinic, "dosing-encounters", dosing())
    ehr.answers = lambda method, path: (422, {"X-Request-ID": "r-9", "Set-Cookie": "secret"}) if (method, path) == ("POST", "/Encounter") else None
    work()
    [one] = deliveries(clinic, type="Encounter", state="parked")
    [kept] = attempts(database, one["id"])
    assert json.loads(kept["heads"])[-1]["response"] == {"Content-Length": "0", "X-Request-ID": "r-9"} and "secret" not in kept["heads"]
    assert "Encounter" not in kept["bodies"]
    said = json.loads(open_sealed(service.tenant, kept["bodies"], f"attempt of {one['id']}"))
    assert json.loads(said[-1]["request"])["resourceType"] == "Encounter" and said[-1]["response"] == "" and len(said) == len(json.loads(kept["heads"]))


def test_every_call_of_an_attempt_is_kept_in_order(clinic: Http, ehr: Small, connect: Connect, work: Work, database: Database) -> None:
    connect("their", ehr.base, 1)
    people(clinic)
    ehr.answers = lambda method, path: (500, {}) if method == "POST" and path == "/Patient" else None
    work()
    [one] = deliveries(clinic, type="Patient")
    assert [head["status"] for head in json.loads(attempts(database, one["id"])[0]["heads"])] == [200, 500]
