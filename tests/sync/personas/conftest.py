"""A patient's visit at EHRs of different manners, which a sandbox stands for."""

from collections.abc import Callable
from contextlib import closing
from typing import Any

import pytest

from service.store import targets
from service.store.clock import micros
from service.sync import ehrs
from service.sync.comparing import Finding
from service.sync.looking import Looking
from service.sync.reconciling import Reconciling
from service.wiring import Service
from tests.conftest import Http
from tests.service.records import consent, dosing, of, people, put
from tests.sync.conftest import deliveries

Json = dict[str, Any]
Work = Callable[[], int]


@pytest.fixture
def visit(clinic: Http) -> Http:
    """The clinic's software, with a patient, a visit with two readings of the heart rate, and a consent."""
    people(clinic)
    put(clinic, "dosing-encounters", dosing(observations=readings(2)))
    put(clinic, "consents", consent())
    return clinic


def readings(count: int, hr: int = 60) -> list[Json]:
    """Readings of the heart rate, each of which is two Observations: a panel and its member."""
    return [{"id": f"r{n}", "at": f"2026-03-02T10:{n:02}:00+00:00", "hr": hr + n} for n in range(count)]


def allergy(clinic: Http, status: str = "active") -> None:
    """The patient's background, with one allergy."""
    allergies = [{"id": "penicillin", "substance": "Penicillin", "clinicalStatus": status, "verification": "confirmed"}]
    put(clinic, "medical-backgrounds", of("ann", "background", allergies=allergies))


def calls(clinic: Http, **wanted: str) -> list[Json]:
    """The heads of every call of every attempt of deliveries, the first first."""
    told = [clinic.get(f"/api/v1/deliveries/{one['id']}").json for one in reversed(deliveries(clinic, **wanted))]
    return [call for one in told for attempt in one.get("log", []) for call in attempt["calls"]]


def reconciled(service: Service, name: str) -> tuple[list[Finding], list[str]]:
    """Everything that an EHR holds or should hold, and what kept us from seeing all of it."""
    with service.database.glance() as connection:
        target = targets.get(connection, name)
    assert target is not None
    talk, line = ehrs.rest(service, target)
    with closing(line):
        able = ehrs.able(service, target, talk, micros(service.tenant.now()))
        of_ehr = Reconciling(service, target, Looking(service, target, talk), able)
        return list(of_ehr.everything()), of_ehr.problems
