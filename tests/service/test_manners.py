"""How an EHR wants to be called: N3 and N6 of what EHRs do, and what may not be said in its name."""

from uuid import UUID

import pytest

from service.manners import Manner, problems

NHS = {"X-Request-ID": "{request_id}", "X-Correlation-ID": "{correlation_id}", "NHSD-Session-URID": "555254240100",
       "NHSD-End-User-Organisation-ODS": "{organisation}"}  # fmt: skip
TRUST = Manner(templates=NHS, organisation="RVX01", namespace=UUID(int=7))


def request_id(
    manner: Manner = TRUST, method: str = "PUT", path: str = "/Patient/1", body: bytes | None = b"{}", delivery: int = 4711, **conditions: str
) -> str:
    given = {name.replace("_", "-"): value for name, value in conditions.items()}
    return manner.headers(method, path, body, given, delivery)["X-Request-ID"]


def test_a_write_says_what_it_is_and_what_it_wants_to_hear() -> None:
    plain = Manner().headers("PUT", "/Patient/1", b"{}", {}, 1)
    assert plain == {"Accept": "application/fhir+json", "Content-Type": "application/fhir+json", "Prefer": "return=representation"}
    oracle = Manner("application/json+fhir", "minimal").headers("POST", "/Patient", b"{}", {}, 1)
    assert oracle == {"Accept": "application/json+fhir", "Content-Type": "application/json+fhir", "Prefer": "return=minimal"}
    assert "Prefer" not in Manner(answer="none").headers("POST", "/Patient", b"{}", {}, 1)
    assert Manner().headers("GET", "/Patient/1", None, {}, 1) == {"Accept": "application/fhir+json"}


def test_templates_are_filled_in() -> None:
    said = TRUST.headers("PUT", "/Patient/1", b"{}", {}, 4711)
    assert said["NHSD-Session-URID"] == "555254240100" and said["NHSD-End-User-Organisation-ODS"] == "RVX01"
    assert UUID(said["X-Request-ID"]) and UUID(said["X-Correlation-ID"]) and said["X-Request-ID"] != said["X-Correlation-ID"]


def test_a_write_keeps_its_request_id_for_every_attempt_and_has_a_correlation_id_of_its_own_each_time() -> None:
    attempts = [TRUST.headers("PUT", "/Patient/1", b"{}", {"If-Match": 'W/"2"'}, 4711) for _ in range(5)]
    assert len({one["X-Request-ID"] for one in attempts}) == 1 and len({one["X-Correlation-ID"] for one in attempts}) == 5


def test_what_is_another_write_has_another_request_id() -> None:
    """An EHR answers an id that it knows with what it said then: to a version that is not the newest, say, or to content that is outdated."""
    said = [
        request_id(), request_id(delivery=4712), request_id(method="POST"), request_id(path="/Patient/2"), request_id(body=b"{} "), request_id(body=None),
        request_id(If_Match='W/"2"'), request_id(If_Match='W/"3"'), request_id(If_None_Exist="identifier=a|b"),
        request_id(Manner(templates=NHS, namespace=UUID(int=8))),
    ]  # fmt: skip
    assert len(set(said)) == len(said)


def test_what_is_read_and_what_belongs_to_no_delivery_is_another_request_each_time() -> None:
    assert request_id(method="GET") != request_id(method="GET") and request_id(delivery=0) != request_id(delivery=0)


def test_a_gateways_key_is_in_no_text_that_is_made_of_a_manner() -> None:
    assert "secret" not in repr(Manner(templates={"apikey": "secret"}))


@pytest.mark.parametrize(
    ("name", "template", "said"),
    [
        *((name, "x", "is a header that is ours to set") for name in (
            "Authorization", "authorization", "Host", "Content-Type", "content-length", "If-Match", "If-None-Exist", "Accept", "Accept-Encoding", "Prefer",
            "User-Agent", "Connection", "Transfer-Encoding", "Proxy-Authorization", "TE", "Expect", "Cookie",
        )),
        *((name, "x", "is no name of a header") for name in ("", "X Y", "X:", "X\r\nY", "\u00dc", "X\n")),
        *(("X-A", value, "should be printable ASCII, without spaces at its ends") for value in (
            "a\r\nX-B: 1", "a\nb", "a\x00", "\u00fc", " a", "a ", "\r\n", "a\x7f", "a\tb",
        )),
        *(("X-A", value, "takes {request_id}, {correlation_id}, {organisation} in braces, and nothing else") for value in (
            "{token}", "{}", "{request_id", "}", "{{request_id}}", "{request_id.__class__}", "{0}",
        )),
        ("X-Org", "{organisation}", "names the organisation, and none is given"),
    ],
)  # fmt: skip
def test_a_header_that_could_say_something_else_is_refused(name: str, template: str, said: str) -> None:
    assert problems("application/fhir+json", "minimal", [(name, template)], None) == [(f"/headers/{name}", said)]


def test_a_header_is_given_once_however_it_is_spelt() -> None:
    found = problems("application/fhir+json", "minimal", [("X-A", "1"), ("x-a", "2")], None)
    assert found == [("/headers/X-A", "is given more than once"), ("/headers/x-a", "is given more than once")]


@pytest.mark.parametrize("said", ["application/fhir+json", "application/json+fhir", "application/json", "application/fhir+json; fhirVersion=4.0"])
def test_media_types_of_json_are_taken(said: str) -> None:
    assert problems(said, "minimal", NHS.items(), "RVX01") == []


@pytest.mark.parametrize("said", ["", "application/fhir+xml", "text/html", "application/json\r\nX: 1", "*/*", "json", "application/json;"])
def test_all_other_media_types_are_refused(said: str) -> None:
    assert [path for path, _ in problems(said, "everything", [], None)] == ["/mediaType", "/prefer"]
