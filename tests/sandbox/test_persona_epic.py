"""The epic persona, fact by fact (E1 to E4)."""

import pytest

from tests.sandbox.client import Client, issues, link, name
from tests.sandbox.samples import CODED, condition, least

CREATES = {
    "AllergyIntolerance", "BodyStructure", "Communication", "ConceptMap", "Condition", "DocumentReference", "Observation", "Patient", "Procedure",
    "QuestionnaireResponse", "ServiceRequest",
}  # fmt: skip
UPDATES = {"BodyStructure", "DiagnosticReport", "DocumentReference", "Observation", "Procedure", "ServiceRequest", "Task"}


def offers(epic: Client, interaction: str) -> set[str]:
    [rest] = epic.get("metadata").json()["rest"]
    return {resource["type"] for resource in rest["resource"] if interaction in [one["code"] for one in resource["interaction"]]}


def test_e1_it_creates_and_updates_exactly_these_types(epic: Client) -> None:
    assert offers(epic, "create") == CREATES
    assert offers(epic, "update") == UPDATES
    assert offers(epic, "delete") == offers(epic, "vread") == offers(epic, "history-instance") == set()


@pytest.mark.parametrize("kind", ["Encounter", "MedicationAdministration", "CarePlan", "MedicationRequest", "Goal", "Task", "EpisodeOfCare", "Consent"])
def test_e1_what_it_only_shows_is_405_to_write(epic: Client, epic_patient: str, kind: str) -> None:
    answer = epic.post(kind, least(kind, epic_patient))
    assert (answer.status_code, answer.headers["Allow"], issues(answer)) == (405, "GET", [("not-supported", None)])


def test_e1_what_its_own_users_write_is_there_to_read(epic: Client, in_epic: Client, epic_patient: str) -> None:
    encounter = in_epic.create(least("Encounter", epic_patient))
    assert epic.get(name(encounter)).json() == encounter
    assert epic.found("Encounter", patient=epic_patient) == {encounter["id"]}
    assert epic.create({**least("Observation", epic_patient), "encounter": {"reference": name(encounter)}})


def test_e2_if_none_exist_changes_nothing(epic: Client, epic_patient: str) -> None:
    body = least("Observation", epic_patient)
    answers = [epic.post("Observation", body, If_None_Exist=condition(body)) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [201, 201]
    assert len(epic.found("Observation", identifier=condition(body).removeprefix("identifier="))) == 2


def test_e2_there_are_no_transactions(epic: Client) -> None:
    answer = epic.session.post(epic.base, json={"resourceType": "Bundle", "type": "transaction"})
    assert (answer.status_code, issues(answer)) == (404, [("not-supported", None)])


def test_e3_last_updated_is_not_searched_for(epic: Client, epic_patient: str) -> None:
    created = epic.create(least("Observation", epic_patient))
    bundle = epic.search("Observation", patient=epic_patient, _lastUpdated="gt2099-01-01", _sort="-_lastUpdated")
    assert [entry["resource"]["id"] for entry in bundle["entry"]] == [created["id"]]
    assert "_lastUpdated" not in (link(bundle, "self") or "")
    assert epic.get("Observation?_lastUpdated=gt2099", Prefer="handling=strict").status_code == 400


def test_e4_beside_an_id_everything_else_is_ignored(epic: Client, epic_patient: str) -> None:
    created = epic.create(least("Observation", epic_patient))
    bundle = epic.search("Observation", **{"_id": created["id"], "subject:Patient": "another", "status": "cancelled"})
    assert [entry["resource"]["id"] for entry in bundle["entry"]] == [created["id"]]
    assert (link(bundle, "self") or "").endswith(f"Observation?_id={created['id']}")


@pytest.mark.parametrize(("kind", "needed"), [("CarePlan", "category"), ("EpisodeOfCare", "type")])
def test_e4_some_types_are_not_searched_without_a_parameter(epic: Client, in_epic: Client, epic_patient: str, kind: str, needed: str) -> None:
    created = in_epic.create({**least(kind, epic_patient), needed: [CODED]})
    answer = epic.get(f"{kind}?patient={epic_patient}")
    assert (answer.status_code, issues(answer)) == (400, [("required", None)])
    assert epic.found(kind, patient=epic_patient, **{needed: "urn:example:codes|a"}) == {created["id"]}
    assert epic.found(kind, _id=created["id"]) == {created["id"]}


def test_e4_an_allergy_that_is_no_longer_active_is_not_found_but_not_gone(epic: Client, epic_patient: str) -> None:
    active = epic.create(least("AllergyIntolerance", epic_patient))
    resolved = epic.create({**least("AllergyIntolerance", epic_patient), "clinicalStatus": {"coding": [{"code": "resolved"}]}})
    assert epic.found("AllergyIntolerance", patient=epic_patient) == {active["id"]}
    assert epic.found("AllergyIntolerance", **{"patient": epic_patient, "clinical-status": "resolved"}) == set()
    assert epic.get(name(resolved)).status_code == 200


@pytest.mark.parametrize("category", ["procedure", "therapy", "activity", "vital-signs,therapy", "urn:example|activity"])
def test_e4_some_categories_of_observation_are_errors(epic: Client, epic_patient: str, category: str) -> None:
    answer = epic.get(f"Observation?patient={epic_patient}&category={category}")
    assert (answer.status_code, issues(answer)) == (400, [("value", None)])
    assert epic.get(f"Observation?patient={epic_patient}&category=vital-signs,survey").status_code == 200


def test_a_stale_update_is_412(epic: Client, epic_patient: str) -> None:
    created = epic.create(least("Observation", epic_patient))
    epic.update(created, If_Match='W/"1"')
    assert epic.put(name(created), created, If_Match='W/"1"').status_code == 412


def test_its_ids_look_like_its_own_and_not_like_uuids(epic_patient: str) -> None:
    resource_id = epic_patient.removeprefix("Patient/")
    assert resource_id.startswith("e")
    assert resource_id.isalnum()


def test_it_holds_nothing_of_its_neighbour(plain: Client, epic: Client, about: str) -> None:
    assert epic.get(about).status_code == 404
    assert epic.post("Observation", least("Observation", about)).status_code == 400
