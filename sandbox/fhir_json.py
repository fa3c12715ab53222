"""FHIR's JSON, in and out, with every digit of its decimals: 0.50 is not 0.5 here."""

import json
from decimal import Decimal
from typing import Any, NoReturn

import orjson


def read(body: bytes) -> Any:
    """What the bytes say. Raises ValueError for anything that JSON does not have (NaN among it) or that is nested beyond reason."""
    try:
        return json.loads(body.decode(), parse_float=Decimal, parse_constant=_no_such_number)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def write(value: Any, *, pretty: bool = False) -> bytes:
    """The bytes of a value, bytes of already written JSON among it as `written` gives them. Raises ValueError for what JSON cannot hold."""
    try:
        return orjson.dumps(value, default=_decimal, option=orjson.OPT_INDENT_2 if pretty else None)
    except orjson.JSONEncodeError as reason:
        raise ValueError(str(reason)) from None


def written(body: bytes) -> orjson.Fragment:
    """Already written JSON, to be put into a larger value as it is."""
    return orjson.Fragment(body)


def _decimal(value: Any) -> orjson.Fragment:
    if isinstance(value, Decimal):
        return orjson.Fragment(str(value))
    raise TypeError(type(value).__name__)


def _no_such_number(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")
