"""What we and an EHR both changed: what can stand together does, and what cannot is a person's to settle, with both sides shown."""

from collections.abc import Callable
from typing import Any

import pytest
import requests

from service import contending
from service.exchange import Act
from service.store import conflicts
from service.store.clock import micros
from service.wiring import Service
from tests.conftest import Http
from tests.service.records import clinic as clinic_
from tests.service.records import put
from tests.sync.conftest import Connect, Sandbox, deliveries, states
from tests.sync.small import Small

Work = Callable[[], int]
Json = dict[str, Any]


@pytest.fixture
def both(service: Service, clinic: Http, connect: Connect, sandbox: Sandbox, work: Work) -> str:
    """An EHR holds a clinic of ours: its URL there."""
    connect("one", sandbox.url("plain"))
    put(clinic, "clinics", clinic_(name="Riverside"))
    work()
    [held] = sandbox.all("plain", "Organization")
    return f"{sandbox.url('plain')}/Organization/{held['id']}"


def change_there(url: str, **elements: Any) -> None:
    there = requests.get(url, timeout=10).json()
    answer = requests.put(url, json={**there, **elements}, timeout=10)
    assert answer.status_code == 200, answer.text


def there(url: str) -> Json:
    found: Json = requests.get(url, timeout=10).json()
    return found


def open_conflicts(service: Service) -> list[Json]:
    with service.database.reading() as connection:
        return [contending.described(one, words=True) for one in conflicts.listed(connection)]


def settle(service: Service, num: int, keep: str) -> None:
    service.database.write(lambda tx: contending.settle(Act(service.tenant, tx, "operator"), num, keep, micros(service.tenant.now())))


def test_what_each_side_changed_stands_together(service: Service, clinic: Http, both: str, work: Work) -> None:
    change_there(both, alias=["The river"])
    put(clinic, "clinics", clinic_(name="Riverside East"))
    work()
    assert (there(both)["name"], there(both)["alias"]) == ("Riverside East", ["The river"])
    put(clinic, "clinics", clinic_(name="Riverside West"))
    work()
    assert (there(both)["name"], there(both)["alias"]) == ("Riverside West", ["The river"])
    assert open_conflicts(service) == [] and set(states(clinic)) <= {"delivered", "superseded"}


def test_what_both_changed_is_parked_with_both_sides_shown_and_nothing_is_written(service: Service, clinic: Http, both: str, work: Work) -> None:
    change_there(both, name="The River Clinic")
    put(clinic, "clinics", clinic_(name="Riverside East"))
    work()
    assert there(both)["name"] == "The River Clinic"
    [parked] = deliveries(clinic, type="Organization", state="parked")
    assert parked["reason"] == "Changed here and at the EHR since both last agreed: name"
    [found] = open_conflicts(service)
    assert found["elements"] == [{"element": "Organization.name", "base": "Riverside", "ours": "Riverside East", "theirs": "The River Clinic"}]
    assert found["delivery"] == parked["id"]


def test_ours_is_sent_when_it_is_kept(service: Service, clinic: Http, both: str, work: Work) -> None:
    change_there(both, name="The River Clinic", alias=["The river"])
    put(clinic, "clinics", clinic_(name="Riverside East"))
    work()
    [found] = open_conflicts(service)
    settle(service, found["id"], "ours")
    work()
    assert there(both)["name"] == "Riverside East"
    assert open_conflicts(service) == [] and set(states(clinic)) <= {"delivered", "superseded"}


def test_theirs_is_taken_when_it_is_kept(service: Service, clinic: Http, both: str, work: Work) -> None:
    change_there(both, name="The River Clinic")
    put(clinic, "clinics", clinic_(name="Riverside East"))
    work()
    settle(service, open_conflicts(service)[0]["id"], "theirs")
    work()
    assert there(both)["name"] == "The River Clinic" and states(clinic)["parked"] == 0
    assert clinic.get("/api/v1/clinics/riverside").json["entity"]["name"] == "The River Clinic"
    put(clinic, "clinics", clinic_(name="The River Clinic", telecom=[{"system": "phone", "value": "01632 960001"}]))
    work()
    assert there(both)["name"] == "The River Clinic" and there(both)["telecom"][0]["value"] == "01632 960001"
    assert open_conflicts(service) == [] and set(states(clinic)) <= {"delivered", "superseded", "cancelled"}


def test_a_conflict_is_over_when_the_ehr_holds_what_we_say(service: Service, clinic: Http, both: str, work: Work) -> None:
    change_there(both, name="The River Clinic")
    put(clinic, "clinics", clinic_(name="Riverside East"))
    work()
    put(clinic, "clinics", clinic_(name="The River Clinic"))
    work()
    assert open_conflicts(service) == [] and states(clinic)["parked"] == 0


def test_what_the_ehr_removed_is_parked_and_created_anew_by_a_replay(clinic: Http, connect: Connect, work: Work, ehr: Small) -> None:
    connect("small", ehr.base)
    put(clinic, "clinics", clinic_(name="Riverside"))
    work()
    ehr.kept.clear()
    ehr.answers = lambda method, path: (404, {}) if method == "PUT" and path.strip("/") not in ehr.kept else None
    for name in ("Riverside East", "Riverside West"):
        put(clinic, "clinics", clinic_(name=name))
        work()
        [parked] = deliveries(clinic, type="Organization", state="parked")
        assert "is no more" in parked["reason"] and ehr.of("Organization") == []
    assert clinic.post(f"/api/v1/deliveries/{parked['id']}/replay").status == 200
    work()
    [made] = ehr.of("Organization")
    assert made["name"] == "Riverside West" and set(states(clinic)) <= {"delivered", "superseded"}
