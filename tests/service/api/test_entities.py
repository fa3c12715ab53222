"""Entities by our API: created, replaced, read, listed; the same body twice changes nothing, and a repeated request is answered as before."""

from typing import Any

import pytest
from sqlalchemy import select

from mappings import KINDS
from service.app import create_app
from service.config import Settings
from service.store.tables import entity as kept
from service.wiring import Service, wire
from tests.conftest import Clock, Http, examples
from tests.service.records import WRITTEN, dosing, patient, people, put


@pytest.mark.parametrize("plural", [kind.plural for kind in KINDS.values()])
def test_every_kind_is_put_read_listed_and_erased_in_the_same_way(pathway: Http, plural: str) -> None:
    id_, sent = next((id_, entity) for kind, id_, entity in examples() if kind == plural)
    path = f"/api/v1/{plural}/{id_}"
    read = pathway.get(path)
    assert (read.status, read.json["entity"], read.json["version"], read.headers["ETag"]) == (200, sent, 1, '"1"')
    assert {item["entity"]["id"] for item in pathway.get(f"/api/v1/{plural}").json["items"]} == {i for k, i, _ in examples() if k == plural}
    again = pathway.put(path, sent)
    assert (again.status, again.json["changed"], again.json["version"]) == (200, False, 1)
    assert pathway.get(f"{path}/fhir").json["entry"] and pathway.delete(path).status == 200
    assert pathway.get(path).json["erased"] is True


def test_a_write_answers_with_the_record_its_findings_and_all_that_it_yields(clinic: Http) -> None:
    people(clinic)
    reply = put(clinic, "dosing-encounters", dosing(observations=[{"id": "t0", "at": "2026-03-02T09:45:00+00:00", "spo2": 85}]))
    said = reply.json
    assert (reply.status, reply.headers["Location"], reply.headers["ETag"]) == (201, "http://127.0.0.1:8000/api/v1/dosing-encounters/dose", '"1"')
    assert said.keys() == {"entity", "version", "changedAt", "changed", "findings", "resources"}
    assert (said["version"], said["changed"], said["changedAt"]) == (1, True, "2026-04-01T09:00:00.000+00:00")
    assert {"R20", "R30"} <= {f["rule"] for f in said["findings"]}
    assert all(f.keys() == {"rule", "severity", "gates", "fields", "source", "text", "class"} for f in said["findings"])
    assert {one["type"] for one in said["resources"]} == {"Encounter", "Observation", "DetectedIssue", "Provenance"}
    assert all(clinic.get(f"/fhir/r4/{one['type']}/{one['id']}").status == 200 for one in said["resources"])


def test_a_new_record_by_post_needs_an_id_that_is_free(clinic: Http) -> None:
    people(clinic)
    made = clinic.post("/api/v1/patients", patient("bob"))
    assert (made.status, made.headers["Location"]) == (201, "http://127.0.0.1:8000/api/v1/patients/bob")
    taken = clinic.post("/api/v1/patients", patient("bob", gender="male"))
    assert (taken.status, taken.headers["Content-Type"], taken.json["title"]) == (409, "application/problem+json", "This contradicts what is there")
    assert clinic.get("/api/v1/patients/bob").json["entity"]["gender"] == "female"
    without = clinic.post("/api/v1/patients", {name: value for name, value in patient().items() if name != "id"})
    assert (without.status, [path for path, _ in without.problems]) == (422, ["/id"])


def test_six_faults_are_six_problems_each_by_its_pointer(clinic: Http) -> None:
    people(clinic)
    reply = put(clinic, "dosing-encounters", dosing(
        status="done", start="2026-03-02T09:30:00", colour="blue", discharge={"escortPresent": "yes"}, prescription={"drug": "ketamine", "doseMg": "36"},
        observations=[{"id": "t0", "at": "2026-03-02T09:45:00+00:00", "spo2": 101}],
    ), status=(422,))  # fmt: skip
    assert {path for path, _ in reply.problems} >= {
        "/status", "/start", "/colour", "/discharge/escortPresent", "/prescription/doseMg", "/observations/0/spo2",
    }  # fmt: skip
    assert clinic.get("/api/v1/dosing-encounters/dose").status == 404


def test_another_id_than_the_path_s_is_one_problem_among_others(clinic: Http) -> None:
    assert clinic.put("/api/v1/patients/ann", patient(id="bea")).problems == [("/id", "should be ann, as in the path")]
    both = clinic.put("/api/v1/patients/ann", patient(id=5, gender="none"))
    assert (both.status, [path for path, _ in both.problems]) == (422, ["/id", "/gender"])


# --- conditions


def test_a_version_that_was_changed_meanwhile_is_not_overwritten(clinic: Http) -> None:
    people(clinic)
    version = clinic.get("/api/v1/patients/ann").headers["ETag"]
    assert clinic.put("/api/v1/patients/ann", patient(gender="other"), If_Match=version).status == 200
    late = clinic.put("/api/v1/patients/ann", patient(gender="male"), If_Match=version)
    assert (late.status, late.json["detail"]) == (412, "Version 1 was asked for, and it is at version 2")
    assert clinic.delete("/api/v1/patients/ann", If_Match=version).status == 412
    assert clinic.put("/api/v1/patients/new", patient("new"), If_Match='"1"').status == 412
    assert clinic.put("/api/v1/patients/ann", patient(gender="male"), If_Match="*").status == 200
    assert clinic.put("/api/v1/patients/ann", patient(), If_Match="version one").status == 400


# --- repeated requests


def test_a_request_with_a_key_is_answered_as_the_first_time_and_done_once(clinic: Http, clock: Clock) -> None:
    people(clinic)
    first = clinic.post("/api/v1/dosing-encounters", dosing(), Idempotency_Key="one")
    put(clinic, "dosing-encounters", dosing(end="2026-03-02T14:00:00+00:00"))
    clock.forward(hours=1)
    again = clinic.post("/api/v1/dosing-encounters", dosing(), Idempotency_Key="one")
    assert (again.status, again.body, again.headers["Location"], again.headers["Idempotency-Replayed"]) == (201, first.body, first.headers["Location"], "true")
    assert clinic.get("/api/v1/dosing-encounters/dose").json["version"] == 2


def test_a_key_that_was_used_for_something_else_is_refused(clinic: Http) -> None:
    people(clinic)
    assert clinic.post("/api/v1/dosing-encounters", dosing(), Idempotency_Key="one").status == 201
    for path, body in (("/api/v1/dosing-encounters", dosing("other")), ("/api/v1/patients", patient("other"))):
        assert clinic.post(path, body, Idempotency_Key="one").status == 422, path
    assert clinic.get("/api/v1/patients/other").status == 404


def test_a_key_belongs_to_its_client_and_is_forgotten_after_a_day(clinic: Http, reader: Any, clock: Clock) -> None:
    people(clinic)
    assert clinic.post("/api/v1/patients", patient("bob"), Idempotency_Key="one").status == 201
    assert reader(3, "system/*.cruds").post("/api/v1/patients", patient("eve"), Idempotency_Key="one").status == 201
    clock.forward(hours=25)
    assert clinic.post("/api/v1/patients", patient("bob"), Idempotency_Key="one").status in (401, 409)


@pytest.mark.parametrize("key", ["", "x" * 201, "a\tb"])
def test_a_key_that_is_none_is_refused(clinic: Http, key: str) -> None:
    assert clinic.post("/api/v1/patients", patient("bob"), Idempotency_Key=key).status == 400


def test_what_was_refused_is_not_kept_and_can_be_sent_again_mended(clinic: Http) -> None:
    assert clinic.post("/api/v1/dosing-encounters", dosing(), Idempotency_Key="one").status == 422
    people(clinic)
    assert clinic.post("/api/v1/dosing-encounters", dosing(), Idempotency_Key="one").status == 201


def test_a_kept_answer_survives_a_restart(clinic: Http, service: Service, settings: Settings, clock: Clock) -> None:
    people(clinic)
    first = clinic.post("/api/v1/dosing-encounters", dosing(), Idempotency_Key="one")
    restarted = wire(settings, clock)
    again = Http(create_app(service=restarted).test_client(), clinic.token).post("/api/v1/dosing-encounters", dosing(), Idempotency_Key="one")
    restarted.close()
    assert (again.status, again.body) == (201, first.body)


# --- lists


def listed(one: Http, path: str) -> list[str]:
    found = []
    while path:
        reply = one.get(path)
        assert reply.status == 200, reply
        found += [item["entity"]["id"] for item in reply.json["items"]]
        link = reply.headers.get("Link", "")
        path = link.partition(">")[0].removeprefix("<http://127.0.0.1:8000")
    return found


def test_records_are_listed_in_the_order_of_change_page_by_page(clinic: Http, clock: Clock) -> None:
    people(clinic, "ann", "bob")
    for n in range(5):
        clock.forward(minutes=1)
        put(clinic, "dosing-encounters", dosing(f"d{n}", "bob" if n == 3 else "ann"))
    clock.forward(minutes=1)
    put(clinic, "dosing-encounters", dosing("d1", end="2026-03-02T14:00:00+00:00"))
    assert listed(clinic, "/api/v1/dosing-encounters?limit=2") == ["d0", "d2", "d3", "d4", "d1"]
    assert listed(clinic, "/api/v1/dosing-encounters?patient=bob") == ["d3"]
    assert listed(clinic, "/api/v1/dosing-encounters?changedSince=2026-04-01T09:04:00Z&limit=1") == ["d3", "d4", "d1"]
    assert listed(clinic, "/api/v1/dosing-encounters?changedSince=2026-04-01T09:04:00%2B00:00&patient=ann") == ["d4", "d1"]


@pytest.mark.parametrize("plural", ["practitioners", "clinics"])
def test_what_is_of_no_patient_is_not_listed_by_one(clinic: Http, plural: str) -> None:
    people(clinic)
    reply = clinic.get(f"/api/v1/{plural}?patient=ann")
    assert (reply.status, [path for path, _ in reply.problems]) == (400, ["patient"])


def test_a_list_that_is_asked_for_wrongly_says_all_that_is_wrong(clinic: Http) -> None:
    people(clinic)
    reply = clinic.get("/api/v1/patients?limit=0&changedSince=yesterday&colour=blue")
    assert (reply.status, {path for path, _ in reply.problems}) == (400, {"limit", "changedSince", "colour"})
    assert clinic.get("/api/v1/dosing-encounters?patient=nobody").status == 404
    assert clinic.get("/api/v1/patients?after=abc").status == 400


def test_a_record_whose_findings_changed_is_listed_as_changed(pathway: Http, clock: Clock) -> None:
    clock.forward(minutes=5)
    since = clock.at.isoformat().replace("+00:00", "Z")
    screening = pathway.get("/api/v1/screenings/ann-screening").json["entity"]
    put(pathway, "screenings", {**screening, "pregnancy": "possible", "pregnancyTestDate": screening.get("pregnancyTestDate", "2026-02-20")})
    assert "ann-dose-1" in listed(pathway, f"/api/v1/dosing-encounters?changedSince={since}")


def test_what_is_stored_is_what_was_sent_with_its_digits_and_letters(clinic: Http, service: Service) -> None:
    put(clinic, "practitioners", {"id": "p", "recordedAt": WRITTEN, "name": [{"family": "Müller-Ó Brien \U0001f9e0"}], "active": False})
    with service.database.reading() as connection:
        document = bytes(connection.execute(select(kept.c.document)).scalar_one()).decode()
    assert "Müller-Ó Brien \U0001f9e0" in document and '"active":false' in document
