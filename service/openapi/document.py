"""The whole document: every operation in its place, each answer with what really came back."""

from collections.abc import Iterable
from functools import cache
from typing import Any

from service.openapi import answers, exchange, fhir, operating, parameters, records, site
from service.openapi.operations import Example, Examples, Operation, Reply, is_shared
from service.openapi.schemas import Schema, schemas

VERSION = "0.1.0"
ABOUT = """The clinic's own interface at /api/v1, FHIR R4 at /fhir/r4, and what is needed to call them.

Every example is a call that was really made, to a service with the example pathway in it: parameters and bodies are of one call, and
each answer that came of another call says of which in `x-request` (what differs from the operation's own example: the path with its
query, headers, body, who called, what was called before). A token is had from /oauth/token or `pathway-fhir client token`.
"""
SECURITY = {"token": {"type": "http", "scheme": "bearer", "description": "An access token, whose scopes and client say what may be read and written."}}


@cache
def operations() -> tuple[Operation, ...]:
    return (*records.operations(), *exchange.operations(), *fhir.operations(), *site.operations())


def document(examples: Examples) -> dict[str, Any]:
    """OpenAPI 3.1. Raises KeyError for an answer without an example."""
    every = operations()
    paths: dict[str, dict[str, Any]] = {}
    for operation in every:
        paths.setdefault(operation.path, {})[operation.method.lower()] = _operation(operation, examples)
    return {
        "openapi": "3.1.0",
        "info": {"title": "pathway-fhir", "version": VERSION, "description": ABOUT, "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"}},
        "servers": [{"url": "/", "description": "This service."}],
        "tags": [{"name": name} for name in dict.fromkeys(o.tag for o in every)],
        "paths": paths,
        "components": {
            "securitySchemes": SECURITY, "parameters": parameters.shared(), "headers": parameters.HEADERS,
            "responses": {
                answers.name_of(*key): _reply(answers.error(*key), examples[key], key) for key in answers.shared_errors(every)
            },
            "schemas": dict(sorted({**schemas(), **operating.schemas()}.items())),
        },
    }  # fmt: skip


def _operation(operation: Operation, examples: Examples) -> dict[str, Any]:
    main = examples[operation.id, operation.main]
    made: dict[str, Any] = {"operationId": operation.id, "tags": [operation.tag], "summary": operation.summary}
    if operation.description:
        made["description"] = operation.description
    made["security"] = [{"token": list(operation.scopes)}] if 401 in operation.errors and operation.interface not in ("token", "site") else []
    if operation.parameters:
        made["parameters"] = [_exemplified(parameter, main) for parameter in operation.parameters]
    if operation.body:
        made["requestBody"] = {"required": True, "content": {type_: {"schema": schema, "example": main.sent} for type_, schema in operation.body.items()}}
    made["responses"] = {str(status): _answer(operation, status, examples) for status in operation.statuses}
    return made


def _exemplified(parameter: Schema, main: Example) -> Schema:
    """A parameter with its value in the operation's example. One that is shared says what it is where it has one."""
    name = parameter.get("name") or parameter["$ref"].rpartition("/")[2]
    if name not in main.parameters:
        return parameter
    return {**(parameters.shared()[name] if "$ref" in parameter else parameter), "example": main.parameters[name]}


def _answer(operation: Operation, status: int, examples: Examples) -> dict[str, Any]:
    if is_shared(operation, status):
        return {"$ref": f"#/components/responses/{answers.name_of(operation.interface, status)}"}
    reply = operation.replies.get(status) or answers.error(operation.interface, status)
    return _reply(reply, examples[operation.id, status], (operation.id, status))


def _reply(reply: Reply, example: Example, key: tuple[str, int]) -> dict[str, Any]:
    made: dict[str, Any] = {"description": reply.description, "headers": dict(_headers((*reply.headers, "X-Request-ID")))}
    if not reply.type:
        return {**made, "x-request": dict(example.request)}
    said: dict[str, Any] = {"value": example.received}
    if example.request:
        said["x-request"] = dict(example.request)
    return {**made, "content": {reply.type: {"schema": reply.schema, "examples": {f"{key[0]}{key[1]}": said}}}}


def _headers(names: Iterable[str]) -> Iterable[tuple[str, Any]]:
    for name in names:
        yield name, {"$ref": f"#/components/headers/{name}"}
