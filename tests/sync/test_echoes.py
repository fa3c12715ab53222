"""What an EHR answers to our own writes is known again when it is read."""

from collections.abc import Callable

from service.store import conflicts, copies
from service.wiring import Service
from tests.conftest import Http
from tests.service.records import dosing, patient, people, put
from tests.sync.conftest import Connect, Sandbox
from tests.sync.test_pulling import pull_of

Work = Callable[[], int]


def test_our_own_decimals_are_no_change_of_the_ehrs(clinic: Http, connect: Connect, sandbox: Sandbox, work: Work, service: Service) -> None:
    connect("one", sandbox.url("plain"))
    people(clinic)
    put(clinic, "patients", patient())
    put(clinic, "dosing-encounters", dosing(observations=[{"id": "r", "at": "2026-03-02T12:00:00+00:00", "temperature": 36.6}]))
    work()
    assert clinic.delete("/api/v1/dosing-encounters/dose").status in (200, 204)
    pull = pull_of(service, "one", "Observation")
    assert (pull.taken, pull.contested, pull.unfit, pull.problems) == (0, 0, 0, []) and pull.same > 0
    with service.database.glance() as connection:
        assert conflicts.listed(connection) == []
        assert all(copy.sent_hash for copy, _ in copies.of_type(connection, "one", "Observation", 0, 100))
