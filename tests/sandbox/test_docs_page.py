"""The page at /docs: every request beside FHIR can be sent from it, and every fault set as its example stands."""

import re

import pytest

from sandbox import docs
from sandbox.besides import BESIDES_FHIR
from sandbox.faults import KINDS
from tests.sandbox.client import Client


@pytest.fixture
def document(origin: str, plain: Client) -> dict:
    return plain.get(f"{origin}/docs/openapi.json").json()


def test_the_page_loads_only_what_the_sandbox_has(origin: str, plain: Client) -> None:
    page = plain.get(f"{origin}/docs")
    assert page.status_code == 200 and page.headers["Content-Security-Policy"].startswith("default-src 'none'; script-src 'self'")
    loaded = re.findall(r'(?:href|src)="([^"]+)"', page.text) + re.findall(r'url: "([^"]+)"', docs.START)
    assert len(loaded) == 5 and all(one.startswith("/docs/") for one in loaded)
    assert [plain.get(origin + one).status_code for one in loaded] == [200] * 5
    assert plain.get(f"{origin}/docs/other.js").status_code == plain.get(f"{origin}/docs/../settings.py").status_code == 404


def test_every_request_beside_fhir_is_in_its_document(document: dict) -> None:
    said = {(method.upper(), path) for path, of in document["paths"].items() for method in of}
    wanted = sum(len(methods.split()) for methods, path, _ in BESIDES_FHIR if path.startswith("/_sandbox"))
    assert len(said) == wanted + 1  # a GET of all and of one
    assert {("PATCH", "/_sandbox/records/{ehr}/{type}/{id}"), ("POST", "/_sandbox/faults"), ("PUT", "/_sandbox/{ehr}/smart")} <= said
    assert all(("requestBody" in of[method]) == (method in ("post", "put", "patch")) for of in document["paths"].values() for method in of)


@pytest.mark.parametrize("name", KINDS)
def test_the_example_of_a_fault_can_be_set_as_it_stands(name: str, origin: str, plain: Client, document: dict) -> None:
    examples = document["paths"]["/_sandbox/faults"]["post"]["requestBody"]["content"]["application/json"]["examples"]
    assert examples.keys() == KINDS.keys()
    answer = plain.post(f"{origin}/_sandbox/faults", {**examples[name]["value"], "path": "never"}, **{"Content-Type": "application/json"})
    assert answer.status_code == 201, answer.text
    assert plain.delete(f"{origin}/_sandbox/faults/{answer.json()['id']}").status_code == 204


def test_the_examples_of_what_changes_an_ehr_are_taken(origin: str, plain: Client) -> None:
    places = {"ehr": "nhs", "type": "Patient", "id": "ada"}
    for (method, path), body in docs.BODIES.items():
        answer = plain.session.request(method, origin + path.format(**places), json=body, timeout=10)
        assert answer.status_code in (200, 201), f"{method} {path}: {answer.text}"
    assert plain.session.delete(f"{origin}/_sandbox/nhs/smart", timeout=10).status_code == 200
    assert plain.session.put(f"{origin}/_sandbox/nhs/settings", json={}, timeout=10).status_code == 200
