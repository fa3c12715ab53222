"""What we do with an EHR, said over our API: which of its changes come in, catching up with it, and who of its own is ours."""

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

from mappings.codes import NHS_NUMBER
from service.security.scopes import OPERATE
from service.wiring import Service
from tests.conftest import Clock, Http
from tests.service.records import consent, dosing, patient, people, provision, put
from tests.service.tables import dicts
from tests.sync.conftest import Connect, Sandbox, deliveries

Work = Callable[[], int]
Json = dict[str, Any]
PULLS = "/api/v1/ehrs/one/pulls"


@pytest.fixture
def held(clinic: Http, connect: Connect, sandbox: Sandbox, work: Work) -> Http:
    """An EHR holds a patient's visit."""
    connect("one", sandbox.url("plain"))
    people(clinic)
    put(clinic, "dosing-encounters", dosing())
    work()
    return clinic


def end_there(sandbox: Sandbox, end: str) -> None:
    [encounter] = sandbox.all("plain", "Encounter")
    sandbox.change("plain", f"Encounter/{encounter['id']}", period={**encounter["period"], "end": end})


def end_here(clinic: Http) -> Any:
    return clinic.get("/api/v1/dosing-encounters/dose").json["entity"]["end"]


def audited(service: Service, action: str) -> list[Json]:
    return [one for one in dicts(service.database, "audit") if one["action"] == action]


def test_changes_come_in_of_the_types_that_are_set_and_of_no_others(held: Http, sandbox: Sandbox, work: Work, service: Service) -> None:
    assert held.get(PULLS).json == {"items": []}
    said = held.put(PULLS, {"types": ["Encounter", "Goal"], "every": 300})
    assert said.status == 200 and [(one["type"], one["every"], one["state"]) for one in said.json["items"]] == [("Encounter", 300, "new"), ("Goal", 300, "new")]
    end_there(sandbox, "2026-03-02T14:00:00+00:00")
    work()
    assert end_here(held) == "2026-03-02T14:00:00+00:00"
    assert [(one["state"], "held" in one) for one in held.get(PULLS).json["items"]] == [("current", False)] * 2
    assert [one["type"] for one in held.put(PULLS, {"types": ["Encounter"]}).json["items"]] == ["Encounter"]
    assert held.put(PULLS, {"types": []}).json == held.get(PULLS).json == {"items": []}
    assert [one["detail"] for one in audited(service, "set pulls")] == ["Encounter,Goal every 300 s", "Encounter every 60 s", " every 60 s"]


def test_how_far_a_pull_has_come_outlives_its_being_set_again(held: Http, work: Work) -> None:
    held.put(PULLS, {"types": ["Encounter"]})
    work()
    [before] = held.get(PULLS).json["items"]
    assert [{**one, "nextAt": before["nextAt"]} for one in held.put(PULLS, {"types": ["Encounter"]}).json["items"]] == [before]


def test_a_pull_that_did_not_see_everything_says_why_it_is_held(held: Http, sandbox: Sandbox, work: Work) -> None:
    held.put(PULLS, {"types": ["Encounter"]})
    sandbox.fault("plain", "status", status=500, type="Encounter", method="GET")
    work()
    [one] = held.get(PULLS).json["items"]
    assert one["state"] == "held" and "500" in one["held"]


def test_a_pull_that_is_wanted_now_is_made_by_the_worker_next(held: Http, sandbox: Sandbox, work: Work, clock: Clock, service: Service) -> None:
    held.put(PULLS, {"types": ["Encounter", "Goal"], "every": 86_400})
    work()
    end_there(sandbox, "2026-03-02T14:30:00+00:00")
    clock.forward(seconds=60)
    asked = len(sandbox.asked("plain"))
    due = {one["type"]: one["nextAt"] for one in held.post(f"{PULLS}/now?type=Encounter").json["items"]}
    assert due["Encounter"] < due["Goal"] and len(sandbox.asked("plain")) == asked, "nothing is pulled within a request"
    work()
    assert end_here(held) == "2026-03-02T14:30:00+00:00"
    assert len(audited(service, "pull now")) == 1
    for wrong in ("?type=Dream", "?type=", "?shoe=39"):
        assert held.post(f"{PULLS}/now{wrong}").status == 400, wrong
    assert held.post(f"{PULLS}/now?type=Task").status == 409
    assert held.post(f"{PULLS}/now").status == 200


def test_everything_that_is_wrong_with_what_is_to_be_pulled_is_said_at_once(held: Http) -> None:
    said = held.put(PULLS, {"types": ["Goal", "Dream"], "every": 4, "shoe": 39})
    assert said.status == 422 and [pointer for pointer, _ in said.problems] == ["/types/1", "/every", "/shoe"]
    for body, pointer in (({}, "/types"), ({"types": "Goal"}, "/types"), ({"types": [7]}, "/types"), ({"types": [], "every": True}, "/every"),
                          ({"types": [], "every": None}, "/every"), ([], "")):  # fmt: skip
        assert [found for found, _ in held.put(PULLS, body).problems] == [pointer], body
    assert held.get(PULLS).json == {"items": []}


def test_an_ehr_that_lost_everything_is_caught_up_with_by_the_worker(clinic: Http, connect: Connect, sandbox: Sandbox, work: Work, service: Service) -> None:
    people(clinic)
    connect("one", sandbox.url("plain"))
    work()
    sandbox.reset()
    service.database.write(lambda tx: tx.exec_driver_sql("DELETE FROM copy"))
    said = clinic.post("/api/v1/ehrs/one/catch-up")
    assert said.status == 200 and said.json["catchingUp"]["lookedAt"] == 0 and sandbox.counts("plain") == {}
    work()
    assert sandbox.counts("plain")["Patient"] == 1 and "catchingUp" not in clinic.get("/api/v1/ehrs/one").json
    assert len(audited(service, "catch up ehr")) == 1


@pytest.fixture
def parked(clinic: Http, connect: Connect, sandbox: Sandbox, work: Work) -> str:
    """A patient whom the EHR has under another birth date, so that nobody was linked: the EHR's id."""
    connect("one", sandbox.url("plain"), create_people=False)
    theirs = sandbox.add("plain", {
        "resourceType": "Patient", "birthDate": "1901-02-03", "name": [{"family": "Example"}], "identifier": [{"system": NHS_NUMBER, "value": "9434765919"}],
    })  # fmt: skip
    people(clinic)
    put(clinic, "patients", patient(nhsNumber="9434765919"))
    put(clinic, "dosing-encounters", dosing())
    work()
    assert [one["state"] for one in deliveries(clinic, type="Patient", state="parked")] == ["parked"]
    return theirs


def test_a_patient_is_linked_to_whom_the_ehr_has(clinic: Http, parked: str, sandbox: Sandbox, work: Work, service: Service) -> None:
    said = clinic.put("/api/v1/ehrs/one/links/Patient/ann", {"remoteId": parked})
    assert (said.status, said.json) == (200, {"ehr": "one", "type": "Patient", "id": "ann", "remoteId": parked})
    work()
    assert [one["remoteId"] for one in deliveries(clinic, type="Patient", state="delivered")] == [parked]
    assert [one["subject"]["reference"] for one in sandbox.all("plain", "Encounter")] == [f"Patient/{parked}"]
    [row] = audited(service, "link")
    assert row["detail"] == f"Patient/ann is {parked}" and row["patient"] is not None


def test_what_was_refused_under_a_wrong_link_is_owed_again_once_it_is_mended(clinic: Http, parked: str, sandbox: Sandbox, work: Work) -> None:
    link = "/api/v1/ehrs/one/links/Patient/ann"
    sandbox.fault("plain", "status", status=422, method="POST", type="Encounter")
    clinic.put(link, {"remoteId": "not-there"})
    work()
    assert deliveries(clinic, type="Encounter", state="parked")
    sandbox.mend()
    assert clinic.put(link, {"remoteId": "not-there"}).status == 200
    work()
    assert deliveries(clinic, type="Encounter", state="parked"), "the same again mends nothing"
    clinic.put(link, {"remoteId": parked})
    work()
    assert deliveries(clinic, type="Encounter", state="parked") == []
    assert [one["subject"]["reference"] for one in sandbox.all("plain", "Encounter")] == [f"Patient/{parked}"]


def test_nobody_is_linked_by_who_may_not_see_all_of_the_patient(clinic: Http, parked: str, reader: Any) -> None:
    below, denied = reader(2, OPERATE, role="operator"), reader(3, OPERATE, role="pharmacy")
    put(clinic, "consents", consent(provisions=[provision("deny", "C1", role="pharmacy")]))
    for who in (below, denied):
        for one in ("ann", "nobody"):
            said = who.put(f"/api/v1/ehrs/one/links/Patient/{one}", {"remoteId": parked})
            assert (said.status, said.json["detail"]) == (404, f"There is no patient {one}")
    assert reader(3, "system/*.cruds").put("/api/v1/ehrs/one/links/Patient/ann", {"remoteId": parked}).status == 403


def test_another_patients_record_is_linked_only_as_the_same_person(clinic: Http, parked: str, work: Work) -> None:
    put(clinic, "patients", patient("bob"))
    link = "/api/v1/ehrs/one/links/Patient"
    assert clinic.put(f"{link}/ann", {"remoteId": parked, "samePerson": False}).status == 200
    refused = clinic.put(f"{link}/bob", {"remoteId": parked})
    assert (refused.status, [path for path, _ in refused.problems]) == (422, ["/remoteId"])
    assert clinic.put(f"{link}/bob", {"remoteId": parked, "samePerson": "yes"}).problems == [("/samePerson", "should be true or false")]
    assert clinic.put(f"{link}/bob", {"remoteId": parked, "samePerson": True}).status == 200


def test_what_cannot_be_a_link_is_refused(clinic: Http, parked: str) -> None:
    link = "/api/v1/ehrs/one/links"
    assert clinic.put(f"{link}/Patient/ann", {"remoteId": "Patient/7", "shoe": 39}).problems == [
        ("/remoteId", "should be the id of a resource: 1 to 128 letters, digits and - . _ ~, and not full stops alone"), ("/shoe", "is not taken here"),
    ]  # fmt: skip
    for remote_id in (None, 7, "", "x" * 129, "a b", "..", "a/b", "é", "a\n"):
        assert clinic.put(f"{link}/Patient/ann", {"remoteId": remote_id}).status == 422, remote_id
    for nothing in ("one/links/Observation/ann", "one/links/Patient/nobody", "one/links/Practitioner/nobody", "nowhere/links/Patient/ann"):
        assert clinic.put(f"/api/v1/ehrs/{nothing}", {"remoteId": parked}).status == 404, nothing
    assert clinic.get(f"{link}/Patient/ann").status == 405


def test_an_ehr_that_is_not_there_is_told_nothing_nor_by_who_is_no_operator(held: Http, reader: Any) -> None:
    for method, path, body in (("GET", "pulls", None), ("PUT", "pulls", {"types": []}), ("POST", "pulls/now", None), ("POST", "catch-up", None)):
        assert held(method, f"/api/v1/ehrs/nowhere/{path}", body).status == 404, path
        assert reader(3, "system/*.cruds")(method, f"/api/v1/ehrs/one/{path}", body).status == 403, path
        assert reader(0, OPERATE)(method, f"/api/v1/ehrs/one/{path}", body).status in (200, 409), path


def test_why_theirs_cannot_be_taken_is_for_who_sees_all_of_the_patient(held: Http, sandbox: Sandbox, work: Work, reader: Any) -> None:
    other = sandbox.add("plain", {"resourceType": "Patient", "name": [{"family": "Other"}]})
    [encounter] = sandbox.all("plain", "Encounter")
    sandbox.change("plain", f"Encounter/{encounter['id']}", subject={"reference": f"Patient/{other}"})
    held.put(PULLS, {"types": ["Encounter"]})
    work()
    [found] = held.get("/api/v1/conflicts").json["items"]
    path = f"/api/v1/conflicts/{found['id']}"
    assert "problems" not in found and held.get(path).json["problems"]
    assert reader(2, OPERATE).get(path).json == found
    said = held.post(f"{path}/settle", {"keep": "theirs"})
    assert said.status == 200 and said.json["notTaken"] and said.json["state"] == "theirs"


def test_what_an_ehr_is_sent_is_changed_by_what_is_given(held: Http, sandbox: Sandbox, work: Work, service: Service) -> None:
    said = held("PATCH", "/api/v1/ehrs/one", {"level": "C1", "types": ["Encounter"], "documents": True, "maxInFlight": 9, "rate": Decimal("0.1"), "role": None})
    assert said.status == 200 and {name: said.json[name] for name in ("level", "types", "documents", "maxInFlight", "rate", "role", "createPeople")} == {
        "level": "C1", "types": ["Encounter"], "documents": True, "maxInFlight": 9, "rate": Decimal("0.1"), "role": None, "createPeople": True,
    }  # fmt: skip
    assert held("PATCH", "/api/v1/ehrs/one", {"types": None, "documents": False}).json["types"] is None
    assert [one["detail"] for one in audited(service, "change ehr")] == ["documents, level, maxInFlight, rate, role, types", "documents, types"]


def test_a_change_comes_as_a_merge_patch_or_as_plain_json_and_as_no_other_patch(held: Http) -> None:
    for type_, level in (("application/merge-patch+json", "C1"), ("application/json; charset=utf-8", "C2"), ("Application/Merge-Patch+JSON; charset=utf-8", "C1")):
        assert held("PATCH", "/api/v1/ehrs/one", {"level": level}, Content_Type=type_).json["level"] == level
    refused = held("PATCH", "/api/v1/ehrs/one", [{"op": "replace", "path": "/level", "value": "C2"}], Content_Type="application/json-patch+json")
    assert refused.status == 415 and "application/merge-patch+json" in refused.json["detail"]
    assert held.get("/api/v1/ehrs/one").json["level"] == "C1"


def test_everything_that_cannot_be_changed_is_said_at_once_and_nothing_is(held: Http) -> None:
    before = held.get("/api/v1/ehrs/one").json
    wrong = {"level": "C3", "role": 7, "types": ["Dream"], "documents": None, "maxInFlight": 65, "rate": 0, "token": "secret", "baseUrl": "https://ehr.example.org"}
    assert [path for path, _ in held("PATCH", "/api/v1/ehrs/one", wrong).problems] == [
        "/level", "/role", "/documents", "/types/0", "/maxInFlight", "/rate", "/baseUrl", "/token",
    ]  # fmt: skip
    others = [{"maxInFlight": True}, {"maxInFlight": None}, {"rate": True}, {"rate": "fast"}, {"rate": 10**15}, {"level": None}, {"level": ["C1"]}]
    for body in ({}, [], {"types": []}, {"types": 7}, *others):
        assert held("PATCH", "/api/v1/ehrs/one", body).status == 422, body
    assert held.get("/api/v1/ehrs/one").json == before


def test_an_ehr_that_is_removed_is_there_no_more(held: Http, service: Service) -> None:
    assert held.delete("/api/v1/ehrs/one").json == {"ehr": "one", "givenUp": 0}
    assert held.get("/api/v1/ehrs/one").status == held.delete("/api/v1/ehrs/one").status == held("PATCH", "/api/v1/ehrs/one", {"level": "C1"}).status == 404
    assert len(audited(service, "remove ehr")) == 1 and deliveries(held, ehr="one")


def test_an_ehr_is_changed_and_removed_by_operators_alone(held: Http, reader: Any) -> None:
    for method, body in (("PATCH", {"level": "C1"}), ("DELETE", None)):
        assert reader(3, "system/*.cruds")(method, "/api/v1/ehrs/one", body).status == 403
        assert reader(0, OPERATE)(method, "/api/v1/ehrs/one", body).status == 200
