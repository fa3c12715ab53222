"""FHIR's dates as spans of time: `2026-03` is the whole of March, and a prefix compares spans and not points."""

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

Span = tuple[datetime, datetime]
"""From the first moment that is in it to the first that no longer is."""

FIRST, LAST = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)
PARTS = re.compile(r"(\d{4})(?:-(\d\d)(?:-(\d\d)(?:T(\d\d:\d\d)(?::(\d\d)(\.\d+)?)?(Z|[+-]\d\d:\d\d)?)?)?)?")


def span(text: str) -> Span:
    """The span of a date or dateTime; one without a zone is taken as UTC. Raises ValueError for what is neither."""
    found = PARTS.fullmatch(text)
    if not found:
        raise ValueError(f"{text} is not a date")
    year, month, day, minutes, seconds, fraction, zone = found.groups()
    start = datetime.fromisoformat(f"{year}-{month or '01'}-{day or '01'}T{minutes or '00:00'}:{seconds or '00'}{(fraction or '')[:7]}{zone or '+00:00'}")
    if not month:
        return start, _next_year(start)
    if not day:
        return start, _next_year(start) if start.month == 12 else start.replace(month=start.month + 1)
    precision = _precision(minutes, seconds, fraction)
    return start, start + precision if start < LAST - timedelta(days=1) else LAST


def second(text: Any) -> str | None:
    """The second in which a moment is, in UTC; None for what is longer than a second, is compared otherwise than by equality, or is no moment."""
    try:
        start, end = span(text)
    except (ValueError, OverflowError, TypeError):
        return None
    return start.astimezone(UTC).isoformat(timespec="seconds") if end - start <= timedelta(seconds=1) else None


def _next_year(start: datetime) -> datetime:
    return LAST if start.year == LAST.year else start.replace(year=start.year + 1, month=1)


def _precision(minutes: str | None, seconds: str | None, fraction: str | None) -> timedelta:
    if fraction:
        return timedelta(seconds=10.0 ** -min(len(fraction) - 1, 6))
    if seconds:
        return timedelta(seconds=1)
    return timedelta(minutes=1) if minutes else timedelta(days=1)


def span_of(element: Any) -> Span | None:
    """The span of an element: a date, a dateTime, an instant, a Period (an end that is not there is open); None for anything else."""
    try:
        if isinstance(element, str):
            return span(element)
        if isinstance(element, dict) and (element.get("start") or element.get("end")):
            start, end = element.get("start"), element.get("end")
            return span(start)[0] if start else FIRST, span(end)[1] if end else LAST
    except (ValueError, OverflowError, TypeError):  # a start may be a number: nothing here looks at the types of elements
        return None
    return None


# R4 search, "Prefixes": eq is "the range of the parameter value fully contains the range of the resource value".
PREFIXES: dict[str, Callable[[Span, Span], bool]] = {
    "eq": lambda has, asked: asked[0] <= has[0] and has[1] <= asked[1],
    "ne": lambda has, asked: not (asked[0] <= has[0] and has[1] <= asked[1]),
    "gt": lambda has, asked: has[1] > asked[1],
    "lt": lambda has, asked: has[0] < asked[0],
    "ge": lambda has, asked: has[1] > asked[1] or (asked[0] <= has[0] and has[1] <= asked[1]),
    "le": lambda has, asked: has[0] < asked[0] or (asked[0] <= has[0] and has[1] <= asked[1]),
    "sa": lambda has, asked: has[0] >= asked[1],
    "eb": lambda has, asked: has[1] <= asked[0],
    "ap": lambda has, asked: has[0] < asked[1] and asked[0] < has[1],
}


def date_test(value: str) -> Callable[[Any], bool]:
    """Whether an element is what `ge2026-03-02` asks for. Raises ValueError for what is no date."""
    prefix = value[:2] if value[:2] in PREFIXES else "eq"
    compare, asked = PREFIXES[prefix], span(value.removeprefix(prefix))

    def holds(element: Any) -> bool:
        has = span_of(element)
        return has is not None and compare(has, asked)

    return holds
