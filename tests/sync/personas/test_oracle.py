"""Oracle Health Millennium: silent answers, a permanent 500, what it takes and forgets, and ids that mean something below one tenant (C1 to C10)."""

from datetime import datetime, timedelta
from typing import Any

import pytest

from service import operating
from service.store.clock import micros
from service.sync.auth import good_for
from service.wiring import Service
from tests.conftest import Clock, Http
from tests.service.records import dosing, patient, put
from tests.service.tables import dicts
from tests.sync.conftest import Connect, Sandbox, deliveries, states
from tests.sync.personas.conftest import Work, calls, readings, reconciled
from tests.sync.small import Small
from tests.sync.test_pulling import open_conflicts, pull_of

Json = dict[str, Any]


@pytest.fixture
def oracle(visit: Http, connect: Connect, sandbox: Sandbox, work: Work) -> Http:
    """The visit, at Oracle."""
    connect("oracle", sandbox.url("oracle"), media_type="application/json+fhir")
    work()
    return visit


def chart(clinic: Http, *observations: Json) -> None:
    put(clinic, "dosing-encounters", dosing(observations=list(observations)))


def copies(service: Service, target: str = "oracle") -> dict[int, Json]:
    return {row["resource"]: row for row in dicts(service.database, "copy") if row["target"] == target and row["remote_id"] is not None}


def test_an_empty_answer_that_is_called_html_is_a_delivery_under_the_id_of_its_location(
    oracle: Http, sandbox: Sandbox, work: Work, service: Service
) -> None:
    """C1: 201 with nothing in it, text/html, an ETag and a Location without a version: delivered, the id known, and no second one."""
    created = [call for call in calls(oracle, type="Observation") if call["method"] == "POST"]
    assert {call["status"] for call in created} == {201} and len(created) == 4
    assert {call["responseHeaders"]["Content-Type"] for call in created} == {"text/html"}
    assert not any("_history" in call["responseHeaders"]["Location"] for call in created)
    assert len(sandbox.all("oracle", "Observation")) == 4 and held(service) >= there(sandbox)
    assert work() == 0
    chart(oracle, *readings(2, hr=90))
    work()
    assert len(sandbox.all("oracle", "Observation")) == 4 and held(service) >= there(sandbox)


def held(service: Service) -> set[tuple[str, str]]:
    """(id, version) of every copy that we know of."""
    return {(row["remote_id"], row["remote_version"]) for row in copies(service).values()}


def there(sandbox: Sandbox) -> set[tuple[str, str]]:
    return {(one["id"], f'W/"{one["meta"]["versionId"]}"') for one in sandbox.all("oracle", "Observation")}


def test_an_answer_that_is_lost_makes_no_second_one_at_oracle(visit: Http, connect: Connect, sandbox: Sandbox, work: Work, clock: Clock) -> None:
    """C1: what is not sure to be there is looked for by our identifier."""
    connect("oracle", sandbox.url("oracle"))
    sandbox.fault("oracle", "reset", when="after", method="POST", times=4, share=0.5, seed=3)
    for _ in range(10):
        work()
        clock.forward(seconds=130)
    assert sandbox.counts("oracle")["Observation"] == 4 and sandbox.counts("oracle")["Encounter"] == 1
    assert states(visit)["waiting"] == states(visit)["parked"] == 0


def test_a_409_to_an_update_is_a_conflict_of_versions_and_not_of_resources(oracle: Http, sandbox: Sandbox, work: Work) -> None:
    """C2: a stale version is 409 here and 412 elsewhere: what both changed beside each other stands."""
    [panel] = [one for one in sandbox.all("oracle", "Observation") if "hasMember" not in one and one["valueQuantity"]["value"] == 60]
    sandbox.change("oracle", f"Observation/{panel['id']}", note=[{"text": "Seen on the ward"}])
    chart(oracle, *readings(2, hr=90))
    work()
    assert [one["status"] for one in sandbox.log("oracle")].count(409) == 1
    there = next(one for one in sandbox.all("oracle", "Observation") if one["id"] == panel["id"])
    assert (there["valueQuantity"]["value"], there["note"]) == (90, [{"text": "Seen on the ward"}])
    assert states(oracle)["parked"] == states(oracle)["waiting"] == 0


def outcome(code: str, severity: str = "fatal") -> Json:
    said = {"severity": severity, "code": code, "diagnostics": "Required field is missing", "expression": ["Observation.category"]}
    return {"resourceType": "OperationOutcome", "issue": [said]}


@pytest.mark.parametrize("code", ["required", "structure", "not-supported", "business-rule"])
def test_a_500_that_says_what_is_wrong_with_it_is_permanent(visit: Http, connect: Connect, sandbox: Sandbox, work: Work, service: Service, code: str) -> None:
    """C3: a required element that is missing is a 500 with the issue fatal/required: parked with its words, not sent twelve times."""
    connect("oracle", sandbox.url("oracle"))
    sandbox.fault("oracle", "status", status=500, body=outcome(code), contentType="application/json+fhir", method="POST", type="Condition")
    put(visit, "medical-backgrounds", background())
    work()
    [parked] = deliveries(visit, state="parked", type="Condition")
    assert (parked["attempts"], parked["reason"]) == (1, "Observation.category: Required field is missing")
    assert [one["status"] for one in sandbox.log("oracle")].count(500) == 1 and dicts(service.database, "target")[0]["failures"] == 0


@pytest.mark.parametrize("body", [outcome("exception"), outcome("required", "warning"), outcome("timeout"), "oops", ""])
def test_a_500_that_does_not_say_so_is_tried_again(visit: Http, connect: Connect, sandbox: Sandbox, work: Work, clock: Clock, body: Any) -> None:
    """C3: any other 500 is a failure of the EHR's."""
    connect("oracle", sandbox.url("oracle"))
    sandbox.fault("oracle", "status", status=500, body=body, method="POST", type="Condition", times=1)
    put(visit, "medical-backgrounds", background())
    work()
    assert states(visit, type="Condition") == {"waiting": 1}
    clock.forward(seconds=130)
    work()
    assert states(visit, type="Condition") == {"delivered": 1}


def background() -> Json:
    condition = {"id": "ptsd", "code": "complex-ptsd", "clinicalStatus": "active", "verification": "confirmed"}
    return {"id": "background", "patientId": "ann", "recordedAt": "2026-03-01T12:00:00+00:00", "recordedBy": "dr-shah", "conditions": [condition]}


def test_what_breaks_a_rule_is_parked_with_the_words(visit: Http, connect: Connect, sandbox: Sandbox, work: Work) -> None:
    """C3, C4: 422 for a business rule, an extension or what is not supported, such as the components of a blood pressure."""
    chart(visit, {"id": "bp", "at": "2026-03-02T10:00:00+00:00", "bp": {"sys": 120, "dia": 80}})
    connect("oracle", sandbox.url("oracle"))
    work()
    parked = deliveries(visit, state="parked")
    assert {(one["resource"]["type"], one["attempts"]) for one in parked} == {("Observation", 1)}
    assert {one["reason"] for one in parked} == {"Observation.component: Observation.component is not supported by Oracle-like EHR"}


@pytest.fixture
def forgetful(pathway: Http, connect: Connect, sandbox: Sandbox, work: Work) -> Http:
    """The example pathway at Oracle, which takes `partOf`, `derivedFrom` and `focus` of an Observation and forgets them."""
    connect("oracle", sandbox.url("oracle"))
    work()
    return pathway


def test_what_oracle_takes_and_forgets_is_shown_when_it_is_read_back(forgetful: Http, service: Service) -> None:
    """C4: fields that are not supported are ignored: what was made of it is read back when it is sent, and reconciling says it."""
    findings, problems = reconciled(service, "oracle")
    assert problems == [] and {one.verdict for one in findings} == {"same", "undelivered", "unsupported"}
    said = {one.words.partition(": ")[2] for one in findings if one.verdict == "same" and one.words}
    assert {name for words in said for name in words.split(", ")} == {"partOf", "derivedFrom", "focus"}


def test_what_oracle_forgets_and_then_holds_otherwise_differs(forgetful: Http, sandbox: Sandbox, service: Service) -> None:
    """C4: what it made of ours when it was sent is one thing, what is changed there later another."""
    _change_a_reading(sandbox)
    differs = [one for one in reconciled(service, "oracle")[0] if one.verdict == "differs"]
    assert len(differs) == 1 and "Observation.valueQuantity.value" in {difference.path for difference in differs[0].differences}


def _change_a_reading(sandbox: Sandbox, value: int = 71) -> Json:
    """A heart rate, changed at the EHR that holds it without what it is a part of."""
    found = [one for one in sandbox.all("oracle", "Observation") if one["code"]["coding"][0]["code"] == "8867-4"]
    reading = max(found, key=lambda one: str(one["effectiveDateTime"]))  # sic: the first is of the screening
    assert "partOf" not in reading and reading["valueQuantity"]["value"] != value
    sandbox.change("oracle", f"Observation/{reading['id']}", valueQuantity={**reading["valueQuantity"], "value": value})
    return reading


def test_a_change_at_oracle_of_what_it_forgot_a_part_of_comes_in_and_takes_nothing_away(
    forgetful: Http, service: Service, work: Work, sandbox: Sandbox
) -> None:
    """C4: what was left out when it was sent is no change, also when something else of it is changed."""
    before = forgetful.get("/api/v1/dosing-encounters/ann-dose-1").json["entity"]
    pull_of(service, "oracle", "Observation")
    there = _change_a_reading(sandbox)
    done = pull_of(service, "oracle", "Observation")
    assert (done.taken, done.contested, done.unfit, done.problems) == (1, 0, 0, [])
    after = forgetful.get("/api/v1/dosing-encounters/ann-dose-1").json["entity"]
    changed = [one for one in after["observations"] if one not in before["observations"]]
    assert [one["hr"] for one in changed] == [71] and {**after, "observations": []} == {**before, "observations": []}
    assert len(after["observations"]) == len(before["observations"])
    work()
    again = pull_of(service, "oracle", "Observation")
    assert (again.taken, again.contested, again.unfit, work()) == (0, 0, 0, 0), there["id"]


def test_an_update_of_ours_meets_a_change_at_oracle_of_what_it_forgot_a_part_of(forgetful: Http, work: Work, sandbox: Sandbox) -> None:
    """C4: both changes stand, and what it leaves out is no change of its own that ours would be in conflict with."""
    there = _change_a_reading(sandbox)
    entity = forgetful.get("/api/v1/dosing-encounters/ann-dose-1").json["entity"]
    [reading] = [one for one in entity["observations"] if datetime.fromisoformat(one["at"]) == datetime.fromisoformat(there["effectiveDateTime"])]
    later = (datetime.fromisoformat(reading["at"]) + timedelta(minutes=1)).isoformat()
    moved = [{**one, "at": later} if one is reading else one for one in entity["observations"]]
    put(forgetful, "dosing-encounters", {**entity, "observations": moved})
    work()
    now = next(one for one in sandbox.all("oracle", "Observation") if one["id"] == there["id"])
    assert now["valueQuantity"]["value"] == 71 and now["effectiveDateTime"] != there["effectiveDateTime"]


def test_what_oracle_forgets_is_not_taken_for_a_change_of_its_own(forgetful: Http, service: Service, work: Work, sandbox: Sandbox) -> None:
    """C4: a pull does not take away here what was never kept there."""
    before = [forgetful.get(f"/api/v1/{plural}/{id_}").json["entity"] for plural, id_ in VISITS]
    done = pull_of(service, "oracle", "Observation")
    assert (done.taken, done.contested, done.unfit, done.problems) == (0, 0, 0, [])
    assert [forgetful.get(f"/api/v1/{plural}/{id_}").json["entity"] for plural, id_ in VISITS] == before
    assert open_conflicts(service) == [] and work() == 0


VISITS = [("dosing-encounters", "ann-dose-1"), ("emdr-procedures", "ann-emdr-1"), ("screenings", "ann-screening")]


def test_a_pull_takes_oracles_pages_as_they_come(oracle: Http, sandbox: Sandbox, service: Service) -> None:
    """C5: later pages are short, `next` is opaque, and `date` is not asked for beside `_lastUpdated`."""
    panel = next(one for one in sandbox.all("oracle", "Observation") if one.get("valueQuantity", {}).get("value") == 60)
    sandbox.change("oracle", f"Observation/{panel['id']}", valueQuantity={**panel["valueQuantity"], "value": 64})
    others = [{"resourceType": "Observation", "status": "final", "code": {"text": "theirs"}} for _ in range(170)]
    sandbox.seed("oracle", *others)
    done = pull_of(service, "oracle", "Observation")
    assert (done.taken, done.unfit, done.contested, done.problems) == (1, 0, 0, [])
    queries = [one["query"] for one in sandbox.log("oracle") if one["method"] == "GET" and one["path"].endswith("/Observation")]
    assert sum("-pageContext" in query for query in queries) >= 2
    assert not any("date=" in query for query in queries)
    assert {one["hr"] for one in oracle.get("/api/v1/dosing-encounters/dose").json["entity"]["observations"]} == {64, 61}


def test_a_change_that_moves_no_last_updated_is_found_within_a_day(oracle: Http, sandbox: Sandbox, service: Service, clock: Clock) -> None:
    """C5: `_lastUpdated` moves with clinically significant changes alone: every copy is read and compared once a day too."""
    pull_of(service, "oracle", "Observation")
    clock.forward(hours=1)
    panel = next(one for one in sandbox.all("oracle", "Observation") if one.get("valueQuantity", {}).get("value") == 60)
    sandbox.change("oracle", f"Observation/{panel['id']}", valueQuantity={**panel["valueQuantity"], "value": 64})
    service.database.write(lambda tx: tx.exec_driver_sql("UPDATE \"cursor\" SET at = '2099-01-01T00:00:00+00:00'"))
    assert pull_of(service, "oracle", "Observation").taken == 0
    clock.forward(hours=24)
    assert pull_of(service, "oracle", "Observation").taken == 1


THROTTLED = {"resourceType": "OperationOutcome", "issue": [{"severity": "error", "code": "throttled"}]}


@pytest.mark.parametrize(("header", "seconds"), [(None, 10), ("18000", 300)])
def test_oracle_that_throttles_is_left_alone_and_no_attempt_is_counted(
    visit: Http, connect: Connect, sandbox: Sandbox, work: Work, clock: Clock, header: str | None, seconds: int
) -> None:
    """C6: 429 comes with `throttled` and no header, or with one that asks for hours: ten seconds, and five minutes at most."""
    connect("oracle", sandbox.url("oracle"))
    said = {"retryAfter": header} if header else {}
    sandbox.fault("oracle", "status", status=429, body=THROTTLED, method="POST", **said)
    work()
    sandbox.mend()
    assert {one["attempts"] for one in deliveries(visit, state="waiting")} == {0}
    clock.forward(seconds=seconds - 0.1)
    assert work() == 0
    clock.forward(seconds=0.2)
    work()
    assert states(visit)["waiting"] == states(visit)["parked"] == 0


def test_an_answer_that_is_still_to_come_is_no_delivery(visit: Http, connect: Connect, sandbox: Sandbox, work: Work) -> None:
    """C6: a 202 says that somebody will look into it: without an id it is looked for, and is a person's when it is not there."""
    connect("oracle", sandbox.url("oracle"))
    sandbox.fault("oracle", "status", status=202, body="", method="POST", type="Encounter")
    work()
    [parked] = deliveries(visit, state="parked")
    assert (parked["resource"]["type"], parked["reason"]) == ("Encounter", "0 there have our identifier")


@pytest.mark.parametrize(("status", "body", "words"), [
    (403, "Tenant not valid or accessible", "Tenant not valid or accessible"), (406, "", "The EHR refuses it (406)"),
    (415, "<html>no</html>", "<html>no</html>"), (422, {"resourceType": "OperationOutcome", "issue": "none"}, "The EHR refuses it (422)"),
])  # fmt: skip
def test_an_error_that_is_no_json_is_a_refusal_with_its_words(
    visit: Http, connect: Connect, sandbox: Sandbox, work: Work, status: int, body: Any, words: str
) -> None:
    """C7: errors are plain text, nothing, or JSON."""
    connect("oracle", sandbox.url("oracle"))
    sandbox.fault("oracle", "status", status=status, body=body, method="POST", type="Encounter")
    work()
    [parked] = deliveries(visit, state="parked")
    assert (parked["resource"]["type"], parked["reason"], parked["attempts"]) == ("Encounter", words, 1)


def test_a_tenant_that_is_not_there_is_told_and_tries_nothing(visit: Http, connect: Connect, sandbox: Sandbox, work: Work, service: Service) -> None:
    """C7, C8: another tenant's base is 403 in plain text: nothing is sent, nothing is given up."""
    connect("oracle", sandbox.url("oracle").replace("tenant-a", "tenant-b"))
    assert work() == 0
    assert states(visit).keys() == {"waiting"} and not [one for one in sandbox.asked("oracle") if one.startswith("POST")]
    with service.database.reading() as connection:
        assert operating.one_ehr(connection, "oracle", micros(service.tenant.now()))["state"] == "snoozed"


def test_oracles_media_type_is_spoken_and_understood(oracle: Http) -> None:
    """C7: `application/json+fhir` in both directions."""
    asked = calls(oracle, type="Patient")
    assert {call["requestHeaders"]["Accept"] for call in asked} == {"application/json+fhir"}
    assert {call["requestHeaders"].get("Content-Type") for call in asked if call["method"] == "POST"} == {"application/json+fhir"}
    assert {call["responseHeaders"]["Content-Type"].split(";")[0] for call in asked if call["method"] == "GET"} == {"application/json+fhir"}


def test_an_id_is_good_for_the_ehr_that_gave_it_and_no_other(visit: Http, connect: Connect, sandbox: Sandbox, ehr: Small, work: Work, service: Service) -> None:
    """C8: ids mean something below one base alone: every EHR's copy has its own, and so has every reference that it is sent."""
    connect("oracle", sandbox.url("oracle"))
    connect("small", ehr.base)
    work()
    at = {name: {num: row["remote_id"] for num, row in copies(service, name).items()} for name in ("oracle", "small")}
    both = at["oracle"].keys() & at["small"].keys()
    assert len(both) >= 6 and not [num for num in both if at["oracle"][num] == at["small"][num]]
    assert {one["subject"]["reference"] for one in ehr.of("Observation")} <= {f"Patient/{one}" for one in at["small"].values()}
    [them] = sandbox.all("oracle", "Patient")
    assert {one["subject"]["reference"] for one in sandbox.all("oracle", "Observation")} == {f"Patient/{them['id']}"}


def test_a_token_of_570_seconds_is_used_for_540() -> None:
    """C9: a token of 570 s is neither taken for one of 300 nor used to its last second."""
    assert good_for(570) == 540


def test_what_oracle_only_patches_is_not_taken_once_it_is_there(oracle: Http, sandbox: Sandbox, work: Work) -> None:
    """C10: we speak no JSON Patch, in no disguise: a change of what is only patched there is shown as unsupported."""
    put(oracle, "patients", patient(gender="other"))
    work()
    last = deliveries(oracle, type="Patient")[0]
    assert (last["state"], last["reason"]) == ("unsupported", "This EHR does not take Patient once it is there")
    assert {one["method"] for one in sandbox.log("oracle")} <= {"GET", "POST", "PUT"}


def test_what_was_created_unseen_and_is_not_updated_is_held_as_it_is(
    visit: Http, connect: Connect, sandbox: Sandbox, work: Work, clock: Clock, service: Service
) -> None:
    """An Encounter is created and never updated: one whose answer was lost and that changed since is known, and shown as not brought up to date."""
    connect("oracle", sandbox.url("oracle"), media_type="application/json+fhir")
    sandbox.fault("oracle", "reset", when="after", method="POST", type="Encounter", times=1)
    work()
    put(visit, "dosing-encounters", dosing(end="2026-03-02T13:45:00+00:00", observations=readings(2)))
    for _ in range(3):
        clock.forward(seconds=130)
        work()
    [encounter] = sandbox.all("oracle", "Encounter")
    [delivery] = [one for one in deliveries(visit, type="Encounter") if one["state"] != "superseded"]
    assert (delivery["state"], delivery["reason"]) == ("unsupported", "This EHR does not take Encounter once it is there")
    assert encounter["id"] in {row["remote_id"] for row in copies(service).values()}
    assert {one["encounter"]["reference"] for one in sandbox.all("oracle", "Observation")} == {f"Encounter/{encounter['id']}"}


def test_what_was_entered_in_error_is_to_be_corrected_by_hand_where_nothing_is_updated(oracle: Http, work: Work) -> None:
    assert oracle.delete("/api/v1/dosing-encounters/dose").status in (200, 204)
    work()
    [delivery] = [one for one in deliveries(oracle, type="Encounter") if one["state"] == "unsupported"]
    assert delivery["reason"] == "This Encounter was entered in error here and has to be corrected or removed there by hand"
