"""Preview, Bundles, and what is allowed: what an integration engineer looks at before anything is sent."""

from typing import Any

import pytest
from jsonschema_rs import Draft202012Validator

from mappings import KINDS
from mappings.rules import RULES
from service.wiring import Service
from tests.conftest import Http, examples
from tests.service.records import dosing, people
from tests.service.tables import state


def types(bundle: dict[str, Any]) -> set[str]:
    return {e["resource"]["resourceType"] for e in bundle.get("entry", [])}


def test_a_preview_shows_what_each_level_would_see_and_stores_nothing(pathway: Http, service: Service) -> None:
    before = state(service.database)
    entity = pathway.get("/api/v1/emdr-procedures/ann-emdr-2").json["entity"]
    said = pathway.post("/api/v1/emdr-procedures/preview", entity).json
    assert state(service.database) == before
    assert said.keys() == {"findings", "unresolved", "views"} and said["unresolved"] == []
    assert list(said["views"]) == ["C0", "C1", "C2", "C3"]
    assert types(said["views"]["C0"]["bundle"]) == {"Encounter"} and "Procedure" in types(said["views"]["C1"]["bundle"])
    assert "/sudsBefore" in said["views"]["C1"]["withheld"] and "/sudsBefore" not in said["views"]["C2"]["withheld"]
    assert said["views"]["C3"]["withheld"] == []
    assert "negativeCognition" in entity and entity["negativeCognition"] not in repr(said["views"]["C2"])


def test_a_preview_is_what_a_write_then_yields(pathway: Http) -> None:
    entity = pathway.get("/api/v1/dosing-encounters/ann-dose-1").json["entity"]
    previewed = pathway.post("/api/v1/dosing-encounters/preview", entity).json["views"]
    for level in ("C0", "C1", "C2", "C3"):
        stored = pathway.get(f"/api/v1/dosing-encounters/ann-dose-1/fhir?view={level}").json
        strip = [{name: value for name, value in e["resource"].items() if name != "meta"} for e in stored["entry"]]
        shown = [{name: value for name, value in e["resource"].items() if name != "meta"} for e in previewed[level]["bundle"]["entry"]]
        assert sorted(strip, key=lambda r: r["id"]) == sorted(shown, key=lambda r: r["id"])


def test_a_preview_says_which_references_would_be_refused(clinic: Http) -> None:
    people(clinic)
    said = clinic.post("/api/v1/dosing-encounters/preview", dosing(patient="nobody", room="red")).json
    assert {(one["pointer"]) for one in said["unresolved"]} == {"/patientId", "/room"}
    assert clinic.post("/api/v1/dosing-encounters/preview", dosing(status="done")).status == 422


def test_a_bundle_has_only_the_types_that_the_token_may_read(pathway: Http, reader: Any) -> None:
    narrow = reader(3, "system/Encounter.r system/Observation.r")
    assert types(narrow.get("/api/v1/dosing-encounters/ann-dose-1/fhir").json) == {"Encounter", "Observation"}
    assert types(pathway.get("/api/v1/dosing-encounters/ann-dose-1/fhir").json) > {"Encounter", "Observation", "MedicationAdministration"}
    assert pathway.get("/api/v1/dosing-encounters/ann-dose-1/fhir?view=C9").status == 400


# --- what is allowed


def test_every_kind_has_a_schema_that_its_examples_meet(pathway: Http) -> None:
    listed = pathway.get("/api/v1/schemas").json["items"]
    assert {item["kind"] for item in listed} == set(KINDS)
    for item in listed:
        reply = pathway.get(item["schema"].removeprefix("http://127.0.0.1:8000"))
        assert reply.headers["Content-Type"] == "application/schema+json"
        validator = Draft202012Validator(reply.json)
        for plural, id_, entity in examples():
            if plural == item["plural"]:
                assert [str(e) for e in validator.iter_errors(plain(entity))] == [], id_
                assert list(validator.iter_errors({**plain(entity), "colour": "blue"}))
    assert pathway.get("/api/v1/schemas/spaceship").status == 404


def plain(value: Any) -> Any:
    """Decimals as JSON Schema's validators know numbers."""
    if isinstance(value, dict):
        return {name: plain(one) for name, one in value.items()}
    if isinstance(value, list):
        return [plain(one) for one in value]
    return value if value is None or isinstance(value, str | bool | int) else float(value)


def test_every_closed_list_is_told_with_its_codes_and_where_it_is_used(pathway: Http) -> None:
    lists = {item["name"]: item for item in pathway.get("/api/v1/codes").json["items"]}
    event = next(item for item in lists.values() if "adverse-event/event" in item["fields"])
    nausea = next(term for term in event["terms"] if term["term"] == "nausea")
    assert {"system": "http://snomed.info/sct", "code": "422587007", "display": "Nausea"} in nausea["codings"]
    assert all(item["fields"] and item["terms"] for item in lists.values())


def test_every_rule_is_told_with_its_class_and_the_clinics_own_figures(pathway: Http) -> None:
    said = pathway.get("/api/v1/rules").json
    assert {item["rule"] for item in said["items"]} == {rule.id for rule in RULES}
    assert {item["class"] for item in said["items"]} <= {"C1", "C2", "C3"} and said["thresholds"]["adult_years"] == 18


@pytest.mark.parametrize("path", ["/api/v1/schemas", "/api/v1/codes", "/api/v1/rules"])
def test_what_is_allowed_is_told_to_every_caller(pathway: Http, reader: Any, path: str) -> None:
    assert reader(0, "system/Patient.r").get(path).status == 200
