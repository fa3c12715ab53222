"""What HTTP asks of every interface: methods, media types, conditions, and an error of the interface's own form for all else."""

import pytest

EXOTIC = ("OPTIONS", "TRACE", "PATCH", "PROPFIND", "BREW")


@pytest.mark.parametrize(
    ("path", "type_", "allowed"),
    [
        ("/api/v1/patients", "application/problem+json", "GET, HEAD, POST"),
        ("/api/v1/patients/ann", "application/problem+json", "DELETE, GET, HEAD, PUT"),
        ("/api/v1/import", "application/problem+json", "POST"),
        ("/api/v1/schemas", "application/problem+json", "GET, HEAD"),
        ("/fhir/r4/Patient", "application/fhir+json; charset=utf-8", "GET, HEAD"),
        ("/fhir/r4/Patient/x", "application/fhir+json; charset=utf-8", "GET, HEAD"),
        ("/fhir/r4/Patient/_search", "application/fhir+json; charset=utf-8", "GET, HEAD, POST"),
        ("/fhir/r4/metadata", "application/fhir+json; charset=utf-8", "GET, HEAD"),
        ("/oauth/token", "application/problem+json", "POST"),
        ("/health/live", "application/problem+json", "GET, HEAD"),
        ("/docs/swagger-ui.css", "application/problem+json", "GET, HEAD"),
    ],
)
def test_a_method_that_is_not_offered_is_405_and_says_what_is(clinic, path: str, type_: str, allowed: str) -> None:
    for method in EXOTIC:
        reply = clinic(method, path)
        assert (reply.status, reply.headers.get("Content-Type"), reply.headers.get("Allow")) == (405, type_, allowed), (method, path, reply)


def test_fhir_s_base_takes_no_batches_yet(clinic) -> None:
    for method in ("GET", "POST", "PUT", "OPTIONS"):
        reply = clinic(method, "/fhir/r4", b"{}")
        assert (reply.status, reply.headers["Allow"], reply.json["resourceType"]) == (405, "", "OperationOutcome")


@pytest.mark.parametrize("path", ["/", "/nothing", "/api", "/api/v2/patients", "/docs/../../etc/passwd", "/api/v1//patients", "/fhir"])
def test_a_path_that_leads_nowhere_is_a_problem_document(clinic, path: str) -> None:
    reply = clinic.get(path)
    assert (reply.status, reply.headers["Content-Type"]) == (404, "application/problem+json"), reply
    assert reply.json["instance"] == path and reply.headers["X-Request-ID"] == reply.json["requestId"]


@pytest.mark.parametrize("path", ["/fhir/r4/", "/fhir/r4//Patient", "/fhir/r4/Patient/x/y/z", "/fhir/r4/Nothing", "/fhir/r4/Patient/x/_history/1/2"])
def test_a_fhir_path_that_leads_nowhere_is_an_outcome(clinic, path: str) -> None:
    reply = clinic.get(path)
    assert reply.status in (404, 405) and reply.json["resourceType"] == "OperationOutcome", reply


def test_nothing_is_redirected(clinic) -> None:
    for path in ("/api/v1/patients/", "/health/live/", "/fhir/r4/Patient/", "/docs/"):
        assert clinic.get(path).status == 200, path


@pytest.mark.parametrize(
    ("path", "produced"),
    [
        ("/api/v1/patients", "application/json"), ("/api/v1/patients/ann", "application/json"), ("/api/v1/schemas/patient", "application/schema+json"),
        ("/api/v1/patients/ann/fhir", "application/fhir+json"), ("/api/v1/codes", "application/json"), ("/api/v1/ehrs", "application/json"),
    ],
)  # fmt: skip
def test_who_takes_no_json_is_told_so(pathway, path: str, produced: str) -> None:
    for accepted in ("application/xml", "text/html, application/xml;q=0.9", "application/json;q=0, image/*"):
        reply = pathway.get(path, Accept=accepted)
        assert (reply.status, reply.headers["Content-Type"]) == (406, "application/problem+json"), (accepted, reply)
        assert produced in reply.json["detail"]
    for accepted in ("*/*", "application/*", "application/json", produced, "text/html, */*;q=0.1", "APPLICATION/JSON", f"{produced};q=0.5"):
        assert pathway.get(path, Accept=accepted).status == 200, accepted


def test_a_condition_that_does_not_hold_is_412(pathway) -> None:
    ann = pathway.get("/api/v1/patients/ann").json["entity"]
    assert pathway.put("/api/v1/patients/ann", ann, If_None_Match="*").status == 412
    assert pathway.put("/api/v1/patients/ann", ann, If_Match='"7"').status == 412
    assert pathway.put("/api/v1/patients/bea", {**ann, "id": "bea"}, If_Match='"1"').status == 412
    assert pathway.put("/api/v1/patients/ann", ann, If_Match='"1"').status == 200
    assert pathway.put("/api/v1/patients/bea", {**ann, "id": "bea"}, If_None_Match="*").status == 201


def test_a_read_that_knows_the_version_is_304(pathway) -> None:
    for known in ('"1"', 'W/"1"', '"3", "1"', "*"):
        reply = pathway.get("/api/v1/patients/ann", If_None_Match=known)
        assert (reply.status, reply.body, reply.headers["ETag"]) == (304, b"", '"1"'), known
    for unknown in ('"2"', '"11"', "1"):
        assert pathway.get("/api/v1/patients/ann", If_None_Match=unknown).status == 200, unknown


def test_what_was_entered_in_error_says_so_beside_the_entity_and_can_be_written_again(pathway) -> None:
    before = pathway.get("/api/v1/adverse-events/ann-nausea").json["entity"]
    erased = pathway("DELETE", "/api/v1/adverse-events/ann-nausea")
    assert (erased.status, erased.json["erased"], erased.json["entity"], erased.json["resources"]) == (200, True, before, [])
    assert pathway.get("/api/v1/adverse-events/ann-nausea").json["erased"] is True
    again = pathway.put("/api/v1/adverse-events/ann-nausea", before)
    assert (again.status, again.json["changed"], "erased" in again.json) == (200, True, False)


def test_what_is_wrong_with_an_item_is_told_by_its_place_in_the_item(pathway) -> None:
    day = "/api/v1/dosing-encounters/ann-dose-1"
    wrong = pathway.put(f"{day}/observations/t41", {"at": "11 o'clock", "hr": -1, "bp": {"sys": "high"}, "administrationId": "a1"})
    assert (wrong.status, [e["pointer"] for e in wrong.json["errors"]]) == (422, ["/at", "/bp/sys", "/hr"]), wrong
    dangling = pathway.put(f"{day}/observations/t41", {"at": "2026-03-02T10:41:00+00:00", "hr": 80, "administrationId": "a9"})
    assert (dangling.status, [e["pointer"] for e in dangling.json["errors"]]) == (422, ["/administrationId"]), dangling
    needed = pathway("DELETE", f"{day}/administrations/a1")
    assert (needed.status, {e["pointer"] for e in needed.json["errors"]}) == (422, {""}), needed
    assert needed.json["errors"][0]["detail"].startswith("/observations/1/administrationId: ")
