"""An EHR behind the NHS API platform: ETags mirrored to the letter, requests known again by their id, and headers of its own (N1 to N6)."""

from dataclasses import replace
from datetime import timedelta
from email.utils import format_datetime
from typing import Any
from uuid import UUID

import pytest

from service.config import Settings
from tests.conftest import Clock, Http
from tests.service.records import dosing, patient, put
from tests.sync.conftest import Connect, Sandbox, deliveries, states
from tests.sync.personas.conftest import Work, calls, readings
from tests.sync.test_pulling import pull_of

Json = dict[str, Any]
HEADERS = [("X-Request-ID", "{request_id}"), ("X-Correlation-ID", "{correlation_id}")]


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """One call to an EHR may take two seconds."""
    return replace(settings, send_seconds=2.0)


@pytest.fixture
def nhs(visit: Http, connect: Connect, sandbox: Sandbox, work: Work) -> Http:
    """The visit, at an EHR behind the platform."""
    connect("nhs", sandbox.url("nhs"), headers=HEADERS)
    work()
    assert set(states(visit)) <= {"delivered", "superseded"}, deliveries(visit)
    return visit


def chart(clinic: Http, hr: int) -> None:
    put(clinic, "dosing-encounters", dosing(observations=readings(2, hr)))


def reading(sandbox: Sandbox, value: int) -> Json:
    return next(one for one in sandbox.all("nhs", "Observation") if one.get("valueQuantity", {}).get("value") == value)


def test_an_update_mirrors_the_etag_exactly_as_it_came(nhs: Http, sandbox: Sandbox, work: Work) -> None:
    """N1: an update needs If-Match with the ETag as it was given."""
    put(nhs, "patients", patient(gender="other"))
    put(nhs, "patients", patient(gender="male"))
    work()
    changed = [call for call in calls(nhs, type="Patient") if call["method"] == "PUT"]
    assert [(call["requestHeaders"]["If-Match"], call["status"]) for call in changed] == [('W/"1"', 200)]
    assert [one["gender"] for one in sandbox.all("nhs", "Patient")] == ["male"]


def test_a_stale_etag_is_a_412_and_both_changes_stand(nhs: Http, sandbox: Sandbox, work: Work) -> None:
    """N1: what somebody there changed meanwhile is read and kept; the next If-Match is that of what was read."""
    theirs = reading(sandbox, 60)
    sandbox.change("nhs", f"Observation/{theirs['id']}", note=[{"text": "Seen on the ward"}])
    chart(nhs, 90)
    work()
    assert [one["status"] for one in sandbox.log("nhs")].count(412) == 1
    assert reading(sandbox, 90)["note"] == [{"text": "Seen on the ward"}] and states(nhs)["parked"] == 0


def test_nothing_is_patched(nhs: Http, sandbox: Sandbox, work: Work, service: Any) -> None:
    """N2: its PATCH has rules of its own, and none of them is ours to keep: an update is of the whole, with what the EHR has in it."""
    [theirs] = sandbox.all("nhs", "Patient")
    sandbox.change("nhs", f"Patient/{theirs['id']}", contact=[{"id": "c1", "name": {"text": "Somebody"}}])
    put(nhs, "patients", patient(gender="other"))
    work()
    pull_of(service, "nhs", "Patient")
    [there] = sandbox.all("nhs", "Patient")
    assert (there["gender"], there["contact"]) == ("other", [{"id": "c1", "name": {"text": "Somebody"}}])
    assert {one["method"] for one in sandbox.log("nhs")} == {"GET", "POST", "PUT"}


def test_every_call_has_a_request_id_and_a_correlation_id_of_its_own(nhs: Http) -> None:
    """N3: X-Request-ID is a UUID, another for every request; X-Correlation-ID comes back."""
    asked = [call["requestHeaders"] for call in calls(nhs)]
    ids = [UUID(one["X-Request-ID"]) for one in asked]
    assert len(ids) == len(set(ids)) > 20 and len({one["X-Correlation-ID"] for one in asked}) == len(asked)
    assert all(call["responseHeaders"]["X-Correlation-ID"] == call["requestHeaders"]["X-Correlation-ID"] for call in calls(nhs))


@pytest.mark.parametrize("fault", [
    {"kind": "status", "status": 503, "after": True}, {"kind": "status", "status": 500, "after": True}, {"kind": "status", "status": 504, "after": True},
    {"kind": "hang", "seconds": 600, "when": "after"}, {"kind": "status", "status": 503},
], ids=["503-after", "500-after", "504-after", "timeout", "503"])  # fmt: skip
def test_a_delivery_keeps_its_request_id_through_its_attempts(
    nhs: Http, sandbox: Sandbox, work: Work, clock: Clock, fault: Json
) -> None:
    """N3: what comes again with the same id after 503 or a timeout is not done again: no second version, no conflict with ourselves."""
    sandbox.fault("nhs", **fault, method="PUT", type="Observation", times=1)
    chart(nhs, 90)
    for _ in range(4):
        work()
        clock.forward(seconds=130)
    assert {one["meta"]["versionId"] for one in sandbox.all("nhs", "Observation") if "valueQuantity" in one} == {"2"}
    assert reading(sandbox, 90) and states(nhs)["waiting"] == states(nhs)["parked"] == 0
    logs = [nhs.get(f"/api/v1/deliveries/{one['id']}").json.get("log", []) for one in deliveries(nhs, type="Observation")]
    ids = [[call["requestHeaders"]["X-Request-ID"] for attempt in log for call in attempt["calls"] if call["method"] == "PUT"] for log in logs]
    assert all(len(set(one)) <= 1 for one in ids)
    assert any(len(one) == 2 for one in ids) == (fault.get("status") in (500, 503)), "what nobody knows of is looked at, and there"


def test_a_creation_that_was_answered_by_503_makes_no_second_one(visit: Http, connect: Connect, sandbox: Sandbox, work: Work, clock: Clock) -> None:
    """N3: the same for what is new."""
    connect("nhs", sandbox.url("nhs"), headers=[*HEADERS, ("X-Sync-Wait", "10")])
    sandbox.fault("nhs", "status", status=503, after=True, method="POST", times=3)
    for _ in range(6):
        work()
        clock.forward(seconds=130)
    assert sandbox.counts("nhs")["Observation"] == 4 and sandbox.counts("nhs")["Patient"] == 1
    assert states(visit)["waiting"] == states(visit)["parked"] == 0


def test_an_application_that_may_not_update_is_told_so_and_nothing_is_tried_twice(nhs: Http, sandbox: Sandbox, work: Work, clock: Clock) -> None:
    """N4: without a user an application may not update: 403, parked with the words, and sent by a replay when it may."""
    sandbox.settings("nhs", readOnly=True)
    put(nhs, "patients", patient(gender="other"))
    for _ in range(3):
        work()
        clock.forward(seconds=301)
    parked = next(one for one in deliveries(nhs, state="parked") if one["resource"]["type"] == "Patient")
    assert (parked["attempts"], parked["reason"]) == (1, "this application may read and not write")
    sandbox.settings("nhs", readOnly=False)
    nhs.post(f"/api/v1/deliveries/{parked['id']}/replay")
    work()
    assert [one["gender"] for one in sandbox.all("nhs", "Patient")] == ["other"]


@pytest.mark.parametrize("said", ["seconds", "date"])
def test_the_platforms_throttling_is_obeyed(nhs: Http, sandbox: Sandbox, work: Work, clock: Clock, said: str) -> None:
    """N5: 429 with Retry-After in seconds or as a date: the whole EHR is left alone, and no attempt is counted."""
    asks = "40" if said == "seconds" else format_datetime(clock() + timedelta(seconds=40), usegmt=True)
    sandbox.fault("nhs", "status", status=429, retryAfter=asks, times=1)
    put(nhs, "patients", patient(gender="other"))
    work()
    many = len(sandbox.log("nhs"))
    clock.forward(seconds=39)
    assert work() == 0 and len(sandbox.log("nhs")) == many
    clock.forward(seconds=1.1)
    work()
    assert [one["gender"] for one in sandbox.all("nhs", "Patient")] == ["other"] and states(nhs)["waiting"] == 0
    assert {one["attempts"] for one in deliveries(nhs, state="delivered")} == {1}


def test_headers_that_the_platform_wants_are_those_of_its_registration(visit: Http, connect: Connect, sandbox: Sandbox, work: Work) -> None:
    """N6: NHSD-Session-URID and NHSD-End-User-Organisation-ODS, by templates of the EHR's own."""
    sandbox.settings("nhs", requiredHeaders=["NHSD-Session-URID", "NHSD-End-User-Organisation-ODS"])
    connect("bare", sandbox.url("nhs"), headers=HEADERS)
    work()
    assert "the header NHSD-Session-URID is needed" in str(deliveries(visit, ehr="bare", state="parked")[0]["reason"])
    own = [("NHSD-Session-URID", "555254240100"), ("NHSD-End-User-Organisation-ODS", "{organisation}")]
    connect("nhs", sandbox.also("nhs"), organisation="A83001", headers=[*HEADERS, *own])
    work()
    assert set(states(visit, ehr="nhs")) <= {"delivered", "superseded"}
