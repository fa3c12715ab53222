"""read (R4 3.1.0.1): one resource, as it is stored, to whoever may know of it."""

import gzip
from decimal import Decimal
from email.utils import formatdate
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.fhir.answers import http_date
from service.wire import encode
from tests.conftest import Clock, Http
from tests.service.records import dosing, of_type, people, put

NOWHERE = "00000000-0000-5000-8000-000000000000"


@pytest.fixture
def visit(clinic: Http) -> str:
    people(clinic)
    reply = put(clinic, "dosing-encounters", dosing(observations=[{"id": "t0", "at": "2026-03-02T09:45:00+00:00", "spo2": 98, "temperature": Decimal("36.50")}]))
    return of_type(reply, "Encounter")


def test_a_resource_is_read_with_its_version_and_time(clinic: Http, visit: str) -> None:
    reply = clinic.get(f"/fhir/r4/{visit}")
    resource = reply.json
    assert (reply.status, resource["resourceType"], resource["id"]) == (200, *visit.split("/"))
    assert resource["meta"]["lastUpdated"] == "2026-04-01T09:00:00.000+00:00"
    assert {name: reply.headers[name] for name in ("ETag", "Last-Modified", "Content-Type", "Cache-Control")} == {
        "ETag": f'W/"{resource["meta"]["versionId"]}"', "Last-Modified": "Wed, 01 Apr 2026 09:00:00 GMT",
        "Content-Type": "application/fhir+json; charset=utf-8", "Cache-Control": "private, no-cache",
    }  # fmt: skip


@given(st.integers(0, 253_402_300_799_999_999))
def test_times_are_written_as_http_does(at: int) -> None:
    assert http_date(at) == formatdate(at // 1_000_000, usegmt=True)


def test_numbers_keep_the_digits_that_were_sent(clinic: Http, visit: str) -> None:
    [reading] = clinic.get("/fhir/r4/Observation?code=8310-5").json["entry"]
    body = clinic.get(f"/fhir/r4/Observation/{reading['resource']['id']}").body
    assert b'"value":36.50' in body


def test_who_has_the_version_is_told_that_it_has_not_changed(clinic: Http, clock: Clock, visit: str) -> None:
    first = clinic.get(f"/fhir/r4/{visit}")
    for tag in (first.headers["ETag"], f'"other", {first.headers["ETag"]}', first.headers["ETag"].removeprefix("W/"), "*"):
        again = clinic.get(f"/fhir/r4/{visit}", If_None_Match=tag)
        assert (again.status, again.body, again.headers["ETag"]) == (304, b"", first.headers["ETag"]), tag
    assert clinic.get(f"/fhir/r4/{visit}", If_Modified_Since=first.headers["Last-Modified"]).status == 304
    assert clinic.get(f"/fhir/r4/{visit}", If_Modified_Since="Wed, 01 Apr 2026 08:59:59 GMT").status == 200
    assert clinic.get(f"/fhir/r4/{visit}", If_None_Match='W/"other"', If_Modified_Since=first.headers["Last-Modified"]).status == 200
    clock.forward(minutes=1)
    put(clinic, "dosing-encounters", dosing(end="2026-03-02T14:00:00+00:00"))
    assert clinic.get(f"/fhir/r4/{visit}", If_None_Match=first.headers["ETag"]).status == 200
    assert clinic.get(f"/fhir/r4/{visit}", If_Modified_Since=first.headers["Last-Modified"]).status == 200


@pytest.mark.parametrize("id_", [NOWHERE, "ann", "x" * 65, "0" * 36, "%2e%2e", "A0000000-0000-5000-8000-000000000000"])
def test_what_is_not_there_is_404_whatever_the_id_looks_like(clinic: Http, id_: str) -> None:
    reply = clinic.get(f"/fhir/r4/Patient/{id_}")
    assert (reply.status, reply.json["resourceType"], reply.json["issue"][0]["code"]) == (404, "OperationOutcome", "not-found")


def test_a_resource_is_of_one_type_only(clinic: Http, visit: str) -> None:
    assert clinic.get(f"/fhir/r4/Observation/{visit.split('/')[1]}").status == 404
    reply = clinic.get(f"/fhir/r4/Basic/{visit.split('/')[1]}")
    assert (reply.status, reply.json["issue"][0]["diagnostics"]) == (404, "There are no resources of the type Basic here")


def test_what_was_entered_in_error_is_read_as_such_and_what_r4_cannot_mark_is_gone(pathway: Http) -> None:
    event = pathway.get("/fhir/r4/AdverseEvent").json["entry"][0]["resource"]
    [key] = [item["entity"]["id"] for item in pathway.get("/api/v1/adverse-events").json["items"]]
    visit = of_type(put(pathway, "dosing-encounters", dosing("wrong")), "Encounter")
    assert pathway.delete("/api/v1/dosing-encounters/wrong").status == 200
    assert pathway.delete(f"/api/v1/adverse-events/{key}").status == 200
    assert pathway.get(f"/fhir/r4/{visit}").json["status"] == "entered-in-error"
    gone = pathway.get(f"/fhir/r4/AdverseEvent/{event['id']}")
    assert (gone.status, gone.json["issue"][0]["code"]) == (410, "deleted")
    assert gone.headers["ETag"] != f'W/"{event["meta"]["versionId"]}"'


@pytest.mark.parametrize(
    ("asked", "status"),
    [
        ("application/fhir+json", 200), ("application/json", 200), ("application/fhir+json; fhirVersion=4.0", 200), ("*/*", 200),
        ("text/html, application/xhtml+xml, */*;q=0.8", 200), ("application/fhir+xml", 406), ("text/turtle", 406),
    ],
)  # fmt: skip
def test_json_is_what_is_spoken(clinic: Http, visit: str, asked: str, status: int) -> None:
    assert clinic.get(f"/fhir/r4/{visit}", Accept=asked).status == status


def test_format_beats_accept(clinic: Http, visit: str) -> None:
    assert clinic.get(f"/fhir/r4/{visit}?_format=json", Accept="application/fhir+xml").status == 200
    assert clinic.get(f"/fhir/r4/{visit}?_format=application/fhir%2Bjson").status == 200
    assert clinic.get(f"/fhir/r4/{visit}?_format=xml", Accept="application/fhir+json").status == 406


def test_a_part_is_told_to_be_a_part_and_keeps_what_r4_requires(clinic: Http, visit: str) -> None:
    whole, part = clinic.get(f"/fhir/r4/{visit}").json, clinic.get(f"/fhir/r4/{visit}?_elements=period").json
    assert part == {name: whole[name] for name in ("resourceType", "id", "status", "class", "period")} | {
        "meta": whole["meta"] | {"tag": [{"system": "http://terminology.hl7.org/CodeSystem/v3-ObservationValue", "code": "SUBSETTED"}]}
    }


def test_it_can_be_read_by_people(clinic: Http, visit: str) -> None:
    plain, pretty = clinic.get(f"/fhir/r4/{visit}"), clinic.get(f"/fhir/r4/{visit}?_pretty=true")
    assert pretty.json == plain.json and pretty.body.count(b"\n") > 10 and plain.body.count(b"\n") == 0


def test_a_long_answer_is_compressed_for_whoever_takes_that(pathway: Http) -> None:
    path = "/fhir/r4/Observation?_count=50"
    plain, short = pathway.get(path), pathway.get(path, Accept_Encoding="gzip")
    assert "Content-Encoding" not in plain.headers and short.headers["Content-Encoding"] == "gzip"
    assert (plain.headers["Vary"], short.headers["Vary"]) == ("Accept-Encoding", "Accept-Encoding")
    assert gzip.decompress(short.body) == plain.body and len(short.body) < len(plain.body) / 4
    assert "Content-Encoding" not in pathway.get(path, Accept_Encoding="gzip;q=0").headers


def test_without_a_token_nothing_is_told_and_the_challenge_says_what_is_needed(clinic: Http, visit: str, web: Any) -> None:
    for token, error in ((None, ""), ("made-up", 'error="invalid_token"')):
        reply = Http(web, token).get(f"/fhir/r4/{visit}")
        assert (reply.status, reply.json["issue"][0]["code"]) == (401, "login")
        assert reply.headers["WWW-Authenticate"].startswith("Bearer ") and error in reply.headers["WWW-Authenticate"]


@pytest.mark.parametrize(("scopes", "status"), [("system/Encounter.r", 200), ("system/*.r", 200), ("system/Encounter.s", 403), ("system/Patient.rs", 403)])
def test_the_scope_of_the_type_is_needed(clinic: Http, visit: str, reader: Any, scopes: str, status: int) -> None:
    reply = reader(3, scopes).get(f"/fhir/r4/{visit}")
    assert reply.status == status
    if status == 403:
        assert reply.json["issue"][0]["code"] == "forbidden" and 'error="insufficient_scope"' in reply.headers["WWW-Authenticate"]


@pytest.mark.parametrize("method", ["PUT", "POST", "PATCH", "DELETE"])
def test_writes_are_not_offered_yet(clinic: Http, visit: str, method: str) -> None:
    reply = clinic(method, f"/fhir/r4/{visit}", encode({"resourceType": "Encounter"}))
    assert (reply.status, reply.headers["Allow"], reply.json["issue"][0]["code"]) == (405, "GET, HEAD", "not-supported")


def test_head_tells_what_get_would_without_the_body(clinic: Http, visit: str) -> None:
    whole, head = clinic.get(f"/fhir/r4/{visit}"), clinic("HEAD", f"/fhir/r4/{visit}")
    assert (head.status, head.body, head.headers["ETag"], head.headers["Content-Length"]) == (200, b"", whole.headers["ETag"], whole.headers["Content-Length"])


def test_every_answer_has_the_callers_request_id_or_one_of_ours(clinic: Http, visit: str) -> None:
    assert clinic.get(f"/fhir/r4/{visit}", X_Request_ID="c0ffee-1").headers["X-Request-ID"] == "c0ffee-1"
    ours = [clinic.get(f"/fhir/r4/{visit}", X_Request_ID=bad).headers["X-Request-ID"] for bad in ("a b", "", "x" * 65)]
    assert len(set(ours)) == 3 and all(one.isalnum() for one in ours)
