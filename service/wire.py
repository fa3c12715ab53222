"""JSON as it goes over the wire: numbers keep their digits, members are named once, and nesting has an end."""

import json
import re
from decimal import Decimal, InvalidOperation
from typing import Any

import orjson

from service.errors import Malformed

DEEPEST = 64
LARGEST, MOST_DIGITS = 400, 1000  # of a number that another system sends: its power of ten, and how it is written
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
    if _is_too_deep(body):
        raise Malformed(f"The body is nested more than {DEEPEST} deep")
    try:
        return json.loads(body.decode("utf-8"), parse_float=_decimal, parse_constant=_refused, object_pairs_hook=_object)
    except UnicodeDecodeError as error:
        raise Malformed(f"The body is no UTF-8 at byte {error.start}") from None
    except json.JSONDecodeError as error:
        raise Malformed(f"The body is no JSON: {error.msg} at line {error.lineno}, column {error.colno}") from None
    except (ValueError, RecursionError) as error:  # an integer with more digits than Python reads
        raise Malformed(str(error) if isinstance(error, Malformed) else "The body has a number that is too long") from None


def heard(body: bytes) -> Any:
    """The JSON value that another system sent, of which we can keep and say again all that is in it. Raises Malformed.

    It may come with a byte order mark and name a member twice (the last one counts); text that no database holds, numbers of a size that no measure
    has, and what is nested beyond all that FHIR nests are refused.
    """
    if _is_too_deep(body):
        raise Malformed(f"It is nested more than {DEEPEST} deep")
    try:
        found = _HEARD.decode(body.decode("utf-8-sig"))
        if b"\\u0000" in body:
            raise Malformed("It has a NUL")
        if b"\\u" in body:
            json.dumps(found, ensure_ascii=False, default=str).encode()  # sic: fails at half of a pair of surrogates
    except Malformed:
        raise
    except (ValueError, RecursionError) as error:
        raise Malformed(f"It is no JSON that can be read: {type(error).__name__}") from None
    return found


def _measure(text: str) -> Decimal:
    found = _decimal(text)
    if abs(found.adjusted()) > LARGEST or len(text) > MOST_DIGITS:
        raise Malformed("It has a number that is no measure of anything")
    return found


def _whole(text: str) -> int | Decimal:
    return int(text) if len(text) <= 18 else _measure(text)  # sic: what is longer may be no integer of 64 bits


def read(stored: bytes) -> Any:
    """JSON that we wrote ourselves, with its numbers as they were."""
    return _STORED.decode(stored.decode())


def _is_too_deep(body: bytes) -> bool:
    return body.count(b"[") + body.count(b"{") > DEEPEST and nesting(body) > DEEPEST


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


# Made once: json.loads makes another for each text.
_HEARD = json.JSONDecoder(parse_float=_measure, parse_int=_whole, parse_constant=_refused)
_STORED = json.JSONDecoder(parse_float=Decimal)
