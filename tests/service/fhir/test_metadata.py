"""capabilities (R4 3.1.0.11) and SMART configuration: what the server says of itself is what it does."""

from typing import Any
from urllib.parse import quote

import pytest

from mappings.search import PARAMETERS
from tests.conftest import Http
from tests.service.fhir.reference import HL7, OURS

VALUE = {"token": "x", "reference": "00000000-0000-5000-8000-000000000000", "date": "2026", "string": "x", "quantity": "1", "uri": "x"}


@pytest.fixture
def statement(web: Any) -> dict[str, Any]:
    reply = Http(web, None).get("/fhir/r4/metadata")
    assert (reply.status, reply.headers["Content-Type"]) == (200, "application/fhir+json; charset=utf-8")
    found: dict[str, Any] = reply.json
    return found


def test_it_claims_to_be_read_and_searched_and_nothing_more(statement: dict[str, Any]) -> None:
    [rest] = statement["rest"]
    assert (statement["fhirVersion"], statement["kind"], rest["mode"]) == ("4.0.1", "instance", "server")
    for resource in rest["resource"]:
        assert [i["code"] for i in resource["interaction"]] == ["read", "vread", "history-instance", "search-type"], resource["type"]
        assert (resource["conditionalCreate"], resource["conditionalUpdate"], resource["updateCreate"]) == (False, False, False)
    assert "interaction" not in rest


def test_every_search_parameter_that_it_claims_can_be_searched_by(statement: dict[str, Any], clinic: Http) -> None:
    for resource in statement["rest"][0]["resource"]:
        for parameter in resource["searchParam"]:
            value = "2026" if parameter["name"] == "_lastUpdated" else VALUE[parameter["type"]]
            reply = clinic.get(f"/fhir/r4/{resource['type']}?{parameter['name']}={quote(value)}&_summary=count")
            assert (reply.status, reply.json.get("total")) == (200, 0), (resource["type"], parameter, reply)


def test_every_include_that_it_claims_can_be_asked_for(statement: dict[str, Any], clinic: Http) -> None:
    for resource in statement["rest"][0]["resource"]:
        asked = [f"_include={name}" for name in resource["searchInclude"]] + [f"_revinclude={name}" for name in resource["searchRevInclude"]]
        assert clinic.get(f"/fhir/r4/{resource['type']}?{'&'.join(asked)}").status == 200, resource["type"]


def test_parameters_have_hl7s_names_and_types_or_are_said_to_be_additions(statement: dict[str, Any]) -> None:
    ours = {(one.type, one.name) for one in OURS}
    for resource in statement["rest"][0]["resource"]:
        for parameter in resource["searchParam"]:
            hl7 = HL7.get((resource["type"], parameter["name"])) or HL7.get(("Resource", parameter["name"]))
            if hl7 is None:
                assert (resource["type"], parameter["name"]) in ours and "addition" in parameter["documentation"], (resource["type"], parameter)
            else:
                assert (hl7.kind, parameter.get("documentation")) == (parameter["type"], None), (resource["type"], parameter)


def test_every_type_that_is_served_is_there_with_its_operations(statement: dict[str, Any]) -> None:
    found = {r["type"]: [o["name"] for o in r.get("operation", [])] for r in statement["rest"][0]["resource"]}
    assert found.keys() == PARAMETERS.keys()
    assert {type_: names for type_, names in found.items() if names} == {"Patient": ["everything"], "Encounter": ["everything"]}


def test_where_tokens_are_had_is_said_in_both_places(statement: dict[str, Any], web: Any) -> None:
    smart = Http(web, None).get("/fhir/r4/.well-known/smart-configuration")
    assert smart.headers["Content-Type"] == "application/json"
    said = smart.json
    [oauth] = statement["rest"][0]["security"]["extension"]
    assert oauth["extension"] == [{"url": "token", "valueUri": said["token_endpoint"]}] and said["token_endpoint"] == "http://127.0.0.1:8000/oauth/token"
    assert said["token_endpoint_auth_methods_supported"] == ["private_key_jwt"]
    assert said["token_endpoint_auth_signing_alg_values_supported"] == ["RS384", "ES384"]
    assert set(said["grant_types_supported"]) == {"client_credentials"} and "permission-v2" in said["capabilities"]
    assert statement["rest"][0]["security"]["service"][0]["coding"][0]["code"] == "SMART-on-FHIR"


def test_urls_come_from_the_settings_and_never_from_the_host_header(web: Any) -> None:
    reply = Http(web, None).get("/fhir/r4/metadata", Host="evil.example", X_Forwarded_Host="evil.example")
    assert b"evil.example" not in reply.body and reply.json["implementation"]["url"] == "http://127.0.0.1:8000/fhir/r4"


def test_it_speaks_json_alone(web: Any) -> None:
    reply = Http(web, None).get("/fhir/r4/metadata", Accept="application/fhir+xml")
    assert (reply.status, reply.json["resourceType"]) == (406, "OperationOutcome")
