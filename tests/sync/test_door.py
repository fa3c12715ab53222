"""A door to an EHR: N3 of what EHRs do, as a worker says it, and nothing of ours behind another door."""

from collections.abc import Callable

import pytest

from service.manners import Manner
from service.sync.door import Always, Door
from service.sync.transport import Line
from tests.conftest import Clock, Http
from tests.service.records import patient, people, put
from tests.sync.conftest import Connect, deliveries, states
from tests.sync.scripted import says, scripted
from tests.sync.small import Small

Work = Callable[[], int]
HEADERS = [("X-Request-ID", "{request_id}"), ("X-Correlation-ID", "{correlation_id}"), ("NHSD-End-User-Organisation-ODS", "{organisation}")]


def said(ehr: Small, method: str) -> list[tuple[str, str]]:
    """The request and correlation ids of every call with a method."""
    return [(headers["X-Request-ID"], headers["X-Correlation-ID"]) for how, _, headers in ehr.asked if how == method]


@pytest.fixture
def changed(clinic: Http, ehr: Small, connect: Connect, work: Work) -> Http:
    """A patient whom a small EHR holds, and who has changed since."""
    connect("trust", ehr.base, 1, headers=HEADERS[:2])
    people(clinic)
    work()
    ehr.asked.clear()
    put(clinic, "patients", patient(gender="other"))
    return clinic


@pytest.mark.parametrize("status", [503, 500, 502, 429])
def test_a_write_that_is_made_again_has_the_id_that_it_had(changed: Http, ehr: Small, work: Work, clock: Clock, status: int) -> None:
    ehr.answers = lambda method, path: (status, {}) if method == "PUT" and path.startswith("/Patient") else None
    for _ in range(4):
        work()
        clock.forward(minutes=10)
    ehr.answers = lambda method, path: None
    work()
    puts = [(headers["X-Request-ID"], headers["X-Correlation-ID"]) for how, path, headers in ehr.asked if how == "PUT" and path.startswith("/Patient")]
    assert len(puts) == 5 and len({request for request, _ in puts}) == 1 and len({correlation for _, correlation in puts}) == 5
    gets = said(ehr, "GET")
    assert len({request for request, _ in gets}) == len(gets), "what is read is never what was read before"
    assert states(changed)["waiting"] == 0


def test_another_version_and_a_replay_have_ids_of_their_own(changed: Http, ehr: Small, work: Work) -> None:
    work()
    put(changed, "patients", patient(gender="female"))
    work()
    number = next(one["id"] for one in deliveries(changed, type="Patient"))
    assert changed.post(f"/api/v1/deliveries/{number}/replay").status in (200, 409)
    ids = [request for request, _ in said(ehr, "PUT")]
    assert len(ids) >= 2 and len(set(ids)) == len(ids)


def test_every_call_has_the_headers_that_an_ehr_wants(clinic: Http, ehr: Small, connect: Connect, work: Work) -> None:
    connect("trust", ehr.base, 1, headers=[("NHSD-Session-URID", "555254240100")], media_type="application/json+fhir", prefer="minimal")
    people(clinic)
    work()
    assert {headers.get("NHSD-Session-URID") for _, _, headers in ehr.asked} == {"555254240100"}
    assert {headers["Accept"] for _, _, headers in ehr.asked} == {"application/json+fhir"}
    posts = [headers for how, _, headers in ehr.asked if how == "POST"]
    assert posts and {(headers["Content-Type"], headers["Prefer"]) for headers in posts} == {("application/json+fhir", "return=minimal")}


def test_what_our_own_conditions_say_is_said_whatever_an_ehr_wants() -> None:
    with scripted(says(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n")) as ehr:
        line = Line(private=True, seconds=2)
        manner = Manner(templates={"if-match": "theirs"})  # which is refused where it is given
        Door(ehr.base, line, Always({"Authorization": "Bearer ours"}), manner).call("PUT", "/Patient/1", {}, {"If-Match": 'W/"1"', "Accept": "text/x"})
        line.close()
    assert b'If-Match: W/"1"' in ehr.asked[0] and b"Accept: text/x" in ehr.asked[0] and b"Authorization: Bearer ours" in ehr.asked[0]
