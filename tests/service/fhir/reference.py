"""FHIR R4's search, said again in the plainest way: every resource is looked at, by HL7's own expressions. Knows nothing of ours.

R4 3.1.1.4: what a parameter looks at is an expression of HL7's definitions (`tests/data/r4_search_parameters.tsv`); values are
compared as the section of each type says. Where R4 leaves room, what this server promises is said in a comment.
"""

import re
import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

DEFINITIONS = Path(__file__).parents[2] / "data" / "r4_search_parameters.tsv"
Resource = dict[str, Any]
CHOICES = ("DateTime", "Period", "Date", "Instant", "Quantity", "CodeableConcept", "Reference", "Boolean", "String", "Timing", "Range", "Age", "Integer")


@dataclass(frozen=True)
class Definition:
    type: str
    name: str
    kind: str
    expression: str
    targets: frozenset[str]


def definitions() -> dict[tuple[str, str], Definition]:
    found = {}
    for line in DEFINITIONS.read_text().splitlines():
        if not line.startswith("#"):
            type_, name, kind, expression, targets = line.split("\t")
            found[type_, name] = Definition(type_, name, kind, expression, frozenset(targets.split()))
    return found


HL7 = definitions()
# What this server adds (CapabilityStatement: "An addition of this server").
OURS = [
    Definition("AdverseEvent", "identifier", "token", "AdverseEvent.identifier", frozenset()),
    Definition("AdverseEvent", "encounter", "reference", "AdverseEvent.encounter", frozenset({"Encounter"})),
    Definition("AdverseEvent", "patient", "reference", "AdverseEvent.subject", frozenset({"Patient"})),
]


def definition(type_: str, name: str) -> Definition:
    found = HL7.get((type_, name)) or HL7.get(("Resource", name))
    return found or next(one for one in OURS if (one.type, one.name) == (type_, name))


# --- what a parameter looks at


def elements(resource: Resource, expression: str) -> list[Any]:
    found: list[Any] = []
    for part in expression.split(" | "):
        found += _evaluated(resource, part)
    return found


def _evaluated(resource: Resource, part: str) -> list[Any]:
    as_type = re.fullmatch(r"\((.*) as (\w+)\)", part) or re.fullmatch(r"(.*)\.as\((\w+)\)", part)
    if as_type:
        return _path(resource, as_type[1], only=as_type[2])
    resolves = re.fullmatch(r"(.*)\.where\(resolve\(\) is (\w+)\)", part)
    if resolves:
        return [e for e in _path(resource, resolves[1]) if str(e.get("reference", "")).startswith(f"{resolves[2]}/")]
    where = re.fullmatch(r"(.*)\.where\((\w+)='(\w+)'\)", part)
    if where:
        return [e for e in _path(resource, where[1]) if e.get(where[2]) == where[3]]
    return _path(resource, part)


def _path(resource: Resource, path: str, only: str | None = None) -> list[Any]:
    type_, *names = path.split(".")
    assert type_ in (resource["resourceType"], "Resource"), path
    found: list[Any] = [resource]
    for n, name in enumerate(names):
        wanted = (only[:1].upper() + only[1:],) if only and n == len(names) - 1 else CHOICES
        following: list[Any] = []
        for one in found:
            values = [one[name]] if name in one else [one[name + choice] for choice in wanted if name + choice in one]
            for value in values:
                following += value if isinstance(value, list) else [value]
        found = following
    return found


# --- values


def matches(resource: Resource, parameter: Definition, modifier: str, value: str) -> bool:
    found = elements(resource, parameter.expression)
    if modifier == "missing":
        return (not found) == (value == "true")
    alternatives = re.split(r"(?<!\\),", value)
    if modifier == "not":
        return not any(_one(parameter, "", one)(element) for one in alternatives for element in found)
    return any(_one(parameter, modifier, one)(element) for one in alternatives for element in found)


def _one(parameter: Definition, modifier: str, value: str) -> Callable[[Any], bool]:
    if parameter.kind == "token":
        return lambda element: _token(element, value)
    if parameter.kind == "reference":
        return lambda element: _reference(element, modifier, value)
    if parameter.kind == "string":
        return lambda element: any(_string(text, modifier, _plain(value)) for text in _texts(element))
    if parameter.kind == "date":
        return lambda element: compared(date_range(element), *_prefixed(value, date_range))
    assert parameter.kind == "quantity", parameter.kind
    return lambda element: _quantity(element, value)


def _plain(text: str) -> str:
    return re.sub(r"\\([,|$\\])", r"\1", text)


def _token(element: Any, value: str) -> bool:
    parts = [_plain(part) for part in re.split(r"(?<!\\)\|", value)]
    code, system = parts[-1], parts[0] if len(parts) == 2 else None
    for has_code, has_system in _codings(element):
        if code and has_code != code:
            continue
        if system is None or system == (has_system or ""):
            return True
    return False


def _codings(element: Any) -> Iterator[tuple[str, str | None]]:
    if isinstance(element, bool):
        yield ("true" if element else "false"), None
    elif isinstance(element, str):
        yield element, None
    elif "coding" in element:
        for coding in element["coding"]:
            yield coding["code"], coding.get("system")
    elif "code" in element:
        yield element["code"], element.get("system")
    elif "value" in element:
        yield element["value"], element.get("system")


def _reference(element: Any, modifier: str, value: str) -> bool:
    has = element if isinstance(element, str) else element.get("reference")
    if has is None:
        return False
    if "://" in value:
        value = re.sub(r"^http://127\.0\.0\.1:8000/fhir/r4/", "", value)
    if modifier and not has.startswith(f"{modifier}/"):
        return False
    return bool(has == value or ("/" not in value and has.rpartition("/")[2] == value))


def _texts(element: Any) -> Iterator[str]:
    """A name or an address is searched by every text in it (R4 3.1.1.4.8)."""
    if isinstance(element, str):
        yield element
    elif isinstance(element, list):
        for one in element:
            yield from _texts(one)
    elif isinstance(element, dict):
        for name, one in element.items():
            if name not in ("use", "period", "extension", "system"):
                yield from _texts(one)


def _string(text: str, modifier: str, value: str) -> bool:
    if modifier == "exact":
        return text == value
    if modifier == "contains":
        return folded(value) in folded(text)
    return folded(text).startswith(folded(value))


def folded(text: str) -> str:
    """Without case and accents."""
    return "".join(c for c in unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", text).casefold()) if not unicodedata.combining(c))


# --- ranges

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
Range = tuple[int, int]  # [low, high) in microseconds


def _micros(moment: datetime) -> int:
    return (moment - EPOCH) // timedelta(microseconds=1)


def _day(day: date) -> int:
    return (day.toordinal() - date(1970, 1, 1).toordinal()) * 86_400_000_000


def date_range(value: Any) -> Range:
    """What a date may mean: all of its day, month, year, minute, second. What has no offset is in UTC (this server says so)."""
    if isinstance(value, dict):
        low = date_range(value["start"])[0] if "start" in value else -(2**62)
        high = date_range(value["end"])[1] if "end" in value else 2**62
        return low, high
    if "T" not in value:
        parts = [int(part) for part in value.split("-")]
        first = date(*parts, *[1] * (3 - len(parts)))
        if len(parts) == 3:
            return _day(first), _day(first) + 86_400_000_000
        year, month = (first.year + 1, 1) if len(parts) == 1 or first.month == 12 else (first.year, first.month + 1)
        return _day(first), _day(date(year, month, 1))
    moment = datetime.fromisoformat(value.replace("Z", "+00:00"))
    low = _micros(moment if moment.tzinfo else moment.replace(tzinfo=UTC))
    clock = re.sub(r"(Z|[+-]\d\d:\d\d)$", "", value.partition("T")[2])
    return low, low + (1 if "." in clock else 1_000_000 if clock.count(":") == 2 else 60_000_000)


PREFIX = re.compile("(eq|ne|gt|ge|lt|le|sa|eb)(?=[0-9.+-])")


def _prefixed(value: str, read: Callable[[Any], Range]) -> tuple[str, Range]:
    found = PREFIX.match(value)
    return (found[1] if found else "eq"), read(value[2:] if found else value)


def compared(has: Range, prefix: str, asked: Range) -> bool:
    """R4 3.1.1.4.6 and the table of prefixes. `ge` and `le` take what reaches into the asked-for range, as most servers do."""
    low, high = asked
    start, end = has
    return {
        "eq": low <= start and end <= high, "ne": not (low <= start and end <= high), "gt": end > high, "ge": end > low,
        "lt": start < low, "le": start < high, "sa": start >= high, "eb": end <= low,
    }[prefix]  # fmt: skip


def _quantity(element: Any, value: str) -> bool:
    number, *unit = value.split("|")
    if unit and ((unit[0] and unit[0] != element.get("system")) or unit[1] not in (element.get("code"), element.get("unit") if not unit[0] else None)):
        return False
    found = PREFIX.match(number)
    prefix, text = (found[1], number[2:]) if found else ("eq", number)
    asked, has = Decimal(text), Decimal(element["value"])
    half = Decimal((0, (5,), int(asked.as_tuple().exponent) - 1))  # what is written as 5.4 may be anything from 5.35 to 5.45
    within = asked - half <= has < asked + half
    return {
        "eq": within, "ne": not within, "gt": has > asked, "ge": has >= asked, "lt": has < asked, "le": has <= asked, "sa": has > asked, "eb": has < asked,
    }[prefix]  # fmt: skip
