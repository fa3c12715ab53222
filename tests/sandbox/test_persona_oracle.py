"""The oracle persona, fact by fact (C1 to C10)."""

from collections.abc import Callable

import pytest

from tests.sandbox.client import Client, Fhir, issues, link, name
from tests.sandbox.samples import CODED, condition, least


@pytest.fixture
def observations(oracle: Client, oracle_patient: str) -> list[str]:
    """The ids of seven, in the order in which they were written."""
    return [oracle.create(least("Observation", oracle_patient))["id"] for _ in range(7)]


def test_c1_a_create_is_answered_by_an_empty_html_and_where_it_is_without_a_version(oracle: Client, oracle_patient: str) -> None:
    answer = oracle.post("Observation", least("Observation", oracle_patient), Prefer="return=representation")
    told = {header: answer.headers[header] for header in ("Content-Length", "Content-Type", "ETag")}
    assert (answer.status_code, answer.content, told) == (201, b"", {"Content-Length": "0", "Content-Type": "text/html", "ETag": 'W/"1"'})
    assert answer.headers["Location"].startswith(f"{oracle.base}/Observation/")
    assert "_history" not in answer.headers["Location"]
    assert oracle.get(answer.headers["Location"]).status_code == 200


def test_c1_so_is_an_update(oracle: Client, oracle_patient: str) -> None:
    created = oracle.create(least("Observation", oracle_patient))
    answer = oracle.put(name(created), created, If_Match='W/"1"')
    assert (answer.status_code, answer.content, answer.headers["Content-Type"], answer.headers["ETag"]) == (200, b"", "text/html", 'W/"2"')
    assert "Location" not in answer.headers


def test_c2_a_stale_version_is_409(oracle: Client, oracle_patient: str) -> None:
    created = oracle.create(least("Observation", oracle_patient))
    oracle.update(created, If_Match='W/"1"')
    answer = oracle.put(name(created), created, If_Match='W/"1"')
    assert (answer.status_code, issues(answer)) == (409, [("conflict", None)])


def test_c3_a_missing_element_is_500_and_fatal(oracle: Client) -> None:
    answer = oracle.post("Observation", {"resourceType": "Observation", "status": "final"})
    assert (answer.status_code, issues(answer)) == (500, [("required", "Observation.code")])
    assert answer.json()["issue"][0]["severity"] == "fatal"


def test_c3_what_is_not_supported_is_422(oracle: Client, oracle_patient: str) -> None:
    answer = oracle.post("Encounter", {**least("Encounter", oracle_patient), "classHistory": [{"class": {"code": "AMB"}, "period": {"start": "2026"}}]})
    assert (answer.status_code, issues(answer)) == (422, [("not-supported", "Encounter.classHistory")])


def test_c4_an_observation_loses_what_is_not_supported(oracle: Client, oracle_patient: str) -> None:
    body = {**least("Observation", oracle_patient), "method": CODED, "interpretation": [CODED], "valueInteger": 3}
    created = oracle.create(body)
    assert created == {**{key: value for key, value in body.items() if key not in ("method", "interpretation")}, "id": created["id"], "meta": created["meta"]}


def test_c4_components_and_modifiers_are_not_accepted(oracle: Client, oracle_patient: str) -> None:
    body, modifier = least("Observation", oracle_patient), [{"url": "urn:example:not", "valueBoolean": True}]
    wrong = {"component": [{"code": CODED}], "modifierExtension": modifier, "subject": {**body["subject"], "identifier": {"modifierExtension": modifier}}}
    answer = oracle.post("Observation", {**body, **wrong})
    assert answer.status_code == 422
    assert {path for _, path in issues(answer)} == {
        "Observation.component", "Observation.modifierExtension", "Observation.subject.identifier.modifierExtension"
    }  # fmt: skip


def test_c5_last_updated_and_date_are_not_searched_for_together(oracle: Client, oracle_patient: str) -> None:
    assert oracle.search("Observation", patient=oracle_patient, _lastUpdated="gt2020")["total"] == 0
    answer = oracle.get(f"Observation?patient={oracle_patient}&_lastUpdated=gt2020&date=gt2020")
    assert (answer.status_code, issues(answer)) == (400, [("invalid", None)])


def test_c5_what_was_written_last_comes_first_and_later_pages_are_short(oracle: Client, oracle_patient: str, observations: list[str]) -> None:
    bundle = oracle.search("Observation", patient=oracle_patient, _count="4")
    pages, links = [bundle], []
    while (following := link(pages[-1], "next")) is not None:
        links.append(following)
        pages.append(oracle.get(following).json())
    assert [[entry["resource"]["id"] for entry in page["entry"]] for page in pages] == [observations[:2:-1], observations[2:0:-1], observations[:1]]
    assert all(one.startswith(f"{oracle.base}/Observation?-pageContext=") and one.count("=") == 1 for one in links)


def test_c5_the_first_page_of_social_history_is_as_long_as_it_likes(oracle: Client, oracle_patient: str) -> None:
    for _ in range(3):
        oracle.create({**least("Observation", oracle_patient), "category": [{"coding": [{"code": "social-history"}]}]})
    assert len(oracle.search("Observation", patient=oracle_patient, category="social-history", _count="1")["entry"]) == 3


def test_c6_throttling_is_an_outcome_and_no_header(oracle: Client, fault: Callable[..., str]) -> None:
    fault("status", status=429, persona="oracle")
    answer = oracle.get("Patient/1")
    assert (answer.status_code, issues(answer), "Retry-After" in answer.headers) == (429, [("throttled", None)], False)


@pytest.mark.parametrize("path", ["tenant-b/Patient/1", "tenant-b/metadata", "", "Patient/1"])
def test_c7_a_tenant_that_is_not_here_is_403_in_plain_text(origin: str, oracle: Client, path: str) -> None:
    answer = oracle.get(f"{origin}/oracle/fhir/r4/{path}")
    assert (answer.status_code, answer.text) == (403, "Tenant not valid or accessible")
    assert answer.headers["Content-Type"].startswith("text/plain")


def test_c7_a_media_type_that_it_has_not_is_an_empty_406(oracle: Client, oracle_patient: str) -> None:
    answer = oracle.get(oracle_patient, Accept="application/fhir+xml")
    assert (answer.status_code, answer.content) == (406, b"")


def test_c7_it_speaks_and_takes_json_fhir(oracle: Client, oracle_patient: str) -> None:
    assert oracle.get(oracle_patient, Accept="application/json+fhir").headers["Content-Type"] == "application/json+fhir; charset=utf-8"
    assert oracle.post("Patient", {"resourceType": "Patient"}, Content_Type="application/json+fhir").status_code == 201
    assert oracle.get(f"{oracle_patient}?_pretty=true").text.startswith("{\n")


def test_c8_the_tenant_is_in_every_url(oracle: Client, oracle_patient: str) -> None:
    [entry] = oracle.search("Patient", _id=oracle_patient.removeprefix("Patient/"))["entry"]
    assert entry["fullUrl"] == f"{oracle.base}/{oracle_patient}"
    assert oracle_patient.removeprefix("Patient/").isdigit()


@pytest.mark.parametrize("how", ["PATCH", "POST"])
def test_c10_a_patch_may_be_a_post_that_says_so(oracle: Client, oracle_patient: str, how: str) -> None:
    operations = [{"op": "add", "path": "/active", "value": True}]
    override = {"X_HTTP_Method_Override": "PATCH", "Content_Type": "application/json-patch+json"} if how == "POST" else {}
    answer = (oracle.post if how == "POST" else oracle.patch)(oracle_patient, operations, If_Match='W/"1"', **override)
    assert (answer.status_code, answer.headers["ETag"]) == (200, 'W/"2"')
    assert oracle.get(oracle_patient).json()["active"] is True


def test_it_updates_and_patches_what_it_says_and_creates_more(oracle: Client) -> None:
    def offers(interaction: str) -> set[str]:
        [rest] = oracle.get("metadata").json()["rest"]
        return {resource["type"] for resource in rest["resource"] if interaction in [one["code"] for one in resource["interaction"]]}

    assert offers("update") == {"AllergyIntolerance", "Condition", "DocumentReference", "Observation"}
    assert offers("patch") == {"Communication", "Encounter", "MedicationRequest", "Patient"}
    assert offers("update") | offers("patch") < offers("create")
    assert "MedicationAdministration" not in offers("create")


def test_if_none_exist_changes_nothing(oracle: Client, oracle_patient: str) -> None:
    body: Fhir = least("Observation", oracle_patient)
    assert [oracle.post("Observation", body, If_None_Exist=condition(body)).status_code for _ in range(2)] == [201, 201]
