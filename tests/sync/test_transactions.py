"""Several deliveries of one stream in one Bundle: it lands as if each had gone singly, and no answer, whatever its shape, loses or doubles any."""

import json
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from typing import Any

import pytest

from mappings.references import references_in
from service.security.secrets import open_sealed
from service.store import streams, targets
from service.store.clock import micros
from service.store.database import Database
from service.sync import ehrs, sending
from service.sync.outcomes import Reply
from service.sync.sending import Stream, send_stream
from service.sync.targets.rest import Rest
from service.sync.transport import Line
from service.wiring import Service
from tests.conftest import Clock, Http
from tests.service.records import dosing, emdr, patient, people, put
from tests.service.tables import dicts
from tests.sync.conftest import Connect, Sandbox, deliveries, states
from tests.sync.personas.conftest import readings, reconciled

Json = dict[str, Any]
Work = Callable[[], int]
Adds = Callable[..., None]
BASE = "^/fhir/r4/?$"


@pytest.fixture
def visit(clinic: Http) -> Http:
    """A patient with a visit of four readings, each of which is two Observations."""
    people(clinic)
    put(clinic, "dosing-encounters", dosing(observations=readings(4)))
    return clinic


@pytest.fixture
def together(connect: Connect, sandbox: Sandbox) -> Adds:
    """Adds the sandbox's plain EHR, which takes transactions, with transactions asked for."""
    return lambda **more: connect("plain", sandbox.url("plain"), **{"transactions": True, **more})


def bundles(sandbox: Sandbox) -> list[Json]:
    return [one for one in sandbox.log("plain") if one["method"] == "POST" and one["path"].rstrip("/") == "/fhir/r4"]


def singly(sandbox: Sandbox) -> list[str]:
    """Method and path of the writes that went alone."""
    return [one for one in sandbox.asked("plain") if not one.startswith("GET") and one.strip("/ ") != "POST"]


def at_rest(clinic: Http) -> bool:
    return set(states(clinic)) <= {"delivered", "superseded"}


def until_quiet(clinic: Http, work: Work, clock: Clock) -> None:
    for _ in range(12):
        work()
        if at_rest(clinic):
            return
        clock.forward(seconds=301)
    raise AssertionError(deliveries(clinic, state="waiting") + deliveries(clinic, state="parked"))


def verdicts(service: Service) -> set[str]:
    findings, problems = reconciled(service, "plain")
    assert findings and problems == []
    return {one.verdict for one in findings}


def once(sandbox: Sandbox) -> bool:
    """Whether nothing is there twice."""
    held = [one for type_ in sandbox.counts("plain") for one in sandbox.all("plain", type_)]
    names = Counter(json.dumps(one.get("identifier") or one.get("entity"), sort_keys=True) + one["resourceType"] for one in held)
    return max(names.values()) == 1


# --- what goes together


def test_the_whole_pathway_goes_in_few_requests_and_lands_as_singly(
    together: Adds, sandbox: Sandbox, work: Work, service: Service, request: pytest.FixtureRequest
) -> None:
    clinic: Http = request.getfixturevalue("pathway")
    together(transactions=False)
    work()
    requests_singly, counts, versions = len(sandbox.asked("plain")), sandbox.counts("plain"), sandbox.versions("plain")
    logical = references(sandbox)
    sandbox.reset()
    request.getfixturevalue("connect")("again", sandbox.also("plain"), transactions=True)
    work()
    assert set(states(clinic, ehr="again")) <= {"delivered", "superseded"}
    assert sandbox.counts("plain") == counts and references(sandbox) == logical and sandbox.versions("plain") <= versions
    asked = len(sandbox.asked("plain"))
    assert len(bundles(sandbox)) >= 3 and asked * 4 < requests_singly, f"{asked} requests, singly {requests_singly}"
    findings, problems = reconciled(service, "again")
    assert problems == [] and {one.verdict for one in findings} == {"same"}
    there = sandbox.versions("plain")
    assert work() == 0 and sandbox.versions("plain") == there


def references(sandbox: Sandbox) -> Counter[tuple[str, str, bool]]:
    """Which references there are, and whether they lead to what the EHR holds."""
    held = [one for type_ in sandbox.counts("plain") for one in sandbox.all("plain", type_)]
    names = {f"{one['resourceType']}/{one['id']}" for one in held}
    return Counter((one["resourceType"], path, to.get("reference") in names) for one in held for path, to, _ in references_in(one))


def test_what_is_in_one_bundle_refers_to_the_rest_of_it_and_nothing_is_sent_again(visit: Http, together: Adds, sandbox: Sandbox, work: Work) -> None:
    together()
    work()
    [encounter], [ann] = sandbox.all("plain", "Encounter"), sandbox.all("plain", "Patient")
    assert encounter["subject"]["reference"] == f"Patient/{ann['id']}"
    panels = [one for one in sandbox.all("plain", "Observation") if one.get("hasMember")]
    members = {f"Observation/{one['id']}" for one in sandbox.all("plain", "Observation")}
    assert len(panels) == 4 and all(to["reference"] in members for one in panels for to in one["hasMember"])
    assert sandbox.counts("plain")["Observation"] == 8 and at_rest(visit)
    assert [one for type_ in ("Patient", "Encounter", "Observation", "DetectedIssue") for one in sandbox.all("plain", type_) if one["meta"]["versionId"] != "1"] == []
    asked = len(sandbox.asked("plain"))
    put(visit, "dosing-encounters", dosing(observations=readings(4)))
    assert work() == 0 and len(sandbox.asked("plain")) == asked


def test_changes_and_removals_go_together_too(visit: Http, together: Adds, sandbox: Sandbox, work: Work, service: Service) -> None:
    together()
    put(visit, "emdr-procedures", emdr())
    work()
    provenance, before = sandbox.counts("plain")["Provenance"], len(bundles(sandbox))
    put(visit, "dosing-encounters", dosing(observations=readings(4, 90)))
    work()
    assert len(bundles(sandbox)) == before + 1 and {one["meta"]["versionId"] for one in sandbox.all("plain", "Observation") if "valueQuantity" in one} == {"2"}
    assert visit.delete("/api/v1/dosing-encounters/dose").status in (200, 204)
    work()
    assert at_rest(visit) and sandbox.counts("plain")["Provenance"] < provenance
    assert {one["status"] for one in sandbox.all("plain", "Observation")} == {"entered-in-error"}
    assert not [one for one in singly(sandbox) if one.startswith("DELETE")]
    assert verdicts(service) == {"same"}


def test_one_alone_goes_without_a_bundle(visit: Http, together: Adds, sandbox: Sandbox, work: Work) -> None:
    together()
    work()
    before = len(bundles(sandbox))
    put(visit, "practitioners", {**visit.get("/api/v1/practitioners/dr-shah").json["entity"], "active": False})
    work()
    assert len(bundles(sandbox)) == before and any(one.startswith("PUT /Practitioner") for one in singly(sandbox))


@pytest.mark.parametrize("persona", ["epic", "oracle"])
def test_an_ehr_that_does_not_say_that_it_takes_transactions_is_sent_everything_singly(
    visit: Http, connect: Connect, sandbox: Sandbox, work: Work, persona: str
) -> None:
    connect("other", sandbox.url(persona), transactions=True)
    work()
    writes = [one for one in sandbox.asked(persona) if one.startswith("POST")]
    assert "POST /Observation" in writes and not {"POST ", "POST /"} & set(writes)


def test_nobody_is_sent_a_bundle_who_was_not_asked_for_one(visit: Http, together: Adds, sandbox: Sandbox, work: Work) -> None:
    together(transactions=False)
    work()
    assert at_rest(visit) and bundles(sandbox) == []


def test_a_person_who_is_matched_goes_first_and_the_rest_refers_to_whom_was_found(
    visit: Http, together: Adds, sandbox: Sandbox, work: Work
) -> None:
    number = {"system": "https://fhir.nhs.uk/Id/nhs-number", "value": "9449305552"}
    [theirs] = sandbox.seed("plain", {"resourceType": "Patient", "identifier": [number], "birthDate": "1984-05-17", "name": [{"family": "Example"}]})
    put(visit, "patients", patient(nhsNumber=number["value"]))
    together(create_people=False)
    work()
    [encounter] = sandbox.all("plain", "Encounter")
    assert encounter["subject"]["reference"] == theirs and len(bundles(sandbox)) >= 1 and sandbox.counts("plain")["Patient"] == 1


# --- what an EHR refuses


def test_one_bad_entry_parks_alone_with_its_reason(visit: Http, together: Adds, sandbox: Sandbox, work: Work, database: Database) -> None:
    together()
    refused = {"resourceType": "OperationOutcome", "issue": [{"severity": "error", "code": "processing", "diagnostics": "one of them is bad"}]}
    sandbox.fault("plain", "status", status=422, body=refused, path=BASE, times=1)
    sandbox.fault("plain", "status", status=422, method="POST", type="Encounter", times=1)
    work()
    [parked] = deliveries(visit, state="parked")
    assert (parked["resource"]["type"], parked["attempts"]) == ("Encounter", 1) and "422" in parked["reason"]
    heads = [json.loads(row["heads"]) for row in dicts(database, "attempt") if row["delivery"] == parked["id"]]
    assert [[(one["method"], one["path"], one["status"]) for one in each] for each in heads] == [[("POST", "/", 422), ("POST", "/Encounter", 422)]]
    assert sandbox.counts("plain")["Observation"] == 8
    assert visit.post(f"/api/v1/deliveries/{parked['id']}/replay").status in (200, 202)
    work()
    assert at_rest(visit) and once(sandbox)


def test_one_that_is_there_twice_spoils_the_bundle_and_parks_alone(visit: Http, connect: Connect, sandbox: Sandbox, work: Work) -> None:
    """ifNoneExist that several meet is 412 for all of the Bundle."""
    connect("first", sandbox.url("plain"))
    work()
    ours = next(one for one in sandbox.all("plain", "Observation") if "hasMember" in one)
    sandbox.reset()
    sandbox.seed("plain", *[{"resourceType": "Observation", "status": "final", "code": ours["code"], "identifier": ours["identifier"]}] * 2)
    connect("again", sandbox.also("plain"), transactions=True)
    work()
    [parked] = deliveries(visit, ehr="again", state="parked")
    assert (parked["resource"]["type"], parked["attempts"]) == ("Observation", 1) and len(bundles(sandbox)) == 1
    assert sandbox.counts("plain")["Observation"] == 9 and states(visit, ehr="again")["waiting"] == 0


def test_a_change_of_the_ehrs_own_is_merged_and_the_others_arrive(
    visit: Http, together: Adds, sandbox: Sandbox, work: Work, service: Service
) -> None:
    """A stale ifMatch is 412 for all of the Bundle."""
    together()
    work()
    [encounter] = sandbox.all("plain", "Encounter")
    sandbox.change("plain", f"Encounter/{encounter['id']}", priority={"text": "theirs"})
    put(visit, "dosing-encounters", dosing(end="2026-03-02T15:00:00+00:00", observations=readings(4, 90)))
    work()
    [encounter] = sandbox.all("plain", "Encounter")
    assert encounter["priority"] == {"text": "theirs"} and encounter["period"]["end"].startswith("2026-03-02T15:00")
    assert at_rest(visit) and {one["valueQuantity"]["value"] for one in sandbox.all("plain", "Observation") if "valueQuantity" in one} == {90, 91, 92, 93}


@pytest.mark.parametrize(("said", "attempts"), [({"status": 429, "retryAfter": "2"}, 0), ({"status": 503, "retryAfter": "2"}, 0), ({"status": 401}, 1)])
def test_what_is_to_be_waited_for_is_waited_for_by_all_of_them(
    visit: Http, together: Adds, sandbox: Sandbox, work: Work, clock: Clock, said: Json, attempts: int
) -> None:
    together()
    sandbox.fault("plain", "status", path=BASE, times=1, **said)
    work()
    waiting = deliveries(visit, state="waiting")
    assert len(waiting) > 8 and {one["attempts"] for one in waiting} == {attempts} and not any(one.startswith("POST /Obs") for one in singly(sandbox))
    until_quiet(visit, work, clock)
    assert once(sandbox) and not any(one.startswith("POST /Obs") for one in singly(sandbox))


def test_one_bundle_that_fails_counts_as_one_failure_of_the_ehr(
    visit: Http, together: Adds, sandbox: Sandbox, work: Work, database: Database
) -> None:
    together()
    sandbox.fault("plain", "status", status=500, path=BASE)
    work()
    assert [row["failures"] for row in dicts(database, "target")] == [1]


# --- answers that are lost, or are not what they should be


@pytest.mark.parametrize("fault", [
    {"kind": "reset", "when": "before"}, {"kind": "reset", "when": "after"}, {"kind": "half"}, {"kind": "status", "status": 500}, {"kind": "status", "status": 500, "after": True},
    {"kind": "status", "status": 504, "after": True}, {"kind": "latency", "seconds": 0},
])  # fmt: skip
def test_a_lost_answer_loses_and_doubles_nothing(
    visit: Http, together: Adds, sandbox: Sandbox, work: Work, clock: Clock, service: Service, fault: Json
) -> None:
    together()
    sandbox.fault("plain", **fault, path=BASE, times=1)
    work()
    until_quiet(visit, work, clock)
    assert once(sandbox) and sandbox.counts("plain")["Observation"] == 8 and verdicts(service) == {"same"}


def test_what_may_be_there_is_looked_for_singly_before_it_is_sent_again(
    visit: Http, together: Adds, sandbox: Sandbox, work: Work, clock: Clock, database: Database
) -> None:
    together()
    sandbox.fault("plain", "reset", when="after", path=BASE, times=1)
    work()
    assert {row["unsure"] for row in dicts(database, "delivery") if row["state"] == "waiting"} == {1}
    sent, versions = len(bundles(sandbox)), sandbox.versions("plain")
    until_quiet(visit, work, clock)
    assert len(bundles(sandbox)) == sent == 1 and sandbox.versions("plain") == versions


def test_what_is_sure_goes_together_beside_what_is_not(visit: Http, together: Adds, sandbox: Sandbox, work: Work, clock: Clock) -> None:
    together()
    work()
    sandbox.fault("plain", "reset", when="after", method="PUT", type="Patient", times=1)
    put(visit, "patients", patient(gender="other"))
    work()
    put(visit, "dosing-encounters", dosing(observations=readings(4, 90)))
    clock.forward(seconds=60)
    sent = len(bundles(sandbox))
    until_quiet(visit, work, clock)
    assert len(bundles(sandbox)) == sent + 1 and not any(one.startswith("PUT /Observation") for one in singly(sandbox)) and once(sandbox)


SHAPES: dict[str, Callable[[list[Json]], Any]] = {
    "fewer entries": lambda entries: {"resourceType": "Bundle", "type": "transaction-response", "entry": entries[:-1]},
    "more entries": lambda entries: {"resourceType": "Bundle", "type": "transaction-response", "entry": [*entries, entries[0]]},
    "no entries": lambda entries: {"resourceType": "Bundle", "type": "transaction-response"},
    "no Bundle": lambda entries: {"resourceType": "Parameters"},
    "a list": lambda entries: entries,
    "nothing at all": lambda entries: "",
    "an error": lambda entries: {"resourceType": "OperationOutcome", "issue": [{"severity": "error", "code": "exception", "diagnostics": "it failed"}]},
    "entries that are none": lambda entries: {"resourceType": "Bundle", "type": "transaction-response", "entry": [None, 5, "x", *entries[3:]]},
    "no locations": lambda entries: {"resourceType": "Bundle", "type": "transaction-response", "entry": [{"response": {"status": "201 Created"}} for _ in entries]},
    "an entry that failed": lambda entries: {
        "resourceType": "Bundle", "type": "transaction-response", "entry": [{"response": {"status": "422 Unprocessable"}}, *entries[1:]],
    },
    "entries in another order": lambda entries: {"resourceType": "Bundle", "type": "transaction-response", "entry": entries[::-1]},
}  # fmt: skip


@pytest.mark.parametrize("shape", SHAPES)
def test_an_answer_of_another_shape_makes_unsure_what_it_does_not_settle(
    visit: Http, together: Adds, sandbox: Sandbox, work: Work, clock: Clock, service: Service, shape: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    true, told = Line.call, list[int]()

    def call(line: Line, method: str, url: str, headers: dict[str, str], body: bytes | None = None) -> Reply:
        reply = true(line, method, url, headers, body)
        if method == "POST" and url == sandbox.url("plain") and not told:
            entries = json.loads(reply.body)["entry"]
            told.append(len(entries))
            return Reply(reply.status, reply.headers, json.dumps(SHAPES[shape](entries)).encode())
        return reply

    monkeypatch.setattr(Line, "call", call)
    together()
    work()
    there = sandbox.counts("plain"), sandbox.versions("plain")
    assert told and told[0] > 8
    until_quiet(visit, work, clock)
    assert once(sandbox) and (sandbox.counts("plain"), sandbox.versions("plain")) == there and verdicts(service) == {"same"}


# --- what is there already


def test_a_condition_finds_what_is_there_and_brings_it_up_to_date(
    visit: Http, connect: Connect, sandbox: Sandbox, work: Work, service: Service
) -> None:
    connect("first", sandbox.url("plain"))
    work()
    ours = {type_: sandbox.all("plain", type_) for type_ in ("Observation", "Encounter")}
    sandbox.reset()
    old = [{name: value for name, value in one.items() if name in ("resourceType", "identifier", "code", "class")} for found in ours.values() for one in found[:2]]
    seeded = sandbox.seed("plain", *[{**one, "status": "preliminary" if one["resourceType"] == "Observation" else "planned"} for one in old])
    connect("plain", sandbox.also("plain"), transactions=True)
    work()
    found = [one for type_ in ours for one in sandbox.all("plain", type_)]
    assert {type_: sandbox.counts("plain")[type_] for type_ in ours} == {type_: len(of) for type_, of in ours.items()} and once(sandbox)
    assert {one["status"] for one in found} == {"final", "finished"} and len(seeded) == 3 and len(bundles(sandbox)) >= 1
    assert set(states(visit, ehr="plain")) <= {"delivered", "superseded"} and verdicts(service) == {"same"}


# --- workers that die


class Killed(BaseException):
    pass


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_worker_that_dies_between_sending_and_settling_doubles_nothing(
    visit: Http, together: Adds, sandbox: Sandbox, work: Work, clock: Clock, service: Service, when: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    true = Rest.transaction

    def dies(*asked: Any) -> Any:
        if when == "after":
            true(*asked)
        raise Killed

    together()
    monkeypatch.setattr(Rest, "transaction", dies)
    monkeypatch.setattr(sending, "_guarded", lambda stream, owed, do: do())
    with pytest.raises(Killed):
        killed(service)
    monkeypatch.undo()
    assert states(visit)["sending"] > 8
    clock.forward(seconds=60)
    until_quiet(visit, work, clock)
    assert once(sandbox) and sandbox.counts("plain")["Observation"] == 8 and verdicts(service) == {"same"}


def killed(service: Service) -> None:
    """Leases and sends stream by stream on this thread, and dies with what kills it: nothing is given back."""
    now = micros(service.tenant.now())
    while True:
        [lease] = service.database.write(lambda tx: streams.lease(tx, "dies", now, now + 4_000_000, 1))
        with service.database.glance() as connection:
            target = targets.get(connection, lease.target)
        assert target is not None
        talk, line = ehrs.rest(service, target)
        with closing(line):
            send_stream(Stream(service, lease, target, talk, ehrs.able(service, target, talk, now)))


# --- what is kept of it


def test_each_attempt_keeps_its_own_entry_and_no_others(
    visit: Http, together: Adds, sandbox: Sandbox, work: Work, database: Database, service: Service
) -> None:
    together()
    sandbox.fault("plain", "status", status=500, path=BASE, times=1)
    work()
    rows = [row for row in dicts(database, "attempt") if row["bodies"]]
    assert len(rows) > 8
    for row in rows:
        [said] = json.loads(open_sealed(service.tenant, row["bodies"], f"attempt of {row['delivery']}"))
        entry, [one] = json.loads(said["request"]), [one for one in deliveries(visit) if one["id"] == row["delivery"]]
        assert entry["resource"]["resourceType"] == one["resource"]["type"] and entry["fullUrl"].endswith(one["resource"]["id"])
        [head] = json.loads(row["heads"])
        assert (head["method"], head["path"], head["status"]) == ("POST", "/", 500) and "fault of the sandbox" in said["response"]
