"""What an EHR really holds: every verdict is provoked at a sandbox that is reached over HTTP, and put right."""

import csv
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import requests

from mappings.parts import system_of
from service.config import Settings
from tests.cli.conftest import Said
from tests.conftest import Http

Run = Callable[..., Said]
Json = dict[str, Any]


class Theirs:
    """The hands of the EHR's own users, who change and remove what they like."""

    def __init__(self, origin: str):
        self.origin, self.base = origin, f"{origin}/fhir/r4"

    def all(self, type_: str) -> list[Json]:
        entries = requests.get(f"{self.base}/{type_}?_count=1000", timeout=10).json().get("entry", [])
        return [entry["resource"] for entry in entries]

    def one(self, type_: str) -> Json:
        return self.all(type_)[0]

    def put(self, resource: Json) -> None:
        answer = requests.put(f"{self.origin}/_sandbox/records/plain/{resource['resourceType']}/{resource['id']}", json=resource, timeout=10)
        assert answer.status_code == 200, answer.text

    def add(self, resource: Json) -> str:
        answer = requests.post(f"{self.origin}/_sandbox/records/plain/{resource['resourceType']}", json=resource, timeout=10)
        assert answer.status_code == 201, answer.text
        return str(answer.json()["id"])

    def remove(self, resource: Json) -> None:
        answer = requests.delete(f"{self.origin}/_sandbox/records/plain/{resource['resourceType']}/{resource['id']}", timeout=10)
        assert answer.status_code == 204, answer.text

    def fails(self, **fault: Any) -> None:
        answer = requests.post(f"{self.origin}/_sandbox/faults", json=fault, timeout=10)
        assert answer.status_code in (200, 201), answer.text

    def log(self) -> list[Json]:
        found: list[Json] = requests.get(f"{self.origin}/_sandbox/log?limit=1000", timeout=10).json()
        return found


@pytest.fixture
def theirs(sandbox: str) -> Theirs:
    return Theirs(sandbox)


@pytest.fixture
def delivered(run: Run, pushed: Http, theirs: Theirs) -> Http:
    assert run("ehr", "add", "trust", theirs.base, "--role", "ehr", "--create-people", "--private").code == 0
    assert run("work", "--until-idle").code == 0
    return pushed


def found(said: Said, verdict: str) -> list[Json]:
    return [row for row in said.rows if row.get("verdict") == verdict]


def counts(said: Said) -> Json:
    return dict(said.rows[-1]["counts"])


def test_an_ehr_that_holds_what_it_was_sent_is_well(run: Run, delivered: Http, theirs: Theirs) -> None:
    said = run("reconcile", "trust")
    assert said.code == 0, said
    held = sum(len(theirs.all(type_)) for type_ in {row["resource"]["type"] for row in found(said, "same")})
    assert counts(said) == {"same": held} and held > 50 and said.rows[-1]["complete"]
    assert run("reconcile", "nobody").code == 3 and run("reconcile", "trust", "--patient", "nobody").code == 3


def test_what_was_changed_there_differs_until_it_is_put_right(run: Run, delivered: Http, theirs: Theirs) -> None:
    changed = next(one for one in theirs.all("Observation") if "valueQuantity" in one)
    right = changed["valueQuantity"]["value"]
    theirs.put({**changed, "valueQuantity": {**changed["valueQuantity"], "value": 999}, "note": [{"text": "Added by a nurse"}]})
    said = run("reconcile", "trust")
    assert said.code == 5 and "1 differs" in said.err
    [row] = found(said, "differs")
    assert row["remoteIds"] == [changed["id"]] and row["differences"] == [{"path": "Observation.valueQuantity.value", "ours": right, "theirs": 999}]
    assert run("reconcile", "trust", "--repair").rows[-1]["owed"] == 1
    run("work", "--until-idle")
    said = run("reconcile", "trust")
    assert said.code == 0, said


def test_what_was_removed_there_is_missing_and_is_made_anew_with_what_refers_to_it(run: Run, delivered: Http, theirs: Theirs) -> None:
    before = run("reconcile", "trust").rows[-1]["counts"]
    for one in theirs.all("Provenance"):
        theirs.remove(one)
    gone = next(one for one in theirs.all("Goal"))
    plan = theirs.one("CarePlan")
    theirs.put({**plan, "goal": [g for g in plan["goal"] if g["reference"] != f"Goal/{gone['id']}"]})
    theirs.remove(gone)
    said = run("reconcile", "trust")
    assert {row["resource"]["type"] for row in found(said, "missing")} == {"Provenance", "Goal"}
    assert found(said, "differs")[0]["differences"][0]["ours"] == {"reference": f"Goal/{gone['id']}"}
    assert run("reconcile", "trust", "--repair").code == 5
    run("work", "--until-idle")
    said = run("reconcile", "trust")
    assert said.code == 0 and said.rows[-1]["counts"] == before, said
    assert any(g["reference"] not in str(plan) for g in theirs.one("CarePlan")["goal"])


def test_what_is_found_twice_or_unknown_is_shown_and_left_alone(run: Run, delivered: Http, theirs: Theirs) -> None:
    one = next(one for one in theirs.all("Observation") if "hasMember" not in one)
    other = theirs.add({name: value for name, value in one.items() if name != "id"})
    stray = theirs.add({**one, "id": "x", "identifier": [{"system": system_of("Observation"), "value": "6f9619ff-8b86-5011-b42d-00c04fc964ff"}]})
    before = len(theirs.all("Observation"))
    said = run("reconcile", "trust", "--repair")
    assert said.code == 5 and said.rows[-1]["owed"] == 0
    [twice], [unknown] = found(said, "twice"), found(said, "unknown")
    assert twice["remoteIds"] == [one["id"], other] and twice["entity"]["kind"] and unknown["remoteIds"] == [stray] and "id" not in unknown["resource"]
    run("work", "--until-idle")
    assert len(theirs.all("Observation")) == before
    assert counts(run("reconcile", "trust", "--patient", "ann")) | {"same": 0} == {"same": 0, "twice": 1, "unknown": 1}


def test_what_is_not_delivered_is_shown_with_its_delivery(run: Run, delivered: Http, theirs: Theirs) -> None:
    run("ehr", "pause", "trust")
    entity = delivered.get("/api/v1/practitioners/dr-shah").json["entity"]
    assert delivered.put("/api/v1/practitioners/dr-shah", entity | {"alsExpiry": "2028-03-31"}).status == 200
    waiting = run("deliveries", "list", "--state", "waiting").rows
    said = run("reconcile", "trust")
    assert {row["delivery"] for row in found(said, "undelivered")} == {row["id"] for row in waiting if row["resource"]["type"] == "Practitioner"}
    assert said.code == 5 and run("reconcile", "trust", "--accept", "undelivered").code == 0
    run("deliveries", "cancel", str(waiting[0]["id"]))
    assert "cancelled" in str([row["words"] for row in found(run("reconcile", "trust"), "undelivered")])


def test_what_its_reader_may_not_see_any_more_is_over_held(run: Run, delivered: Http, theirs: Theirs) -> None:
    consent = delivered.get("/api/v1/consents/ann-disclosure").json["entity"]
    denied = {"recipient": {"role": "ehr"}, "dataClass": "C1", "decision": "deny"}
    reply = delivered.put("/api/v1/consents/ann-disclosure", consent | {"provisions": [denied]})
    assert reply.status == 200, reply
    run("work", "--until-idle")
    said = run("reconcile", "trust", "--repair")
    assert said.code == 5 and found(said, "over-held") and said.rows[-1]["owed"] == 0
    assert {row["words"] for row in found(said, "over-held")} <= {"It may not see this any more", "Sent at C1, and it may see C0 now"}


@pytest.mark.parametrize(
    ("fault", "problem"),
    [
        ({"fault": "foreign-next", "origin": "{elsewhere}"}, "the next page is elsewhere, and was not asked for"),
        ({"fault": "loop"}, "the pages lead back to one that was there before"),
        ({"fault": "error-in-200", "entry": True}, "the EHR says that a page does not show all that was found"),
        ({"fault": "status", "status": 500, "path": "identifier="}, "a search is answered with 500"),
    ],
    ids=["foreign", "loop", "partial", "failing"],
)
def test_what_cannot_be_looked_through_is_said(run: Run, delivered: Http, theirs: Theirs, fault: Json, problem: str) -> None:
    theirs.fails(**{name: "http://127.0.0.1:9" if value == "{elsewhere}" else value for name, value in fault.items()}, type="Observation")
    said = run("reconcile", "trust")
    assert said.code == 5 and said.rows[-1]["problems"] == [f"Observation: {problem}"] and not said.rows[-1]["complete"], said


def test_pages_are_followed_by_relative_links(run: Run, delivered: Http, theirs: Theirs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.sync.reconciling.PAGE", 3)
    theirs.fails(fault="relative-next")
    one = theirs.all("Observation")[-1]
    theirs.put(one)  # the newest is on the last page
    theirs.add({name: value for name, value in one.items() if name != "id"})
    said = run("reconcile", "trust")
    assert said.rows[-1]["complete"] and len(found(said, "twice")) == 1


def test_what_cannot_be_read_is_no_verdict_of_ours(run: Run, delivered: Http, theirs: Theirs) -> None:
    one = theirs.one("Encounter")
    theirs.fails(fault="status", status=403, path=f"Encounter/{one['id']}")
    said = run("reconcile", "trust", "--repair")
    assert said.code == 5 and [row["words"] for row in found(said, "unread")] == ["A read is answered with 403 and no Encounter"]
    assert said.rows[-1]["owed"] == 0


def test_an_ehr_that_asks_to_wait_is_waited_for(run: Run, delivered: Http, theirs: Theirs) -> None:
    theirs.fails(fault="status", status=429, retryAfter="1", type="Observation", times=1)
    said = run("reconcile", "trust")
    assert said.code == 0, said
    log = [one for one in reversed(theirs.log()) if one["persona"] == "plain"]
    n = next(n for n, one in enumerate(log) if one["status"] == 429)
    assert log[n + 1]["path"] == log[n]["path"] and log[n + 1]["time"] > log[n]["time"]
    assert run("ehr", "list").rows[0]["state"] in ("open", "snoozed")


def test_an_ehr_that_is_not_reached_is_a_failure(run: Run, delivered: Http, theirs: Theirs) -> None:
    theirs.fails(fault="reset", type="Encounter")
    said = run("reconcile", "trust")
    assert said.code == 1 and "does not answer" in said.err


def test_it_is_shown_as_a_file_of_comma_separated_values(run: Run, delivered: Http, theirs: Theirs, tmp_path: Path) -> None:
    changed = next(one for one in theirs.all("Observation") if "valueQuantity" in one)
    theirs.put({**changed, "valueQuantity": {**changed["valueQuantity"], "value": 999}})
    path = tmp_path / "report.csv"
    said = run("reconcile", "trust", "--csv", str(path))
    rows = list(csv.DictReader(path.read_text().splitlines()))
    assert Counter(row["verdict"] for row in rows) == said.rows[-1]["counts"]
    [row] = [row for row in rows if row["verdict"] == "differs"]
    assert (row["path"], row["theirs"]) == ("Observation.valueQuantity.value", "999")
    assert list(csv.DictReader(run("reconcile", "trust", "--format", "csv").out.splitlines())) == rows
    table = run("reconcile", "trust", "--format", "table").out
    assert "Verdict" in table and "there 999" in table and "\nsame " not in table
    assert "\nsame " in run("reconcile", "trust", "--format", "table", "--all").out


def test_a_file_that_cannot_be_written_is_said_before_anything_is_asked(run: Run, delivered: Http, theirs: Theirs, tmp_path: Path) -> None:
    said = run("reconcile", "trust", "--csv", str(tmp_path / "nowhere" / "report.csv"))
    assert said.code == 1 and "report.csv cannot be written: No such file or directory" in said.err


def test_metrics_count_the_last_one_and_hold_nothing_of_a_patient(run: Run, delivered: Http, theirs: Theirs, given: Settings) -> None:
    changed = next(one for one in theirs.all("Observation") if "valueQuantity" in one)
    theirs.put({**changed, "valueQuantity": {**changed["valueQuantity"], "value": 999.125}})
    same = counts(run("reconcile", "trust"))["same"]
    shown = delivered.get("/metrics").body.decode()
    assert f'pathway_fhir_reconciliation{{ehr="trust",state="same"}} {same}.0' in shown
    assert 'pathway_fhir_reconciliation{ehr="trust",state="differs"} 1.0' in shown and 'state="missing"} 0.0' in shown and "999.125" not in shown
