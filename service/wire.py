"""JSON as it goes over the wire: numbers keep their digits, members are named once, and nesting has an end."""

import json
import re
from decimal import Decimal, InvalidOperation
from typing import Any

import orjson

from service.errors import Malformed

DEEPEST = 64
_OPENING = re.compile(rb'"(?:[^"\\]++|\\.)*+"?|[\[{\]}]', re.DOTALL)  # possessive: a string that never ends is looked at once
_SURROGATE = re.compile("[\ud800-\udfff]")


def encode(value: Any) -> bytes:
    return orjson.dumps(value, default=_number)


def encode_pretty(value: Any) -> bytes:
    return orjson.dumps(value, default=_number, option=orjson.OPT_INDENT_2)


def _number(value: Any) -> Any:
    if isinstance(value, Decimal):
        return orjson.Fragment(format(value, "f"))  # sic: orjson alone would make 0.5 of 0.50
    raise TypeError(f"{type(value).__name__} is no JSON")


def decode(body: bytes) -> Any:
    """The JSON value of a body. Raises Malformed for what is no JSON, is nested too deeply, or names a member twice."""
    if nesting(body) > DEEPEST:
        raise Malformed(f"The body is nested more than {DEEPEST} deep")
    try:
        return json.loads(body.decode("utf-8"), parse_float=_decimal, parse_constant=_refused, object_pairs_hook=_object)
    except UnicodeDecodeError as error:
        raise Malformed(f"The body is no UTF-8 at byte {error.start}") from None
    except json.JSONDecodeError as error:
        raise Malformed(f"The body is no JSON: {error.msg} at line {error.lineno}, column {error.colno}") from None
    except (ValueError, RecursionError) as error:  # an integer with more digits than Python reads
        raise Malformed(str(error) if isinstance(error, Malformed) else "The body has a number that is too long") from None


def read(stored: bytes) -> Any:
    """JSON that we wrote ourselves, with its numbers as they were."""
    return json.loads(stored, parse_float=Decimal)


def nesting(body: bytes) -> int:
    """How deep a JSON text is nested, told without parsing it."""
    deepest = depth = 0
    for found in _OPENING.finditer(body):
        mark = found.group()
        if mark in (b"[", b"{"):
            depth += 1
            deepest = max(deepest, depth)
        elif mark in (b"]", b"}"):
            depth -= 1
    return deepest


def _decimal(text: str) -> Decimal:
    try:
        return Decimal(text)
    except InvalidOperation:
        raise Malformed("The body has a number that cannot be kept") from None


def _refused(text: str) -> Any:
    raise Malformed(f"{text} is no JSON")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if any(not name.isascii() and _SURROGATE.search(name) for name in made):
        raise Malformed("A member's name has a character that no text can hold")
    if len(made) < len(pairs):
        twice = next(name for n, (name, _) in enumerate(pairs) if any(name == other for other, _ in pairs[:n]))
        raise Malformed(f"The member {twice[:60]!r} is there twice in one object")
    return made
