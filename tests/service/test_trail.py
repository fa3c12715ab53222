"""What is said of a request once it is answered."""

from datetime import UTC, datetime
from typing import Any

import pytest

from service.logs import stamp
from service.wiring import Service
from tests.conftest import Http
from tests.service.tables import dicts


class Heard(list[dict[str, Any]]):
    """A log that keeps what it is told."""

    def info(self, event: str, **said: Any) -> None:
        self.append({"event": event, **said})


@pytest.fixture
def said(service: Service, monkeypatch: pytest.MonkeyPatch) -> Heard:
    heard = Heard()
    monkeypatch.setattr(service.trail, "_log", heard)
    return heard


def test_a_line_of_the_log_says_what_was_asked_of_whom_and_when_and_no_parameter(said: Heard, pathway: Http, service: Service) -> None:
    service.trail.flush()
    said.clear()
    began = stamp(datetime.now(UTC))
    reply = pathway.get("/fhir/r4/Patient?family=Example")
    ended = stamp(datetime.now(UTC))
    service.trail.flush()
    [line] = [line for line in said if line["event"] == "request"]
    assert began <= line.pop("timestamp") <= ended and 0 <= line.pop("ms") < 60_000
    client = line.pop("client")
    assert client not in ("", "-") and line == {
        "event": "request", "action": "fhir search-type", "method": "GET", "path": "/fhir/r4/Patient", "status": 200,
        "request": reply.headers["X-Request-ID"],
    }  # fmt: skip


def test_what_has_no_token_and_what_leads_nowhere_have_a_line_too(said: Heard, web: Any, service: Service) -> None:
    nobody = Http(web, None)
    for path in ("/health/live", "/fhir/r4/Patient", "/nothing/at/all"):
        nobody.get(path)
    service.trail.flush()
    assert [(line["path"], line["status"], line["client"]) for line in said] == [
        ("/health/live", 200, "-"), ("/fhir/r4/Patient", 401, "-"), ("/nothing/at/all", 404, "-"),
    ]  # fmt: skip


def test_no_line_is_longer_for_a_path_than_anybody_reads(said: Heard, clinic: Http, service: Service) -> None:
    clinic.get("/fhir/r4/Patient/" + "x" * 4000)
    service.trail.flush()
    assert [len(line["path"]) for line in said] == [500]


def test_a_log_that_nobody_reads_any_more_costs_no_row_of_the_audit(clinic: Http, service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    class Closed:
        def info(self, event: str, **said: Any) -> None:
            raise BrokenPipeError

    monkeypatch.setattr(service.trail, "_log", Closed())
    before = len(dicts(service.database, "audit"))
    for _ in range(3):
        clinic.get("/fhir/r4/Patient")
        service.trail.flush()
    assert len(dicts(service.database, "audit")) == before + 3


def test_what_cannot_be_put_on_the_trail_first_is_not_told_where_that_is_asked_for(pathway: Http, service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    def away(_work: Any) -> None:
        raise OSError("the database is away")

    monkeypatch.setattr(service.trail, "_sync", True)
    monkeypatch.setattr(service.database, "write", away)
    reply = pathway.get("/fhir/r4/Patient")
    assert (reply.status, reply.json["resourceType"], reply.json["issue"][0]["code"]) == (500, "OperationOutcome", "exception")
    assert b"Example" not in reply.body


def test_requests_are_counted_with_what_was_done_and_what_came_of_it(clinic: Http, service: Service) -> None:
    def counted() -> float:
        service.trail.flush()
        lines = clinic.get("/metrics").body.decode().splitlines()
        return sum(float(line.split()[-1]) for line in lines if line.startswith('pathway_fhir_requests_total{action="fhir read",status="404"'))

    before = counted()
    clinic.get("/fhir/r4/Patient/00000000-0000-0000-0000-000000000000")
    assert counted() == before + 1
