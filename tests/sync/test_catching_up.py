"""An EHR that is added later is owed what was there before it, once, while others go on."""

import threading
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from service import exchange, operating
from service.store import catching, streams, targets
from service.store.clock import micros
from service.store.database import Database
from service.sync import ehrs
from service.sync.catching_up import STREAMS, catch_up
from service.sync.sending import Stream, send_stream
from service.wiring import Service
from tests.conftest import Clock, Http
from tests.service.records import consent, dosing, patient, people, practitioner, provision, put
from tests.service.tables import dicts
from tests.sync.conftest import Connect, deliveries, states
from tests.sync.small import Small

Work = Callable[[], int]


def owed(database: Database, name: str) -> Counter[int]:
    return Counter(row["resource"] for row in dicts(database, "delivery") if row["target"] == name)


def test_an_ehr_that_is_added_later_comes_to_hold_what_was_there_before_it(clinic: Http, ehr: Small, connect: Connect, work: Work, reader: Any) -> None:
    people(clinic, "ann", "ben")
    put(clinic, "dosing-encounters", dosing())
    put(clinic, "dosing-encounters", dosing("other", "ben"))
    connect("late", ehr.base, 1, caught_up=False)
    work()
    for type_ in ("Patient", "Practitioner", "Encounter", "Provenance"):
        assert len(ehr.of(type_)) == reader(1, role="ehr").get(f"/fhir/r4/{type_}?_summary=count").json["total"]
    assert set(states(clinic)) <= {"delivered", "superseded", "unsupported"}


def test_nothing_is_owed_twice_by_who_catches_up_and_who_publishes(clinic: Http, ehr: Small, connect: Connect, work: Work, database: Database) -> None:
    people(clinic)
    connect("late", ehr.base, 1, caught_up=False)
    put(clinic, "patients", patient(gender="other"))
    put(clinic, "dosing-encounters", dosing())
    work()
    assert states(clinic)["waiting"] == 0 and len(ehr.of("Encounter")) == 1 and [one["gender"] for one in ehr.of("Patient")] == ["other"]
    before = owed(database, "late")
    operating_catch_up(database, "late")
    assert work() == 0 and owed(database, "late") == before


def operating_catch_up(database: Database, name: str) -> None:
    database.write(lambda tx: operating.catch_up(tx, name))


def for_changes(service: Service, ehr: Small) -> None:
    """Adds an EHR that wants only what changes from now on."""
    found = targets.Target("late", ehr.base, "4.0.1", 1, None, None, False, 4, 0, 0, settings={"create_people": True, "private": True})
    service.database.write(lambda tx: operating.add_ehr(service.tenant, tx, found, None, micros(service.tenant.now()), from_now=True))


def test_an_ehr_that_wants_only_changes_is_owed_nothing_that_was_there(clinic: Http, ehr: Small, work: Work, service: Service) -> None:
    people(clinic)
    for_changes(service, ehr)
    assert work() == 0 and ehr.writes == []


def test_an_ehr_that_wants_only_changes_is_owed_what_they_make_no_sense_without(clinic: Http, ehr: Small, work: Work, service: Service) -> None:
    people(clinic, "ann", "ben")
    put(clinic, "dosing-encounters", dosing("before"))
    for_changes(service, ehr)
    put(clinic, "dosing-encounters", dosing("after", start="2026-03-09T09:30:00+00:00", end="2026-03-09T13:10:00+00:00"))
    for _ in range(3):
        work()
    assert len(ehr.of("Patient")) == len(ehr.of("Encounter")) == 1, "the visit and whose it is, and nothing of before or of anybody else"
    assert set(states(clinic)) <= {"delivered", "superseded", "unsupported"}
    put(clinic, "dosing-encounters", dosing("again", "ben"))
    for _ in range(3):
        work()
    assert len(ehr.of("Patient")) == len(ehr.of("Encounter")) == 2 and set(states(clinic)) <= {"delivered", "superseded", "unsupported"}


def test_what_changes_refer_to_is_there_before_them_so_that_nothing_is_sent_twice(clinic: Http, ehr: Small, work: Work, service: Service) -> None:
    names = [f"p{n}" for n in range(6)]
    people(clinic, *names)
    for_changes(service, ehr)
    for name in names:
        put(clinic, "dosing-encounters", dosing(f"visit-{name}", name, participants=[{"practitioner": "dr-shah", "function": "prescriber"}]))
    work()
    assert len(ehr.of("Encounter")) == len(ehr.of("Patient")) == 6 and len(ehr.of("Practitioner")) == 1
    assert [write for write in ehr.writes if not write.startswith("POST")] == [], "each was made once, and nothing had to be put right"
    assert all("reference" in one["individual"] for visit in ehr.of("Encounter") for one in visit["participant"])
    assert set(states(clinic)) <= {"delivered", "unsupported"}


@pytest.mark.parametrize("taken", [("Patient", "Practitioner", "Organization"), ("Patient", "Practitioner", "Organization", "Encounter")])
def test_an_ehr_is_not_told_of_a_patient_by_what_it_is_not_sent(taken: tuple[str, ...], clinic: Http, ehr: Small, work: Work, service: Service) -> None:
    interactions = [{"code": code} for code in ("create", "update", "read", "delete")]
    types = [{"type": type_, "interaction": interactions, "searchParam": [{"name": "identifier"}]} for type_ in taken]
    ehr.statement = {"resourceType": "CapabilityStatement", "fhirVersion": "4.0.1", "rest": [{"mode": "server", "resource": types}]}
    people(clinic)
    for_changes(service, ehr)
    put(clinic, "dosing-encounters", dosing())
    if "Encounter" in taken:
        clinic.delete("/api/v1/dosing-encounters/dose")  # before anybody was told
    for _ in range(3):
        work()
    assert ehr.writes == []


def test_how_far_it_is_caught_up_with_is_shown(clinic: Http, ehr: Small, connect: Connect, work: Work, service: Service) -> None:
    people(clinic, *(f"p{n}" for n in range(STREAMS + 3)))
    connect("late", ehr.base, 1, caught_up=False)
    many = clinic.get("/api/v1/ehrs/late").json["catchingUp"]["of"]
    assert clinic.get("/api/v1/ehrs/late").json["catchingUp"] == {"lookedAt": 0, "of": many} and many > STREAMS + 3
    service.database.write(lambda tx: catch_up(tx, "late", micros(service.tenant.now())))
    assert clinic.get("/api/v1/ehrs/late").json["catchingUp"] == {"lookedAt": STREAMS, "of": many}
    work()
    assert "catchingUp" not in clinic.get("/api/v1/ehrs/late").json and len(ehr.of("Patient")) == STREAMS + 3


def test_a_killed_worker_leaves_the_rest_to_the_next(clinic: Http, ehr: Small, connect: Connect, work: Work, service: Service, database: Database) -> None:
    people(clinic, *(f"p{n}" for n in range(STREAMS * 2)))
    connect("late", ehr.base, 1, caught_up=False)
    service.database.write(lambda tx: catch_up(tx, "late", micros(service.tenant.now())))
    assert sum(owed(database, "late").values()) >= STREAMS
    work()
    assert len(ehr.of("Patient")) == STREAMS * 2 and not [n for n in Counter(d["remoteId"] for d in deliveries(clinic, type="Patient")).values() if n > 1]


def test_what_consent_withholds_is_not_owed(clinic: Http, ehr: Small, connect: Connect, work: Work) -> None:
    people(clinic, "ann", "ben")
    put(clinic, "dosing-encounters", dosing())
    put(clinic, "dosing-encounters", dosing("other", "ben"))
    put(clinic, "consents", consent(provisions=[provision("deny", "C0", role="ehr")]))
    connect("late", ehr.base, 1, caught_up=False)
    work()
    assert len(ehr.of("Patient")) == 1 == len(ehr.of("Encounter"))


def test_what_an_operator_gave_up_stays_given_up(clinic: Http, ehr: Small, connect: Connect, work: Work, database: Database) -> None:
    connect("late", ehr.base, 1, caught_up=False)
    people(clinic)
    for one in deliveries(clinic, state="waiting"):
        assert clinic.post(f"/api/v1/deliveries/{one['id']}/cancel").status == 200
    operating_catch_up(database, "late")
    assert work() == 0 and ehr.writes == []


def test_who_publishes_while_an_ehr_is_added_owes_to_it(clinic: Http, ehr: Small, connect: Connect, work: Work, monkeypatch: Any, database: Database) -> None:
    """The EHR is added when the list of EHRs has been read, and caught up with before the record is there."""
    people(clinic)
    added = threading.Event()
    asked = targets.asked

    def late(tx: Any) -> Any:
        found = asked(tx)
        if not added.is_set() and not database.sqlite:
            added.set()
            adding = threading.Thread(target=lambda: (connect("late", ehr.base, 1, caught_up=False), work()))
            adding.start()
            adding.join(20)
        return found

    monkeypatch.setattr(exchange.targets, "asked", late)
    if database.sqlite:
        connect("late", ehr.base, 1, caught_up=False)  # one writer at a time: there is no meanwhile
    put(clinic, "patients", patient("new"))
    work()
    assert len(ehr.of("Patient")) == 2


def test_a_practitioner_comes_before_who_refers_to_them(clinic: Http, ehr: Small, connect: Connect, work: Work, database: Database) -> None:
    people(clinic)
    put(clinic, "practitioners", practitioner("dr-two"))
    with database.glance() as connection:
        keys = catching.next_keys(connection, catching.START, 100)
    assert keys == sorted(keys) and keys[0] < 0 < keys[-1]


def test_others_are_delivered_to_while_one_is_caught_up_with(clinic: Http, ehr: Small, connect: Connect, work: Work, clock: Clock) -> None:
    connect("first", ehr.base.replace("127.0.0.1", "localhost"), 1)
    people(clinic, *(f"p{n}" for n in range(STREAMS)))
    connect("late", ehr.base, 1, caught_up=False)
    work()
    assert states(clinic, ehr="first")["waiting"] == states(clinic, ehr="late")["waiting"] == 0


def test_what_is_published_before_its_patient_is_caught_up_with_waits_for_the_patient(
    clinic: Http, ehr: Small, connect: Connect, work: Work, service: Service
) -> None:
    people(clinic)
    connect("late", ehr.base, 1, caught_up=False)
    put(clinic, "dosing-encounters", dosing())
    now = micros(service.tenant.now())
    leases = service.database.write(lambda tx: streams.lease(tx, "early", now, now + 4_000_000, 4))
    with service.database.glance() as connection:
        target = targets.get(connection, "late")
    assert target is not None
    there, line = ehrs.rest(service, target)
    for one in leases:
        send_stream(Stream(service, one, target, there, ehrs.able(service, target, there, now)))
    line.close()
    assert leases and states(clinic)["parked"] == 0
    work()
    assert states(clinic)["parked"] == states(clinic)["waiting"] == 0 and len(ehr.of("Encounter")) == 1
