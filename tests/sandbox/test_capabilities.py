"""The CapabilityStatement tells the truth: what it says works, and what it does not say is refused."""

from collections.abc import Callable

import pytest
import requests

from sandbox.personas import PERSONAS
from sandbox.personas.persona import CLINIC_TYPES, INTERACTIONS
from tests.sandbox.client import Client, Fhir, issues, name
from tests.sandbox.samples import condition, least

LANGUAGE = [{"op": "add", "path": "/language", "value": "en"}]
PATCHES = {"nhs": {"patches": LANGUAGE}}
EVERYONE = pytest.mark.parametrize("persona", PERSONAS)


@pytest.fixture
def said(origin: str, session: requests.Session) -> Callable[[str], Fhir]:
    return lambda persona: session.get(f"{origin}{PERSONAS[persona].path}/metadata").json()


def resources(statement: Fhir) -> dict[str, Fhir]:
    [rest] = statement["rest"]
    return {resource["type"]: resource for resource in rest["resource"]}


def codes(resource: Fhir) -> set[str]:
    return {interaction["code"] for interaction in resource["interaction"]}


@EVERYONE
def test_it_is_that_of_an_r4_server_at_this_base(said: Callable[[str], Fhir], origin: str, persona: str) -> None:
    statement = said(persona)
    assert (statement["resourceType"], statement["kind"], statement["fhirVersion"]) == ("CapabilityStatement", "instance", "4.0.1")
    assert statement["implementation"]["url"] == origin + PERSONAS[persona].path
    assert "json" in statement["format"]
    [rest] = statement["rest"]
    assert rest["mode"] == "server"
    assert {one["code"] for one in rest.get("interaction", [])} == PERSONAS[persona].system


@EVERYONE
def test_every_type_of_a_clinics_records_can_at_least_be_read_and_searched(said: Callable[[str], Fhir], persona: str) -> None:
    stated = resources(said(persona))
    for resource in (stated[kind] for kind in CLINIC_TYPES):
        assert codes(resource) >= {"read", "search-type"}
        assert {"_id", *({"identifier"} if resource["type"] not in ("AdverseEvent", "Provenance") else ())} <= {one["name"] for one in resource["searchParam"]}


@EVERYONE
def test_an_interaction_works_where_it_is_said_and_is_refused_where_it_is_not(
    said: Callable[[str], Fhir], origin: str, session: requests.Session, persona: str
) -> None:
    ehr, own_users = Client(session, origin + PERSONAS[persona].path), Client(session, f"{origin}/_sandbox/records/{persona}")
    about = name(own_users.create({"resourceType": "Patient"}))
    for kind, resource in resources(said(persona)).items():
        there = own_users.create(least(kind, about))
        after = 2 if "update" in codes(resource) else 1
        answers = {
            "read": ehr.get(name(there)),
            "vread": ehr.get(f"{name(there)}/_history/1"),
            "history-instance": ehr.get(f"{name(there)}/_history"),
            "history-type": ehr.get(f"{kind}/_history?_count=1"),
            "search-type": ehr.get(f"{kind}?_id={there['id']}"),
            "create": ehr.post(kind, least(kind, about)),
            "update": ehr.put(name(there), there, If_Match='W/"1"'),
            "patch": ehr.patch(name(there), PATCHES.get(persona, LANGUAGE), If_Match=f'W/"{after}"'),
            "delete": ehr.delete(name(there)),
        }
        assert answers.keys() == set(INTERACTIONS)
        for interaction, answer in answers.items():
            if interaction in codes(resource):
                assert answer.ok, (kind, interaction, answer.text)
            else:
                assert (answer.status_code, issues(answer)) in [(status, [("not-supported", None)]) for status in (404, 405)], (kind, interaction)


@EVERYONE
def test_what_it_says_of_versions_and_conditions_is_so(said: Callable[[str], Fhir], origin: str, session: requests.Session, persona: str) -> None:
    ehr = Client(session, origin + PERSONAS[persona].path)
    about = name(ehr.create({"resourceType": "Patient"}))
    for kind, resource in resources(said(persona)).items():
        assert resource["readHistory"] == ("history-instance" in codes(resource))
        assert (resource["updateCreate"], resource["conditionalUpdate"], resource["conditionalDelete"]) == (False, False, "not-supported")
        if "update" in codes(resource):
            assert resource["versioning"] == "versioned-update"
            assert ehr.put(f"{kind}/mine", {**least(kind, about), "id": "mine"}).status_code == 404
        if "create" in codes(resource) and isinstance(least(kind, about).get("identifier"), list) and kind != "AdverseEvent":
            body = least(kind, about)
            answers = [ehr.post(kind, body, If_None_Exist=condition(body)).status_code for _ in range(2)]
            assert answers == ([201, 200] if resource["conditionalCreate"] else [201, 201]), kind


@pytest.mark.parametrize("persona", ["plain", "epic"])
def test_every_search_parameter_that_it_names_is_one_that_self_repeats(
    said: Callable[[str], Fhir], origin: str, session: requests.Session, persona: str
) -> None:
    ehr = Client(session, origin + PERSONAS[persona].path)
    values = {"token": "a", "string": "a", "reference": "Patient/1", "date": "2026-03-02"}
    for kind, resource in resources(said(persona)).items():
        needed = PERSONAS[persona].needs.get(kind)
        for one in resource["searchParam"]:
            criteria = [(one["name"], values[one["type"]])]
            if needed and one["name"] not in (needed, "_id"):
                criteria.append((needed, "a"))
            [self_link] = [link["url"] for link in ehr.search(kind, *criteria)["link"]]
            assert f"{one['name']}=" in self_link, (kind, one)
        unknown = ehr.search(kind, ("colour", "blue"), ("_id", "none"))
        assert "colour" not in unknown["link"][0]["url"]


def test_plain_takes_every_type_and_every_interaction(said: Callable[[str], Fhir]) -> None:
    stated = resources(said("plain"))
    assert stated.keys() == set(CLINIC_TYPES)
    assert all(codes(resource) == set(INTERACTIONS) and resource["conditionalCreate"] for resource in stated.values())
    assert all("_lastUpdated" in {one["name"] for one in resource["searchParam"]} for resource in stated.values())
