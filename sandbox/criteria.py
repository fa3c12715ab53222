"""What a search asks of a resource: tokens, references, dates and strings, as R4 compares them."""

import re
import unicodedata
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from sandbox.dates import date_test
from sandbox.elements import Fhir, at
from sandbox.outcome import Issue, Refused
from sandbox.parameters import Parameter
from sandbox.references import local, relative

Test = Callable[[Any], bool]


@dataclass(frozen=True, slots=True)
class Criterion:
    """One parameter of a search: any of its tests on any of its elements."""

    parameter: Parameter
    tests: tuple[Test, ...]
    keys: tuple[str, ...]
    """What an index would know it by: the code of a token, `Type/id` of a reference whose type is known, else the value."""

    def holds(self, resource: Fhir) -> bool:
        elements = [element for path in self.parameter.paths for element in at(resource, path)]
        return any(test(element) for test in self.tests for element in elements)


def criterion(parameter: Parameter, modifier: str, text: str, base: str) -> Criterion:
    """Raises Refused for a modifier that is not supported (R4: "Servers SHALL reject") and for a value that cannot be read."""
    values = _split(text, ",")
    match parameter.kind, modifier:
        case "token", "":
            tests = [_token_test(value) for value in values]
            keys = [_unescaped(_split(value, "|")[-1]) for value in values]
        case "date", "":
            tests = [_read_date(parameter, value) for value in values]
            keys = values
        case "string", "" | "exact" | "contains":
            keys = [_unescaped(value) for value in values]
            tests = [_string_test(value, modifier) for value in keys]
        case "reference", _ if not modifier or modifier[0].isupper():
            keys = [_typed(_unescaped(value), modifier or parameter.only, base) for value in values]
            tests = [_reference_test(value) for value in keys]
        case _:
            raise Refused(400, Issue("not-supported", f"the modifier :{modifier} is not supported on {parameter.name}"))
    return Criterion(parameter, tuple(tests), tuple(keys))


def _split(text: str, separator: str) -> list[str]:
    r"""The parts between separators that are not escaped: `a\,b,c` has two."""
    if "\\" not in text:
        return text.split(separator)
    parts = [""]
    for one in re.findall(r"\\.|.", text, re.DOTALL):
        if one == separator:
            parts.append("")
        else:
            parts[-1] += one
    return parts


def _unescaped(value: str) -> str:
    return re.sub(r"\\([,|$\\])", r"\1", value)


def _read_date(parameter: Parameter, value: str) -> Test:
    try:
        return date_test(value)
    except (ValueError, OverflowError):
        # A + that was not encoded arrives here as a space.
        raise Refused(400, Issue("value", f"{parameter.name}={value} is not a date, or its + was not encoded as %2B")) from None


def _token_test(value: str) -> Test:
    *system, code = map(_unescaped, _split(value, "|"))
    if not system:
        return lambda element: any(has == code for _, has in _codes(element))
    wanted = "|".join(system) or None
    if not code:
        return lambda element: any(has_system == wanted for has_system, _ in _codes(element))
    return lambda element: any(has == code and has_system in (wanted, _IMPLIED) for has_system, has in _codes(element))


_IMPLIED = "\0"
"""The system of a plain `code`: its binding names it, so whatever the searcher says is taken as that."""


def _codes(element: Any) -> Iterable[tuple[str | None, str]]:
    """(system, code) of whatever a token looks at: code, boolean, Coding, CodeableConcept, Identifier, ContactPoint."""
    if isinstance(element, bool):
        return [(_IMPLIED, str(element).lower())]
    if isinstance(element, str):
        return [(_IMPLIED, element)]
    if not isinstance(element, dict):
        return []
    if "coding" in element:
        return [found for coding in at(element, "coding") for found in _codes(coding)]
    return [(element.get("system"), str(element.get("code", element.get("value", ""))))]


def _typed(value: str, kind: str | None, base: str) -> str:
    value = relative(value, base)
    if kind and re.fullmatch(r"[A-Za-z0-9.-]{1,64}", value):
        return f"{kind}/{value}"
    return local(value) or value


def _reference_test(value: str) -> Test:
    def holds(element: Any) -> bool:
        if isinstance(element, str):  # a canonical, which may have a version
            return value in (element, element.partition("|")[0])
        reference = element.get("reference") if isinstance(element, dict) else None
        if not isinstance(reference, str):
            return False
        has = local(reference) or reference
        return has == value or ("/" not in value and has.rpartition("/")[2] == value)

    return holds


def _string_test(value: str, modifier: str) -> Test:
    asked = _folded(value)
    if modifier == "exact":
        return lambda element: value in _strings(element)
    if modifier == "contains":
        return lambda element: any(asked in _folded(text) for text in _strings(element))
    return lambda element: any(_folded(text).startswith(asked) for text in _strings(element))


def _strings(element: Any) -> list[str]:
    """The strings of an element: its own, or all of a HumanName's or an Address's."""
    if isinstance(element, str):
        return [element]
    if isinstance(element, dict):
        return [text for name, inner in element.items() if name not in ("use", "type", "period") for text in _strings(inner)]
    return [text for inner in element for text in _strings(inner)] if isinstance(element, list) else []


def _folded(text: str) -> str:
    """Without case and accents, as R4 compares strings."""
    return "".join(letter for letter in unicodedata.normalize("NFKD", text) if not unicodedata.combining(letter)).casefold()
