"""What an EHR made itself as a part of ours comes in once, as an item of the record, and is never made there a second time."""

from collections.abc import Callable
from typing import Any

import pytest
import requests
from sqlalchemy import update

from service.store.tables import copy as copies
from service.store.tables import delivery, entity
from service.wiring import Service
from tests.conftest import Http
from tests.service.records import patient, put
from tests.service.tables import dicts
from tests.service.test_accepting import plan
from tests.sync.conftest import Connect, Sandbox, deliveries, states
from tests.sync.personas.conftest import reconciled
from tests.sync.test_pulling import change_there, counts, one_of, open_conflicts, pulled

Work = Callable[[], int]
Json = dict[str, Any]


def patient_there(sandbox: Sandbox) -> Json:
    """The patient of the care plan, as the EHR refers to it."""
    reference: Json = one_of(sandbox, "CarePlan")[1]["subject"]
    return {"reference": reference["reference"]}


def goal(sandbox: Sandbox, **elements: Any) -> Json:
    """A goal as a clinician enters it at the EHR, with what is the EHR's own."""
    ours = sandbox.all("plain", "Goal")[0]["description"]["coding"][0]
    return {
        "resourceType": "Goal", "lifecycleStatus": "active", "subject": patient_there(sandbox),
        "description": {"coding": [{**ours, "code": "sleep", "display": "Sleeping"}], "text": "Sleeps through"},
        "identifier": [{"system": "https://ehr.test/goals", "value": "7"}], "note": [{"text": "Theirs alone"}], **elements,
    }  # fmt: skip


def lists(sandbox: Sandbox, **elements: list[Json]) -> None:
    """Has the care plan at the EHR list more."""
    url, body = one_of(sandbox, "CarePlan")
    change_there(url, **{name: [*body.get(name, []), *more] for name, more in elements.items()})


def add_goal(sandbox: Sandbox, **elements: Any) -> str:
    id_ = sandbox.add("plain", goal(sandbox, **elements))
    lists(sandbox, goal=[{"reference": f"Goal/{id_}"}])
    return id_


def rests(service: Service, clinic: Http, sandbox: Sandbox, work: Work, *types: str) -> None:
    """Both sides hold the same, and nothing is said any more."""
    work()
    before, versions = dicts(service.database, entity.name), sandbox.versions("plain")
    for type_ in types * 2:
        done = pulled(service, type_)
        assert counts(done) == (0, 0, 0) and done.problems == [], (type_, counts(done))
        work()
    assert dicts(service.database, entity.name) == before and sandbox.versions("plain") == versions
    assert set(states(clinic)) <= {"delivered", "superseded"}
    found, problems = reconciled(service, "one")
    assert {one.verdict for one in found} == {"same"} and problems == []


def test_a_goal_that_was_made_at_the_ehr_becomes_a_goal_of_the_care_plan(service: Service, synced: Http, sandbox: Sandbox, work: Work) -> None:
    pulled(service, "CarePlan")
    before, many = plan(synced)[1], len(sandbox.all("plain", "Goal"))
    id_ = add_goal(sandbox)
    done = pulled(service, "CarePlan")
    assert counts(done) == (1, 0, 0) and done.problems == []
    made = {"id": id_, "category": "sleep", "text": "Sleeps through", "lifecycle": "active"}
    assert plan(synced)[1] == {**before, "goals": [*before["goals"], made]}
    work()
    there = {one["id"]: one for one in sandbox.all("plain", "Goal")}
    assert len(there) == many + 1, "it is there once"
    assert there[id_]["note"] == [{"text": "Theirs alone"}] and {"system": "https://ehr.test/goals", "value": "7"} in there[id_]["identifier"]
    assert any(one["system"].endswith("/Id/Goal") for one in there[id_]["identifier"]), "it carries our identifier too"
    rests(service, synced, sandbox, work, "CarePlan", "Goal")


def test_what_was_taken_is_changed_by_both_sides_as_all_else_is(service: Service, synced: Http, sandbox: Sandbox, work: Work) -> None:
    id_ = add_goal(sandbox)
    pulled(service, "CarePlan")
    url = f"{sandbox.url('plain')}/Goal/{id_}"
    change_there(url, lifecycleStatus="on-hold")
    pulled(service, "Goal")
    assert plan(synced)[1]["goals"][-1]["lifecycle"] == "on-hold", "before it was sent anything"
    work()
    key, entity = plan(synced)
    for lifecycle in ("completed", "cancelled"):
        entity["goals"][-1]["lifecycle"] = lifecycle
        assert synced.put(f"/api/v1/integration-care-plans/{key}", entity).status == 200
        work()
        there = requests.get(url, timeout=10).json()
        assert (there["lifecycleStatus"], there["note"]) == (lifecycle, [{"text": "Theirs alone"}])
        assert {"system": "https://ehr.test/goals", "value": "7"} in there["identifier"]
    rests(service, synced, sandbox, work, "CarePlan", "Goal")


def test_what_we_changed_before_it_was_sent_goes_there_beside_what_is_theirs(service: Service, synced: Http, sandbox: Sandbox, work: Work) -> None:
    id_ = add_goal(sandbox)
    pulled(service, "CarePlan")
    key, entity = plan(synced)
    entity["goals"][-1]["lifecycle"] = "completed"
    assert synced.put(f"/api/v1/integration-care-plans/{key}", entity).status == 200
    work()
    there = requests.get(f"{sandbox.url('plain')}/Goal/{id_}", timeout=10).json()
    assert (there["lifecycleStatus"], there["note"]) == ("completed", [{"text": "Theirs alone"}])
    rests(service, synced, sandbox, work, "CarePlan", "Goal")


def test_a_task_that_was_made_at_the_ehr_becomes_a_small_experiment(service: Service, synced: Http, sandbox: Sandbox, work: Work) -> None:
    _, ours = one_of(sandbox, "Task")
    before = plan(synced)[1]
    task = {
        "resourceType": "Task", "status": "requested", "intent": "plan", "code": {"coding": ours["code"]["coding"][:1]}, "for": ours["for"],
        "description": "A walk each day", "note": [{"text": "Theirs alone"}],
    }  # fmt: skip
    id_ = sandbox.add("plain", task)
    lists(sandbox, activity=[{"reference": {"reference": f"{sandbox.url('plain')}/Task/{id_}"}}])
    assert counts(pulled(service, "CarePlan")) == (1, 0, 0)
    added = plan(synced)[1]["smallExperiments"][len(before["smallExperiments"]) :]
    assert [(one["id"], one["description"], one["status"]) for one in added] == [(id_, "A walk each day", "not-started")]
    rests(service, synced, sandbox, work, "CarePlan", "Task")


def test_a_session_that_was_made_at_the_ehr_becomes_one_of_the_care_plan(service: Service, synced: Http, sandbox: Sandbox, work: Work) -> None:
    before = plan(synced)[1]
    _, body = one_of(sandbox, "CarePlan")
    ours = requests.get(f"{sandbox.url('plain')}/{body['supportingInfo'][0]['reference']}", timeout=10).json()
    visit = {name: ours[name] for name in ("resourceType", "class", "subject", "serviceProvider")}
    id_ = sandbox.add("plain", {**visit, "status": "planned", "period": {"start": "2026-05-01T10:00:00Z"}})
    lists(sandbox, supportingInfo=[{"reference": f"Encounter/{id_}"}])
    assert counts(pulled(service, "CarePlan")) == (1, 0, 0), open_conflicts(service)
    assert plan(synced)[1]["sessions"][len(before["sessions"]) :] == [
        {"id": id_, "clinicId": before["sessions"][0]["clinicId"], "start": "2026-05-01T10:00:00+00:00", "mode": before["sessions"][0]["mode"], "attendance": "planned"}
    ]  # fmt: skip
    rests(service, synced, sandbox, work, "CarePlan", "Encounter")


UNFIT: dict[str, tuple[Json, str]] = {
    "a code that is none of ours": ({"description": {"coding": [{"system": "https://ehr.test/codes", "code": "x"}], "text": "Words"}}, "Goal.description.coding[0]"),
    "a value that is missing": ({"description": {"text": "Sleeps through"}}, "Goal.description.coding"),
    "a status that is none": ({"lifecycleStatus": "entered-in-error"}, "Goal.lifecycleStatus"),
    "what may turn its meaning round": ({"modifierExtension": [{"url": "https://ehr.test/not", "valueBoolean": True}]}, "Goal.modifierExtension"),
    "rules that are not known": ({"implicitRules": "https://ehr.test/rules"}, "Goal.implicitRules"),
    "nobody as its patient": ({"subject": {"reference": "Patient/nobody"}}, "Goal.subject"),
    "another server's patient": ({"subject": {"reference": "https://elsewhere.test/fhir/Patient/1"}}, "Goal.subject"),
}  # fmt: skip


@pytest.mark.parametrize("name", UNFIT)
def test_what_cannot_be_taken_is_told_once_by_its_path_and_nothing_is_stored(service: Service, synced: Http, sandbox: Sandbox, work: Work, name: str) -> None:
    elements, path = UNFIT[name]
    before, held = dicts(service.database, entity.name), len(dicts(service.database, copies.name))
    [id_] = sandbox.seed("plain", goal(sandbox, **elements))
    lists(sandbox, goal=[{"reference": id_}])
    assert counts(pulled(service, "CarePlan")) == (0, 0, 1)
    [found] = open_conflicts(service)
    assert [one["path"] for one in found["problems"]] == [path] and id_ in found["problems"][0]["problem"]
    assert found["resource"]["type"] == "CarePlan"
    assert counts(pulled(service, "CarePlan"))[0] == 0 and len(open_conflicts(service)) == 1
    assert dicts(service.database, entity.name) == before and len(dicts(service.database, copies.name)) == held
    assert work() == 0


def test_what_could_not_be_taken_stays_told_when_what_lists_it_is_delivered(service: Service, synced: Http, sandbox: Sandbox, work: Work) -> None:
    [id_] = sandbox.seed("plain", goal(sandbox, **UNFIT["nobody as its patient"][0]))
    lists(sandbox, goal=[{"reference": id_}])
    pulled(service, "CarePlan")
    [found] = open_conflicts(service)
    plan_id, said = plan(synced)
    put(synced, "integration-care-plans", {**said, "id": plan_id, "status": "on-hold"})
    work()
    assert one_of(sandbox, "CarePlan")[1]["status"] == "on-hold" and open_conflicts(service) == [found]


def test_what_could_not_be_taken_stays_told_beside_a_conflict_of_what_lists_it_and_after_that(
    service: Service, synced: Http, sandbox: Sandbox, work: Work
) -> None:
    pulled(service, "Goal")
    id_ = add_goal(sandbox, description={"text": "Sleeps through"})
    pulled(service, "CarePlan")
    [told] = open_conflicts(service)
    plan_id, said = plan(synced)
    put(synced, "integration-care-plans", {**said, "id": plan_id, "status": "revoked"})
    change_there(one_of(sandbox, "CarePlan")[0], status="on-hold")
    assert counts(pulled(service, "CarePlan")) == (0, 1, 1)
    [found] = open_conflicts(service)
    assert [one["element"] for one in found["elements"]] == ["CarePlan.status"] and found["problems"] == told["problems"]
    put(synced, "integration-care-plans", {**said, "id": plan_id, "status": "on-hold"})
    work()
    [left] = open_conflicts(service)
    assert left["elements"] == [] and left["problems"] == told["problems"]
    sandbox.change("plain", f"Goal/{id_}", description=goal(sandbox)["description"])
    assert counts(pulled(service, "Goal")) == (1, 0, 0) and open_conflicts(service) == []


def test_a_goal_that_is_put_right_at_the_ehr_comes_in_then(service: Service, synced: Http, sandbox: Sandbox, work: Work) -> None:
    pulled(service, "Goal")
    id_ = add_goal(sandbox, description={"text": "Sleeps through"})
    assert counts(pulled(service, "CarePlan")) == counts(pulled(service, "Goal")) == (0, 0, 1)
    sandbox.change("plain", f"Goal/{id_}", description=goal(sandbox)["description"])
    assert counts(pulled(service, "Goal")) == (1, 0, 0) and open_conflicts(service) == []
    assert plan(synced)[1]["goals"][-1]["id"] == id_
    rests(service, synced, sandbox, work, "CarePlan", "Goal")


def test_a_goal_of_another_patient_is_refused(service: Service, synced: Http, sandbox: Sandbox, work: Work) -> None:
    put(synced, "patients", patient("ben"))
    work()
    before, mine = dicts(service.database, entity.name), patient_there(sandbox)["reference"]
    [other] = [one for one in sandbox.all("plain", "Patient") if f"Patient/{one['id']}" != mine]
    add_goal(sandbox, subject={"reference": f"Patient/{other['id']}"})
    assert counts(pulled(service, "CarePlan")) == (0, 0, 1)
    assert [one["path"] for one in open_conflicts(service)[0]["problems"]] == ["Goal.subject"]
    assert dicts(service.database, entity.name) == before


def test_the_care_plan_is_changed_also_where_what_it_lists_is_not_taken(service: Service, synced: Http, sandbox: Sandbox, work: Work) -> None:
    add_goal(sandbox, lifecycleStatus="entered-in-error")
    url, body = one_of(sandbox, "CarePlan")
    change_there(url, status="on-hold")
    assert counts(pulled(service, "CarePlan")) == (1, 0, 1)
    assert plan(synced)[1]["status"] == "on-hold"
    work()
    assert one_of(sandbox, "CarePlan")[1]["goal"] == body["goal"], "what it lists there stays"


def test_a_goal_and_a_change_of_the_care_plan_come_in_together(service: Service, synced: Http, sandbox: Sandbox, work: Work) -> None:
    id_ = add_goal(sandbox)
    change_there(one_of(sandbox, "CarePlan")[0], status="on-hold")
    assert counts(pulled(service, "CarePlan")) == (2, 0, 0)
    assert (plan(synced)[1]["status"], plan(synced)[1]["goals"][-1]["id"]) == ("on-hold", id_)
    rests(service, synced, sandbox, work, "CarePlan", "Goal")


# --- by what it refers to


def dosing(clinic: Http) -> Json:
    [found] = [one for one in clinic.get("/api/v1/dosing-encounters?patient=ann").json["items"] if one["entity"].get("administrations")]
    entity: Json = found["entity"]
    return entity


def reading(sandbox: Sandbox, loinc: str, **elements: Any) -> Json:
    """An Observation as a nurse makes it at the EHR during the dosing session, in the words of one of ours."""
    ours = next(one for one in sandbox.all("plain", "Observation") if one["code"]["coding"][0]["code"] == loinc and "encounter" in one and "partOf" in one)
    kept = {name: ours[name] for name in ("resourceType", "status", "code", "subject", "encounter", "valueQuantity", "component") if name in ours}
    return {**kept, "effectiveDateTime": "2026-03-02T11:05:00Z", "performer": [{"display": "A nurse there"}], **elements}


HEART_RATE, PRESSURE = "8867-4", "85354-9"


def test_a_vital_sign_that_was_made_at_the_ehr_becomes_a_reading_of_the_session(service: Service, synced: Http, sandbox: Sandbox, work: Work) -> None:
    pulled(service, "Observation")
    before, many = dosing(synced), len(sandbox.all("plain", "Observation"))
    quantity = {"value": 71, "unit": "beats/minute", "system": "http://unitsofmeasure.org", "code": "/min"}
    id_ = sandbox.add("plain", reading(sandbox, HEART_RATE, valueQuantity=quantity))
    assert counts(pulled(service, "Observation")) == (1, 0, 0), open_conflicts(service)
    assert dosing(synced) == {**before, "observations": [*before["observations"], {"id": id_, "at": "2026-03-02T11:05:00+00:00", "hr": 71}]}
    rests(service, synced, sandbox, work, "Observation", "Encounter")
    there = sandbox.all("plain", "Observation")
    assert len(there) == many + 2, "it is there once, and one more set that holds it"
    [mine] = [one for one in there if one["id"] == id_]
    assert {"display": "A nurse there"} in mine["performer"]
    assert [one["code"]["coding"][0]["code"] for one in there if {"reference": f"Observation/{id_}"} in one.get("hasMember", [])] == ["85353-1"]


def test_a_blood_pressure_comes_in_with_both_its_values(service: Service, synced: Http, sandbox: Sandbox, work: Work) -> None:
    id_ = sandbox.add("plain", reading(sandbox, PRESSURE))
    assert counts(pulled(service, "Observation")) == (1, 0, 0), open_conflicts(service)
    [made] = [one for one in dosing(synced)["observations"] if one["id"] == id_]
    assert made.keys() == {"id", "at", "bp"} and made["bp"].keys() == {"sys", "dia"}
    rests(service, synced, sandbox, work, "Observation")


def test_a_dose_that_was_given_at_the_ehr_becomes_an_administration(service: Service, synced: Http, sandbox: Sandbox, work: Work) -> None:
    before = dosing(synced)
    ours = next(one for one in sandbox.all("plain", "MedicationAdministration") if "request" in one)
    drug = next(one for one in sandbox.all("plain", "Medication") if f"Medication/{one['id']}" == ours["medicationReference"]["reference"])
    given = {
        **{name: ours[name] for name in ("resourceType", "subject", "context")}, "status": "completed", "medicationCodeableConcept": drug["code"],
        "effectiveDateTime": "2026-03-02T11:00:00Z", "dosage": {"dose": {"value": 5, "unit": "mg", "system": "http://unitsofmeasure.org", "code": "mg"}},
    }  # fmt: skip
    id_ = sandbox.add("plain", given)
    assert counts(pulled(service, "MedicationAdministration")) == (1, 0, 0), open_conflicts(service)
    [made] = [one for one in dosing(synced)["administrations"] if one not in before["administrations"]]
    assert (made["id"], made["start"], made["doseMg"], made["status"]) == (id_, "2026-03-02T11:00:00+00:00", 5, "completed")
    rests(service, synced, sandbox, work, "MedicationAdministration", "Encounter")


@pytest.mark.parametrize(("elements", "path"), [
    ({"status": "preliminary"}, "Observation.status"),
    ({"effectiveDateTime": None}, "Observation.effectiveDateTime"),
    ({"effectiveDateTime": "2026-03-02"}, "Observation.effectiveDateTime"),
    ({"valueQuantity": {"value": 71, "system": "http://unitsofmeasure.org", "code": "mm[Hg]"}}, "Observation.valueQuantity"),
])  # fmt: skip
def test_a_reading_that_cannot_be_taken_is_told_of_the_session(service: Service, synced: Http, sandbox: Sandbox, elements: Json, path: str) -> None:
    before = dicts(service.database, entity.name)
    said = {name: value for name, value in reading(sandbox, HEART_RATE, **elements).items() if value is not None}
    [id_] = sandbox.seed("plain", said)
    assert counts(pulled(service, "Observation")) == (0, 0, 1)
    [found] = open_conflicts(service)
    assert (found["resource"]["type"], [one["path"] for one in found["problems"]]) == ("Encounter", [path]) and id_ in str(found["problems"])
    assert dicts(service.database, entity.name) == before
    pulled(service, "Observation")
    assert open_conflicts(service) == [found], "it is told once"


GLUCOSE = {"coding": [{"system": "http://loinc.org", "code": "2345-7"}]}


def test_what_is_observed_at_a_visit_of_ours_and_has_no_place_in_the_record_is_the_ehrs_own(service: Service, synced: Http, sandbox: Sandbox) -> None:
    before = dicts(service.database, entity.name)
    for code in (GLUCOSE, {"text": "Glucose"}, None):
        sandbox.seed("plain", {name: value for name, value in reading(sandbox, HEART_RATE, code=code).items() if value is not None})
    assert counts(pulled(service, "Observation")) == (0, 0, 0) and open_conflicts(service) == []
    assert dicts(service.database, entity.name) == before


def test_what_a_set_of_ours_lists_and_has_no_place_in_the_record_is_told(service: Service, synced: Http, sandbox: Sandbox) -> None:
    there = sandbox.add("plain", reading(sandbox, HEART_RATE, code=GLUCOSE))
    panel = next(one for one in sandbox.all("plain", "Observation") if len(one.get("hasMember", [])) > 1 and "encounter" in one)
    sandbox.change("plain", f"Observation/{panel['id']}", hasMember=[*panel["hasMember"], {"reference": f"Observation/{there}"}])
    assert counts(pulled(service, "Observation")) == (0, 0, 1)
    [found] = open_conflicts(service)
    assert "Observation.code" in [one["path"] for one in found["problems"]]


def test_what_refers_to_nothing_of_ours_is_the_ehrs_own(service: Service, synced: Http, sandbox: Sandbox) -> None:
    before = dicts(service.database, entity.name)
    said = reading(sandbox, HEART_RATE)
    del said["encounter"]
    sandbox.add("plain", said)
    sandbox.add("plain", {**said, "encounter": {"reference": "https://elsewhere.test/fhir/" + one_of(sandbox, "Encounter")[1]["id"]}})
    assert counts(pulled(service, "Observation")) == (0, 0, 0) and open_conflicts(service) == []
    assert dicts(service.database, entity.name) == before


def test_a_reading_that_a_set_of_ours_lists_is_taken_only_where_it_says_its_visit(service: Service, synced: Http, sandbox: Sandbox, work: Work) -> None:
    said = reading(sandbox, HEART_RATE)
    there = sandbox.add("plain", {name: value for name, value in said.items() if name != "encounter"})
    panel = next(one for one in sandbox.all("plain", "Observation") if len(one.get("hasMember", [])) > 1 and one["encounter"] == said["encounter"])
    members = [*panel["hasMember"], {"reference": f"Observation/{there}"}]
    sandbox.change("plain", f"Observation/{panel['id']}", hasMember=members)
    assert counts(pulled(service, "Observation")) == (0, 0, 1)
    [found] = open_conflicts(service)
    assert [one["path"] for one in found["problems"]] == ["Observation.encounter"]
    sandbox.change("plain", f"Observation/{there}", encounter=said["encounter"])
    assert counts(pulled(service, "Observation")) == (1, 0, 0)
    assert there in {one["id"] for one in dosing(synced)["observations"]}
    rests(service, synced, sandbox, work, "Observation")


# --- what is no child, or is not seen


def test_what_carries_our_identifier_is_left_to_delivery(service: Service, synced: Http, sandbox: Sandbox) -> None:
    before = dicts(service.database, entity.name)
    add_goal(sandbox, identifier=sandbox.all("plain", "Goal")[0]["identifier"])
    assert counts(pulled(service, "CarePlan")) == (0, 0, 0)
    assert dicts(service.database, entity.name) == before


def test_what_an_ehr_may_not_see_of_the_patient_it_cannot_make(service: Service, pathway: Http, connect: Connect, sandbox: Sandbox, work: Work) -> None:
    """At C1 there is no Task: what is one at the EHR is its own."""
    connect("one", sandbox.url("plain"), 1)
    work()
    before = dicts(service.database, entity.name)
    id_ = sandbox.add("plain", {"resourceType": "Task", "status": "requested", "intent": "plan", "for": patient_there(sandbox)})
    lists(sandbox, activity=[{"reference": {"reference": f"Task/{id_}"}}])
    assert counts(pulled(service, "CarePlan")) == (0, 0, 1) and dicts(service.database, entity.name) == before


def test_an_id_that_another_item_has_is_not_taken(service: Service, synced: Http, sandbox: Sandbox) -> None:
    before = dicts(service.database, entity.name)
    [name] = sandbox.seed("plain", {**goal(sandbox), "id": plan(synced)[1]["goals"][0]["id"]})
    lists(sandbox, goal=[{"reference": name}])
    assert counts(pulled(service, "CarePlan")) == (0, 0, 1) and dicts(service.database, entity.name) == before


def test_a_list_that_cannot_be_read_is_looked_at_again(service: Service, synced: Http, sandbox: Sandbox) -> None:
    id_ = add_goal(sandbox)
    sandbox.fault("plain", "status", status=500, type="Goal", method="GET")
    assert pulled(service, "CarePlan").problems != []
    sandbox.mend()
    assert counts(pulled(service, "CarePlan")) == (1, 0, 0) and plan(synced)[1]["goals"][-1]["id"] == id_


def test_what_is_listed_while_something_of_the_record_is_sent_is_looked_at_again(service: Service, synced: Http, sandbox: Sandbox) -> None:
    pulled(service, "CarePlan")
    id_, before = add_goal(sandbox), plan(synced)
    sent = next(one for one in deliveries(synced, type="CarePlan") if one["state"] == "delivered")
    now_sent(service, sent["id"], "sending")
    done = pulled(service, "CarePlan")
    assert counts(done) == (0, 0, 0) and done.problems != [] and plan(synced) == before
    now_sent(service, sent["id"], "delivered")
    assert counts(pulled(service, "CarePlan")) == (1, 0, 0) and plan(synced)[1]["goals"][-1]["id"] == id_


def now_sent(service: Service, num: int, state: str) -> None:
    service.database.write(lambda tx: tx.execute(update(delivery).where(delivery.c.num == num).values(state=state)))
