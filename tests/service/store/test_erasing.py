"""What was entered in error, and what a record no longer yields: marked as R4 says it, or gone with 410, for those who saw it."""

from typing import Any

import pytest

from service.store.database import Database
from tests.conftest import Clock, Http, examples
from tests.service.records import changed, dosing, example, of_type, patient, people, put, yielded
from tests.service.tables import dicts

LEVELS = (0, 1, 2, 3)
CODE = {"Goal": "lifecycleStatus"}  # all others say it in their status
INACTIVE = ("Patient", "Practitioner", "PractitionerRole", "Organization", "RelatedPerson")
VERIFIED = ("Condition", "AllergyIntolerance")
DELETED = ("AdverseEvent", "Provenance")  # R4 gives them no way to say that they were entered in error


def in_error(resource: dict[str, Any]) -> bool:
    """Whether a resource says, in the way of its type, that it was entered in error."""
    type_ = resource["resourceType"]
    if type_ in INACTIVE:
        return resource["active"] is False
    if type_ == "Location":
        return bool(resource["status"] == "inactive")
    if type_ in VERIFIED:
        return resource["verificationStatus"]["coding"][0]["code"] == "entered-in-error" and "clinicalStatus" not in resource
    return bool(resource.get(CODE.get(type_, "status")) == "entered-in-error")


@pytest.mark.parametrize(("plural", "id"), [(plural, id_) for plural, id_, _ in examples()])
def test_everything_that_an_erased_record_yielded_is_in_error_or_gone_for_whoever_saw_it(
    plural: str, id: str, pathway: Http, reader: Any, clock: Clock
) -> None:
    readers = [reader(level) for level in LEVELS]
    names = yielded(pathway.put(f"/api/v1/{plural}/{id}", example(plural, id)))
    before = {(level, name): readers[level].get(f"/fhir/r4/{name}") for level in LEVELS for name in names}
    clock.forward(minutes=1)
    reply = pathway.delete(f"/api/v1/{plural}/{id}")
    assert (reply.status, reply.json["erased"], reply.json["version"], reply.json["resources"]) == (200, True, 2, []), reply
    for (level, name), was in before.items():
        now = readers[level].get(f"/fhir/r4/{name}")
        if was.status == 404:
            assert now.status == 404
        elif name.split("/")[0] in DELETED:
            assert (now.status, now.json["issue"][0]["code"]) == (410, "deleted") and now.headers["ETag"] != was.headers["ETag"]
        else:
            assert now.status == 200 and in_error(now.json), now
            assert now.headers["ETag"] != was.headers["ETag"] and now.headers["Last-Modified"] == "Wed, 01 Apr 2026 09:01:00 GMT"
            assert readers[level].get(f"/fhir/r4/{name}/_history/{was.json['meta']['versionId']}").body == was.body


def test_an_erased_record_stays_readable_to_the_clinic_with_what_it_said(pathway: Http) -> None:
    entity = example("dosing-encounters", "ann-dose-1")
    pathway.delete("/api/v1/dosing-encounters/ann-dose-1")
    found = pathway.get("/api/v1/dosing-encounters/ann-dose-1")
    assert (found.status, found.json["entity"], found.json["erased"]) == (200, entity, True)


def test_to_erase_twice_changes_nothing(pathway: Http) -> None:
    assert pathway.delete("/api/v1/screenings/ann-screening").json["changed"] is True
    again = pathway.delete("/api/v1/screenings/ann-screening")
    assert (again.status, again.json["changed"], again.json["version"]) == (200, False, 2)


def test_what_was_never_there_cannot_be_erased(clinic: Http) -> None:
    assert clinic.delete("/api/v1/screenings/never").status == 404


@pytest.mark.parametrize("plural", ["patients", "dosing-encounters", "adverse-events", "integration-care-plans"])
def test_an_erased_record_that_is_sent_again_is_there_again(plural: str, pathway: Http) -> None:
    id_, entity = next((i, e) for p, i, e in examples() if p == plural)
    names = yielded(pathway.put(f"/api/v1/{plural}/{id_}", entity))
    before = {name: pathway.get(f"/fhir/r4/{name}").json for name in names}
    pathway.delete(f"/api/v1/{plural}/{id_}")
    back = put(pathway, plural, entity)
    assert (back.json["changed"], back.json["version"], yielded(back)) == (True, 3, names)
    for name, was in before.items():
        now = pathway.get(f"/fhir/r4/{name}")
        assert now.status == 200
        assert {**now.json, "meta": None} == {**was, "meta": None}
        assert now.json["meta"]["versionId"] != was["meta"]["versionId"]
        assert pathway.get(f"/fhir/r4/{name}/_history").json["total"] == 3


def test_a_deletion_and_a_return_are_told_in_the_history(pathway: Http) -> None:
    event = example("adverse-events", "ann-nausea")
    name = of_type(put(pathway, "adverse-events", event), "AdverseEvent")
    pathway.delete("/api/v1/adverse-events/ann-nausea")
    gone = pathway.get(f"/fhir/r4/{name}")
    put(pathway, "adverse-events", event)
    history = pathway.get(f"/fhir/r4/{name}/_history").json
    assert [entry["request"]["method"] for entry in history["entry"]] == ["PUT", "DELETE", "POST"]
    assert "resource" not in history["entry"][1] and history["entry"][1]["response"]["etag"] == gone.headers["ETag"]
    version = gone.headers["ETag"][3:-1]
    assert pathway.get(f"/fhir/r4/{name}/_history/{version}").status == 410


def test_an_item_that_is_left_out_is_in_error_and_the_others_keep_their_versions(clinic: Http) -> None:
    people(clinic)
    readings = [{"id": f"r{n}", "at": f"2026-03-02T10:0{n}:00+00:00", "hr": 60 + n} for n in range(3)]
    before = yielded(put(clinic, "dosing-encounters", dosing(observations=readings)))
    rates = {r["valueQuantity"]["value"]: (r["id"], r["meta"]) for r in clinic.found("/fhir/r4/Observation?code=8867-4")}
    left = yielded(put(clinic, "dosing-encounters", dosing(observations=readings[::2])))
    assert {name for name in before if in_error(clinic.get(f"/fhir/r4/{name}").json)} == set(before) - set(left) >= {f"Observation/{rates[61][0]}"}
    for rate in (60, 62):
        assert clinic.get(f"/fhir/r4/Observation/{rates[rate][0]}").json["meta"] == rates[rate][1]
    assert {r["id"] for r in clinic.found("/fhir/r4/Observation?code=8867-4&status=entered-in-error")} == {rates[61][0]}


def test_an_item_that_is_deleted_by_itself_is_in_error(pathway: Http) -> None:
    before = yielded(pathway.put("/api/v1/dosing-encounters/ann-dose-1", example("dosing-encounters", "ann-dose-1")))
    reply = pathway.delete("/api/v1/dosing-encounters/ann-dose-1/observations/t15")
    assert (reply.status, reply.json["version"]) == (200, 2)
    gone = set(before) - set(yielded(reply))
    assert gone and all(in_error(pathway.get(f"/fhir/r4/{name}").json) for name in gone)
    assert pathway.delete("/api/v1/dosing-encounters/ann-dose-1/observations/t15").status == 404


def test_what_a_view_no_longer_shows_is_in_error_there_and_as_it_was_elsewhere(clinic: Http, reader: Any) -> None:
    people(clinic)
    session = {"id": "session", "patientId": "ann", "clinicId": "riverside", "recordedAt": "2026-03-01T12:00:00+00:00", "recordedBy": "dr-shah",
               "status": "completed", "mode": "in-person", "start": "2026-03-12T14:00:00+00:00", "sudsBefore": 6}  # fmt: skip
    names = set(yielded(put(clinic, "emdr-procedures", session)))
    left = set(yielded(put(clinic, "emdr-procedures", changed(session, "sudsBefore", None))))
    [gone] = names - left
    assert in_error(reader(2).get(f"/fhir/r4/{gone}").json)
    assert reader(1).get(f"/fhir/r4/{gone}").status == 404


def test_nothing_is_searched_by_what_was_deleted(pathway: Http) -> None:
    assert len(pathway.found("/fhir/r4/AdverseEvent")) == 1
    pathway.delete("/api/v1/adverse-events/ann-nausea")
    for query in ("AdverseEvent", "AdverseEvent?patient=Patient/x", "AdverseEvent?date=ge2020", "AdverseEvent?_lastUpdated=ge2020", "Provenance"):
        assert all(r["resourceType"] != "AdverseEvent" for r in pathway.found(f"/fhir/r4/{query}"))
    assert pathway.get("/fhir/r4/AdverseEvent?_summary=count").json["total"] == 0


def test_no_row_is_ever_taken_out(pathway: Http, database: Database) -> None:
    before = {name: len(dicts(database, name)) for name in ("entity", "entity_version", "resource", "rendering", "search_value", "search_text")}
    for plural, id_, _ in reversed(examples()):
        pathway.delete(f"/api/v1/{plural}/{id_}")
    after = {name: len(dicts(database, name)) for name in before}
    assert after["entity"] == before["entity"] and after["resource"] == before["resource"]
    assert all(after[name] >= before[name] for name in before)


def test_an_erased_patient_is_inactive_and_everything_else_stays(pathway: Http) -> None:
    before = pathway.get("/fhir/r4/Encounter?_summary=count").json["total"]
    pathway.delete("/api/v1/patients/ann")
    [ann] = pathway.found("/fhir/r4/Patient")
    assert ann["active"] is False
    assert pathway.get("/fhir/r4/Encounter?_summary=count").json["total"] == before
    put(pathway, "patients", patient())
