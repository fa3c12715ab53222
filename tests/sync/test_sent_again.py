"""What is sent a second time: whatever the EHR changed of it in between stands."""

from collections.abc import Callable
from typing import Any

import pytest

from service import operating
from service.wiring import Service
from tests.conftest import Clock, Http
from tests.service.records import clinic as clinic_
from tests.service.records import dosing, patient, practitioner, put
from tests.sync.conftest import Connect, Sandbox, deliveries, states
from tests.sync.test_conflicts import both, change_there, open_conflicts, settle, there
from tests.sync.test_pulling import pull_of
from tests.sync.test_registering import remove

__all__ = ["both", "remove"]
Work = Callable[[], int]
Json = dict[str, Any]


@pytest.fixture
def visit_there(clinic: Http, connect: Connect, sandbox: Sandbox, work: Work) -> str:
    """An EHR holds a visit of ours that refers by our identifier to who is refused there: its URL."""
    sandbox.fault("plain", "status", status=422, method="POST", type="Practitioner")
    connect("one", sandbox.url("plain"))
    put(clinic, "patients", patient("ann"))
    put(clinic, "practitioners", practitioner())
    put(clinic, "clinics", clinic_())
    put(clinic, "dosing-encounters", dosing(participants=[{"practitioner": "dr-shah", "function": "prescriber"}]))
    work()
    sandbox.mend()
    [held] = sandbox.all("plain", "Encounter")
    assert "identifier" in held["participant"][0]["individual"]
    return f"{sandbox.url('plain')}/Encounter/{held['id']}"


ADDED = {"hospitalization": {"preAdmissionIdentifier": {"value": "A1"}}}


@pytest.mark.parametrize("theirs", [ADDED, {**ADDED, "status": "in-progress"}], ids=["added", "changed"])
@pytest.mark.parametrize("pulled", [False, True], ids=["unheard", "heard"])
def test_what_they_changed_of_what_is_sent_again_because_a_reference_resolves_now_stands(
    service: Service, clinic: Http, visit_there: str, work: Work, pulled: bool, theirs: Json
) -> None:
    change_there(visit_there, **theirs)
    if pulled:
        pull_of(service, "one", "Encounter")
    [refused] = {one["id"] for one in deliveries(clinic, state="parked") if one["resource"]["type"] == "Practitioner"}
    clinic.post(f"/api/v1/deliveries/{refused}/replay")
    work()
    assert {name: there(visit_there)[name] for name in theirs} == theirs
    assert there(visit_there)["participant"][0]["individual"]["reference"].startswith("Practitioner/")
    assert open_conflicts(service) == [] and deliveries(clinic, state="parked") == []
    if not pulled:
        pull_of(service, "one", "Encounter")
    work()
    assert {name: there(visit_there)[name] for name in theirs} == theirs
    assert clinic.get("/api/v1/dosing-encounters/dose").json["entity"]["status"] == theirs.get("status", "finished")


@pytest.mark.parametrize("method", ["POST", "PUT"])
def test_what_they_changed_after_a_write_whose_answer_was_lost_stands(
    service: Service, clinic: Http, both: str, sandbox: Sandbox, work: Work, clock: Clock, method: str
) -> None:
    key = "riverside" if method == "PUT" else "hillside"
    sandbox.fault("plain", "reset", when="after", method=method, type="Organization", times=1)
    put(clinic, "clinics", clinic_(key, name="Riverside East"))
    work()
    [held] = [one for one in sandbox.all("plain", "Organization") if one["name"] == "Riverside East"]
    url = f"{sandbox.url('plain')}/Organization/{held['id']}"
    change_there(url, name="The River Clinic")
    clock.forward(seconds=60)
    work()
    assert there(url)["name"] == "The River Clinic" and (open_conflicts(service) == []) == (method == "POST")


@pytest.mark.parametrize("ours", [False, True], ids=["theirs-alone", "ours-too"])
def test_what_they_changed_while_a_patient_was_linked_to_another_by_mistake_goes_to_the_right_one(
    service: Service, clinic: Http, connect: Connect, sandbox: Sandbox, work: Work, ours: bool
) -> None:
    wrong, right = sandbox.seed("plain", *({"resourceType": "Patient", "name": [{"family": name}]} for name in ("Wrong", "Right")))
    connect("one", sandbox.url("plain"), create_people=False)
    put(clinic, "practitioners", practitioner())
    put(clinic, "clinics", clinic_())
    put(clinic, "patients", patient("ann"))
    put(clinic, "dosing-encounters", dosing())

    def link(to: str) -> None:
        service.database.write(lambda tx: operating.link(service.tenant, tx, "one", "Patient/ann", to.partition("/")[2]))
        work()

    link(wrong)
    [held] = sandbox.all("plain", "Encounter")
    assert held["subject"]["reference"] == wrong
    change_there(f"{sandbox.url('plain')}/Encounter/{held['id']}", **ADDED)
    if ours:
        put(clinic, "dosing-encounters", dosing(end="2026-03-02T13:40:00+00:00"))
    link(right)
    [held] = sandbox.all("plain", "Encounter")
    assert held["subject"]["reference"] == right and held["hospitalization"] == ADDED["hospitalization"]
    assert open_conflicts(service) == [] and (held["period"]["end"] == "2026-03-02T13:40:00+00:00") == ours
    link(wrong)
    assert [one["subject"]["reference"] for one in sandbox.all("plain", "Encounter")] == [wrong]


@pytest.mark.parametrize("way", ["412", "lost", "lost-before"])
def test_what_we_took_away_goes_there_though_the_ehr_says_all_the_rest(
    service: Service, clinic: Http, connect: Connect, sandbox: Sandbox, work: Work, clock: Clock, way: str
) -> None:
    """An EHR that holds more than what we say now does not hold what we say: what we took away is there still."""
    connect("one", sandbox.url("plain"))
    put(clinic, "patients", patient("ann", telecom=[{"system": "phone", "value": "07700 900001"}, {"system": "email", "value": "ann@example.org"}]))
    work()
    [held] = sandbox.all("plain", "Patient")
    assert len(held["telecom"]) == 2
    put(clinic, "patients", patient("ann", telecom=[{"system": "phone", "value": "07700 900001"}]))
    if way == "412":
        change_there(f"{sandbox.url('plain')}/Patient/{held['id']}", maritalStatus={"text": "Theirs"})
    else:
        sandbox.fault("plain", "reset", when="after" if way == "lost" else "before", method="PUT", type="Patient", times=1)
    work()
    clock.forward(seconds=60)
    work()
    [held] = sandbox.all("plain", "Patient")
    assert [one["value"] for one in held["telecom"]] == ["07700 900001"] and ("maritalStatus" in held) == (way == "412")
    assert open_conflicts(service) == [] and work() == 0


@pytest.mark.parametrize("pulled", [False, True], ids=["parked", "pulled"])
def test_what_else_we_changed_is_sent_when_theirs_is_kept(service: Service, clinic: Http, both: str, work: Work, pulled: bool) -> None:
    change_there(both, name="The River Clinic")
    put(clinic, "clinics", clinic_(name="Riverside East", telecom=[{"system": "phone", "value": "01865 1"}]))
    if pulled:
        pull_of(service, "one", "Organization")
    work()
    [found] = open_conflicts(service)
    settle(service, found["id"], "theirs")
    work()
    assert (there(both)["name"], there(both)["telecom"][0]["value"]) == ("The River Clinic", "01865 1")
    pull_of(service, "one", "Organization")
    assert open_conflicts(service) == [] and set(states(clinic)) <= {"delivered", "superseded", "cancelled"}
    assert clinic.get("/api/v1/clinics/riverside").json["entity"]["telecom"] == [{"system": "phone", "value": "01865 1"}]


@pytest.mark.parametrize("created", [True, False], ids=["created", "not-created"])
@pytest.mark.parametrize("transactions", [False, True], ids=["singly", "together"])
def test_what_is_entered_in_error_while_nobody_knows_whether_it_was_created_is_looked_for(
    clinic: Http, connect: Connect, sandbox: Sandbox, work: Work, clock: Clock, created: bool, transactions: bool
) -> None:
    connect("one", sandbox.url("plain"), transactions=transactions)
    put(clinic, "practitioners", practitioner())
    put(clinic, "clinics", clinic_())
    put(clinic, "patients", patient("ann"))
    work()
    sandbox.fault("plain", "reset", when="after" if created else "before", method="POST", times=1)
    put(clinic, "dosing-encounters", dosing())
    work()
    assert bool(sandbox.all("plain", "Encounter")) == created
    clinic.delete("/api/v1/dosing-encounters/dose")
    clock.forward(seconds=60)
    work()
    assert [one["status"] for one in sandbox.all("plain", "Encounter")] == (["entered-in-error"] if created else [])
    assert set(states(clinic)) <= {"delivered", "superseded", "cancelled"}, [(one["resource"]["type"], one["reason"]) for one in deliveries(clinic, state="parked")]


def test_what_cannot_be_taken_is_in_conflict_until_both_sides_say_the_same(service: Service, clinic: Http, connect: Connect, sandbox: Sandbox, work: Work) -> None:
    phone = {"system": "phone", "value": "07700 900001", "use": "mobile"}
    connect("one", sandbox.url("plain"))
    put(clinic, "patients", patient("ann", telecom=[phone]))
    work()
    [held] = sandbox.all("plain", "Patient")
    url = f"{sandbox.url('plain')}/Patient/{held['id']}"
    change_there(url, telecom=[{**phone, "use": "old"}], maritalStatus={"text": "Theirs"})
    pull_of(service, "one", "Patient")
    [found] = open_conflicts(service)
    put(clinic, "patients", patient("ann", telecom=[phone], gender="other"))
    work()
    assert there(url)["gender"] == "other" and there(url)["telecom"][0]["use"] == "old" and open_conflicts(service) == [found]
    change_there(url, telecom=[phone])
    put(clinic, "patients", patient("ann", telecom=[phone], gender="female"))
    work()
    assert open_conflicts(service) == [] and there(url)["maritalStatus"] == {"text": "Theirs"}


@pytest.mark.parametrize("transactions", [False, True], ids=["singly", "together"])
def test_an_ehr_that_is_removed_and_added_again_is_sent_nothing_twice(
    clinic: Http, connect: Connect, sandbox: Sandbox, work: Work, remove: Callable[[str], int], transactions: bool
) -> None:
    connect("one", sandbox.url("plain"), transactions=transactions)
    put(clinic, "practitioners", practitioner())
    put(clinic, "clinics", clinic_())
    put(clinic, "patients", patient("ann"))
    put(clinic, "dosing-encounters", dosing())
    work()
    before = sandbox.counts("plain")
    assert before["Provenance"]
    remove("one")
    connect("again", f"{sandbox.url('plain')}/", transactions=transactions)
    work()
    assert sandbox.counts("plain") == before and deliveries(clinic, ehr="again", state="parked") == []
