"""Who may see what: every field carries one of four classes, and an entity is stripped to a reader's level before it is mapped.

A class belongs to a field and never to a value, so that what is absent tells nothing. Where a value itself says more than
a reader may know (an aborted visit is, to most, a finished one), the field is `Coarse` below a level: the reader is given
the coarser word, which is as true.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass
from enum import IntEnum
from functools import cache
from typing import Annotated, Any, TypeVar

from mappings import model


class Level(IntEnum):
    """Disclosure class of a field, and clearance of a reader, who sees the classes up to its own level."""

    NONE = -1  # a reader who may know of nothing
    C0 = 0  # who, when and where; what safety needs
    C1 = 1  # what was done
    C2 = 2  # how it went, item by item
    C3 = 3  # what was said


VIEWS = (Level.C0, Level.C1, Level.C2, Level.C3)

T = TypeVar("T")
C0 = Annotated[T, Level.C0]
C1 = Annotated[T, Level.C1]
C2 = Annotated[T, Level.C2]
C3 = Annotated[T, Level.C3]


@dataclass(frozen=True)
class Coarse:
    """What a term becomes for a reader below `level`; terms that are not listed stay as they are."""

    level: Level
    terms: Mapping[str, str]


def level_of(field: model.Field) -> Level:
    """The class of a field; one without a class fails here, which a test asks of every field of every kind."""
    for note in field.notes:
        if isinstance(note, Level):
            return note
    raise TypeError(f"{field.owner.__name__}.{field.name} carries no disclosure class")


def coarse_of(field: model.Field) -> Coarse | None:
    return next((note for note in field.notes if isinstance(note, Coarse)), None)


def withhold(entity: Any, level: Level) -> Any:
    """The entity as a reader of this level may know it, or None where nothing of it is left but its keys."""
    if level >= Level.C3:
        return entity
    if level < Level.C0:
        return None
    seen = _stripped(entity, level)
    return None if _says_nothing(seen) else seen


KEYS = frozenset({"id", "patient_id"})


def _stripped(it: Any, level: Level) -> Any:
    cls: Any = type(it)
    return cls(**{name: keep(getattr(it, name), level) for name, keep in _plan(cls, level)})


@cache
def _plan(cls: Any, level: Level) -> tuple[tuple[str, Any], ...]:
    return tuple((field.name, _keeper(field, level)) for field in model.fields_of(cls))


def _keeper(field: model.Field, level: Level) -> Any:
    if level_of(field) > level:
        return _nothing if not field.many else _none_of_them
    if field.group is not None:
        return _items if field.many else _group
    coarse = coarse_of(field)
    if coarse is not None and level < coarse.level:
        return lambda value, _level, terms=coarse.terms: terms.get(value, value)
    return _all


def _all(value: Any, _level: Level) -> Any:
    return value


def _nothing(_value: Any, _level: Level) -> None:
    return None


def _none_of_them(_value: Any, _level: Level) -> tuple[()]:
    return ()


def _group(value: Any, level: Level) -> Any:
    if value is None:
        return None
    seen = _stripped(value, level)
    return None if _says_nothing(seen) else seen


def _items(values: tuple[Any, ...], level: Level) -> tuple[Any, ...]:
    return tuple(seen for seen in (_stripped(value, level) for value in values) if not _says_nothing(seen))


def _says_nothing(it: Any) -> bool:
    return is_dataclass(it) and all(f.name in KEYS or getattr(it, f.name) in (None, ()) for f in fields(it))
