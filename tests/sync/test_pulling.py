"""What an EHR changes comes in: once, to the field, past pages, echoes and answers that do not tell everything."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import requests

from service import contending
from service.exchange import Act
from service.store import conflicts, cursors, targets
from service.store.clock import micros
from service.store.cursors import Cursor
from service.sync import pulling
from service.sync.pulling import Pull, pull
from service.wiring import Service
from tests.conftest import Clock, Http
from tests.service.records import clinic as clinic_
from tests.service.records import put
from tests.service.test_accepting import plan
from tests.sync.conftest import Sandbox, states
from tests.sync.personas.conftest import reconciled

Work = Callable[[], int]
Json = dict[str, Any]


def pulled(service: Service, type_: str) -> Pull:
    return pull_of(service, "one", type_)


def pull_of(service: Service, name: str, type_: str) -> Pull:
    """One pull of a type, begun where the last ended."""
    with service.database.glance() as connection:
        kept = {one.type: one for one in cursors.of(connection, name)}
        target = targets.get(connection, name)
    assert target is not None
    if type_ not in kept:
        service.database.write(lambda tx: cursors.begin(tx, name, [*kept, type_], 60_000_000, micros(service.tenant.now())))
        return pull_of(service, name, type_)
    return pull(service, target, kept[type_])


def cursor(service: Service, type_: str) -> Cursor:
    with service.database.glance() as connection:
        return next(one for one in cursors.of(connection, "one") if one.type == type_)


def one_of(sandbox: Sandbox, type_: str) -> tuple[str, Json]:
    """(URL, body) of a resource at the EHR."""
    found = sandbox.all("plain", type_)[0]
    return f"{sandbox.url('plain')}/{type_}/{found['id']}", found


def change_there(url: str, **elements: Any) -> None:
    there = requests.get(url, timeout=10).json()
    answer = requests.put(url, json={**there, **elements}, timeout=10)
    assert answer.status_code == 200, answer.text


def open_conflicts(service: Service) -> list[Json]:
    with service.database.reading() as connection:
        return [contending.described(one, words=True) for one in conflicts.listed(connection)]


def counts(done: Pull) -> tuple[int, int, int]:
    return done.taken, done.contested, done.unfit


def test_a_change_from_long_before_the_first_pull_comes_in(synced: Http, sandbox: Sandbox, service: Service, clock: Clock) -> None:
    url, goal = one_of(sandbox, "Goal")
    change_there(url, lifecycleStatus="completed" if goal["lifecycleStatus"] != "completed" else "active")
    clock.forward(seconds=int((datetime.now(UTC) - clock()).total_seconds()) + 3 * 86_400)  # the EHR goes by the true time
    found = pulled(service, "Goal")
    assert (found.taken, found.problems) == (1, [])


def test_a_care_plan_that_was_changed_at_the_ehr_is_changed_here_and_rests(service: Service, synced: Http, sandbox: Sandbox, work: Work) -> None:
    pulled(service, "CarePlan")
    url, _ = one_of(sandbox, "CarePlan")
    change_there(url, status="on-hold")
    done = pulled(service, "CarePlan")
    assert counts(done) == (1, 0, 0) and done.problems == []
    assert plan(synced)[1]["status"] == "on-hold"
    work()
    versions = sandbox.versions("plain")
    for _ in range(3):
        assert counts(pulled(service, "CarePlan")) == (0, 0, 0)
        work()
    assert sandbox.versions("plain") == versions, "both sides answer each other"
    assert set(states(synced)) <= {"delivered", "superseded"}


def test_nothing_that_we_sent_comes_in_as_a_change(service: Service, synced: Http) -> None:
    before = plan(synced)
    for type_ in ("CarePlan", "Goal", "Task", "Encounter", "Observation", "MedicationAdministration", "Procedure", "Patient"):
        done = pulled(service, type_)
        assert counts(done) == (0, 0, 0) and done.problems == [], type_
    assert plan(synced) == before


def test_what_an_ehr_adds_of_its_own_stays_there_and_survives_our_next_update(service: Service, synced: Http, sandbox: Sandbox, work: Work) -> None:
    url, _ = one_of(sandbox, "CarePlan")
    change_there(url, contributor=[{"display": "Someone there"}])
    assert counts(pulled(service, "CarePlan")) == (0, 0, 0)
    id_, entity = plan(synced)
    assert synced.put(f"/api/v1/integration-care-plans/{id_}", {**entity, "status": "on-hold"}).status == 200
    work()
    found = requests.get(url, timeout=10).json()
    assert (found["status"], found["contributor"]) == ("on-hold", [{"display": "Someone there"}])


@pytest.mark.parametrize("pulls", [True, False], ids=["pulled", "met by an update"])
def test_what_an_ehr_adds_to_a_list_survives_every_update_of_ours(service: Service, synced: Http, sandbox: Sandbox, work: Work, pulls: bool) -> None:
    url, body = one_of(sandbox, "CarePlan")
    theirs = {"system": "https://ehr.test/plans", "value": "7"}
    change_there(url, identifier=[*body["identifier"], theirs])
    if pulls:
        pulled(service, "CarePlan")
    id_, entity = plan(synced)
    for status in ("on-hold", "active", "completed"):
        synced.put(f"/api/v1/integration-care-plans/{id_}", {**entity, "status": status})
        work()
        found = requests.get(url, timeout=10).json()
        assert found["status"] == status and theirs in found["identifier"]


def test_what_our_own_update_was_merged_into_still_comes_in(service: Service, synced: Http, sandbox: Sandbox, work: Work) -> None:
    """The EHR's change is met by our update before it is pulled: the update keeps it there, and the next pull brings it here."""
    url, _ = one_of(sandbox, "CarePlan")
    id_, entity = plan(synced)
    change_there(url, status="on-hold")
    synced.put(f"/api/v1/integration-care-plans/{id_}", {**entity, "title": "Another title"})
    work()
    there = requests.get(url, timeout=10).json()
    assert (there["status"], there["title"]) == ("on-hold", "Another title")
    assert {one.verdict for one in reconciled(service, "one")[0] if one.type == "CarePlan"} == {"same"}
    assert counts(pulled(service, "CarePlan")) == (1, 0, 0)
    assert plan(synced)[1] == {**entity, "title": "Another title", "status": "on-hold"}
    work()
    assert counts(pulled(service, "CarePlan")) == (0, 0, 0) and work() == 0


def test_a_change_of_both_sides_is_a_conflict_and_settled_by_a_person(service: Service, synced: Http, sandbox: Sandbox, work: Work) -> None:
    url, _ = one_of(sandbox, "CarePlan")
    id_, entity = plan(synced)
    change_there(url, status="on-hold")
    assert synced.put(f"/api/v1/integration-care-plans/{id_}", {**entity, "status": "revoked"}).status == 200
    assert counts(pulled(service, "CarePlan")) == (0, 1, 0)
    assert counts(pulled(service, "CarePlan")) == (0, 0, 0), "it is told once"
    [found] = open_conflicts(service)
    assert found["elements"] == [{"element": "CarePlan.status", "base": "active", "ours": "revoked", "theirs": "on-hold"}]
    work()
    assert requests.get(url, timeout=10).json()["status"] == "on-hold", "a conflict is not overwritten by what was owed"
    settle(service, open_conflicts(service)[0]["id"], "theirs")
    assert plan(synced)[1] == {**entity, "status": "on-hold"}
    work()
    assert open_conflicts(service) == [] and set(states(synced)) <= {"delivered", "superseded", "cancelled"}


def test_ours_goes_there_when_it_is_kept(service: Service, synced: Http, sandbox: Sandbox, work: Work) -> None:
    url, _ = one_of(sandbox, "CarePlan")
    id_, entity = plan(synced)
    change_there(url, status="on-hold")
    synced.put(f"/api/v1/integration-care-plans/{id_}", {**entity, "status": "revoked"})
    pulled(service, "CarePlan")
    settle(service, open_conflicts(service)[0]["id"], "ours")
    work()
    assert requests.get(url, timeout=10).json()["status"] == "revoked"
    assert counts(pulled(service, "CarePlan")) == (0, 0, 0) and plan(synced)[1]["status"] == "revoked"


def settle(service: Service, num: int, keep: str) -> None:
    service.database.write(lambda tx: contending.settle(Act(service.tenant, tx, "operator"), num, keep, micros(service.tenant.now())))


def test_what_cannot_be_taken_is_shown_with_its_path_and_not_overwritten(service: Service, synced: Http, sandbox: Sandbox) -> None:
    url, before = one_of(sandbox, "CarePlan")
    other = sandbox.add("plain", {"resourceType": "Patient", "name": [{"family": "Other"}]})
    change_there(url, subject={"reference": f"Patient/{other}"})
    assert counts(pulled(service, "CarePlan")) == (0, 0, 1)
    [found] = open_conflicts(service)
    assert "subject" in str(found["problems"]) and before["subject"] != {"reference": f"Patient/{other}"}


def test_what_was_removed_at_the_ehr_stays_here_and_is_shown(service: Service, synced: Http, sandbox: Sandbox, work: Work) -> None:
    before = plan(synced)
    pulled(service, "Provenance")
    many = sandbox.counts("plain")["Provenance"]
    url, _ = one_of(sandbox, "Provenance")
    assert requests.delete(url, timeout=10).status_code in (200, 204)
    assert pulled(service, "Provenance").vanished == 1
    assert pulled(service, "Provenance").vanished == 0
    [found] = open_conflicts(service)
    assert "removed" in str(found["problems"]) and plan(synced) == before
    settle(service, found["id"], "ours")
    work()
    assert sandbox.counts("plain")["Provenance"] == many


def test_what_is_there_again_is_not_removed_any_more(service: Service, synced: Http, sandbox: Sandbox, work: Work) -> None:
    pulled(service, "Provenance")
    there = sandbox.all("plain", "Provenance")[0]
    sandbox.remove("plain", f"Provenance/{there['id']}")
    pulled(service, "Provenance")
    assert len(open_conflicts(service)) == 1
    sandbox.seed("plain", there)
    done = pulled(service, "Provenance")
    assert done.problems == [] and open_conflicts(service) == [] and done.vanished == 0
    found, _ = reconciled(service, "one")
    assert {one.verdict for one in found} == {"same"} and work() == 0


def test_a_storm_of_not_found_is_no_removal_of_everything(service: Service, synced: Http, sandbox: Sandbox) -> None:
    change_abilities(service)
    pulled(service, "Observation")
    many = sandbox.counts("plain")["Observation"]
    fault(sandbox, fault="status", status=404, body="<html>", contentType="text/html", type="Observation", method="GET")
    done = pulled(service, "Observation")
    assert done.problems == [f"{many} of {many} are not found there all at once: none is taken to be removed"] and done.vanished == 0
    assert open_conflicts(service) == [] and cursor(service, "Observation").held
    sandbox.mend()
    fault(sandbox, fault="status", status=404, type="Observation", method="GET", times=1)
    assert pulled(service, "Observation").vanished == 1 and len(open_conflicts(service)) == 1


def test_where_a_search_shows_less_than_it_found_every_copy_is_compared(service: Service, synced: Http, sandbox: Sandbox, clock: Clock) -> None:
    pulled(service, "Observation")
    clock.forward(days=2)
    ours = [one for one in sandbox.all("plain", "Observation") if "valueQuantity" in one][:2]
    for one in ours:
        sandbox.change("plain", f"Observation/{one['id']}", valueQuantity={**one["valueQuantity"], "value": one["valueQuantity"]["value"] + 1})
    shown = next(one for one in sandbox.all("plain", "Observation") if one["id"] == ours[1]["id"])
    links = [{"relation": "self", "url": f"{sandbox.url('plain')}/Observation?_lastUpdated=ge2026-01-01"}]
    body = {"resourceType": "Bundle", "type": "searchset", "total": 2, "link": links, "entry": [{"resource": shown}]}
    fault(sandbox, fault="status", status=200, body=body, contentType="application/fhir+json", type="Observation", method="GET", times=1)
    done = pulled(service, "Observation")
    assert done.problems == [] and done.taken == 2 and done.compared


def test_a_change_is_found_by_comparing_where_the_ehr_tells_no_time_of_change(service: Service, synced: Http, sandbox: Sandbox) -> None:
    change_abilities(service)
    url, _ = one_of(sandbox, "CarePlan")
    change_there(url, status="on-hold")
    asked = len(sandbox.asked("plain"))
    assert counts(pulled(service, "CarePlan")) == (1, 0, 0)
    assert all(one.startswith("GET /CarePlan/") for one in sandbox.asked("plain")[asked + 1 :])


def change_abilities(service: Service) -> None:
    """An EHR that has no `_lastUpdated`."""
    with service.database.glance() as connection:
        target = targets.get(connection, "one")
    assert target is not None and target.capability is not None
    statement = target.capability
    rest = statement["rest"][0]
    rest["searchParam"] = []
    for one in rest["resource"]:
        one["searchParam"] = [p for p in one.get("searchParam", []) if p["name"] != "_lastUpdated"]
    service.database.write(lambda tx: targets.change(tx, "one", capability=statement))


def fault(sandbox: Sandbox, **said: Any) -> None:
    answer = requests.post(f"{sandbox.origin}/_sandbox/faults", json={"persona": "plain", **said}, timeout=10)
    assert answer.status_code in (200, 201), answer.text


@pytest.mark.parametrize("said", [
    {"fault": "self"}, {"fault": "loop"}, {"fault": "foreign-next", "origin": "http://127.0.0.1:9"}, {"fault": "error-in-200", "entry": True},
    {"fault": "status", "status": 500}, {"fault": "lost-page"},
], ids=lambda said: said["fault"])  # fmt: skip
def test_a_pull_that_does_not_see_everything_holds_its_cursor(service: Service, synced: Http, sandbox: Sandbox, said: Json) -> None:
    pulled(service, "Observation")
    before = cursor(service, "Observation").at
    fault(sandbox, **said, type="Observation", method="GET")
    url, _ = one_of(sandbox, "Observation")
    there = requests.get(url, timeout=10)
    done = pulled(service, "Observation")
    assert done.problems and cursor(service, "Observation").held, (said, there.status_code)
    assert cursor(service, "Observation").at == before
    requests.delete(f"{sandbox.origin}/_sandbox/faults", timeout=10)
    assert pulled(service, "Observation").problems == [] and cursor(service, "Observation").held is None


def test_an_echo_loop_is_parked(service: Service, synced: Http, sandbox: Sandbox) -> None:
    url, _ = one_of(sandbox, "CarePlan")
    outcomes = []
    for status in ("on-hold", "active", "on-hold", "active", "on-hold", "active"):
        change_there(url, status=status)
        outcomes.append(counts(pulled(service, "CarePlan")))
    assert outcomes[:5] == [(1, 0, 0)] * 5 and outcomes[5] == (0, 0, 1)
    assert "echo loop" in str(open_conflicts(service))


def test_places_that_nobody_sent_do_not_come_in(service: Service, synced: Http, sandbox: Sandbox) -> None:
    sandbox.add("plain", {"resourceType": "Organization", "name": "Elsewhere"})
    put(synced, "clinics", clinic_("another", name="Another"))
    assert counts(pulled(service, "Organization")) == (0, 0, 0)


def test_what_is_stamped_ahead_of_the_ehrs_own_clock_hides_nothing_that_is_changed_after_it(
    service: Service, synced: Http, sandbox: Sandbox, clock: Clock
) -> None:
    clock.at = datetime.now(UTC)
    ours = [one for one in sandbox.all("plain", "Observation") if "valueQuantity" in one]
    ahead, later = ours[0], ours[1]
    stamped = {**ahead, "meta": {**ahead["meta"], "lastUpdated": (clock.at + timedelta(minutes=5)).isoformat()}}
    links = [{"relation": "self", "url": f"{sandbox.url('plain')}/Observation?_lastUpdated=ge2026-01-01"}]
    body = {"resourceType": "Bundle", "type": "searchset", "link": links, "entry": [{"resource": one} for one in (later, stamped)]}
    fault(sandbox, fault="status", status=200, body=body, contentType="application/fhir+json", type="Observation", method="GET", times=1)
    assert pulled(service, "Observation").problems == []
    at = cursor(service, "Observation").at
    assert at is not None and datetime.fromisoformat(at) <= datetime.now(UTC) + timedelta(seconds=1)
    sandbox.change("plain", f"Observation/{later['id']}", valueQuantity={**later["valueQuantity"], "value": later["valueQuantity"]["value"] + 1})
    assert counts(pulled(service, "Observation"))[0] == 1


def test_a_fault_of_our_own_at_one_resource_holds_the_cursor_and_the_others_come_in(
    service: Service, synced: Http, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    pulled(service, "Observation")
    before = cursor(service, "Observation").at
    ours = [one for one in sandbox.all("plain", "Observation") if "valueQuantity" in one][:2]
    for one in ours:
        sandbox.change("plain", f"Observation/{one['id']}", valueQuantity={**one["valueQuantity"], "value": one["valueQuantity"]["value"] + 1})
    take = pulling.take

    def fails(act: Any, held: Any, news: Any) -> Any:
        if held.remote_id == ours[0]["id"]:
            raise TypeError("a fault")
        return take(act, held, news)

    monkeypatch.setattr(pulling, "take", fails)
    done = pulled(service, "Observation")
    assert done.taken == 1 and done.problems == [f"Observation/{ours[0]['id']} cannot be looked at: TypeError"]
    assert cursor(service, "Observation").at == before and cursor(service, "Observation").held
    monkeypatch.undo()
    assert counts(pulled(service, "Observation"))[0] == 1 and cursor(service, "Observation").held is None
