"""What an operator sees and does over our API: attempts, many deliveries at once, how an EHR fares and stands."""

from collections.abc import Callable
from typing import Any

import pytest

from service.security.scopes import OPERATE
from service.store import reconciliation
from service.store.clock import micros
from service.store.reconciliation import Report
from service.wiring import Service
from tests.conftest import Clock, Http
from tests.service.records import consent, dosing, people, provision, put
from tests.sync.conftest import Connect, deliveries, states
from tests.sync.small import Small

Work = Callable[[], int]


@pytest.fixture
def refused(clinic: Http, ehr: Small, connect: Connect, work: Work) -> Http:
    """An EHR that refuses every Encounter."""
    connect("their", ehr.base, 1)
    ehr.answers = lambda method, path: (422, {"X-Request-ID": "theirs"}) if (method, path) == ("POST", "/Encounter") else None
    people(clinic)
    put(clinic, "dosing-encounters", dosing())
    work()
    return clinic


def parked(clinic: Http) -> int:
    [one] = deliveries(clinic, state="parked", type="Encounter")
    return int(one["id"])


def test_an_attempt_is_shown_call_by_call_with_what_was_sent_and_answered(refused: Http) -> None:
    number = parked(refused)
    said = refused.get(f"/api/v1/deliveries/{number}").json["log"][0]
    assert [call["status"] for call in said["calls"]] == [200, 422] and said["calls"][1]["responseHeaders"]["X-Request-ID"] == "theirs"
    assert not [call for call in said["calls"] if "requestBody" in call]
    attempt = refused.get(f"/api/v1/deliveries/{number}/attempts/1")
    assert attempt.status == 200 and '"resourceType":"Encounter"' in attempt.json["calls"][1]["requestBody"]
    for nothing in (f"{number}/attempts/2", f"{number}/attempts/0", f"{number}/attempts/x", "999999/attempts/1"):
        assert refused.get(f"/api/v1/deliveries/{nothing}").status == 404


def test_what_was_sent_is_shown_to_who_sees_all_of_the_patient_alone(refused: Http, reader: Any) -> None:
    number = parked(refused)
    below, denied = reader(2, OPERATE, role="operator"), reader(3, f"system/*.rs {OPERATE}", role="pharmacy")
    assert "requestBody" in denied.get(f"/api/v1/deliveries/{number}/attempts/1").json["calls"][1]
    put(refused, "consents", consent(provisions=[provision("deny", "C1", role="pharmacy")]))
    for who in (below, denied):
        said = who.get(f"/api/v1/deliveries/{number}/attempts/1").json
        assert said["calls"][1]["status"] == 422 and "requestBody" not in said["calls"][1] and said["words"] is None
    assert reader(3, "system/*.rs").get(f"/api/v1/deliveries/{number}/attempts/1").status == 403


def test_many_are_replayed_or_given_up_by_what_they_are(refused: Http, clock: Clock) -> None:
    for wrong in ("", "?limit=5", "?state=lost&ehr=their", "?olderThan=soon", "?ehr=their&before=9", "?ehr=their&shoe=1"):
        assert refused.post(f"/api/v1/deliveries/replay{wrong}").status == 400, wrong
    number = parked(refused)
    assert refused.post("/api/v1/deliveries/replay?ehr=their&olderThan=10m").json == {"numbers": [], "more": False}
    clock.forward(seconds=601)
    assert [one["id"] for one in deliveries(refused, state="parked", olderThan="10m")] == [number]
    assert refused.post("/api/v1/deliveries/replay?type=Encounter&olderThan=10m").json == {"numbers": [number], "more": False}
    [waiting] = deliveries(refused, state="waiting", type="Encounter")
    assert waiting["replays"] == number
    assert refused.post("/api/v1/deliveries/cancel?state=waiting&patient=ann&limit=1").json == {"numbers": [waiting["id"]], "more": True}
    assert refused.post("/api/v1/deliveries/cancel?patient=nobody").status == 404
    assert states(refused, type="Encounter")["cancelled"] == 1


def test_an_ehr_is_shown_with_what_it_took_of_late(refused: Http, clock: Clock) -> None:
    said = refused.get("/api/v1/ehrs/their").json
    assert said["lastMinute"]["failed"] == 1 and said["lastMinute"]["delivered"] > 3 and said["breaker"] == "closed"
    clock.forward(seconds=61)
    assert refused.get("/api/v1/ehrs").json["items"][0]["lastMinute"] == {"delivered": 0, "failed": 0}


def test_how_an_ehr_stood_when_it_was_last_reconciled_is_told_in_figures(refused: Http, service: Service, clock: Clock) -> None:
    assert refused.get("/api/v1/ehrs/their/reconciliation").status == 404
    report = Report("their", micros(clock()), 1.5, {"same": 7, "differs": 1}, ["Observation: more than 1000 pages were found"])
    for _ in range(2):
        service.database.write(lambda tx: reconciliation.keep(tx, report))
    said = refused.get("/api/v1/ehrs/their/reconciliation").json
    assert said["counts"] == {"same": 7, "differs": 1} and not said["complete"] and len(said["problems"]) == 1 and said["seconds"] == 1.5
