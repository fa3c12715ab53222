"""Whom a record is about and what it refers to: it is there, of the same patient, and never becomes another's."""

from typing import Any

import pytest

from tests.conftest import Http
from tests.service.records import changed, clinic_, consent, dosing, emdr, example, of, patient, people, put


@pytest.fixture
def ready(clinic: Http) -> Http:
    people(clinic, "ann", "bob")
    return clinic


UNKNOWN = [
    ("patients", patient(recordedBy="nobody"), "/recordedBy", "there is no practitioner nobody"),
    ("dosing-encounters", dosing(patient="nobody"), "/patientId", "there is no patient nobody"),
    ("dosing-encounters", {**dosing(), "clinicId": "nowhere"}, "/clinicId", "there is no clinic nowhere"),
    ("dosing-encounters", dosing(screeningId="none"), "/screeningId", "there is no screening none"),
    ("dosing-encounters", dosing(consentId="none"), "/consentId", "there is no consent none"),
    ("dosing-encounters", dosing(pathwayId="none"), "/pathwayId", "there is no pathway none"),
    ("dosing-encounters", dosing(room="none"), "/room", "clinic riverside has none of its rooms with the id none"),
    ("dosing-encounters", dosing(participants=[{"practitioner": "dr-shah", "function": "monitor"}, {"practitioner": "x", "function": "monitor"}]),
     "/participants/1/practitioner", "there is no practitioner x"),
    ("emdr-procedures", emdr(partOfEncounterId="none"), "/partOfEncounterId", "there is no dosing-encounter none"),
    ("emdr-procedures", emdr(carePlanId="none"), "/carePlanId", "there is no integration-care-plan none"),
    ("adverse-events", of("ann", "event", event="nausea", onset="2026-03-02T10:35:00+00:00", outcome="resolved", encounterId="none"), "/encounterId",
     "there is no dosing-encounter none"),
]  # fmt: skip


@pytest.mark.parametrize(("plural", "entity", "pointer", "problem"), UNKNOWN, ids=[pointer for _, _, pointer, _ in UNKNOWN])
def test_a_reference_to_what_is_not_there_is_refused_by_its_pointer(plural: str, entity: Any, pointer: str, problem: str, ready: Http) -> None:
    reply = ready.put(f"/api/v1/{plural}/{entity['id']}", entity)
    assert (reply.status, reply.problems) == (422, [(pointer, problem)])
    assert ready.get(f"/api/v1/{plural}/{entity['id']}").status == (200 if plural == "patients" else 404)


def test_all_references_that_do_not_hold_are_named_at_once(ready: Http) -> None:
    reply = ready.put("/api/v1/dosing-encounters/dose", dosing(screeningId="none", consentId="none", recordedBy="nobody"))
    assert sorted(pointer for pointer, _ in reply.problems) == ["/consentId", "/recordedBy", "/screeningId"]


def test_a_reference_to_another_patients_record_is_refused(ready: Http) -> None:
    put(ready, "consents", consent("bobs", "bob"))
    reply = ready.put("/api/v1/dosing-encounters/dose", dosing(consentId="bobs"))
    assert (reply.status, reply.problems) == (422, [("/consentId", "consent bobs is another patient's")])


def test_a_reference_to_an_item_that_its_record_does_not_have_is_refused(ready: Http) -> None:
    put(ready, "dosing-encounters", dosing(administrations=[
        {"id": "a1", "drug": "ketamine", "start": "2026-03-02T10:00:00+00:00", "doseMg": 30, "route": "IV", "status": "completed"},
    ]))  # fmt: skip
    event = of("ann", "event", event="nausea", onset="2026-03-02T10:35:00+00:00", outcome="resolved", encounterId="dose")
    assert ready.put("/api/v1/adverse-events/event", {**event, "administrationId": "a1"}).status == 201
    reply = ready.put("/api/v1/adverse-events/event", {**event, "administrationId": "a2"})
    assert reply.problems == [("/administrationId", "dosing-encounter dose has none of its administrations with the id a2")]


def test_a_record_stays_the_patients_whose_it_is(ready: Http) -> None:
    put(ready, "dosing-encounters", dosing())
    reply = ready.put("/api/v1/dosing-encounters/dose", dosing(patient="bob"))
    assert (reply.status, reply.problems) == (422, [("/patientId", "is whose record this is and cannot be changed")])
    ready.delete("/api/v1/dosing-encounters/dose")
    assert ready.put("/api/v1/dosing-encounters/dose", dosing(patient="bob")).status == 422
    assert ready.get("/api/v1/dosing-encounters/dose").json["entity"]["patientId"] == "ann"


def test_a_practitioner_may_have_recorded_itself(clinic: Http) -> None:
    put(clinic, "practitioners", {"id": "self", "recordedAt": "2026-03-01T12:00:00+00:00", "recordedBy": "self", "name": [{"family": "Shah"}], "active": True})


def test_what_was_entered_in_error_can_still_be_referred_to(ready: Http) -> None:
    put(ready, "consents", consent())
    ready.delete("/api/v1/consents/disclosure")
    put(ready, "dosing-encounters", dosing(consentId="disclosure"))


def test_the_records_of_a_whole_pathway_refer_to_nothing_when_what_they_refer_to_changes(pathway: Http) -> None:
    dose = example("dosing-encounters", "ann-dose-1")
    without = changed(changed(dose, "administrations", []), "observations", [])
    assert put(pathway, "dosing-encounters", without).status == 200  # an adverse event still names its administration: that was so when it was written
    assert pathway.get("/api/v1/adverse-events/ann-nausea").json["entity"]["administrationId"] == "a1"
    put(pathway, "clinics", {**clinic_(), "rooms": []})
