"""An EHR's registration changed and ended: what it is owed from then on, and that it is left alone."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from service import operating, registering
from service.errors import Conflict, NotFound
from service.store import access, alarms, conflicts, targets
from service.store.access import Access
from service.store.clock import micros
from service.store.conflicts import Sides
from service.store.targets import Target
from service.wiring import Service
from tests.conftest import Clock, Http
from tests.service.records import consent, dosing, patient, people, provision, put
from tests.service.tables import dicts
from tests.sync.conftest import Connect, Sandbox, deliveries, states
from tests.sync.small import Small

FELT = [{"id": "r1", "at": "2026-03-02T10:01:00+00:00", "dissociation": 5}]  # a panel, which is C0, and its member, which is C1
MEASURED = [{"id": f"r{n}", "at": f"2026-03-02T10:{n:02}:00+00:00", "hr": 60 + n} for n in range(60)]
Work = Callable[[], int]
Change = Callable[..., list[str]]


@pytest.fixture
def change(service: Service) -> Change:
    """Changes an EHR: columns and settings by their names, a setting that is None taken away."""

    def change(name: str, *, token: str | None = None, from_now: bool = False, **values: Any) -> list[str]:
        with service.database.glance() as connection:
            before = operating.there(connection, name)
        was = registering.opened(service.tenant, before)
        columns = {one: values.pop(one) for one in registering.COLUMNS if one in values}
        settings = {one: value for one, value in {**was.settings, **values}.items() if value is not None}
        wanted, now = replace(was, **columns, settings=settings), micros(service.tenant.now())
        return service.database.write(lambda tx: registering.change(service.tenant, tx, before, wanted, now, token=token, from_now=from_now))

    return change


@pytest.fixture
def remove(service: Service) -> Callable[[str], int]:
    return lambda name: service.database.write(lambda tx: registering.remove(tx, name, micros(service.tenant.now())))


def at(service: Service, name: str) -> Target:
    with service.database.glance() as connection:
        return operating.there(connection, name)


# --- changed


def test_an_ehr_whose_level_is_raised_is_sent_what_it_may_see_now(clinic: Http, ehr: Small, connect: Connect, work: Work, change: Change) -> None:
    connect("one", ehr.base, 0)
    people(clinic)
    put(clinic, "dosing-encounters", dosing(observations=FELT))
    work()
    assert len(ehr.of("Observation")) == 1
    assert change("one", level=1) == ["level"]
    work()
    assert len(ehr.of("Observation")) == 2 and set(states(clinic)) <= {"delivered", "superseded", "unsupported"}


def test_an_ehr_whose_level_is_raised_by_hand_is_told_of_changes_alone(clinic: Http, ehr: Small, connect: Connect, work: Work, change: Change) -> None:
    connect("one", ehr.base, 0)
    people(clinic)
    put(clinic, "dosing-encounters", dosing(observations=FELT))
    work()
    change("one", level=1, from_now=True)
    assert work() == 0 and len(ehr.of("Observation")) == 1


def test_what_was_withheld_by_a_level_that_was_lowered_is_owed_once_it_is_raised(
    clinic: Http, ehr: Small, connect: Connect, work: Work, change: Change
) -> None:
    connect("one", ehr.base, 1)
    people(clinic)
    work()
    put(clinic, "dosing-encounters", dosing(observations=FELT))
    change("one", level=0)
    work()
    assert len(ehr.of("Observation")) == 1 and len(ehr.of("Encounter")) == 1, "the visit, as far as it is seen"
    change("one", level=1)
    work()
    assert len(ehr.of("Observation")) == 2


def test_a_level_that_is_changed_is_moved_by_the_consents_that_are_there(
    clinic: Http, ehr: Small, connect: Connect, work: Work, change: Change, service: Service
) -> None:
    connect("one", ehr.base, 0, organisation="A1")
    people(clinic)
    put(clinic, "dosing-encounters", dosing(observations=FELT))
    put(clinic, "consents", consent(provisions=[provision("deny", "C1", organisation="A2")]))
    change("one", level=1, organisation="A2")
    work()
    assert len(ehr.of("Observation")) == 1, "it is the one that is denied"
    change("one", organisation="A3")
    work()
    assert len(ehr.of("Observation")) == 2


def test_types_that_are_taken_out_are_sent_no_more_and_sent_again_when_they_are_put_back(
    clinic: Http, ehr: Small, connect: Connect, work: Work, change: Change
) -> None:
    connect("one", ehr.base, 1)
    people(clinic)
    put(clinic, "dosing-encounters", dosing(observations=FELT))
    assert change("one", types=["Patient", "Practitioner", "Organization", "Encounter"]) == ["types"]
    work()
    assert len(ehr.of("Encounter")) == 1 and ehr.of("Observation") == []
    assert {one["reason"] for one in deliveries(clinic, type="Observation")} == {"Of a type that it is sent no more"}
    change("one", types=None)
    work()
    assert len(ehr.of("Observation")) == 2


def test_what_was_unsupported_is_owed_again_where_it_may_go_as_a_document(
    pathway: Http, sandbox: Sandbox, connect: Connect, work: Work, change: Change
) -> None:
    connect("strict", sandbox.url("epic"))
    work()
    assert states(pathway)["unsupported"]
    assert change("strict", alternate="DocumentReference") == ["documents"]
    work()
    assert states(pathway)["unsupported"] == 0 and "DocumentReference" in sandbox.counts("epic")
    assert change("strict", alternate=None) == ["documents"]


def test_people_that_were_looked_for_are_made_where_they_may_be(clinic: Http, ehr: Small, connect: Connect, work: Work, change: Change) -> None:
    connect("one", ehr.base, 1, create_people=False)
    people(clinic)
    work()
    assert states(clinic, state="parked")["parked"] and ehr.of("Patient") == []
    assert change("one", create_people=True) == ["createPeople"]
    work()
    assert len(ehr.of("Patient")) == 1 and states(clinic)["parked"] == 0


def test_a_new_token_ends_what_the_old_one_brought_about(
    clinic: Http, ehr: Small, connect: Connect, work: Work, change: Change, service: Service, clock: Clock
) -> None:
    connect("one", ehr.base, 1)
    change("one", token="old")
    ehr.allows = lambda headers: headers.get("Authorization") == "Bearer new"
    people(clinic)
    work()
    assert ehr.writes == [] and at(service, "one").snoozed_until > 0
    with service.database.glance() as connection:
        assert access.get(connection, "one").problem
    assert change("one", token="new") == ["auth"]
    with service.database.glance() as connection:
        assert access.get(connection, "one") == Access()
    work()
    assert len(ehr.of("Patient")) == 1, "at once"
    clock.forward(seconds=60)
    work()
    assert set(states(clinic)) <= {"delivered", "superseded"}, "also the one whose attempt it was"


def test_secrets_that_are_not_given_again_stay_and_none_is_kept_as_it_is(connect: Connect, ehr: Small, change: Change, service: Service) -> None:
    connect("one", ehr.base, 1)
    change("one", token="a-secret-token", headers=[("apikey", "a-gateways-key")])
    change("one", level=2)
    was = registering.opened(service.tenant, at(service, "one"))
    assert was.settings["headers"] == [("apikey", "a-gateways-key")] and was.settings["auth"]["type"] == "bearer"
    kept = str(dicts(service.database, "target"))
    assert "a-secret-token" not in kept and "a-gateways-key" not in kept


def test_a_base_url_is_changed_where_nothing_is_held_and_nowhere_else(
    clinic: Http, ehr: Small, connect: Connect, work: Work, change: Change, service: Service
) -> None:
    connect("one", f"{ehr.base}/wrong", 1)
    people(clinic)
    service.database.write(lambda tx: targets.change(tx, "one", capability={"rest": []}, capability_at=micros(service.tenant.now())))
    work()
    assert set(states(clinic)) == {"unsupported"}
    assert change("one", base_url=ehr.base) == ["baseUrl"]
    work()
    assert len(ehr.of("Patient")) == 1 and set(states(clinic)) <= {"delivered", "superseded"}
    with pytest.raises(Conflict, match="are, or may be, at"):
        change("one", base_url=f"{ehr.base}/other")
    assert at(service, "one").base_url == ehr.base


def test_a_registration_that_was_changed_meanwhile_is_not_overwritten(connect: Connect, ehr: Small, change: Change, service: Service) -> None:
    connect("one", ehr.base, 1)
    before = at(service, "one")
    change("one", level=0)
    with pytest.raises(Conflict, match="meanwhile"):
        service.database.write(lambda tx: registering.change(service.tenant, tx, before, replace(before, max_in_flight=9), 1))
    assert (at(service, "one").level, at(service, "one").max_in_flight) == (0, 4)


def test_before_each_request_it_is_looked_what_an_ehr_may_be_told_as_it_is_registered_then(
    ehr: Small, connect: Connect, change: Change, service: Service
) -> None:
    connect("one", ehr.base, 2)
    before = at(service, "one")
    change("one", level=0)
    with service.database.glance() as connection:
        assert targets.told_at(connection, before, None, micros(service.tenant.now())) == 0


# --- removed


def test_an_ehr_that_is_removed_is_sent_nothing_more_and_its_deliveries_stay_readable(
    clinic: Http, ehr: Small, connect: Connect, work: Work, remove: Any, service: Service
) -> None:
    connect("one", ehr.base, 1)
    people(clinic)
    work()
    put(clinic, "dosing-encounters", dosing(observations=FELT))
    writes = len(ehr.writes)
    open_ = states(clinic)["waiting"]
    assert remove("one") == open_ > 0
    put(clinic, "patients", patient(gender="other"))
    clinic.post("/api/v1/deliveries/replay?ehr=one&state=cancelled")
    assert work() == 0 and len(ehr.writes) == writes
    assert {one["reason"] for one in deliveries(clinic, ehr="one", state="cancelled")} == {registering.REMOVED}
    assert states(clinic, ehr="one")["delivered"] and not set(states(clinic)) & {"waiting", "sending", "parked"}
    assert clinic.get("/api/v1/ehrs").json == {"items": []} and clinic.get("/api/v1/ehrs/one").status == 404
    assert 'ehr="one"' not in "".join(line for line in clinic.get("/metrics").body.decode().splitlines(True) if "pathway_fhir_deliveries{" in line)


def test_an_ehr_that_is_removed_while_it_is_sent_to_gets_no_more_of_it(
    clinic: Http, ehr: Small, connect: Connect, work: Work, remove: Any, clock: Clock
) -> None:
    connect("one", ehr.base, 1)
    people(clinic)
    put(clinic, "dosing-encounters", dosing(observations=MEASURED))
    gone: list[int] = []

    def removed(method: str, path: str) -> None:
        if path.startswith("/Observation") and not gone:
            gone.append(remove("one"))

    ehr.before = removed
    work()
    sent = len(ehr.of("Observation"))
    clock.forward(seconds=3600)
    assert work() == 0 and len(ehr.of("Observation")) == sent <= 25
    assert not set(states(clinic)) & {"waiting", "sending"}


def test_what_let_us_in_is_forgotten_and_nobody_is_told_of_what_was_wrong(
    clinic: Http, connect: Connect, ehr: Small, change: Change, remove: Any, service: Service
) -> None:
    people(clinic)
    connect("one", ehr.base, 1)
    change("one", token="a-token", headers=[("apikey", "a-gateways-key")])

    def trouble(tx: Any) -> None:
        access.note(tx, "one", Access(problem="It does not know us", failures=9), 1)
        alarms.note(tx, [alarms.Condition("one", alarms.KEEPS_OUT, 9)], 1)
        conflicts.note(tx, "one", Sides(1, ("status",), {}, {}, {}, None), 1)

    service.database.write(trouble)
    remove("one")
    [row] = dicts(service.database, "target")
    assert "auth" not in row["settings"] and "headers" not in row["settings"]
    assert dicts(service.database, "access") == dicts(service.database, "alarm") == []
    assert [one["state"] for one in dicts(service.database, "conflict")] == ["moot"]


def test_nothing_is_pulled_from_an_ehr_that_was_removed_and_no_notification_of_it_is_heard(
    clinic: Http, connect: Connect, sandbox: Sandbox, work: Work, remove: Any
) -> None:
    connect("one", sandbox.url("plain"))
    clinic.put("/api/v1/ehrs/one/pulls", {"types": ["Encounter"]})
    remove("one")
    asked = len(sandbox.asked("plain"))
    work()
    assert len(sandbox.asked("plain")) == asked and clinic.get("/api/v1/ehrs/one/pulls").status == 404
    assert clinic.get("/api/v1/ehrs/one/reconciliation").status == 404


def test_a_name_is_not_used_again_and_who_is_gone_cannot_go_again(connect: Connect, ehr: Small, remove: Any) -> None:
    connect("one", ehr.base, 1)
    remove("one")
    with pytest.raises(Conflict, match="not used again"):
        connect("one", ehr.base, 1)
    with pytest.raises(NotFound):
        remove("one")


def test_who_publishes_while_an_ehr_is_removed_owes_it_nothing(clinic: Http, ehr: Small, connect: Connect, remove: Any, service: Service) -> None:
    connect("one", ehr.base, 1)
    with service.database.glance() as connection:
        _, before = targets.asked(connection)
    remove("one")
    with service.database.glance() as connection:
        found, after = targets.asked(connection)
    assert found == [] and after > before, "so that what was read before is read again"
