"""Findings follow from a patient's records as they are together: whichever of them changed last, and in whatever order they came."""

import random
from typing import Any

import pytest

from mappings import KINDS
from mappings.rules.rule import dependents
from service.store.database import Database
from service.wire import encode, read
from tests.conftest import Clock, Http, examples
from tests.service.records import changed, clinic_, consent, dosing, emdr, example, of, patient, people, practitioner, put
from tests.service.tables import dicts


def rules(clinic: Http, plural: str, id: str) -> set[str]:
    """The rules that have something to say of a record, as our API and as FHIR tells it: they agree."""
    found = {finding["rule"] for finding in clinic.get(f"/api/v1/{plural}/{id}").json["findings"]}
    bundle = clinic.get(f"/api/v1/{plural}/{id}/fhir").json
    issues = [e["resource"] for e in bundle.get("entry", []) if e["resource"]["resourceType"] == "DetectedIssue"]
    assert {issue["code"]["coding"][0]["code"] for issue in issues if issue["status"] == "final"} == found
    return found


def test_treatment_consent_that_is_withdrawn_after_a_visit_was_planned_is_a_finding_of_the_visit(clinic: Http) -> None:
    people(clinic)
    treatment = consent("treatment", kind="treatment")
    put(clinic, "consents", treatment)
    put(clinic, "dosing-encounters", dosing(status="planned", end=None, consentId="treatment", start="2026-05-02T09:30:00+00:00"))
    assert "R62" not in rules(clinic, "dosing-encounters", "dose")
    put(clinic, "consents", {**treatment, "status": "inactive", "withdrawnAt": "2026-04-20T09:00:00+00:00"})
    assert "R62" in rules(clinic, "dosing-encounters", "dose")
    put(clinic, "consents", treatment)
    assert "R62" not in rules(clinic, "dosing-encounters", "dose")


def test_what_changes_in_a_screening_changes_what_is_found_at_the_visit(pathway: Http) -> None:
    assert "R21" not in rules(pathway, "dosing-encounters", "ann-dose-1")
    put(pathway, "screenings", changed(example("screenings", "ann-screening"), "pregnancy", "possible"))
    assert "R21" in rules(pathway, "dosing-encounters", "ann-dose-1")
    assert "R21" in rules(pathway, "screenings", "ann-screening")


def test_an_adverse_event_that_nobody_reviewed_is_a_finding_of_every_later_visit(clinic: Http) -> None:
    people(clinic)
    put(clinic, "dosing-encounters", dosing("first"))
    put(clinic, "dosing-encounters", dosing("second", start="2026-03-09T09:30:00+00:00", end=None))
    event = of("ann", "event", event="nausea", onset="2026-03-05T10:00:00+00:00", outcome="resolved", grade="severe")
    put(clinic, "adverse-events", event)
    assert ("R61" in rules(clinic, "dosing-encounters", "first"), "R61" in rules(clinic, "dosing-encounters", "second")) == (False, True)
    put(clinic, "adverse-events", {**event, "reviewedAt": "2026-03-06T10:00:00+00:00", "reviewedBy": "dr-shah"})
    assert "R61" not in rules(clinic, "dosing-encounters", "second")
    put(clinic, "adverse-events", event)
    assert "R61" in rules(clinic, "dosing-encounters", "second")
    clinic.delete("/api/v1/adverse-events/event")
    assert "R61" not in rules(clinic, "dosing-encounters", "second")


def test_a_patients_birth_date_that_is_corrected_is_judged_at_every_visit(clinic: Http) -> None:
    people(clinic)
    put(clinic, "patients", patient(birthDate="2012-05-17"))
    put(clinic, "dosing-encounters", dosing(status="planned", end=None))
    [before] = [f for f in clinic.get("/api/v1/dosing-encounters/dose").json["findings"] if f["rule"] == "R20"]
    assert "/patientId" in before["fields"]
    put(clinic, "patients", patient())
    [after] = [f for f in clinic.get("/api/v1/dosing-encounters/dose").json["findings"] if f["rule"] == "R20"]
    assert "/patientId" not in after["fields"]


@pytest.mark.parametrize(("body", "registered"), [("GMC", True), ("BPS", False)])
def test_who_decides_on_discharge_is_looked_up_among_the_registered(clinic: Http, body: str, registered: bool) -> None:
    people(clinic)
    put(clinic, "practitioners", {**practitioner(), "registrations": [{"body": body, "number": "7000001"}]})
    visit = {**dosing(), "discharge": example("dosing-encounters", "ann-dose-1")["discharge"]}
    put(clinic, "dosing-encounters", visit)
    kept = clinic.get("/api/v1/dosing-encounters/dose").json["findings"]
    previewed = clinic.post("/api/v1/dosing-encounters/preview", visit).json["findings"]
    for found in (kept, previewed):
        assert ("/discharge/decidedBy" in {field for finding in found for field in finding["fields"]}) is not registered


def test_an_earlier_session_that_comes_later_changes_what_is_found_of_a_session(clinic: Http) -> None:
    people(clinic)
    put(clinic, "emdr-procedures", emdr("processing", focus="trauma-processing", phases=[4]))
    assert "R51" in rules(clinic, "emdr-procedures", "processing")
    put(clinic, "emdr-procedures", emdr("earlier", start="2026-03-05T14:00:00+00:00", focus="stabilisation", phases=[1, 2]))
    assert "R51" not in rules(clinic, "emdr-procedures", "processing")


def test_a_session_whose_own_findings_change_is_stored_once(clinic: Http) -> None:
    """The rules of a session look at the other sessions, and not at itself as one of them."""
    people(clinic)
    put(clinic, "emdr-procedures", emdr(focus="stabilisation", phases=[1]))
    put(clinic, "emdr-procedures", emdr(focus="trauma-processing", phases=[4, 5]))
    assert {"R50", "R51"} <= rules(clinic, "emdr-procedures", "session")
    put(clinic, "emdr-procedures", emdr(focus="stabilisation", phases=[1]))
    assert not {"R50", "R51"} & rules(clinic, "emdr-procedures", "session")


def test_a_finding_that_ends_is_in_error_and_one_that_begins_again_is_final(clinic: Http) -> None:
    people(clinic)
    put(clinic, "emdr-procedures", emdr(focus="trauma-processing", phases=[4]))
    [issue] = clinic.found("/fhir/r4/DetectedIssue?code=R51")
    put(clinic, "emdr-procedures", emdr(focus="stabilisation", phases=[1]))
    assert clinic.get(f"/fhir/r4/DetectedIssue/{issue['id']}").json["status"] == "entered-in-error"
    put(clinic, "emdr-procedures", emdr(focus="trauma-processing", phases=[4]))
    assert clinic.get(f"/fhir/r4/DetectedIssue/{issue['id']}").json["status"] == "final"


def test_what_follows_is_there_in_the_same_commit(pathway: Http, database: Database, clock: Clock) -> None:
    clock.forward(minutes=1)
    reply = put(pathway, "screenings", changed(example("screenings", "ann-screening"), "pregnancy", "possible"))
    at = reply.json["changedAt"]
    [issue] = [r for r in pathway.found("/fhir/r4/DetectedIssue?code=R21") if r["evidence"][0]["detail"][0]["reference"].startswith("Encounter/")][:1]
    assert issue["meta"]["lastUpdated"] == at
    seqs = {row["from_seq"] for row in dicts(database, "rendering") if row["at"] == max(r["at"] for r in dicts(database, "rendering"))}
    assert len(seqs) == 1


def test_a_record_that_is_judged_again_keeps_its_version_and_comes_up_for_who_polls(pathway: Http, clock: Clock) -> None:
    before = pathway.get("/api/v1/dosing-encounters/ann-dose-1").json
    clock.forward(minutes=1)
    put(pathway, "screenings", changed(example("screenings", "ann-screening"), "pregnancy", "possible"))
    after = pathway.get("/api/v1/dosing-encounters/ann-dose-1").json
    assert after["version"] == before["version"] and after["changedAt"] > before["changedAt"]
    polled = pathway.get("/api/v1/dosing-encounters?changedSince=2026-04-01T09:00:30Z").json["items"]
    assert "ann-dose-1" in {item["entity"]["id"] for item in polled}


def test_another_patients_records_are_not_looked_at(clinic: Http) -> None:
    people(clinic, "ann", "bob")
    put(clinic, "dosing-encounters", dosing("anns", "ann"))
    before = clinic.get("/api/v1/dosing-encounters/anns").body
    put(clinic, "adverse-events", of("bob", "event", event="nausea", onset="2026-01-05T10:00:00+00:00", outcome="resolved", grade="severe"))
    assert clinic.get("/api/v1/dosing-encounters/anns").body == before


# --- in whatever order


def content(database: Database) -> dict[str, Any]:
    """What is there now, without the times and versions, which tell how it came to be so."""
    entities = {(row["kind"], row["id"]): (row["document"], row["findings"], row["erased"]) for row in dicts(database, "entity")}
    uuids = {row["num"]: (bytes(row["uuid"]).hex(), row["type"]) for row in dicts(database, "resource")}
    current = [row for row in dicts(database, "rendering") if row["to_seq"] == 2**62]
    bodies = sorted((uuids[r["resource"]], level, r["state"], _timeless(r["body"])) for r in current for level in range(r["lo"], r["hi"] + 1))
    names = {row["num"]: (row["type"], row["name"]) for row in dicts(database, "parameter")}
    index = sorted(
        (uuids[r["resource"]], names[r["parameter"]], r["value"], r.get("other", 0), level)
        for table in ("search_value", "search_text") for r in dicts(database, table)
        if r["to_seq"] == 2**62 and names[r["parameter"]][1] != "_lastUpdated" for level in range(r["lo"], r["hi"] + 1)
    )  # fmt: skip
    final = [b for b in bodies if not _in_error(b[3])]
    alive = {(b[0], b[1]) for b in final}
    return {"entities": entities, "bodies": final, "index": [row for row in index if (row[0], row[4]) in alive]}


def _timeless(body: bytes) -> bytes:
    return encode({**read(body), "meta": None}) if body else b""


def _in_error(body: bytes) -> bool:
    """A finding that came and went on the way is left behind as entered in error."""
    return b'"resourceType":"DetectedIssue"' in body and b'"entered-in-error"' in body


STORIES: list[list[tuple[str, dict[str, Any]]]] = [
    [(plural, entity) for plural, _, entity in examples()],
    [
        ("practitioners", practitioner()), ("clinics", clinic_()), ("patients", patient(birthDate="2010-01-01")),
        ("consents", consent("treatment", kind="treatment", status="inactive", withdrawnAt="2026-03-01T13:00:00+00:00")),
        ("dosing-encounters", dosing("d1", consentId="treatment", status="planned")), ("dosing-encounters", dosing("d2", start="2026-03-09T09:30:00+00:00", end=None)),
        ("adverse-events", of("ann", "e1", event="nausea", onset="2026-03-05T10:00:00+00:00", outcome="resolved", grade="severe")),
        ("emdr-procedures", emdr("s1", focus="trauma-processing", phases=[4])), ("emdr-procedures", emdr("s0", start="2026-03-05T14:00:00+00:00", phases=[1, 2])),
        ("emdr-procedures", emdr("s2", start="2026-03-02T10:30:00+00:00", phases=[4], focus="trauma-processing")),
    ],
]  # fmt: skip


@pytest.mark.parametrize("story", range(len(STORIES)))
def test_an_import_in_any_order_ends_in_the_same_state(story: int, clinic: Http, database: Database, tmp_path: Any, clock: Clock) -> None:
    from service.app import create_app
    from service.config import Settings
    from service.wiring import wire
    from tests.conftest import SECRET, token_for

    wanted: dict[str, Any] | None = None
    kinds = {kind.plural: name for name, kind in KINDS.items()}
    for seed in range(6):
        service = wire(Settings(database_url=f"sqlite:///{tmp_path}/{seed}.db", secret=SECRET, log_level="ERROR"), clock)
        told = Http(create_app(service=service).test_client(), token_for(service, role="clinic"))
        lines = [{"kind": kinds[plural], "entity": entity} for plural, entity in STORIES[story]]
        random.Random(seed).shuffle(lines)
        reply = told.post("/api/v1/import", b"\n".join(map(encode, lines)), Content_Type="application/x-ndjson")
        assert all(read(line)["status"] == 201 for line in reply.body.splitlines()), reply
        found = content(service.database)
        service.close()
        wanted = wanted or found
        assert found == wanted, seed


@pytest.mark.parametrize("seed", range(4))
def test_records_of_one_patient_that_are_put_in_any_order_judge_each_other_alike(seed: int, clinic: Http, database: Database, tmp_path: Any, clock: Clock) -> None:
    """One by one, each again and again, until all are there."""
    rng = random.Random(seed)
    waiting = list(STORIES[1])
    rng.shuffle(waiting)
    for _ in range(6):
        left = []
        for plural, entity in waiting:
            if clinic.put(f"/api/v1/{plural}/{entity['id']}", entity).status == 422:
                left.append((plural, entity))
        waiting = left
    assert waiting == []
    found = {(plural, entity["id"]): frozenset(rules(clinic, plural, entity["id"])) for plural, entity in STORIES[1]}
    assert found["dosing-encounters", "d2"] >= {"R61"} and found["dosing-encounters", "d1"] >= {"R62", "R20"}
    assert "R51" not in found["emdr-procedures", "s1"] and "R51" in found["emdr-procedures", "s2"]


def test_what_depends_on_a_kind_is_known_of_every_kind_that_a_rule_looks_at() -> None:
    from mappings.rules import RULES

    for rule in RULES:
        for read_ in rule.reads:
            kind = read_.partition(":")[0]
            if kind not in (rule.kind, "practitioner"):  # a registration counts as it is when a record is judged
                assert rule.kind in dependents(kind), (rule.id, kind)
