"""openapi.yaml as it stands: its examples as they are written there, and its calls as a reader of it would make them."""

from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from typing import Any

import jsonschema_rs
import yaml

from service.openapi import answers
from service.openapi.document import operations
from service.openapi.operations import Example, Operation, is_shared
from tests.openapi.asking import Request
from tests.openapi.recording import FILE, representative

Told = dict[str, Any]


@cache
def there() -> Told:
    return yaml.load(FILE.read_text(encoding="utf-8"), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))


def operation_of(operation: Operation) -> Told:
    return there()["paths"][operation.path][operation.method.lower()]


def parameters_of(operation: Operation) -> list[Told]:
    return [resolved(parameter) for parameter in operation_of(operation).get("parameters", [])]


def resolved(told: Told) -> Told:
    """What a reference stands for."""
    if "$ref" not in told:
        return told
    found = there()
    for name in told["$ref"].removeprefix("#/").split("/"):
        found = found[name]
    return found


def example_of(response: Told) -> tuple[Any, Told]:
    """The body that a response has as its example, and what was asked for it."""
    if "content" not in response:
        return "", response.get("x-request", {})
    [content] = response["content"].values()
    [example] = content["examples"].values()
    return example["value"], example.get("x-request", {})


def examples() -> dict[tuple[str, int], Example]:
    every = operations()
    keyed = {(o.id, status): response for o in every for status, response in responses_of(o) if "$ref" not in response}
    keyed |= {key: there()["components"]["responses"][answers.name_of(*key)] for key in answers.shared_errors(every)}
    made = {}
    for (name, status), response in keyed.items():
        received, asked = example_of(response)
        operation = next((o for o in every if o.id == name), None)
        parameters = {p["name"]: p["example"] for p in parameters_of(operation) if "example" in p} if operation else {}
        made[name, status] = Example(parameters, _body(operation) if operation else None, received, asked)
    return made


def responses_of(operation: Operation) -> Iterator[tuple[int, Told]]:
    for status, response in operation_of(operation).get("responses", {}).items():
        yield int(status), response


def _body(operation: Operation) -> Any:
    content = operation_of(operation).get("requestBody", {}).get("content", {})
    return next((told["example"] for told in content.values()), None)


def request_of(operation: Operation, asked: Told) -> Request:
    """The call of an example: the operation's own parameters and body, but for what `x-request` says."""
    given = {p["name"]: (p["in"], p["example"]) for p in parameters_of(operation) if "example" in p}
    by_place = {place: {name: value for name, (at, value) in given.items() if at == place} for place in ("path", "query", "header")}
    secured = bool(operation_of(operation)["security"])
    main = Request(
        operation.method, operation.path, by_place["path"], by_place["query"], by_place["header"], _body(operation),
        next(iter(operation_of(operation).get("requestBody", {}).get("content", {})), ""), "clinic" if secured else None,
    )  # fmt: skip
    return _differing(main, asked)


def _differing(main: Request, asked: Told) -> Request:
    before = tuple(
        Request(one["method"], one["path"], body=one.get("body"), type="application/json" if "body" in one else "") for one in asked.get("before", ())
    )  # fmt: skip
    caller = asked.get("caller", main.caller)
    made = replace(
        main, method=asked.get("method", main.method), headers=asked.get("headers", main.headers), type=asked.get("type", main.type),
        body=b" " * asked["bytes"] if "bytes" in asked else asked.get("body", main.body), caller=None if caller == "nobody" else caller,
        before=before, service=asked.get("service", main.service),
    )  # fmt: skip
    return replace(made, path=asked["path"], values={}, query={}) if "path" in asked else made


@cache
def calls() -> list[tuple[str, Operation, int, Request, Any]]:
    """(name, operation, status, request, the body that is documented) of every example."""
    every, made = operations(), []
    for operation in every:
        for status, response in responses_of(operation):
            if not is_shared(operation, status):
                received, asked = example_of(response)
                made.append((operation.tag, operation, status, request_of(operation, asked), received))
    for interface, status in answers.shared_errors(every):
        received, asked = example_of(there()["components"]["responses"][answers.name_of(interface, status)])
        operation = representative(every, interface, status)
        made.append(("errors", operation, status, _differing(Request("GET", operation.path, caller="clinic"), asked), received))
    return made


@cache
def _validator(schema: str) -> Any:
    return jsonschema_rs.Draft202012Validator({"$ref": schema, "components": there()["components"]}, validate_formats=True)


def wrong(schema: Told, body: Any) -> list[str]:
    """What is wrong with a body by a schema of the document."""
    if "$ref" in schema:
        return [f"{'/'.join(map(str, e.instance_path))}: {e.message[:200]}" for e in _validator(schema["$ref"]).iter_errors(body)]
    return [e.message[:200] for e in jsonschema_rs.Draft202012Validator({**schema, "components": there()["components"]}).iter_errors(body)]
