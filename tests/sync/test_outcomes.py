"""What an EHR's answer means: one table, with the oddities of real ones."""

import json
from typing import Any

import pytest

from service.sync.outcomes import Delivered, Outcome, Refused, Reply, Retry, Unsure, id_in, judged, version_of, words_of


def reply(status: int, body: Any = b"", **headers: str) -> Reply:
    return Reply(status, {name.replace("_", "-"): value for name, value in headers.items()}, body if isinstance(body, bytes) else json.dumps(body).encode())


def outcome(*issues: Any) -> dict[str, Any]:
    return {"resourceType": "OperationOutcome", "issue": list(issues)}


OBSERVATION = {"resourceType": "Observation", "id": "o1", "meta": {"versionId": "3"}}
WARNING = outcome({"severity": "warning", "code": "informational", "diagnostics": "no narrative"})
ERROR = outcome({"severity": "error", "code": "required", "diagnostics": "no code", "expression": ["Observation.code"]})

ANSWERS: list[tuple[Reply, Outcome]] = [
    (reply(201, OBSERVATION, Location="https://ehr/fhir/Observation/o1/_history/3", ETag='W/"3"'), Delivered("o1", 'W/"3"', 201, OBSERVATION)),
    # Oracle: nothing in it, and called text/html
    (reply(201, b"", Content_Type="text/html", Content_Length="0", ETag='W/"1"', Location="https://ehr/r4/t/Observation/M-1"), Delivered("M-1", 'W/"1"', 201)),
    (reply(201, b"<html>Created</html>", Location="Observation/7"), Delivered("7", None, 201)),
    (reply(201, OBSERVATION), Delivered("o1", 'W/"3"', 201, OBSERVATION)),
    (reply(200, WARNING, Content_Location="/fhir/Observation/o1", etag='"3"'), Delivered("o1", '"3"', 200)),
    (reply(201, {**OBSERVATION, "id": 5, "meta": []}), Delivered(None, None, 201, {**OBSERVATION, "id": 5, "meta": []})),
    (reply(204), Delivered(None, None, 204)),
    (reply(202), Delivered(None, None, 202)),
    (reply(200, ERROR), Refused("Observation.code: no code", 200)),
    (reply(201, outcome({"severity": "fatal", "code": "exception"}), Location="Observation/o1"), Refused("exception", 201)),
    (reply(302, b"", Location="https://elsewhere/"), Refused("The EHR redirects writes, which are not followed (302)", 302)),
    (reply(307, b""), Refused("The EHR redirects writes, which are not followed (307)", 307)),
    (reply(400, ERROR), Refused("Observation.code: no code", 400)),
    (reply(401), Retry("auth", "The EHR does not accept our token", 401)),
    (reply(403, b"Tenant not valid or accessible"), Refused("Tenant not valid or accessible", 403)),
    (reply(404), Refused("The EHR refuses it (404)", 404)),
    (reply(405), Refused("The EHR refuses it (405)", 405)),
    (reply(406), Refused("The EHR refuses it (406)", 406)),
    (reply(408), Retry("transient", "The EHR failed (408)", 408)),
    (reply(410), Refused("The EHR refuses it (410)", 410)),
    (reply(413), Refused("The EHR refuses it (413)", 413)),
    (reply(415), Refused("The EHR refuses it (415)", 415)),
    (reply(418), Refused("The EHR refuses it (418)", 418)),
    (reply(422, ERROR), Refused("Observation.code: no code", 422)),
    (reply(423), Retry("transient", "The EHR failed (423)", 423)),
    (reply(425), Retry("transient", "The EHR failed (425)", 425)),
    (reply(429, outcome({"severity": "error", "code": "throttled"}), retry_after="20"), Retry("transient", "throttled", 429, "20", True)),
    (reply(429), Retry("transient", "The EHR asks us to wait", 429, None, True)),
    (reply(503, b"", Retry_After="Wed, 01 Apr 2026 09:00:30 GMT"),
     Retry("transient", "The EHR asks us to wait", 503, "Wed, 01 Apr 2026 09:00:30 GMT", True)),
    (reply(500, b"oops"), Retry("transient", "oops", 500)),
    # Oracle: what is wrong with it, as if it were the EHR's own failure
    (reply(500, {**ERROR, "issue": [{**ERROR["issue"][0], "severity": "fatal"}, *WARNING["issue"]]}), Refused("Observation.code: no code; no narrative", 500)),
    (reply(500, outcome(*ERROR["issue"], {"severity": "error", "code": "timeout"})), Retry("transient", "Observation.code: no code; timeout", 500)),
    (reply(423, ERROR), Retry("transient", "Observation.code: no code", 423)),
    (reply(501), Retry("transient", "The EHR failed (501)", 501)),
    (reply(502), Unsure("A gateway lost the answer (502)", 502)),
    (reply(504, b"upstream"), Unsure("upstream", 504)),
]  # fmt: skip


@pytest.mark.parametrize(("answer", "means"), ANSWERS, ids=[f"{n}-{answer.status}" for n, (answer, _) in enumerate(ANSWERS)])
@pytest.mark.parametrize("updating", [True, False])
def test_what_an_answer_means(answer: Reply, means: Outcome, updating: bool) -> None:
    assert judged(answer, updating=updating) == means


@pytest.mark.parametrize("status", [409, 412])
def test_a_conflict_is_another_version_for_an_update_and_several_for_a_create(status: int) -> None:
    assert judged(reply(status), updating=True) == Retry("conflict", "The EHR holds another version", status)
    assert judged(reply(status), updating=False) == Refused("Several match our identifier", status)


@pytest.mark.parametrize(
    ("location", "id"),
    [
        ("https://ehr/fhir/Observation/o1/_history/2", "o1"), ("https://ehr/fhir/Observation/o1", "o1"), ("https://other/a/b/c/Observation/o1/", "o1"),
        ("/fhir/Observation/o1/_history/2", "o1"), ("Observation/o1", "o1"), ("Observation/o1/_history/2?x=y", "o1"), ("o1", None), ("", None), (None, None),
        ("https://ehr/fhir/Observation/..", None), ("https://ehr/fhir/Observation/%2e%2e%2fx", None), ("/fhir/Observation/a b", None),
    ],
)  # fmt: skip
def test_the_id_is_in_every_form_of_location(location: str | None, id: str | None) -> None:
    assert id_in(location) == id


@pytest.mark.parametrize(
    ("headers", "version"),
    [({"ETag": 'W/"2"'}, 'W/"2"'), ({"ETag": '"2"'}, '"2"'), ({"ETag": "2"}, "2"), ({"etag": 'W/"other"'}, 'W/"other"'), ({}, 'W/"3"')],
)
def test_a_version_is_kept_just_as_it_came_and_taken_from_the_body_where_there_is_no_etag(headers: dict[str, str], version: str) -> None:
    assert version_of(reply(200, OBSERVATION, **headers)) == version
    assert version_of(reply(200)) is None


@pytest.mark.parametrize("version", ["\u2603", "1\r\nX-Admin: yes", " 1", "", 7, None, "x" * 300])
def test_a_version_that_no_header_can_say_is_none(version: Any) -> None:
    assert version_of(reply(200, {**OBSERVATION, "meta": {"versionId": version}})) is None


@pytest.mark.parametrize("id", ["../../evil/x", "..", "", 5, None, "a/b", "a?b", "\u00e9"])
def test_an_id_that_is_no_part_of_a_path_is_none(id: Any) -> None:
    assert judged(reply(201, {"resourceType": "Observation", "id": id}), updating=False).remote_id is None  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (outcome({"diagnostics": "one", "expression": ["a.b", "c"]}, {"details": {"text": "two"}}, {"code": "three", "location": ["/f:x"]}),
         "a.b, c: one; two; /f:x: three"),
        (outcome("text", 5, None, {}), ""),
        ({"resourceType": "OperationOutcome", "issue": {"code": "x"}}, ""),
        ({"resourceType": "OperationOutcome", "issue": 5}, ""),
        (outcome({"details": "words", "code": "c"}), "c"),
        (outcome({"details": [], "code": ["c"], "expression": "Patient.name"}), "['c']"),
        (outcome({"diagnostics": "x" * 5000}), "x" * 2000),
        (b"  plain words \xff ", "plain words �"),
        (b"[" * 100_000, "[" * 300),
        ([1, 2], "[1, 2]"),
        (outcome({"diagnostics": "one\x1b[2J\r\ntwo"}), "one [2J  two"),
    ],
)  # fmt: skip
def test_the_ehrs_own_words_are_found_in_whatever_it_says(body: Any, words: str) -> None:
    assert words_of(reply(422, body)) == words
    assert judged(reply(422, body), updating=False) == Refused(words or "The EHR refuses it (422)", 422)
