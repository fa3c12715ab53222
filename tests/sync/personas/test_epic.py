"""Epic: few types are taken, nothing is created on a condition, and what a search does not find may be there all the same (E1 to E6)."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from sandbox.personas.epic import CREATES, UPDATES
from service.security import keys
from service.store import signing_keys
from service.store.clock import micros
from service.wiring import Service
from tests.conftest import Clock, Http
from tests.service.records import patient, put
from tests.sync.conftest import Connect, Sandbox, deliveries, states
from tests.sync.personas.conftest import Work, allergy, calls, readings, reconciled
from tests.sync.test_pulling import pull_of
from tests.sync.test_worker import types_of

Json = dict[str, Any]
READ_ONLY = {"Encounter", "Consent", "Practitioner", "Organization", "Provenance"}


@pytest.fixture
def epic(visit: Http, connect: Connect, sandbox: Sandbox, work: Work) -> Http:
    """The visit, at Epic."""
    connect("epic", sandbox.url("epic"))
    work()
    return visit


def writes(sandbox: Sandbox) -> list[str]:
    return [one for one in sandbox.asked("epic") if not one.startswith("GET ")]


def test_what_epic_only_shows_is_unsupported_and_never_tried(epic: Http, sandbox: Sandbox, work: Work, clock: Clock) -> None:
    """E1: Encounter, MedicationAdministration, CarePlan and others are read-only: shown, not retried."""
    unsupported = deliveries(epic, state="unsupported")
    assert {one["resource"]["type"] for one in unsupported} == types_of(epic) - set(CREATES) >= READ_ONLY
    assert {one["reason"] for one in unsupported} == {f"This EHR does not take {one['resource']['type']}" for one in unsupported}
    assert {one["attempts"] for one in unsupported} == {0} and states(epic)["parked"] == states(epic)["waiting"] == 0
    assert {one.removeprefix("POST /") for one in writes(sandbox)} <= {*CREATES}
    clock.forward(days=1)
    assert work() == 0


def test_what_epic_takes_once_is_unsupported_when_it_changes(epic: Http, sandbox: Sandbox, work: Work) -> None:
    """E1: a Patient is created and not updated; an Observation is both."""
    put(epic, "patients", patient(gender="other"))
    work()
    last = deliveries(epic, type="Patient")[0]
    assert (last["state"], last["reason"]) == ("unsupported", "This EHR does not take Patient once it is there")
    assert not any(one.startswith("PUT /Patient") for one in writes(sandbox)) and "Patient" not in UPDATES and "Observation" in UPDATES


def test_what_epic_does_not_take_goes_another_way_where_that_is_agreed(visit: Http, connect: Connect, sandbox: Sandbox, work: Work) -> None:
    """E1: the alternate route is a DocumentReference."""
    connect("epic", sandbox.url("epic"), alternate="DocumentReference")
    work()
    assert states(visit)["unsupported"] == 0
    assert len(sandbox.all("epic", "DocumentReference")) >= len(READ_ONLY)


def test_without_conditional_create_epic_is_searched_first_and_given_one_resource_at_a_time(epic: Http, sandbox: Sandbox) -> None:
    """E2: no conditional create, no transaction, no batch: a search by our identifier, then a single POST."""
    asked = sandbox.asked("epic")
    for n, one in enumerate(asked):
        if one.startswith("POST"):
            assert asked[n - 1] == f"GET {one.removeprefix('POST ')}"
    queries = [one["query"] for one in sandbox.log("epic") if one["method"] == "GET"]
    assert all(query.startswith("identifier=") for query in queries)
    assert not any(one in ("POST /", "POST ") for one in asked)
    assert {call["requestHeaders"].get("If-None-Exist") for call in calls(epic)} == {None}


def test_a_lost_answer_makes_no_second_one_at_epic(visit: Http, connect: Connect, sandbox: Sandbox, work: Work, clock: Clock) -> None:
    """E2: what may be there is searched for before it is sent again."""
    connect("epic", sandbox.url("epic"))
    sandbox.fault("epic", "reset", when="after", method="POST", type="Observation", times=3)
    for _ in range(8):
        work()
        clock.forward(seconds=130)
    assert sandbox.counts("epic")["Observation"] == 4 and states(visit)["waiting"] == states(visit)["parked"] == 0


def test_what_epic_changed_is_found_by_comparing_every_copy(epic: Http, sandbox: Sandbox, service: Service) -> None:
    """E3: no `_lastUpdated`, and dates miss what is edited late: every copy is read and compared by its hash."""
    [theirs] = sandbox.all("epic", "Patient")
    sandbox.change("epic", f"Patient/{theirs['id']}", gender="other")
    done = pull_of(service, "epic", "Patient")
    assert (done.taken, done.problems, done.compared) == (1, [], True)
    assert epic.get("/api/v1/patients/ann").json["entity"]["gender"] == "other"
    assert not any("_lastUpdated" in one["query"] or "date" in one["query"] for one in sandbox.log("epic"))
    again = pull_of(service, "epic", "Patient")
    assert (again.taken, again.same) == (0, 1)


def test_epic_is_asked_nothing_that_it_would_answer_otherwise_than_asked(epic: Http, sandbox: Sandbox, service: Service) -> None:
    """E4: `_id` beside other parameters, and categories of Observation, are never asked for; nor is what it does not take, such as a CarePlan without a category."""
    findings, problems = reconciled(service, "epic")
    for type_ in ("Patient", "Observation"):
        pull_of(service, "epic", type_)
    assert {one.verdict for one in findings} <= {"same", "undelivered", "unsupported"} and {one.verdict for one in findings if one.type == "Observation"} == {"same"}
    assert problems == []
    asked = [one["query"] for one in sandbox.log("epic")]
    assert not [query for query in asked if "_id=" in query or "category" in query]


def test_an_allergy_that_epic_does_not_find_is_not_taken_for_removed(epic: Http, sandbox: Sandbox, service: Service, work: Work) -> None:
    """E4: only active allergies are found; one that ended there is read by its id, and is not gone."""
    allergy(epic)
    work()
    [theirs] = sandbox.all("epic", "AllergyIntolerance")
    ended = {"coding": [{**theirs["clinicalStatus"]["coding"][0], "code": "resolved"}]}
    sandbox.change("epic", f"AllergyIntolerance/{theirs['id']}", clinicalStatus=ended)
    assert [one.verdict for one in reconciled(service, "epic")[0] if one.type == "AllergyIntolerance"] == ["differs"]
    done = pull_of(service, "epic", "AllergyIntolerance")
    assert (done.taken, done.vanished) == (1, 0)


@pytest.mark.parametrize("status", ["inactive", "resolved"])
def test_an_allergy_that_ended_and_may_be_there_is_not_created_again(
    visit: Http, connect: Connect, sandbox: Sandbox, work: Work, clock: Clock, status: str
) -> None:
    """E4: where only active allergies are found, one that is not found may be there: a person looks."""
    connect("epic", sandbox.url("epic"))
    allergy(visit, status)
    sandbox.fault("epic", "reset", when="after", method="POST", type="AllergyIntolerance", times=1)
    for _ in range(3):
        work()
        clock.forward(seconds=130)
    [parked] = deliveries(visit, state="parked")
    assert "may show only what is active" in parked["reason"] and len(sandbox.all("epic", "AllergyIntolerance")) == 1


@pytest.fixture
def smart(connect: Connect, sandbox: Sandbox, service: Service, clock: Clock) -> Callable[..., Json]:
    """Registers Epic as one that gives tokens: on their clock, which is the real one. Returns how we are known there."""

    def smart(**auth: Any) -> Json:
        clock.at = datetime.now(UTC) - timedelta(seconds=90)
        made = keys.made(service.tenant, "RS384", None, micros(clock()))
        service.database.write(lambda tx: signing_keys.add(tx, made))
        base = sandbox.url("epic")
        said = {"type": "smart", "client_id": "pathway", "token_url": f"{base}/auth/token", "origin": sandbox.origin, "discovered": True,
                "alg": "RS384", "scope": "system/*.cruds", **auth}  # fmt: skip
        connect("epic", base, auth=said)
        return {"id": "pathway", "jwks": {"keys": [made.public]}}

    return smart


def test_a_key_that_epic_does_not_know_yet_is_tried_again_slowly(visit: Http, sandbox: Sandbox, smart: Any, work: Work, clock: Clock) -> None:
    """E5: assertions of RS384 for one use and five minutes at most; a new client is `invalid_client` until it is known."""
    known = smart()
    sandbox.smart("epic", clients=[{**known, "id": "another"}])
    work()
    work()
    assert sandbox.smart("epic")["refused"] == 1 and set(states(visit)) == {"waiting", "unsupported"}
    assert {one["attempts"] for one in deliveries(visit)} == {0}
    sandbox.smart("epic", clients=[known])
    clock.forward(seconds=61)
    work()
    told = sandbox.smart("epic")
    assert (told["issued"], states(visit)["waiting"], states(visit)["parked"]) == (1, 0, 0)


@pytest.mark.parametrize("life", [20, 300, 3600, None, "300", 0])
def test_a_token_of_epics_serves_until_it_ends_however_long_that_is(visit: Http, sandbox: Sandbox, smart: Any, work: Work, life: Any) -> None:
    """E6: token lives vary, and there is no refresh token: one token for many calls, and another one when it was revoked."""
    sandbox.smart("epic", clients=[smart()], expiresIn=life, livesFor=300)
    work()
    many = sandbox.counts("epic")["Observation"]
    assert sandbox.smart("epic")["issued"] == 1 and many == 4 and states(visit)["waiting"] == 0
    sandbox.revoke("epic")
    put(visit, "dosing-encounters", {**visit.get("/api/v1/dosing-encounters/dose").json["entity"], "observations": readings(3)})
    work()
    assert sandbox.smart("epic")["issued"] == 2 and sandbox.counts("epic")["Observation"] == 6 and states(visit)["waiting"] == 0
