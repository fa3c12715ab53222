"""Every operation of openapi.yaml is called with its examples, with what its schemas allow and with what they do not; no answer is a surprise.

The calls are the same each time: nothing is drawn at random, and everything is put back after whatever was written.
"""

from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from service.openapi.document import operations
from service.openapi.operations import Operation
from tests.openapi import reading
from tests.openapi.asking import call
from tests.openapi.world import World, bearer

CALLS = 8  # with what is allowed, and again with what is not
pytestmark = pytest.mark.fuzz
CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_headers_conformance, response_schema_conformance]
SAME_EACH_TIME: dict[str, Any] = {
    "derandomize": True, "database": None, "deadline": None, "phases": [Phase.generate], "suppress_health_check": list(HealthCheck),
}  # fmt: skip


@pytest.fixture(scope="module")
def described(lasting: World) -> Any:
    made = schemathesis.openapi.from_dict(reading.there())
    made.app = lasting.app
    return made


def test_the_document_is_openapi(described: Any) -> None:
    described.validate()


@pytest.mark.parametrize("operation", operations(), ids=lambda operation: operation.id)
def test_an_operation_answers_as_it_says(world: World, described: Any, operation: Operation) -> None:
    told = described[operation.path][operation.method]
    main = reading.resolved(reading.operation_of(operation)["responses"][str(operation.main)])
    for one in reading.request_of(operation, reading.example_of(main)[1]).before:
        assert call(world, one).status_code < 300
    reached = called(world, st.one_of(found), 1) if (found := told.get_strategies_from_examples()) else set()
    reached |= called(world, told.as_strategy(), CALLS)
    assert any(200 <= status < 300 for status in reached), reached
    if operation.body or operation.parameters:
        called(world, told.as_strategy(generation_mode=GenerationMode.NEGATIVE), CALLS)


@schemathesis.serializer("application/x-ndjson")
def lines(_ctx: Any, value: Any) -> Any:
    return value if isinstance(value, bytes) else str(value).encode("utf-8", "replace")


def called(world: World, cases: Any, most: int) -> set[int]:
    """The statuses of so many calls, each of which is checked against the document."""
    reached = set()

    @settings(max_examples=most, **SAME_EACH_TIME)
    @given(case=cases)
    def one(case: Any) -> None:
        answer = case.call(headers={"Authorization": f"Bearer {bearer('clinic')}", "Accept-Encoding": "identity"})
        if case.method != "GET" and answer.status_code < 300:
            world.put_back()
        reached.add(answer.status_code)
        case.validate_response(answer, checks=CHECKS)

    one()
    return reached
