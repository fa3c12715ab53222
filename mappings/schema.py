"""Our JSON, read strictly: a marshmallow schema made from each dataclass, and every problem of a body at once by JSON pointer.

Nothing is coerced: a number is no text, 1.0 is no whole number, a time has an offset, and an unknown field is refused.
"""

import re
from collections.abc import Iterator, Mapping
from datetime import date, datetime
from decimal import Decimal
from functools import cache
from typing import Any

from marshmallow import RAISE, Schema, ValidationError, fields

from mappings import model
from mappings.code_table import Codes
from mappings.datatypes import day_of, moment_of
from mappings.disclosure import level_of
from mappings.kind import Kind

MOST_ITEMS = 2000  # of one list; a dosing day has some dozens
MOST_DIGITS = 15  # what a double of the receiving side keeps
UNSTORABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff\ufffe\uffff]")  # what FHIR's string, XML or a database cannot hold


class Refused(ValueError):
    """A body that cannot be represented: (JSON pointer, problem) of everything that is wrong with it."""

    def __init__(self, problems: list[tuple[str, str]]):
        super().__init__("; ".join(f"{pointer or '/'}: {problem}" for pointer, problem in problems))
        self.problems = problems


def load(kind: Kind, body: Any) -> Any:
    """The entity that a JSON body describes. Raises Refused with every problem."""
    if not isinstance(body, dict):
        raise Refused([("", "should be an object")])
    problems: list[tuple[str, str]] = []
    try:
        values = _reader_of(kind.entity).load(body)
    except ValidationError as refusal:
        problems = list(_pointers(refusal.messages, ""))
        values = refusal.valid_data if isinstance(refusal.valid_data, dict) else {}
    entity: Any = model.construct(kind.entity, values)
    wrong = {pointer for pointer, _ in problems}
    for pointer, problem in (*_twice(kind, entity), *kind.check(entity)):
        if pointer not in wrong:
            problems.append((pointer, problem))
    if problems:
        raise Refused(sorted(problems))
    return entity


def _twice(kind: Kind, entity: Any) -> Iterator[tuple[str, str]]:
    """An item's id is unique in its entity, whichever list it stands in."""
    seen: set[str] = set()
    for listed in kind.lists:
        for n, item in enumerate(getattr(entity, listed.name)):
            if item.id is not None and item.id in seen:
                yield f"/{listed.json}/{n}/id", f"{item.id} is the id of another item"
            seen.add(item.id)


def _pointers(messages: Any, at: str) -> Iterator[tuple[str, str]]:
    if isinstance(messages, Mapping):
        for name, inner in messages.items():
            yield from _pointers(inner, at if name == "_schema" else f"{at}/{_escaped(name)}")
    else:
        for message in messages if isinstance(messages, list) else [messages]:
            yield at, str(message)


def _escaped(name: Any) -> str:
    return str(name).replace("~", "~0").replace("/", "~1")


@cache
def _reader_of(cls: type) -> Schema:
    return schema_of(cls)()


@cache
def schema_of(cls: type) -> type[Schema]:
    """The marshmallow schema of an entity, group or item."""
    made: dict[str, Any] = {f.name: _field(f) for f in model.fields_of(cls)}

    class Meta:
        unknown = RAISE

    made["Meta"] = Meta
    made["error_messages"] = {"unknown": f"is no field of {cls.__name__}", "type": "should be an object"}
    return type(cls.__name__, (Schema,), made)


def _field(field: model.Field) -> fields.Field[Any]:
    rest: dict[str, Any] = {
        "data_key": field.json,
        "required": field.required,
        "allow_none": not field.required,
        "error_messages": {"required": "is required", "null": "is required", "type": "should be an object"},
        "metadata": {"model": field},
    }
    if not field.many:
        return _one(field, rest)
    inner = _one(field, {"metadata": {"model": field}, "error_messages": {"null": "should not be null", "type": "should be an object"}})
    return Items(inner, **{**rest, "error_messages": {"null": "should be an array", "invalid": "should be an array"}})


def _one(field: model.Field, rest: dict[str, Any]) -> fields.Field[Any]:
    if field.group is not None:
        return fields.Nested(schema_of(field.group), unknown=RAISE, **rest)
    plain: dict[type, type[Plain]] = {str: Words, bool: Truth, int: Whole, Decimal: Number, datetime: Moment, date: Day}
    return plain[field.base](field, **rest)


class Items(fields.List[Any]):
    def _deserialize(self, value: Any, attr: Any, data: Any, **kwargs: Any) -> Any:
        if isinstance(value, list) and len(value) > MOST_ITEMS:
            raise ValidationError(f"has more than {MOST_ITEMS} items")
        return super()._deserialize(value, attr, data, **kwargs)


class Plain(fields.Field[Any]):
    """A value that is no object. `read` raises ValueError with the problem."""

    def __init__(self, field: model.Field, **rest: Any):
        super().__init__(**rest)
        self.model, self.codes, self.between = field, field.note(Codes), field.note(model.Between)

    def _deserialize(self, value: Any, attr: Any, data: Any, **kwargs: Any) -> Any:
        try:
            return self.read(value)
        except ValueError as problem:
            raise ValidationError(str(problem)) from None

    def read(self, value: Any) -> Any:
        raise NotImplementedError

    def within(self, value: Any) -> Any:
        if self.between is not None and not self.between.low <= value <= self.between.high:
            raise ValueError(f"should be from {self.between.low} to {self.between.high}")
        return value


class Words(Plain):
    def read(self, value: Any) -> Any:
        if not isinstance(value, str):
            raise ValueError("should be text")
        if self.codes is not None:
            if value not in self.codes:
                raise ValueError(f"should be one of {', '.join(map(str, self.codes))}")
            return value
        if not value.strip():
            raise ValueError("should not be blank: leave out what is not known")
        if UNSTORABLE.search(value):
            raise ValueError("has a character that no text can hold")
        length, pattern = self.model.note(model.Length), self.model.note(model.Pattern)
        if length is not None and len(value) > length.most:
            raise ValueError(f"should have at most {length.most} characters")
        if pattern is not None and not model.matches(pattern, value):
            raise ValueError(f"should be {pattern.says}")
        return value.strip()  # FHIR's text neither begins nor ends with white space


class Truth(Plain):
    def read(self, value: Any) -> Any:
        if not isinstance(value, bool):
            raise ValueError("should be true or false")
        return value


class Whole(Plain):
    def read(self, value: Any) -> Any:
        if isinstance(value, bool) or not isinstance(value, int):
            raise ValueError("should be a whole number")
        return self.within(value)


class Number(Plain):
    def read(self, value: Any) -> Any:
        if isinstance(value, bool) or not isinstance(value, int | Decimal):
            raise ValueError("should be a number")
        number = Decimal(value)
        if not number.is_finite():
            raise ValueError("should be a finite number")
        self.within(number)
        _, digits, exponent = number.as_tuple()
        if len(digits) > MOST_DIGITS or not isinstance(exponent, int) or (not -MOST_DIGITS <= exponent <= 0 and number != number.to_integral_value()):
            raise ValueError(f"has more than {MOST_DIGITS} digits")
        return number


class Moment(Plain):
    def read(self, value: Any) -> Any:
        return moment_of(value)


class Day(Plain):
    def read(self, value: Any) -> Any:
        return day_of(value)


def json_type(plain: Plain) -> dict[str, Any]:
    """What JSON Schema (and so openapi.yaml) says of a value: its type, bounds, terms, unit and disclosure class."""
    field = plain.model
    said: dict[str, Any] = {
        str: {"type": "string"}, bool: {"type": "boolean"}, int: {"type": "integer"}, Decimal: {"type": "number"},
        datetime: {"type": "string", "format": "date-time"}, date: {"type": "string", "format": "date"},
    }[field.base].copy()  # fmt: skip
    if plain.codes is not None and field.base is not bool:
        said["enum"] = list(plain.codes)
    if plain.between is not None:
        said |= {"minimum": plain.between.low, "maximum": plain.between.high}
    if (length := field.note(model.Length)) is not None:
        said |= {"minLength": 1, "maxLength": length.most}
    if (pattern := field.note(model.Pattern)) is not None:
        said |= {"pattern": f"^{pattern.regex}$", "description": pattern.says}
    if (unit := field.note(model.Unit)) is not None:
        said["x-unit"] = unit.code
    if (to := field.note(model.To)) is not None:
        said["x-refers-to"] = to.kind if to.items is None else f"{to.kind}/{to.items}"
    said["x-disclosure-class"] = level_of(field).name
    return said
