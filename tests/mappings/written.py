"""Files that are written from the code and kept: JSON with its decimals as they are."""

from decimal import Decimal
from typing import Any

import orjson


def compact(value: Any) -> str:
    return orjson.dumps(value, default=_as_it_is).decode()


def pretty(value: Any) -> str:
    return orjson.dumps(value, default=_as_it_is, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE).decode()


def _as_it_is(value: Any) -> Any:
    if isinstance(value, Decimal):
        return orjson.Fragment(format(value, "f"))
    raise TypeError(type(value))
