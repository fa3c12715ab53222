"""What an entity is made of, read from its dataclass: the one description that schema, mapping, disclosure and docs share.

A kind is a frozen dataclass of fields, groups (another dataclass) and lists. A field's type says what it may hold:
`Annotated[Decimal, Unit("mg"), Between(0, 5000)]`, a `Codes` table for a closed list of terms, `To("clinic")` for the key
of another entity, and its disclosure class. Names are snake_case here and camelCase in JSON.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import MISSING, dataclass, is_dataclass
from dataclasses import fields as dataclass_fields
from datetime import date, datetime
from decimal import Decimal
from functools import cache
from types import NoneType, UnionType
from typing import Annotated, Any, TypeVar, Union, dataclass_transform, get_args, get_origin, get_type_hints

T = TypeVar("T")


@dataclass_transform(frozen_default=True, kw_only_default=True)
def record(cls: type[T]) -> type[T]:
    """A frozen dataclass with named arguments only: an entity, a group or an item of one."""
    return dataclass(frozen=True, kw_only=True)(cls)


@dataclass(frozen=True)
class Unit:
    """A UCUM unit: its code and the word that FHIR shows (the vital signs' words are those that UK Core fixes)."""

    code: str
    word: str


@dataclass(frozen=True)
class Between:
    """The values that an instrument or device can give, ends included. What is merely unlikely is a finding, not this."""

    low: int
    high: int


@dataclass(frozen=True)
class Pattern:
    regex: str
    says: str


@dataclass(frozen=True)
class Length:
    most: int


@dataclass(frozen=True)
class To:
    """The key of another entity: its kind, and for an item of one the list and the field that holds the entity's key."""

    kind: str
    items: str | None = None
    via: str | None = None  # None with `items`: an item of the same entity


ID = Pattern(r"[A-Za-z0-9][A-Za-z0-9._:~-]{0,63}", "1 to 64 letters, digits and . _ : ~ -, beginning with a letter or digit")
Key = Annotated[str, ID]
Text = Annotated[str, Length(1000)]
Narrative = Annotated[str, Length(100_000)]
Label = Annotated[str, Length(200)]
PartialDate = Annotated[str, Pattern(r"[12]\d{3}(-(0[1-9]|1[0-2])(-(0[1-9]|[12]\d|3[01]))?)?", "a date, or its year, or its year and month")]

MG = Unit("mg", "mg")
KG = Unit("kg", "kilogram")
MINUTES = Unit("min", "min")
HOURS = Unit("h", "h")
DAYS = Unit("d", "d")
SCORE = Unit("1", "score")  # {score} draws a warning of the validator, and value-quantity finds no integers

Dose = Annotated[Decimal, MG, Between(0, 100_000)]
Rating = Annotated[int, SCORE, Between(0, 10)]


@dataclass(frozen=True)
class Field:
    """One field of a dataclass: its name here and in JSON, what it holds, and the notes of its type."""

    owner: type
    name: str
    json: str
    base: type
    group: type | None
    many: bool
    required: bool
    notes: tuple[Any, ...]

    def note(self, kind: type[T]) -> T | None:
        return next((n for n in self.notes if isinstance(n, kind)), None)


def fields_of(cls: Any) -> tuple[Field, ...]:
    return _fields_of(cls)


@cache
def _fields_of(cls: Any) -> tuple[Field, ...]:
    hints = get_type_hints(cls, include_extras=True)
    return tuple(
        _field(cls, f.name, hints[f.name], required=f.default is MISSING and f.default_factory is MISSING)
        for f in dataclass_fields(cls)
    )


def field_at(cls: type, path: str) -> Field:
    """The field at a dotted path of names, through groups: `pre_checks.bp.sys`."""
    *groups, name = path.split(".")
    for part in groups:
        group = field_at(cls, part).group
        assert group is not None, f"{cls.__name__}.{part} is no group"
        cls = group
    return next(f for f in fields_of(cls) if f.name == name)


def json_name(name: str) -> str:
    head, *rest = name.rstrip("_").split("_")
    return head + "".join(part[:1].upper() + part[1:] for part in rest)


def json_path(path: str) -> str:
    """A dotted path of names as it is in our JSON."""
    return ".".join(json_name(name) for name in path.split("."))


def _field(owner: type, name: str, hint: Any, *, required: bool) -> Field:
    notes: list[Any] = []
    many = False
    while True:
        origin = get_origin(hint)
        if origin is Annotated:
            hint, *more = get_args(hint)
            notes += more
        elif origin in (Union, UnionType):
            [hint] = [a for a in get_args(hint) if a is not NoneType]
        elif origin is tuple:
            many, hint = True, get_args(hint)[0]
        else:
            break
    group: type | None = hint if is_dataclass(hint) and isinstance(hint, type) else None
    return Field(owner, name, json_name(name), hint, group, many, required and not many, tuple(notes))


def construct(cls: type[T], values: Mapping[str, Any]) -> T:
    """An entity, group or item from what is known of it; what is not said is None, and a group that says nothing is absent.

    An item that says nothing is left out. Values have their types already. Nothing is checked, so that a patch or a lower view can be held as an entity too.
    """
    made: dict[str, Any] = {}
    for field in fields_of(cls):
        value = values.get(field.name)
        if field.many:
            value = tuple(value or ())
        if field.group is not None and value is not None:
            one = field.group
            if field.many:
                value = tuple(item for v in value if (item := _group(one, v)) is not None)
            else:
                value = _group(one, value)
        made[field.name] = value
    return cls(**made)


def _group(cls: Any, value: Any) -> Any:
    made = value if isinstance(value, cls) else construct(cls, value)
    return None if all(getattr(made, f.name) in (None, ()) for f in fields_of(cls)) else made


def document_of(it: Any) -> dict[str, Any]:
    """Our JSON of an entity, group or item: what is absent is left out; moments and days as text, numbers as they were."""
    made: dict[str, Any] = {}
    for name, json, out in _writers(type(it)):
        value = getattr(it, name)
        if value is not None and value != ():
            made[json] = out(value)
    return made


def _writers(cls: Any) -> tuple[tuple[str, str, Any], ...]:
    return _made_writers(cls)


@cache
def _made_writers(cls: Any) -> tuple[tuple[str, str, Any], ...]:
    return tuple((f.name, f.json, _writer(f)) for f in fields_of(cls))


def _writer(field: Field) -> Any:
    one = document_of if field.group is not None else _isoformat if field.base in (date, datetime) else _same
    return (lambda values: [one(v) for v in values]) if field.many else one


def _isoformat(value: date) -> str:
    return value.isoformat()


def _same(value: Any) -> Any:
    return value


def revive(cls: type[T], document: Mapping[str, Any]) -> T:
    """The entity of a document that was checked before it was kept: no second check, so it is fast."""
    values = {}
    for name, json, back, empty in _readers(cls):
        value = document.get(json)
        values[name] = empty if value is None else back(value)
    return cls(**values)


def _readers(cls: Any) -> tuple[tuple[str, str, Any, Any], ...]:
    return _made_readers(cls)


@cache
def _made_readers(cls: Any) -> tuple[tuple[str, str, Any, Any], ...]:
    return tuple((f.name, f.json, _reader(f), () if f.many else None) for f in fields_of(cls))


def _reader(field: Field) -> Any:
    group = field.group
    if group is not None:
        one: Any = lambda value: revive(group, value)  # noqa: E731
    else:
        one = {datetime: datetime.fromisoformat, date: date.fromisoformat, Decimal: Decimal}.get(field.base, _same)
    return (lambda values: tuple(one(v) for v in values)) if field.many else one


def references_of(it: Any, pointer: str = "", root: Any = None) -> Iterator[tuple[str, To, str]]:
    """(JSON pointer, where it points, key) of every reference in the entity."""
    root = it if root is None else root
    for field in fields_of(type(it)):
        value = getattr(it, field.name)
        if value is None or value == ():
            continue
        here = f"{pointer}/{field.json}"
        to = field.note(To)
        if field.group is not None:
            for n, part in enumerate(value) if field.many else [(None, value)]:
                yield from references_of(part, here if n is None else f"{here}/{n}", root)
        elif to is not None:
            for n, key in enumerate(value) if field.many else [(None, value)]:
                yield (here if n is None else f"{here}/{n}"), to, key


def matches(pattern: Pattern, value: str) -> bool:
    return re.fullmatch(pattern.regex, value) is not None
