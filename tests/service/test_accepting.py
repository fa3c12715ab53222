"""A change that a source made to a resource of ours comes into the record: that alone, and nothing that the source does not see."""

import copy
from collections.abc import Callable
from typing import Any

import pytest

from mappings.disclosure import Level
from service.accepting import Accepted, Clash, Heard, Nothing, Taken, Unfit, accept
from service.exchange import Act
from service.renderings import text_of
from service.store import reading
from service.store.tables import resource
from service.wire import read
from service.wiring import Service
from tests.conftest import Http
from tests.service.records import put
from tests.service.tables import dicts

Json = dict[str, Any]
Change = Callable[[Json], None]


def given(service: Service, type_: str, level: Level, role: str | None = None) -> tuple[int, Json]:
    """A resource of the example pathway as a level sees it: its number, and its body."""
    for row in sorted(dicts(service.database, "resource"), key=lambda one: one["num"]):
        if row["type"] == type_ and (role is None or row["role"] == role):
            with service.database.reading() as connection:
                seen = reading.renderings(connection, [row["num"]], int(level)).get(row["num"])
            if seen is not None:
                return row["num"], {"resourceType": type_, "id": text_of(bytes(row["uuid"])), **read(seen.body)}
    raise AssertionError(f"no {type_} {role}")


def heard(service: Service, type_: str, change: Change, level: Level = Level.C2, role: str | None = None) -> Heard:
    num, body = given(service, type_, level, role)
    said = copy.deepcopy(body)
    change(said)
    return Heard(num, said, body, int(level))


def taken(service: Service, one: Heard, **how: bool) -> Accepted:
    return service.database.write(lambda tx: accept(Act(service.tenant, tx, "target:ehr"), one, **how))


def plan(clinic: Http) -> tuple[str, Json]:
    [found] = clinic.get("/api/v1/integration-care-plans?patient=ann").json["items"]
    return found["entity"]["id"], found["entity"]



def test_a_field_that_was_changed_is_applied_and_every_other_stays(service: Service, pathway: Http) -> None:
    _, before = plan(pathway)
    outcome = taken(service, heard(service, "CarePlan", lambda body: body.update(status="on-hold")))
    assert isinstance(outcome, Taken) and outcome.fields == ("/status",)
    assert plan(pathway)[1] == {**before, "status": "on-hold"}


def test_what_the_source_does_not_see_survives(service: Service, pathway: Http) -> None:
    id_, before = plan(pathway)
    for level in (Level.C1, Level.C2):
        outcome = taken(service, heard(service, "CarePlan", lambda body: body.update(status="on-hold" if body["status"] == "active" else "active"), level))
        assert isinstance(outcome, Taken), outcome
    assert plan(pathway) == (id_, before)


def test_an_item_of_a_list_is_changed_alone(service: Service, pathway: Http) -> None:
    _, before = plan(pathway)
    outcome = taken(service, heard(service, "Task", lambda body: body.update(status="completed")))
    assert isinstance(outcome, Taken) and len(outcome.fields) == 1, outcome
    after = plan(pathway)[1]
    changed = [name for name in before if before[name] != after[name]]
    assert len(changed) == 1 and sum(a != b for a, b in zip(before[changed[0]], after[changed[0]], strict=True)) == 1


@pytest.mark.parametrize("change", [
    lambda body: None,
    lambda body: body.setdefault("extension", []).append({"url": "https://ehr.test/colour", "valueString": "red"}),
    lambda body: body.setdefault("identifier", []).append({"system": "https://ehr.test/ids", "value": "7"}),
    lambda body: body.update(meta={"versionId": "9"}, text={"status": "generated", "div": "theirs"}),
])  # fmt: skip
def test_what_an_ehr_adds_of_its_own_changes_nothing_of_ours(service: Service, pathway: Http, change: Change) -> None:
    before = dicts(service.database, "entity")
    assert taken(service, heard(service, "CarePlan", change)) == Nothing()
    assert dicts(service.database, "entity") == before


def test_what_both_changed_is_a_clash_and_what_they_changed_alike_is_none(service: Service, pathway: Http) -> None:
    theirs = heard(service, "CarePlan", lambda body: body.update(status="on-hold"))
    id_, entity = plan(pathway)
    assert pathway.put(f"/api/v1/integration-care-plans/{id_}", {**entity, "status": "revoked"}).status == 200
    assert taken(service, theirs) == Clash(("/status",))
    assert plan(pathway)[1]["status"] == "revoked"
    assert pathway.put(f"/api/v1/integration-care-plans/{id_}", {**entity, "status": "on-hold"}).status == 200
    assert taken(service, theirs) == Nothing()


PHONE, MAIL, HOME = ({"system": system, "value": value} for system, value in (("phone", "07700 900001"), ("email", "ann@example.org"), ("phone", "01865 1")))
NEW = {**PHONE, "value": "07700 999999"}


@pytest.mark.parametrize(
    ("now", "after"),
    [
        ([PHONE, MAIL], [NEW, MAIL]), ([HOME, PHONE, MAIL], [HOME, NEW, MAIL]), ([MAIL, PHONE], [MAIL, NEW]), ([MAIL, HOME, PHONE], [MAIL, HOME, NEW]),
        ([NEW, MAIL], None), ([MAIL, HOME], Clash), ([HOME, MAIL], Clash), ([{**PHONE, "use": "home"}, MAIL], Clash), ([PHONE, MAIL, PHONE], Clash), ([], Clash),
    ],
)  # fmt: skip
def test_an_item_without_an_id_is_changed_wherever_it_is_now_and_no_other(service: Service, pathway: Http, now: list[Json], after: Any) -> None:
    ann = pathway.get("/api/v1/patients/ann").json["entity"]
    put(pathway, "patients", {**ann, "telecom": [PHONE, MAIL]})
    theirs = heard(service, "Patient", lambda body: body["telecom"][0].update(value=NEW["value"]))
    put(pathway, "patients", {**ann, "telecom": now} if now else {name: value for name, value in ann.items() if name != "telecom"})
    outcome = taken(service, theirs)
    left = pathway.get("/api/v1/patients/ann").json["entity"].get("telecom", [])
    assert (outcome == Nothing() and left == now) if after is None else isinstance(outcome, Clash) and left == now if after is Clash else left == after, outcome


def test_their_change_stands_over_ours_where_a_person_says_so(service: Service, pathway: Http) -> None:
    theirs = heard(service, "CarePlan", lambda body: body.update(status="on-hold"))
    id_, entity = plan(pathway)
    pathway.put(f"/api/v1/integration-care-plans/{id_}", {**entity, "status": "revoked"})
    assert isinstance(taken(service, theirs, over=True), Taken)
    assert plan(pathway)[1] == {**entity, "status": "on-hold"}


@pytest.mark.parametrize(("type_", "change"), [
    ("CarePlan", lambda body: body.update(status="shining")),
    ("CarePlan", lambda body: body.pop("status")),
    ("CarePlan", lambda body: body.update(modifierExtension=[{"url": "https://ehr.test/not", "valueBoolean": True}])),
    ("CarePlan", lambda body: body["subject"].update(modifierExtension=[{"url": "https://ehr.test/not", "valueBoolean": True}])),
    ("CarePlan", lambda body: body.update(implicitRules="https://ehr.test/rules")),
    ("CarePlan", lambda body: body.update(subject={"reference": "Patient/00000000-0000-4000-8000-000000000000"})),
    ("CarePlan", lambda body: body.update(id="00000000-0000-4000-8000-000000000000")),
    ("Encounter", lambda body: body["period"].update(end="1999-01-01T00:00:00+00:00")),
    ("Provenance", lambda body: body.update(recorded="1999-01-01T00:00:00+00:00")),
])  # fmt: skip
def test_what_cannot_be_is_refused_with_its_path_and_nothing_is_changed(service: Service, pathway: Http, type_: str, change: Change) -> None:
    before = dicts(service.database, "entity")
    outcome = taken(service, heard(service, type_, change))
    assert isinstance(outcome, Unfit) and outcome.problems and all(path for path, _ in outcome.problems), outcome
    assert dicts(service.database, "entity") == before


def test_a_record_that_was_entered_in_error_takes_nothing(service: Service, pathway: Http) -> None:
    theirs = heard(service, "CarePlan", lambda body: body.update(status="on-hold"))
    assert pathway.delete(f"/api/v1/integration-care-plans/{plan(pathway)[0]}").status in (200, 204)
    assert isinstance(taken(service, theirs), Unfit)


def test_no_change_of_any_resource_at_any_level_touches_another_field(service: Service, pathway: Http) -> None:
    """Every resource of the pathway, said back as it was given, at every level: nothing."""
    for row in sorted(dicts(service.database, resource.name), key=lambda one: one["num"]):
        for level in Level:
            with service.database.reading() as connection:
                seen = reading.renderings(connection, [row["num"]], int(level)).get(row["num"])
            if seen is not None and seen.body:
                body = {"resourceType": row["type"], "id": text_of(bytes(row["uuid"])), **read(seen.body)}
                assert taken(service, Heard(row["num"], body, body, int(level))) == Nothing(), (row["type"], level)
