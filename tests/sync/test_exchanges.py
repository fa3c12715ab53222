"""What is kept of a call to an EHR: who reads it learns what was said, and nothing that lets anybody in."""

import json
from typing import Any

from service.sync.exchanges import MOST_BYTES, bodies, exchange, heads
from service.sync.outcomes import Reply

REFUSED = Reply(422, {"content-type": "application/fhir+json", "Set-Cookie": "session=secret", "ETag": 'W/"3"', "X-Request-ID": "r-1"}, b'{"issue":[]}')


def kept(*arguments: Any) -> dict[str, Any]:
    [found] = json.loads(heads([exchange(*arguments)]))
    return dict(found)


def test_a_call_is_kept_by_its_heads() -> None:
    assert kept("PUT", "/Task/7", {"If-Match": 'W/"2"', "Content-Type": "application/fhir+json"}, b"{}", REFUSED) == {
        "method": "PUT", "path": "/Task/7", "request": {"Content-Type": "application/fhir+json", "If-Match": 'W/"2"'}, "status": 422,
        "response": {"Content-Type": "application/fhir+json", "ETag": 'W/"3"', "X-Request-ID": "r-1"},
    }  # fmt: skip


def test_nothing_that_lets_anybody_in_is_kept() -> None:
    secrets = {"Authorization": "Bearer secret", "X-API-Key": "secret", "Cookie": "secret", "Proxy-Authorization": "secret"}
    assert "secret" not in str(kept("GET", "/Task/7", secrets, None, REFUSED))


def test_what_is_searched_for_is_kept_without_its_values() -> None:
    found = kept("POST", "/Patient?family=Example&birthdate=1984-05-17", {"If-None-Exist": "identifier=nhs|9912003888"}, b"{}", Reply(201, {}, b""))
    assert found["path"] == "/Patient?family=&birthdate=" and found["request"] == {"If-None-Exist": "identifier="}
    moved = Reply(201, {"Location": "https://ehr.example.org/fhir/Patient/1?name=Example"}, b"")
    assert kept("POST", "/Patient", {}, b"{}", moved)["response"] == {"Location": "https://ehr.example.org/fhir/Patient/1"}


def test_a_call_without_an_answer_says_why() -> None:
    assert kept("GET", "/Task/7", {}, None, "no answer within 20 s") == {"method": "GET", "path": "/Task/7", "request": {}, "problem": "no answer within 20 s"}


def test_bodies_are_kept_up_to_a_limit() -> None:
    long = b"x" * (MOST_BYTES + 100)
    found = json.loads(bodies([exchange("POST", "/Task", {}, long, REFUSED), exchange("GET", "/Task/7", {}, None, Reply(200, {}, b"\xff\x00"))]))
    assert len(found[0]["request"]) == MOST_BYTES + len(" [cut off]") and found[0]["response"] == '{"issue":[]}'
    assert found[1] == {"request": "", "response": "\ufffd\x00"}
