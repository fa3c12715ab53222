"""The document as the page at /docs reads it: in OpenAPI 3.0, as JSON.

Swagger UI resolves 3.1 by a library that takes seconds for each operation that is opened, and reads YAML of this size in half a minute.
What we write differs little: null and single values are said in other words.
"""

from typing import Any

KEPT = ("default", "enum", "example", "examples", "value", "x-request")
OF_NAMES = ("headers", "parameters", "paths", "properties", "responses", "schemas")
LICENSE = {"name": "Apache-2.0", "url": "https://www.apache.org/licenses/LICENSE-2.0"}


def page_of(document: dict[str, Any]) -> dict[str, Any]:
    older: dict[str, Any] = _older(document)
    return {**older, "openapi": "3.0.3", "info": {**older["info"], "license": LICENSE}}


def _older(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return [_older(one) for one in value]
    if not isinstance(value, dict):
        return value
    made: dict[str, Any] = {}
    for name, inner in value.items():
        if name in OF_NAMES and isinstance(inner, dict):
            made[name] = {its: _older(one) for its, one in inner.items()}
        elif name == "const":
            made["enum"] = [inner]
        elif name == "type" and isinstance(inner, list):
            made |= {"type": next(one for one in inner if one != "null"), "nullable": True}
        elif name == "anyOf" and {"type": "null"} in inner:
            made |= {"anyOf": [_older(one) for one in inner if one != {"type": "null"}], "nullable": True}
        else:
            made[name] = inner if name in KEPT else _older(inner)
    return made
