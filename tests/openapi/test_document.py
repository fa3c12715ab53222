"""openapi.yaml says what the service does: every operation, and every way in which it is refused."""

from collections.abc import Iterator
from typing import Any

import pytest

from service.api.routes import BASE as API
from service.api.routes import ROUTES as API_ROUTES
from service.app import create_app
from service.fhir.routes import BASE as FHIR
from service.openapi.document import operations
from service.openapi.operations import is_shared
from service.openapi.site import PAGES
from service.site import openapi_text
from tests.openapi import reading
from tests.openapi.asking import Asking
from tests.openapi.recording import FILE, Worlds
from tests.openapi.world import World


def test_every_operation_has_a_name_of_its_own() -> None:
    every = [told["operationId"] for path in reading.there()["paths"].values() for told in path.values()]
    assert len(every) == len(set(every)) > 200


def test_whatever_the_document_refers_to_is_there() -> None:
    def references(told: Any) -> Iterator[str]:
        if isinstance(told, dict) and isinstance(told.get("$ref"), str):
            yield told["$ref"]
        for inner in told.values() if isinstance(told, dict) else told if isinstance(told, list) else ():
            yield from references(inner)

    there = {f"#/components/{part}/{name}" for part, found in reading.there()["components"].items() for name in found}
    used = set(references(reading.there()))
    assert used - there == set()
    assert {name for name in there - used if "securitySchemes" not in name} == UNUSED


UNUSED = {"#/components/schemas/ImportLine", "#/components/schemas/ImportReport"}  # the lines of what OpenAPI knows as text


def test_every_route_is_in_the_document_and_nothing_else(world: World) -> None:
    """What is routed, with every kind, list and type in its place, against what is documented."""
    documented = {(method.upper(), path) for path, told in reading.there()["paths"].items() for method in told}
    routed = {
        (method, rule.rule.replace("<", "{").replace(">", "}"))
        for rule in create_app(service=world.service).url_map.iter_rules() for method in rule.methods - {"HEAD"}
        if not getattr(world.app.view_functions[rule.endpoint], "refuses", False) and rule.rule not in (*PAGES, FHIR)
    }  # fmt: skip
    general = set()
    for operation in operations():
        path = operation.path
        if operation.list is not None:
            path = f"{API}/{{kind}}/{{id}}/{{list}}/{{item}}"
        elif operation.kind is not None:
            path = path.replace(f"{API}/{operation.kind.plural}", f"{API}/{{kind}}")
        elif operation.type and not operation.name.startswith("$"):
            path = path.replace(f"{FHIR}/{operation.type}", f"{FHIR}/{{type}}")
        general.add((operation.method, path))
    assert general == routed
    assert documented == {(operation.method, operation.path) for operation in operations()}
    assert {o.name for o in operations() if o.interface == "api"} == {route.name for route in API_ROUTES}


def test_every_call_that_is_shown_is_one_that_the_document_allows() -> None:
    for operation in operations():
        for parameter in [p for p in reading.parameters_of(operation) if "example" in p]:
            assert reading.wrong(parameter["schema"], parameter["example"]) == [], (operation.id, parameter)
        for type_, content in reading.operation_of(operation).get("requestBody", {}).get("content", {}).items():
            assert reading.wrong(content["schema"], content["example"]) == [], (operation.id, type_)


def test_every_operation_says_what_it_is() -> None:
    for operation in operations():
        told = reading.operation_of(operation)
        assert told["summary"] and told["tags"] and "security" in told, operation.id
        assert ("requestBody" in told) == (operation.method in ("POST", "PUT", "PATCH") and operation.name not in BODILESS), operation.id


BODILESS = ("replay delivery", "cancel delivery", "replay deliveries", "cancel deliveries", "pause ehr", "resume ehr", "catch up ehr", "pull now")


@pytest.mark.parametrize("status", sorted({s for o in operations() for s in o.errors if is_shared(o, s)}))
def test_every_operation_is_refused_as_it_says(among: Worlds, asking: Asking, status: int) -> None:
    """The errors that share an example come of every operation that has them."""
    for operation in [o for o in operations() if is_shared(o, status) and status in o.errors]:
        answer = among.answer(asking.request(operation, status))
        response = reading.resolved(reading.operation_of(operation)["responses"][str(status)])
        assert (answer.status_code, answer.mimetype) == (status, next(iter(response["content"]))), (operation.id, answer.text[:300])


def test_the_document_is_served(world: World) -> None:
    answer = world.send("GET", "/openapi.yaml", headers={}, body=None)
    assert (answer.status_code, answer.mimetype, answer.data) == (200, "application/yaml", FILE.read_bytes())
    assert openapi_text() == FILE.read_bytes()
