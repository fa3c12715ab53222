"""Conflicts over our API: found by what they are about, shown with both sides to who sees all of the patient, and settled by them."""

from collections.abc import Callable
from typing import Any

import pytest

from service.security.scopes import OPERATE
from service.wiring import Service
from tests.conftest import Http
from tests.service.records import consent, dosing, people, provision, put
from tests.service.tables import dicts
from tests.sync.conftest import Connect, Sandbox, deliveries
from tests.sync.test_pulling import pull_of

Work = Callable[[], int]
Json = dict[str, Any]


@pytest.fixture
def contested(clinic: Http, connect: Connect, sandbox: Sandbox, work: Work) -> Http:
    """Of a visit and of a clinic, each side changed what the other did: three conflicts, the newest about the visit."""
    connect("one", sandbox.url("plain"))
    people(clinic)
    put(clinic, "dosing-encounters", dosing())
    work()
    [encounter], [place] = sandbox.all("plain", "Encounter"), [one for one in sandbox.all("plain", "Organization") if one["name"] == "Riverside Clinic"]
    for theirs, ours in (("01632 960001", "01632 960002"), ("01632 960003", "01632 960004")):
        sandbox.change("plain", f"Organization/{place['id']}", telecom=[{"system": "phone", "value": theirs}])
        put(clinic, "clinics", {**clinic.get("/api/v1/clinics/riverside").json["entity"], "telecom": [{"system": "phone", "value": ours}]})
        work()
    sandbox.change("plain", f"Encounter/{encounter['id']}", period={**encounter["period"], "end": "2026-03-02T14:00:00+00:00"})
    put(clinic, "dosing-encounters", dosing(end="2026-03-02T13:30:00+00:00"))
    work()
    return clinic


def listed(http: Http, query: str = "") -> list[Json]:
    reply = http.get(f"/api/v1/conflicts{query}")
    assert reply.status == 200, reply
    found: list[Json] = reply.json["items"]
    return found


def about_the_visit(http: Http) -> int:
    return int(listed(http, "?type=Encounter&state=open")[0]["id"])


def settled(http: Http, number: int | str, keep: str) -> Any:
    return http.post(f"/api/v1/conflicts/{number}/settle", {"keep": keep})


def test_conflicts_are_found_by_what_they_are_about_the_newest_first(contested: Http) -> None:
    assert [(one["resource"]["type"], one["state"]) for one in listed(contested)] == [
        ("Encounter", "open"), ("Organization", "open"), ("Organization", "replaced"),
    ]  # fmt: skip
    assert [one["elements"] for one in listed(contested, "?type=Organization&state=open,replaced")] == [[{"element": "Organization.telecom"}]] * 2
    assert [one["entity"] for one in listed(contested, "?patient=ann&ehr=one")] == [{"kind": "dosing-encounter", "id": "dose"}]
    assert listed(contested, "?ehr=nowhere") == listed(contested, "?state=theirs") == []
    assert contested.get("/api/v1/conflicts?patient=nobody").status == 404


def test_a_page_of_conflicts_leads_to_the_next(contested: Http) -> None:
    first = contested.get("/api/v1/conflicts?state=open&limit=1")
    path = first.headers["Link"].partition(">")[0].removeprefix("<http://127.0.0.1:8000")
    assert [one["id"] for one in [*first.json["items"], *contested.get(path).json["items"]]] == [one["id"] for one in listed(contested, "?state=open")]


def test_everything_that_is_wrong_with_a_query_is_said_at_once(contested: Http) -> None:
    said = contested.get("/api/v1/conflicts?state=lost,open&limit=0&before=x&shoe=39")
    assert said.status == 400 and {name for name, _ in said.problems} == {"state", "limit", "before", "shoe"}


def test_both_sides_of_a_conflict_are_shown_with_what_they_last_agreed_on(contested: Http) -> None:
    [parked] = deliveries(contested, type="Encounter", state="parked")
    said = contested.get(f"/api/v1/conflicts/{about_the_visit(contested)}").json
    assert said["delivery"] == parked["id"]
    [element] = said["elements"]
    assert element.pop("element") == "Encounter.period"
    assert {side: one["end"] for side, one in element.items()} == {
        "base": "2026-03-02T13:10:00+00:00", "ours": "2026-03-02T13:30:00+00:00", "theirs": "2026-03-02T14:00:00+00:00",
    }  # fmt: skip


def test_what_either_side_says_is_for_who_sees_all_of_the_patient_and_so_is_settling(contested: Http, reader: Any) -> None:
    number = about_the_visit(contested)
    below, denied = reader(2, OPERATE, role="operator"), reader(3, OPERATE, role="pharmacy")
    assert "base" in denied.get(f"/api/v1/conflicts/{number}").json["elements"][0]
    put(contested, "consents", consent(provisions=[provision("deny", "C1", role="pharmacy")]))
    for who in (below, denied):
        said = who.get(f"/api/v1/conflicts/{number}")
        assert said.json["elements"] == [{"element": "Encounter.period"}] and b"2026-03-02" not in said.body
        assert settled(who, number, "ours").status == settled(who, number, "theirs").status == 403
        assert who.get("/api/v1/conflicts?patient=ann").status == 404
    assert listed(below, "?state=open")[0]["id"] == number
    assert reader(3, "system/*.cruds").get(f"/api/v1/conflicts/{number}").status == 403


def test_theirs_is_taken_into_the_record_when_it_is_kept(contested: Http, service: Service, work: Work) -> None:
    number = about_the_visit(contested)
    said = settled(contested, number, "theirs")
    assert said.status == 200 and (said.json["state"], said.json["notTaken"]) == ("theirs", [])
    assert contested.get("/api/v1/dosing-encounters/dose").json["entity"]["end"] == "2026-03-02T14:00:00+00:00"
    work()
    assert not deliveries(contested, type="Encounter", state="parked")
    [row] = [one for one in dicts(service.database, "audit") if one["action"] == "settle conflict"]
    assert (row["target"], row["status"], row["detail"]) == (f"/api/v1/conflicts/{number}/settle", 200, "theirs is kept") and row["patient"] is not None
    again = settled(contested, number, "ours")
    assert again.status == 409 and "already" in again.json["detail"]


def test_ours_is_sent_when_it_is_kept(contested: Http, sandbox: Sandbox, work: Work) -> None:
    assert settled(contested, about_the_visit(contested), "ours").json["state"] == "ours"
    work()
    [there] = sandbox.all("plain", "Encounter")
    assert there["period"]["end"] == "2026-03-02T13:30:00+00:00"


def test_what_is_no_choice_settles_nothing(contested: Http) -> None:
    number = about_the_visit(contested)
    said = contested.post(f"/api/v1/conflicts/{number}/settle", {"keep": "both", "sho/e": 39})
    assert said.status == 422 and said.problems == [("/keep", "should be ours or theirs"), ("/sho~1e", "is not taken here")]
    for body in ({}, [], "ours", None):
        assert contested.post(f"/api/v1/conflicts/{number}/settle", b"null" if body is None else body).status == 422, body
    assert contested.post(f"/api/v1/conflicts/{number}/settle", b"keep=ours", Content_Type="application/x-www-form-urlencoded").status == 415
    for nothing in ("999999", "0", "x", str(2**70)):
        assert settled(contested, nothing, "ours").status == contested.get(f"/api/v1/conflicts/{nothing}").status == 404, nothing
    assert contested.get(f"/api/v1/conflicts/{number}/settle").status == contested.delete(f"/api/v1/conflicts/{number}").status == 405
    assert listed(contested, "?type=Encounter")[0]["state"] == "open"


def test_what_the_ehr_added_elsewhere_stays_where_ours_is_kept(contested: Http, sandbox: Sandbox, work: Work) -> None:
    [there] = sandbox.all("plain", "Encounter")
    sandbox.change("plain", f"Encounter/{there['id']}", priority={"text": "of the EHR"}, period={**there["period"], "end": "2026-03-02T14:10:00+00:00"})
    put(contested, "dosing-encounters", dosing(end="2026-03-02T13:20:00+00:00"))
    work()
    assert settled(contested, about_the_visit(contested), "ours").json["state"] == "ours"
    work()
    [there] = sandbox.all("plain", "Encounter")
    assert (there["period"]["end"], there["priority"]) == ("2026-03-02T13:20:00+00:00", {"text": "of the EHR"})
    assert not listed(contested, "?state=open&type=Encounter") and not deliveries(contested, type="Encounter", state="parked")


def test_a_change_after_the_decision_is_another_conflict(contested: Http, sandbox: Sandbox, work: Work) -> None:
    settled(contested, about_the_visit(contested), "ours")
    [there] = sandbox.all("plain", "Encounter")
    sandbox.change("plain", f"Encounter/{there['id']}", period={**there["period"], "end": "2026-03-02T15:00:00+00:00"})
    work()
    [there] = sandbox.all("plain", "Encounter")
    assert there["period"]["end"] == "2026-03-02T15:00:00+00:00" and len(listed(contested, "?state=open&type=Encounter")) == 1


@pytest.mark.parametrize("again", [False, True])
def test_a_pull_before_it_is_settled_keeps_it_and_its_delivery(contested: Http, sandbox: Sandbox, service: Service, again: bool) -> None:
    if again:
        [there] = sandbox.all("plain", "Encounter")
        sandbox.change("plain", f"Encounter/{there['id']}", period={**there["period"], "end": "2026-03-02T14:30:00+00:00"})
    pull_of(service, "one", "Encounter")
    assert settled(contested, about_the_visit(contested), "theirs").json["state"] == "theirs"
    assert not deliveries(contested, type="Encounter", state="parked")


def test_what_cannot_be_taken_stays_settled_until_the_ehr_changes_it_again(contested: Http, sandbox: Sandbox, service: Service, work: Work) -> None:
    settled(contested, about_the_visit(contested), "ours")
    work()
    [there] = sandbox.all("plain", "Encounter")
    sandbox.change("plain", f"Encounter/{there['id']}", status="bogus")
    assert pull_of(service, "one", "Encounter").unfit == 1
    assert settled(contested, about_the_visit(contested), "theirs").json["notTaken"]
    assert pull_of(service, "one", "Encounter").unfit == 0 and not listed(contested, "?state=open&type=Encounter")
