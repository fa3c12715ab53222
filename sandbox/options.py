"""JSON that people write by hand: what may be said in it, and everything that is wrong with it at once, by JSON pointer."""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

Problem = tuple[str, str]
"""A JSON pointer (RFC 6901) and what is wrong there."""


class Malformed(Exception):
    """A body that is not understood, with every reason; nothing was done."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("; ".join(f"{pointer} {words}" for pointer, words in self.problems))


@dataclass(frozen=True, slots=True)
class Option:
    words: str
    """What it has to be, as the rest of "has to be ..."."""
    holds: Callable[[Any], bool]
    default: Any = None
    needed: bool = False

    def or_else(self, default: Any) -> "Option":
        return replace(self, default=default)

    def always(self) -> "Option":
        """The same option where it cannot be left out."""
        return replace(self, needed=True)


def problems_in(value: Any, options: Mapping[str, Option], at: str = "") -> list[Problem]:
    """Everything that is wrong with an object of these options."""
    if not isinstance(value, dict):
        return [(at, "has to be an object")]
    unknown = [(f"{at}/{escaped(name)}", f"is not known here; there are {', '.join(options)}") for name in value if name not in options]
    wrong = [
        (f"{at}/{name}", f"has to be {option.words}")
        for name, option in options.items()
        if (option.needed if name not in value else not option.holds(value[name]))
    ]
    return unknown + wrong


def escaped(name: str) -> str:
    """One step of a JSON pointer."""
    return name.replace("~", "~0").replace("/", "~1")


def is_number(value: Any) -> bool:
    return isinstance(value, int | float | Decimal) and not isinstance(value, bool)


def number(words: str, low: float, high: float) -> Option:
    return Option(f"{words} from {low:g} to {high:g}", lambda value: is_number(value) and low <= value <= high)


def whole(words: str, low: int, high: int) -> Option:
    return Option(f"{words} from {low} to {high}", lambda value: isinstance(value, int) and not isinstance(value, bool) and low <= value <= high)


def one_of(*choices: Any) -> Option:
    return Option(" or ".join(map(str, choices)), lambda value: not isinstance(value, bool) and value in choices)


def _compiles(value: Any) -> bool:
    try:
        return bool(re.compile(value))
    except (re.error, TypeError):
        return False


FLAG = Option("true or false", lambda value: isinstance(value, bool), default=False)
TEXT = Option("a text", lambda value: isinstance(value, str))
HEADER = Option("a text of one line, or a number", lambda value: is_number(value) or (isinstance(value, str) and value.isprintable() and value.isascii()))
PATTERN = Option("a regular expression", _compiles)
OBJECT = Option("an object", lambda value: isinstance(value, dict))
NAMES = Option("a list of names", lambda value: isinstance(value, list) and all(isinstance(one, str) and one for one in value))
