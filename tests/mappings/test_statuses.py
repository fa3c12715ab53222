"""The statuses of DOMAIN.md 1.2, both ways, and what is left of them below C1."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from mappings import Ids
from mappings.disclosure import VIEWS, Level, withhold
from mappings.dosing_encounter import Observed
from mappings.element import Fhir
from mappings.readings import BloodPressure
from tests.generate import ALL_KINDS, TENANT, Maker
from tests.mappings.altered import altered_all
from tests.mappings.goldens import case, cases

CANCELLED = "http://hl7.org/fhir/StructureDefinition/encounter-reasonCancelled"
EARLY = "https://pathway-fhir.example/StructureDefinition/ended-early"
AMENDED = "https://pathway-fhir.example/StructureDefinition/amended"
NOT_ATTENDED = {"system": "https://pathway-fhir.example/CodeSystem/visit-outcome", "code": "not-attended", "display": "Did not attend"}
DOSING, SCREENING, EMDR, PLAN = "dosing-encounter/iv-infusion-with-wasted-drug", "screening/negative-c-ssrs", "emdr-procedure/present-trigger", "integration-care-plan/missed-session"


def written(name: str, changes: dict[str, Any], view: Level = Level.C3) -> list[Fhir]:
    """What becomes of a golden case, changed; and it comes back as it was."""
    one, ids = case(name), Ids(TENANT)
    seen = withhold(altered_all(one.entity, changes), view)
    resources = one.kind.to_fhir(seen, ids, view)
    assert one.kind.from_fhir(resources, ids, view) == seen
    return resources


def only(resources: list[Fhir], type_: str) -> Fhir:
    return next(r for r in resources if r["resourceType"] == type_)


def marks(encounter: Fhir) -> list[tuple[str, Any]]:
    found = [e for e in encounter.get("extension", []) if e["url"] in (CANCELLED, EARLY, AMENDED)]
    return [(e["url"], e.get("valueBoolean") or [c["code"] for c in e["valueCodeableConcept"].get("coding", [])]) for e in found]


@pytest.mark.parametrize(("status", "reason", "code", "mark", "order"), [
    ("planned", None, "planned", [], "active"),
    ("arrived", None, "arrived", [], "active"),
    ("in-progress", None, "in-progress", [], "active"),
    ("finished", None, "finished", [], "completed"),
    ("cancelled", None, "cancelled", [], "cancelled"),
    ("cancelled", "transport", "cancelled", [(CANCELLED, ["transport"])], "cancelled"),
    ("no-show", None, "cancelled", [(CANCELLED, ["not-attended"])], "cancelled"),
    ("no-show", "not-reached", "cancelled", [(CANCELLED, ["not-attended", "not-reached"])], "cancelled"),
    ("aborted", None, "finished", [(EARLY, [])], "stopped"),
    ("aborted", "adverse-event", "finished", [(EARLY, ["adverse-event"])], "stopped"),
])  # fmt: skip
def test_a_dosing_visit_is_an_encounter_of_its_status(status: str, reason: str | None, code: str, mark: list[Any], order: str) -> None:
    changes = {"status": status, "reason": reason, "administrations": (), "observations": ()}
    resources = written(DOSING, changes)
    assert (only(resources, "Encounter")["status"], marks(only(resources, "Encounter"))) == (code, mark)
    assert only(resources, "MedicationRequest")["status"] == order
    below = only(written(DOSING, changes, Level.C0), "Encounter")
    assert (below["status"], "extension" in below) == (code, False)


@pytest.mark.parametrize(("status", "code", "mark", "response", "score", "review"), [
    ("in-progress", "in-progress", [], "in-progress", "preliminary", "in-progress"),
    ("completed", "finished", [], "completed", "final", "completed"),
    ("amended", "finished", [(AMENDED, True)], "amended", "amended", "completed"),
    ("cancelled", "cancelled", [], "stopped", "cancelled", "stopped"),
])  # fmt: skip
def test_a_screening_is_an_encounter_with_responses_of_its_status(status: str, code: str, mark: list[Any], response: str, score: str, review: str) -> None:
    resources = written(SCREENING, {"status": status})
    assert (only(resources, "Encounter")["status"], marks(only(resources, "Encounter"))) == (code, mark)
    assert {r["status"] for r in resources if r["resourceType"] == "QuestionnaireResponse"} == {response}
    assert {r["status"] for r in resources if "derivedFrom" in r} == {score}
    assert (only(resources, "Procedure")["status"], only(resources, "RiskAssessment")["status"]) == (review, score)
    assert "extension" not in only(written(SCREENING, {"status": status}, Level.C0), "Encounter")


@pytest.mark.parametrize(("status", "procedure", "code"), [
    ("preparation", "preparation", "planned"), ("in-progress", "in-progress", "in-progress"), ("completed", "completed", "finished"),
    ("stopped", "stopped", "finished"), ("not-done", "not-done", "cancelled"),
])  # fmt: skip
def test_an_emdr_session_is_a_procedure_of_its_status_and_a_visit_that_says_less(status: str, procedure: str, code: str) -> None:
    resources = written(EMDR, {"status": status})
    assert (only(resources, "Procedure")["status"], only(resources, "Encounter")["status"]) == (procedure, code)
    assert [(r["resourceType"], r["status"]) for r in written(EMDR, {"status": status}, Level.C0)] == [("Encounter", code)]


@pytest.mark.parametrize(("attendance", "code", "mark"), [
    ("planned", "planned", []), ("attended", "finished", []), ("missed", "cancelled", [(CANCELLED, ["not-attended"])]), ("cancelled", "cancelled", []),
])  # fmt: skip
def test_an_integration_session_is_an_encounter_of_its_attendance(attendance: str, code: str, mark: list[Any]) -> None:
    encounter = only(written(PLAN, {"sessions.0.attendance": attendance}), "Encounter")
    assert (encounter["status"], marks(encounter)) == (code, mark)


@pytest.mark.parametrize(("status", "code"), [
    ("not-started", "requested"), ("scheduled", "accepted"), ("in-progress", "in-progress"), ("completed", "completed"), ("stopped", "cancelled"),
])  # fmt: skip
def test_a_small_experiment_is_a_task_of_its_status(status: str, code: str) -> None:
    assert only(written("integration-care-plan/stopped-experiment", {"small_experiments.0.status": status}), "Task")["status"] == code


@pytest.mark.parametrize(("name", "type_", "statuses"), [
    (PLAN, "CarePlan", ("draft", "active", "on-hold", "revoked", "completed")),
    ("pathway/every-field", "EpisodeOfCare", ("planned", "active", "onhold", "finished", "cancelled")),
    ("consent/every-field", "Consent", ("draft", "proposed", "active", "rejected", "inactive")),
])  # fmt: skip
def test_plans_pathways_and_consents_keep_their_status(name: str, type_: str, statuses: tuple[str, ...]) -> None:
    for status in statuses:
        assert only(written(name, {"status": status}), type_)["status"] == status


@pytest.mark.parametrize("status", ["in-progress", "completed", "stopped", "not-done"])
def test_an_administration_keeps_its_status(status: str) -> None:
    assert only(written(DOSING, {"administrations.0.status": status}), "MedicationAdministration")["status"] == status


def test_an_encounter_cancelled_from_outside_changes_the_visits_status_and_nothing_else() -> None:
    one, ids = case("dosing-encounter/planned"), Ids(TENANT)
    resources = one.kind.to_fhir(one.entity, ids, Level.C3)
    sent = [{**r, "status": "cancelled"} if r["resourceType"] == "Encounter" else r for r in resources]
    assert one.kind.from_fhir(sent, ids, Level.C3) == altered_all(one.entity, {"status": "cancelled"})
    [given] = [r for r in resources if r["resourceType"] == "MedicationRequest"]
    assert one.kind.read_only({**given, "status": "cancelled"}, given, ids, Level.C3) == [("MedicationRequest.status", "follows from other data and is read-only")]


# --- at C0

SAID = {"resourceType", "id", "meta", "text", "identifier", "status", "class", "subject", "period", "location", "serviceProvider"}


def test_at_c0_all_encounters_look_alike() -> None:
    """One identifier system, class, status, period, site and provider: nothing tells a dose from a conversation."""
    encounters = [r for one in cases() for r in one.view(Level.C0) if r["resourceType"] == "Encounter"]
    encounters += [r for kind in ALL_KINDS for seed in range(40)
                   for r in kind.to_fhir(withhold(Maker(seed, 0.9).entity(kind), Level.C0), Ids(TENANT), Level.C0) if r["resourceType"] == "Encounter"]  # fmt: skip
    assert {name for encounter in encounters for name in encounter} == SAID
    assert {encounter["text"]["div"] for encounter in encounters} == {'<div xmlns="http://www.w3.org/1999/xhtml">Visit</div>'}
    assert {identifier["system"] for e in encounters for identifier in e["identifier"]} == {"https://pathway-fhir.example/Id/Encounter"}
    assert {encounter["class"]["code"] for encounter in encounters} == {"AMB", "VR"}
    assert {place["physicalType"]["coding"][0]["code"] for e in encounters for place in e.get("location", [])} == {"si"}


@pytest.mark.parametrize("pressure", [BloodPressure(sys=Decimal(120), dia=Decimal(80)), None], ids=["with-a-pressure", "with-none"])
def test_at_c0_checks_before_a_dose_look_like_any_set_of_readings(pressure: BloodPressure | None) -> None:
    at = datetime(2026, 2, 3, 9, 50, tzinfo=UTC)
    reading = Observed(id="r", at=at, bp=pressure, rass=0)
    changes = {"pre_checks.checked_at": at, "pre_checks.bp": pressure, "observations": (reading,), "prescription": None, "administrations": ()}
    observations = [r for r in written(DOSING, changes, Level.C0) if r["resourceType"] == "Observation"]
    told = [{**r, "id": "", "identifier": [], "hasMember": len(r.get("hasMember", []))} for r in observations]
    checks, readings = told[: len(told) // 2], told[len(told) // 2 :]
    assert checks == readings and len(checks) == (2 if pressure else 1)


@pytest.mark.parametrize(("name", "changes", "role"), [
    ("emdr-procedure/trauma-processing-complete", {"end": None}, "suds-after"), ("emdr-procedure/trauma-processing-complete", {"end": None}, "session-response"),
    (SCREENING, {"completed_at": None, "status": "in-progress"}, "outcome"),
])  # fmt: skip
def test_what_is_known_at_the_end_has_no_time_before_there_is_one(name: str, changes: dict[str, Any], role: str) -> None:
    one, ids = case(name), Ids(TENANT)
    [told] = [r for r in one.kind.to_fhir(altered_all(one.entity, changes), ids, Level.C3) if (key := ids.key(r["id"])) and key.role == role]
    assert not {"effectiveDateTime", "effectivePeriod", "occurrenceDateTime"} & told.keys()


def test_a_visit_without_an_escort_says_nothing_of_one() -> None:
    for view in VIEWS:
        assert "ESC" not in str(only(written("dosing-encounter/no-show", {}, view), "Encounter"))
        assert ("ESC" in str(only(written(DOSING, {}, view), "Encounter"))) == (view >= Level.C1)


def test_narrative_says_the_kind_of_resource_and_nothing_of_the_patient() -> None:
    """The same sentence by role and level for every patient; below C1 a set of readings before a dose is like any other."""
    said: dict[tuple[str, str, Level], set[str]] = {}
    for kind in ALL_KINDS:
        for seed in range(30):
            ids = Ids(TENANT)
            for view in VIEWS:
                for resource in kind.to_fhir(withhold(Maker(seed, 0.9).entity(kind), view), ids, view):
                    known = ids.key(resource["id"])
                    assert known is not None
                    said.setdefault((kind.name, known.role, view), set()).add(resource["text"]["div"])
    assert {key: texts for key, texts in said.items() if len(texts) > 1} == {}
    assert said["dosing-encounter", "pre-check", Level.C0] == said["dosing-encounter", "observation", Level.C0]
