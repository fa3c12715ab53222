"""A worker and real EHRs over HTTP: what is owed arrives, once, in order, and no more than the EHR may see."""

import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Connection, text
from structlog.testing import CapturingLogger

from mappings.references import references_in
from service import operating
from service.app import create_app
from service.config import Settings
from service.store import streams, targets
from service.store.clock import DatabaseTime, micros
from service.store.database import Database
from service.sync import sending
from service.sync.worker import Worker
from service.wiring import Service, wire
from tests.conftest import Clock, Http, token_for
from tests.service.records import consent, dosing, emdr, example, of_type, patient, people, practitioner, provision, put
from tests.service.tables import dicts
from tests.sync.conftest import Connect, Sandbox, deliveries, states
from tests.sync.small import Small

Work = Callable[[], int]
EPIC_CREATES = {"AllergyIntolerance", "Condition", "Observation", "Patient", "Procedure", "QuestionnaireResponse"}


def seen_at(reader: Any, level: int, types: Any) -> dict[str, int]:
    """How many resources of each type a reader of a level finds with us."""
    counts = {type_: reader(level, role="ehr").get(f"/fhir/r4/{type_}?_summary=count").json["total"] for type_ in types}
    return {type_: n for type_, n in counts.items() if n}


def readings(count: int) -> list[dict[str, Any]]:
    """Readings of the heart rate, each of which is two Observations: a panel and its member."""
    return [{"id": f"r{n}", "at": f"2026-03-02T10:{n:02}:00+00:00", "hr": 60 + n} for n in range(count)]


def types_of(clinic: Http) -> set[str]:
    return {one["resource"]["type"] for one in deliveries(clinic)}


def test_a_whole_pathway_arrives_type_by_type_as_the_level_sees_it(clinic: Http, sandbox: Sandbox, connect: Connect, work: Work, reader: Any, request: Any) -> None:
    connect("plain", sandbox.url("plain"), 2)
    connect("epic", sandbox.url("epic"), 1)
    request.getfixturevalue("pathway")
    work()
    assert sandbox.counts("plain") == seen_at(reader, 2, types_of(clinic))
    assert sandbox.counts("epic") == seen_at(reader, 1, EPIC_CREATES)
    assert set(states(clinic, ehr="plain")) <= {"delivered", "superseded"}
    unsupported = {one["resource"]["type"] for one in deliveries(clinic, ehr="epic", state="unsupported")}
    assert {"Encounter", "MedicationAdministration", "CarePlan", "Practitioner"} <= unsupported and not unsupported & {"Observation", "Patient", "Procedure"}
    assert "waiting" not in states(clinic, ehr="epic")
    ours, theirs = (
        Counter((type_, path) for type_ in sandbox.counts("plain") for one in of(type_) for path, to, _ in references_in(one) if "reference" not in to)
        for of in (lambda type_: reader(2, role="ehr").found(f"/fhir/r4/{type_}?_count=500"), lambda type_: sandbox.all("plain", type_))
    )
    assert ours == theirs
    there = sandbox.versions("plain") + sandbox.versions("epic")
    assert work() == 0 and sandbox.versions("plain") + sandbox.versions("epic") == there


@pytest.fixture
def arrived(clinic: Http, ehr: Small, connect: Connect, work: Work) -> Iterator[Http]:
    """A patient's two visits, which a small EHR holds."""
    connect("small", ehr.base, 1)
    people(clinic)
    put(clinic, "dosing-encounters", dosing(observations=readings(2)))
    put(clinic, "emdr-procedures", emdr())
    work()
    assert set(states(clinic)) <= {"delivered", "superseded", "unsupported"}, deliveries(clinic)
    ehr.writes.clear()
    return clinic


def test_a_change_arrives_as_an_update_and_what_did_not_change_is_not_sent(arrived: Http, ehr: Small, work: Work) -> None:
    put(arrived, "patients", patient(gender="other"))
    work()
    assert [one for one in ehr.writes if one != "PUT Provenance"] == ["PUT Patient"]
    assert [one["gender"] for one in ehr.of("Patient")] == ["other"]


def test_an_item_that_is_taken_away_is_entered_in_error_there(arrived: Http, ehr: Small, work: Work) -> None:
    assert arrived.delete("/api/v1/dosing-encounters/dose/observations/r0").status == 200
    work()
    assert Counter(one["status"] for one in ehr.of("Observation")) == {"entered-in-error": 2, "final": 2}
    assert arrived.delete("/api/v1/dosing-encounters/dose").status in (200, 204)
    work()
    assert {one["status"] for one in ehr.of("Observation")} == {"entered-in-error"}
    assert [one["status"] for one in ehr.of("Encounter")].count("entered-in-error") == 1


def test_what_is_deleted_and_comes_back_is_created_again(arrived: Http, ehr: Small, work: Work) -> None:
    provenance = len(ehr.of("Provenance"))
    assert arrived.delete("/api/v1/dosing-encounters/dose").status in (200, 204)
    work()
    assert len(ehr.of("Provenance")) < provenance and "DELETE Provenance" in ehr.writes
    put(arrived, "dosing-encounters", dosing())
    work()
    assert states(arrived)["waiting"] == 0 and len(ehr.of("Provenance")) == provenance


def test_a_paused_ehr_is_sent_nothing_until_it_is_resumed(arrived: Http, ehr: Small, work: Work, service: Service) -> None:
    service.database.write(lambda tx: operating.pause(tx, "small", paused=True))
    put(arrived, "patients", patient(gender="other"))
    assert work() == 0 and ehr.writes == []
    service.database.write(lambda tx: operating.pause(tx, "small", paused=False))
    work()
    assert "PUT Patient" in ehr.writes


def test_an_ehr_that_is_paused_in_the_middle_is_sent_no_further_batch(clinic: Http, ehr: Small, connect: Connect, work: Work, service: Service) -> None:
    connect("small", ehr.base, 1)
    people(clinic)
    put(clinic, "dosing-encounters", dosing(observations=readings(20)))
    ehr.before = lambda method, path: service.database.write(lambda tx: operating.pause(tx, "small", paused=True)) if path.startswith("/Observation") else None
    work()
    assert 0 < len(ehr.of("Observation")) <= 25 and states(clinic)["waiting"] >= 15
    ehr.before = lambda method, path: None
    service.database.write(lambda tx: operating.pause(tx, "small", paused=False))
    work()
    assert len(ehr.of("Observation")) == 40


@pytest.mark.parametrize(("said", "seconds"), [("30", 30), ("0.5", 1), ("99999", 300), (None, 10)])
def test_an_ehr_that_asks_us_to_wait_is_left_alone_and_no_attempt_is_counted(
    arrived: Http, ehr: Small, work: Work, clock: Clock, said: str | None, seconds: int
) -> None:
    put(arrived, "patients", patient(gender="other"))
    put(arrived, "practitioners", practitioner(active=False))
    ehr.answers = lambda method, path: (429, {"Retry-After": said} if said else {}) if method == "PUT" else None
    work()
    assert states(arrived)["waiting"] >= 2 and {one["attempts"] for one in deliveries(arrived, state="waiting")} == {0}
    ehr.answers = lambda method, path: None
    clock.forward(seconds=seconds - 0.01)
    assert work() == 0
    clock.forward(seconds=0.02)
    assert work() >= 2 and states(arrived)["waiting"] == 0


def test_an_ehr_that_keeps_failing_is_left_alone_longer_and_longer(arrived: Http, ehr: Small, work: Work, clock: Clock, database: Database) -> None:
    ehr.answers = lambda method, path: (500, {}) if method == "PUT" else None
    for n in range(7):
        put(arrived, "practitioners", practitioner(f"p{n}"))
        put(arrived, "patients", patient(gender=("other", "male")[n % 2]))
        ehr.answers = lambda method, path: (500, {}) if method in ("PUT", "POST") else None
        work()
        clock.forward(seconds=301)
    [target] = dicts(database, "target")
    assert target["failures"] >= 7 and target["snoozed_until"] > 0
    ehr.answers = lambda method, path: None
    clock.forward(seconds=301)
    work()
    assert states(arrived)["waiting"] == 0 and dicts(database, "target")[0]["failures"] == 0


def test_what_was_refused_is_parked_with_the_ehrs_words_and_sent_again_when_replayed(arrived: Http, ehr: Small, work: Work) -> None:
    put(arrived, "patients", patient(gender="other"))
    ehr.answers = lambda method, path: (422, {}) if method == "PUT" and path.startswith("/Patient") else None
    work()
    [parked] = deliveries(arrived, state="parked")
    assert (parked["resource"]["type"], parked["reason"], parked["attempts"]) == ("Patient", "The EHR refuses it (422)", 1)
    ehr.answers = lambda method, path: None
    assert arrived.post(f"/api/v1/deliveries/{parked['id']}/replay").status in (200, 202)
    work()
    again = deliveries(arrived, type="Patient")[0]
    assert arrived.get(f"/api/v1/deliveries/{again['id']}").json["replays"] == parked["id"]
    assert again["state"] == "delivered" and arrived.get(f"/api/v1/deliveries/{parked['id']}").json["state"] == "superseded"


def test_what_was_cancelled_is_not_sent_until_it_changes(arrived: Http, ehr: Small, work: Work) -> None:
    put(arrived, "patients", patient(gender="other"))
    for one in deliveries(arrived, state="waiting"):
        assert arrived.post(f"/api/v1/deliveries/{one['id']}/cancel").status == 200
    assert work() == 0 and ehr.writes == []
    put(arrived, "patients", patient(gender="male"))
    work()
    assert [one["gender"] for one in ehr.of("Patient")] == ["male"]


def test_what_waits_for_something_that_was_given_up_ends_visibly(clinic: Http, ehr: Small, connect: Connect, work: Work) -> None:
    connect("small", ehr.base, 1)
    people(clinic)
    put(clinic, "dosing-encounters", dosing())
    ehr.answers = lambda method, path: (422, {}) if method == "POST" and path.startswith("/Patient") else None
    work()
    held_back = {one["resource"]["type"] for one in deliveries(clinic, state="waiting")}
    assert "Encounter" in held_back
    [parked] = deliveries(clinic, state="parked")
    patient_there = f"Patient/{parked['resource']['id']}"
    assert f"Waits for what it refers to: {patient_there}" in {one["reason"] for one in deliveries(clinic, state="waiting")}
    assert clinic.post(f"/api/v1/deliveries/{parked['id']}/cancel").status == 200
    work()
    assert states(clinic)["waiting"] == 0
    assert f"Encounter.subject refers to {patient_there} that this EHR neither holds nor is owed" in {one["reason"] for one in deliveries(clinic, state="parked")}


def test_people_who_may_not_be_created_are_linked_and_then_all_that_waited_arrives(
    clinic: Http, sandbox: Sandbox, connect: Connect, work: Work, service: Service
) -> None:
    connect("plain", sandbox.url("plain"), 2, create_people=False)
    people(clinic)
    visit = of_type(put(clinic, "dosing-encounters", dosing(participants=[{"practitioner": "dr-shah", "function": "prescriber"}])), "Encounter")
    work()
    assert set(sandbox.counts("plain")) <= {"Provenance"}  # which refers to whom it is about weakly
    assert {one["resource"]["type"] for one in deliveries(clinic, state="parked")} == {"Patient", "Practitioner", "Organization"}
    assert {one["resource"]["type"] for one in deliveries(clinic, state="unsupported")} >= {"Location"}
    theirs = {type_: sandbox.add("plain", {"resourceType": type_, "name": [{"family": "Theirs"}]}) for type_ in ("Patient", "Practitioner")}
    service.database.write(lambda tx: operating.link(service.tenant, tx, "plain", "Patient/ann", theirs["Patient"]))
    work()
    [there] = sandbox.all("plain", "Encounter")
    assert there["subject"]["reference"] == f"Patient/{theirs['Patient']}" and "reference" not in there["participant"][0]["individual"]
    service.database.write(lambda tx: operating.link(service.tenant, tx, "plain", "Practitioner/dr-shah", theirs["Practitioner"]))
    work()
    [there] = sandbox.all("plain", "Encounter")
    assert there["participant"][0]["individual"]["reference"] == f"Practitioner/{theirs['Practitioner']}" and there["meta"]["versionId"] == "2"
    put(clinic, "patients", patient(gender="other"))
    work()
    assert [(one["name"], one["meta"]["versionId"]) for one in sandbox.all("plain", "Patient")] == [([{"family": "Theirs"}], "1")]
    assert visit.startswith("Encounter/")


def test_a_consent_between_owing_and_sending_is_obeyed(clinic: Http, ehr: Small, connect: Connect, work: Work) -> None:
    connect("small", ehr.base, 1)
    people(clinic)
    put(clinic, "dosing-encounters", dosing(observations=readings(1)))
    put(clinic, "consents", consent(provisions=[provision("deny", "C0", role="ehr")]))
    work()
    assert ehr.of("Patient") == ehr.of("Encounter") == ehr.of("Observation") == []
    assert {one["resource"]["type"] for one in deliveries(clinic, state="cancelled")} >= {"Patient", "Encounter", "Observation"} and states(clinic)["waiting"] == 0


@pytest.mark.parametrize("there", [3, *range(20, 26)])  # in the middle of a batch, and about where one ends and the next begins
def test_a_consent_that_comes_while_a_batch_is_under_way_is_obeyed_from_the_next_resource_on(
    clinic: Http, ehr: Small, connect: Connect, work: Work, there: int
) -> None:
    connect("small", ehr.base, 1)
    people(clinic)
    put(clinic, "dosing-encounters", dosing(observations=readings(15)))
    denied = []

    def deny(method: str, path: str) -> None:
        if method == "POST" and path == "/Observation" and len(ehr.of("Observation")) == there and not denied:
            denied.append(put(clinic, "consents", consent(provisions=[provision("deny", "C0", role="ehr")])))

    ehr.before = deny
    work()
    assert denied and len(ehr.of("Observation")) == there + 1  # the one that was on its way
    assert states(clinic)["waiting"] == 0


def test_a_visit_of_several_batches_is_sent_once(clinic: Http, sandbox: Sandbox, connect: Connect, work: Work) -> None:
    connect("plain", sandbox.url("plain"), 2)
    for plural, name in (("practitioners", "dr-shah"), ("practitioners", "nurse-okafor"), ("clinics", "riverside"), ("patients", "ann")):
        put(clinic, plural, example(plural, name))
    work()
    there, versions = sum(sandbox.counts("plain").values()), sandbox.versions("plain")
    visit = example("dosing-encounters", "ann-dose-1")
    put(clinic, "dosing-encounters", {name: value for name, value in visit.items() if name not in ("pathwayId", "screeningId", "consentId")})
    work()
    arrived = sum(sandbox.counts("plain").values()) - there
    assert sending.BATCH < arrived == sandbox.versions("plain") - versions


def test_what_changes_after_it_was_read_and_before_its_batch_begins_is_sent_as_it_is_then(clinic: Http, ehr: Small, connect: Connect, work: Work) -> None:
    connect("small", ehr.base, 1)
    people(clinic)
    put(clinic, "dosing-encounters", dosing(observations=readings(30)))
    corrected = []

    def correct(method: str, path: str) -> None:
        if path == "/Observation" and not corrected:
            corrected.append(put(clinic, "dosing-encounters", dosing(observations=[*readings(29), {**readings(30)[29], "hr": 140}])))

    ehr.before = correct
    work()
    assert {one["valueQuantity"]["value"] for one in ehr.of("Observation") if "valueQuantity" in one} == {*range(60, 89), 140}
    assert corrected and "PUT Observation" not in ehr.writes


@pytest.fixture
def visited(clinic: Http, ehr: Small, connect: Connect, work: Work) -> Http:
    """A small EHR that has the people, and is owed a visit of three batches and more."""
    connect("small", ehr.base, 1)
    people(clinic)
    work()
    put(clinic, "dosing-encounters", dosing(observations=readings(30)))
    return clinic


@pytest.mark.parametrize("nth", [10, 25, 26, 40])
def test_a_patient_who_is_linked_to_another_while_batches_are_under_way_has_all_of_them_there(
    visited: Http, ehr: Small, work: Work, service: Service, nth: int
) -> None:
    ehr.kept["Patient/other"] = {"resourceType": "Patient", "id": "other", "meta": {"versionId": "1"}}
    sent, linked = len(ehr.writes), []

    def link(method: str, path: str) -> None:
        if method == "POST" and len(ehr.writes) == sent + nth - 1 and not linked:
            linked.append(service.database.write(lambda tx: operating.link(service.tenant, tx, "small", "Patient/ann", "other", same_person=True)))

    ehr.before = link
    work()
    assert linked and Counter(one["subject"]["reference"] for one in ehr.of("Observation")) == {"Patient/other": 60}


def test_what_needs_what_an_ehr_turns_out_not_to_take_is_parked_in_whatever_batch_it_is(
    clinic: Http, ehr: Small, connect: Connect, work: Work, clock: Clock
) -> None:
    [one] = [one for one in ehr.statement["rest"][0]["resource"] if one["type"] == "Patient"]
    one["interaction"] = [{"code": "read"}]
    connect("small", ehr.base, 1)
    people(clinic)
    put(clinic, "dosing-encounters", dosing(observations=readings(30)))
    for _ in range(2):
        work()
        clock.forward(hours=1)
    assert Counter(one["resource"]["type"] for one in deliveries(clinic, state="parked")) == {"Observation": 60, "Encounter": 1}
    assert states(clinic)["waiting"] == 0


def test_failures_before_an_ehr_recovers_are_forgotten_in_whatever_batch_it_does(visited: Http, ehr: Small, work: Work, service: Service) -> None:
    posts = [0]

    def answers(method: str, path: str) -> tuple[int, dict[str, str], bytes] | None:
        posts[0] += method == "POST"
        return (500, {}, b"") if method == "POST" and 22 <= posts[0] <= 25 else None

    ehr.answers = answers
    work()
    with service.database.glance() as connection:
        assert operating.there(connection, "small").failures == 0 and posts[0] > 40


def test_a_reference_that_resolves_while_it_is_sent_as_a_logical_one_is_sent_again(clinic: Http, ehr: Small, connect: Connect, work: Work, service: Service) -> None:
    connect("small", ehr.base, 1)
    ehr.answers = lambda method, path: (429, {"Retry-After": "1"}) if path.startswith("/Practitioner") else None
    people(clinic)
    put(clinic, "dosing-encounters", dosing(participants=[{"practitioner": "dr-shah", "function": "prescriber"}]))
    met = threading.Event()

    def meet(method: str, path: str) -> None:
        if method == "POST" and path == "/Encounter" and not met.is_set():
            met.set()
            ehr.answers = lambda method, path: None
            Worker(service).run(until_idle=True)  # another worker brings the practitioner there meanwhile

    ehr.before = meet
    for _ in range(3):
        service.tenant.now.forward(seconds=2)  # type: ignore[attr-defined]
        work()
    [there] = ehr.of("Encounter")
    assert met.is_set() and there["participant"][0]["individual"]["reference"].startswith("Practitioner/r")


def test_a_worker_that_lost_its_lease_in_the_middle_writes_nothing_and_sends_nothing_more(
    clinic: Http, ehr: Small, connect: Connect, service: Service, clock: Clock, database: Database
) -> None:
    connect("small", ehr.base, 1)
    people(clinic)
    put(clinic, "dosing-encounters", dosing(observations=readings(1)))
    taken = threading.Event()

    def take(method: str, path: str) -> None:
        if method == "POST" and path == "/Patient" and not taken.is_set():
            taken.set()
            clock.forward(seconds=31)  # the first worker was stopped for longer than its lease
            Worker(service).run(until_idle=True)

    ehr.before = take
    Worker(service, threads=1).run(until_idle=True)
    assert taken.is_set()
    assert (len(ehr.of("Encounter")), len(ehr.of("Observation"))) == (1, 2)
    held = [row for row in dicts(database, "copy") if row["target"] == "small"]
    assert len({row["resource"] for row in held}) == len(held) and states(clinic)["waiting"] == states(clinic)["sending"] == 0


def test_a_worker_goes_on_when_the_database_works_again_and_sends_nothing_twice(
    clinic: Http, ehr: Small, connect: Connect, service: Service, clock: Clock, database: Database
) -> None:
    connect("small", ehr.base, 1)
    people(clinic)
    put(clinic, "dosing-encounters", dosing(observations=readings(2)))
    log, away = CapturingLogger(), threading.Event()
    worker = Worker(replace(service, log=log), threads=1)

    def break_it(method: str, path: str) -> None:
        if method == "POST" and path == "/Encounter" and not away.is_set():
            away.set()
            database.write(lambda tx: tx.execute(text("ALTER TABLE stream RENAME TO away")))

    ehr.before = break_it
    thread = threading.Thread(target=worker.run)
    thread.start()
    try:
        wait_until(lambda: Counter(call.args[0] for call in log.calls)["stream_failed"] == 2)  # in being sent, and in being given back
        wait_until(lambda: "worker_failed" in {call.args[0] for call in log.calls})
        database.write(lambda tx: tx.execute(text("ALTER TABLE away RENAME TO stream")))
        clock.forward(seconds=31)  # the lease that could not be given back lapses
        wait_until(lambda: not {"waiting", "sending"} & states(clinic).keys())
    finally:
        worker.stop()
        thread.join(20)
    assert (len(ehr.of("Encounter")), len(ehr.of("Observation"))) == (1, 4)
    assert set(states(clinic)) <= {"delivered", "superseded", "unsupported"} and dicts(database, "worker") == []


def wait_until(holds: Callable[[], bool]) -> None:
    until = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < until
        time.sleep(0.02)


def test_a_worker_that_is_told_to_stop_settles_what_it_sends_and_gives_the_rest_back(
    clinic: Http, ehr: Small, connect: Connect, service: Service, database: Database
) -> None:
    connect("small", ehr.base, 1, in_flight=1)
    people(clinic)
    put(clinic, "dosing-encounters", dosing(observations=readings(9)))
    worker = Worker(service)

    def stop(method: str, path: str) -> None:
        if path == "/Observation":
            worker.stop()

    ehr.before = stop
    worker.run()
    assert len(ehr.of("Observation")) <= 1 and states(clinic)["sending"] == 0 and states(clinic)["waiting"] >= 8
    assert {row["lease_until"] for row in dicts(database, "stream")} == {0} and dicts(database, "worker") == []
    assert not any(row["unsure"] for row in dicts(database, "delivery") if row["state"] == "waiting" and row["attempts"] == 0)
    Worker(service).run(until_idle=True)
    assert len(ehr.of("Observation")) == 18 and states(clinic)["waiting"] == 0


@pytest.mark.parametrize("count", [2, 3])
def test_workers_side_by_side_send_everything_once_and_one_of_them_a_stream(
    clinic: Http, sandbox: Sandbox, connect: Connect, settings: Settings, database: Database, reader: Any, clock: Clock, count: int
) -> None:
    connect("plain", sandbox.url("plain"), 2)
    names = [f"p{n}" for n in range(6)]
    people(clinic, *names)
    for name in names:
        put(clinic, "dosing-encounters", dosing(name, name, observations=readings(1)))
    begun = datetime.now(UTC)
    services = [wire(settings, lambda: clock.at + (datetime.now(UTC) - begun)) for _ in range(count)]
    threads = [threading.Thread(target=Worker(one, threads=2).run, kwargs={"until_idle": True}) for one in services]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    Worker(services[0]).run(until_idle=True)
    for one in services:
        one.close()
    assert sandbox.counts("plain") == seen_at(reader, 2, types_of(clinic))
    assert states(clinic)["waiting"] == states(clinic)["parked"] == 0
    assert overlapping(database) == []


def test_machines_whose_clocks_differ_by_minutes_leave_each_others_leases_alone_and_wait_for_nobody(
    ehr: Small, connect: Connect, settings: Settings, database: Database
) -> None:
    if database.sqlite:
        pytest.skip("what is on SQLite is on one machine")
    ahead, behind = moved(settings, minutes=10), moved(settings, minutes=-10)
    connect("small", ehr.base, 1)
    clinic = Http(create_app(service=ahead).test_client(), token_for(ahead, role="clinic"))
    people(clinic)
    put(clinic, "dosing-encounters", dosing(observations=readings(2)))
    met: list[int] = []

    def meet(method: str, path: str) -> None:
        if method == "POST" and path == "/Encounter" and not met:
            met.append(Worker(ahead).run(until_idle=True))

    ehr.before = meet
    assert Worker(behind, threads=1).run(until_idle=True) >= 6 and met
    ehr.answers = lambda method, path: (500, {}) if method == "PUT" else None
    put(clinic, "patients", patient(gender="other"))
    assert Worker(ahead).run(until_idle=True) == 1  # to be tried again within two seconds, by whoever is there
    ehr.answers = lambda method, path: None
    until = time.monotonic() + 10
    while states(clinic)["waiting"] and time.monotonic() < until:
        Worker(behind).run(until_idle=True)
    assert [one["gender"] for one in ehr.of("Patient")] == ["other"]
    assert Counter(one for one in ehr.writes if one.startswith("POST")) == Counter(f"POST {name.partition('/')[0]}" for name in ehr.kept)
    assert set(states(clinic)) <= {"delivered", "superseded", "unsupported"} and overlapping(database) == []
    ahead.close()
    behind.close()


def moved(settings: Settings, **by: float) -> Service:
    """The service on a machine whose own clock is wrong."""
    made = wire(settings)
    return replace(made, tenant=replace(made.tenant, now=DatabaseTime(made.database, lambda: datetime.now(UTC) + timedelta(**by))))


def overlapping(database: Database) -> list[tuple[int, int]]:
    """Streams in which a batch began before the one before it had ended."""
    stream_of = {row["num"]: row["stream"] for row in dicts(database, "delivery")}
    batches: dict[int, dict[int, int]] = defaultdict(dict)  # stream -> end -> begin
    for row in dicts(database, "attempt"):
        begun = batches[stream_of[row["delivery"]]]
        begun[row["ended_at"]] = min(row["at"], begun.get(row["ended_at"], row["at"]))
    return [(stream, end) for stream, begun in batches.items() for end, later in zip(sorted(begun), sorted(begun)[1:], strict=False) if begun[later] < end]


@pytest.mark.parametrize("statement", [
    {"resourceType": "CapabilityStatement", "rest": 5}, {"resourceType": "CapabilityStatement", "rest": [{"resource": [{"type": "Patient", "interaction": "create"}]}]},
])  # fmt: skip
def test_an_ehr_whose_statement_has_the_wrong_shape_takes_nothing(clinic: Http, ehr: Small, connect: Connect, work: Work, statement: Any) -> None:
    ehr.statement = statement
    connect("small", ehr.base, 1)
    people(clinic)
    work()
    assert set(states(clinic)) == {"unsupported"} and ehr.writes == []


@pytest.mark.parametrize("statement", [None, [], "none", {"resourceType": "Patient"}])
def test_an_ehr_that_does_not_say_what_it_can_do_is_asked_again_later(clinic: Http, ehr: Small, connect: Connect, work: Work, clock: Clock, statement: Any) -> None:
    good, ehr.statement = ehr.statement, statement
    connect("small", ehr.base, 1)
    people(clinic)
    assert work() == 0
    assert set(states(clinic)) == {"waiting"} and {one["attempts"] for one in deliveries(clinic)} == {0}
    ehr.statement = good
    clock.forward(seconds=16)
    work()
    assert set(states(clinic)) <= {"delivered", "superseded"}


def test_an_ehr_that_is_removed_in_the_middle_is_sent_nothing_more(clinic: Http, ehr: Small, connect: Connect, work: Work, service: Service, clock: Clock) -> None:
    connect("small", ehr.base, 1)
    people(clinic)
    put(clinic, "dosing-encounters", dosing(observations=readings(20)))

    def remove(method: str, path: str) -> None:
        if path.startswith("/Observation"):
            service.database.write(lambda tx: targets.change(tx, "small", removed_at=1))

    ehr.before = remove
    work()
    sent = len(ehr.of("Observation"))
    clock.forward(seconds=3600)
    assert sent <= 25 and work() == 0 and len(ehr.of("Observation")) == sent


def test_a_worker_that_works_until_nothing_is_due_waits_for_what_another_one_has_first_turn_at(
    clinic: Http, ehr: Small, connect: Connect, service: Service, database: Database
) -> None:
    connect("small", ehr.base, 1, in_flight=9)
    people(clinic)
    now = micros(service.tenant.now())
    places = database.write(lambda tx: streams.lease(tx, "another", now, now + 600_000_000, 9))
    waits = threading.Thread(target=lambda: Worker(service, threads=1).run(until_idle=True))
    waits.start()
    waits.join(0.3)
    assert waits.is_alive() and ehr.writes == []
    for lease in places:
        database.write(lambda tx, lease=lease: streams.release(tx, lease, now))
    waits.join(30)
    assert not waits.is_alive() and len(ehr.of("Patient")) == 1 and states(clinic)["waiting"] == 0


def test_who_takes_a_dead_workers_place_takes_its_streams_at_once_and_looks_for_what_it_was_sending(
    clinic: Http, ehr: Small, connect: Connect, work: Work, service: Service, database: Database, clock: Clock
) -> None:
    connect("small", ehr.base, 1, in_flight=9)
    people(clinic)
    work()
    sent = len(ehr.writes)
    put(clinic, "patients", patient(gender="other"))
    now = micros(clock())

    def died(tx: Connection) -> None:
        for lease in streams.lease(tx, "the dead one", now, now + 600_000_000, 9):
            streams.begin(tx, lease, streams.due(tx, lease, now, 9), now)

    database.write(died)
    assert Worker(service, threads=1).run(until_idle=True) == 0, "they are another's"
    Worker(service, threads=1, before="the dead one").run(until_idle=True)
    assert len(ehr.writes) == sent, "what was being sent may still arrive"
    clock.forward(seconds=service.settings.send_seconds + 1)
    Worker(service, threads=1).run(until_idle=True)
    assert [one["gender"] for one in ehr.of("Patient")] == ["other"] and set(states(clinic)) <= {"delivered", "superseded"}
