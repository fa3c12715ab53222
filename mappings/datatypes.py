"""The FHIR datatypes that our fields stand in, each with its way there and back: `moment("start")`, `concept("event")`.

What comes back is checked here: a codec raises ValueError with the problem, and the shape adds the FHIRPath.
"""

import re
from collections.abc import Callable
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from mappings import model
from mappings.code_table import OURS, UCUM, Codes
from mappings.element import identifier_of
from mappings.shape import ITSELF, Codec, Each, Parts, Said, Tree, key

MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d(\.\d{1,9})?)?(Z|[+-]\d\d:\d\d)")
EARLIEST, LATEST = 1850, 2200  # far enough from the ends of the calendar that any offset can be added


def string(name: str = ITSELF) -> Said:
    return Said(name, lambda f: Codec("string", _same, text_of(f)))


def boolean(name: str = ITSELF) -> Said:
    return Said(name, lambda _f: Codec("boolean", _same, _bool))


def integer(name: str = ITSELF) -> Said:
    return Said(name, lambda _f: Codec("integer", _same, _int))


def decimal(name: str = ITSELF) -> Said:
    return Said(name, lambda _f: Codec("decimal", _same, _decimal))


def moment(name: str = ITSELF) -> Said:
    """A dateTime or instant with its offset as it was written."""
    return Said(name, lambda _f: Codec("dateTime", datetime.isoformat, moment_of))


def day(name: str = ITSELF) -> Said:
    return Said(name, lambda _f: Codec("date", date.isoformat, day_of))


def partial_date(name: str = ITSELF) -> Said:
    return Said(name, lambda f: Codec("dateTime", _same, text_of(f)))


def code(name: str = ITSELF, table: Codes | None = None) -> Said:
    def codec(field: model.Field) -> Codec:
        codes = table or codes_of(field)
        return Codec("code", codes.code, codes.term_of_code, codes.systems)

    return Said(name, codec)


def coding(name: str = ITSELF, table: Codes | None = None) -> Said:
    def codec(field: model.Field) -> Codec:
        codes = table or codes_of(field)
        return Codec("Coding", codes.coding, codes.term_of_coding, codes.systems)

    return Said(name, codec)


def concept(name: str = ITSELF, table: Codes | None = None) -> Said:
    def codec(field: model.Field) -> Codec:
        codes = table or codes_of(field)
        return Codec("CodeableConcept", codes.concept, codes.term_of_concept, codes.systems)

    return Said(name, codec)


def quantity(name: str = ITSELF, unit: model.Unit | None = None, **more: str) -> Said:
    """A number with the unit of the field's type. `more` adds constants, such as a comparator."""

    def codec(field: model.Field) -> Codec:
        measured = unit or field.note(model.Unit)
        assert measured is not None, f"{field.name} has no unit"
        rest = {"unit": measured.word, "system": UCUM, "code": measured.code, **more}
        whole = field.base is int

        def back(value: Any) -> Any:
            if not isinstance(value, dict) or (value.get("system"), value.get("code")) != (UCUM, measured.code):
                raise ValueError(f"should be a Quantity in UCUM {measured.code}")
            if value.get("comparator") != more.get("comparator"):
                raise ValueError("a comparator that this value cannot have")
            return _int(value.get("value")) if whole else _decimal(value.get("value"))

        return Codec("Quantity", lambda value: {"value": value, **rest}, back, (UCUM,))

    return Said(name, codec)


def logical(type: str, system: str, name: str = ITSELF) -> Said:
    """A Reference by identifier alone, to what is not ours to resolve."""

    def codec(field: model.Field) -> Codec:
        text = text_of(field)

        def back(value: Any) -> str:
            found, key = identifier_of(value)
            if found != system:
                raise ValueError(f"should refer by an identifier of {system}")
            return text(key)

        return Codec(f"Reference({type})", lambda key: {"type": type, "identifier": {"system": system, "value": key}}, back, (system,))

    return Said(name, codec)


# --- extensions: url and one value, or parts

def url(name: str) -> str:
    return f"{OURS}/StructureDefinition/{name}"


def extension(name: str, **value: Any) -> Tree:
    """One of our extensions with one value: `extension("review-date", valueDate=day("review_date"))`."""
    return Tree({"url": key(url(name)), **value})


def extension_of(definition: str, **value: Any) -> Tree:
    """One of HL7's (or a profile's) extensions, by its canonical URL."""
    return Tree({"url": key(definition), **value})


def complex_extension(name: str, *parts: Tree | Each) -> Tree:
    """One of our extensions with parts, each made by `part_of`."""
    return Tree({"url": key(url(name)), "extension": Parts(parts)})


def part_of(name: str, **value: Any) -> Tree:
    return Tree({"url": key(name), **value})


# --- what comes back

def moment_of(value: Any) -> datetime:
    """A moment from RFC 3339 text, with its offset. Raises ValueError for anything else, a time without offset included."""
    if not isinstance(value, str) or not MOMENT.fullmatch(value):
        raise ValueError("should be a date and time with an offset, such as 2026-03-02T10:15:00+00:00")
    try:
        found = datetime.fromisoformat(value)
    except ValueError:
        raise ValueError("is no date and time of the calendar") from None
    if not EARLIEST <= found.year <= LATEST:
        raise ValueError(f"should be between {EARLIEST} and {LATEST}")
    return found


def zoned(text: str) -> datetime | None:
    """The moment of an ISO 8601 text of whatever year, None where it is none or has no offset."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return None
    return found if found.tzinfo is not None else None


def day_of(value: Any) -> date:
    if not isinstance(value, str) or not re.fullmatch(r"\d{4}-\d\d-\d\d", value):
        raise ValueError("should be a date such as 2026-03-02")
    try:
        found = date.fromisoformat(value)
    except ValueError:
        raise ValueError("is no date of the calendar") from None
    if not EARLIEST <= found.year <= LATEST:
        raise ValueError(f"should be between {EARLIEST} and {LATEST}")
    return found


def codes_of(field: model.Field) -> Codes:
    found = field.note(Codes)
    assert found is not None, f"{field.owner.__name__}.{field.name} has no code table"
    return found


def text_of(field: model.Field) -> Callable[[Any], str]:
    pattern = field.note(model.Pattern)

    def back(value: Any) -> str:
        if not isinstance(value, str) or not value.strip():
            raise ValueError("should be text")
        if pattern is not None and not model.matches(pattern, value):
            raise ValueError(f"should be {pattern.says}")
        return value

    return back


def _bool(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError("should be true or false")
    return value


def _int(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError("should be a whole number")
    return value


def _decimal(value: Any) -> Decimal:
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        raise ValueError("should be a number")
    return Decimal(value)


def _same(value: Any) -> Any:
    return value
