"""Entities that differ in one field alone: for what a reader must not notice, and for what has to be read back."""

import random
from collections.abc import Iterator
from dataclasses import is_dataclass
from typing import Any

from mappings import model
from mappings.code_table import Codes
from mappings.disclosure import Level, coarse_of, level_of
from mappings.kind import Kind
from tests.generate import Maker, answered, forwards
from tests.mappings.altered import altered, found

TRIES = 12


def paths(cls: type, prefix: str = "", level: Level = Level.C0) -> Iterator[tuple[str, model.Field, Level]]:
    """Every field at its dotted path, groups and lists too, with the level from which it is seen."""
    for field in model.fields_of(cls):
        seen = max(level, level_of(field))
        yield f"{prefix}{field.name}", field, seen
        if field.group is not None:
            yield from paths(field.group, f"{prefix}{field.name}.", seen)


def hidden(cls: type, level: Level) -> list[tuple[str, model.Field]]:
    """The fields that a reader of this level does not see, or sees more coarsely than they are."""
    return [
        (path, field) for path, field, seen in paths(cls)
        if seen > level or ((coarse := coarse_of(field)) is not None and coarse.level > level)
    ]  # fmt: skip


def differs(kind: Kind, it: Any, path: str, field: model.Field, rng: random.Random, *, level: Level = Level.NONE, absent: bool | None = None) -> Any:
    """An entity that differs from `it` in that field alone and can be represented too, or None where none was found.

    `absent` asks that the field be there in neither (False) or be taken away or added (True). A coarse field is varied
    among the terms that are one to a reader of `level`.
    """
    for _ in range(TRIES):
        place = _place(it, path, rng)
        if place is None:
            return None
        old = found(it, place)
        new = _other(old, field, rng, level, absent)
        to = field.note(model.To)
        if new is not None and to is not None and to.items is not None and to.via is None:
            new = rng.choice([None, *(item.id for item in getattr(it, to.items))])
        if new == old or (absent is False and (new in (None, ()) or old in (None, ()))):
            continue
        other = altered(it, place, new)
        if not list(kind.check(other)):
            return other
    return None


def _place(it: Any, path: str, rng: random.Random) -> str | None:
    """The dotted path with an index in every list on the way, None where there is no item or group to change."""
    made: list[str] = []
    *groups, last = path.split(".")
    for name in groups:
        it = getattr(it, name)
        made.append(name)
        if isinstance(it, tuple):
            if not it:
                return None
            at = rng.randrange(len(it))
            it = it[at]
            made.append(str(at))
        if it is None:
            return None
    return ".".join([*made, last])


def _other(old: Any, field: model.Field, rng: random.Random, level: Level, absent: bool | None) -> Any:
    coarse = coarse_of(field)
    if coarse is not None and coarse.level > level >= Level.C0:
        terms = field.note(Codes)
        assert terms is not None
        return rng.choice([term for term in terms if coarse.terms.get(str(term), term) == coarse.terms.get(old, old)])
    if absent and old not in (None, ()):
        return old if field.required else () if field.many else None
    made = Maker(rng.randrange(2**40), 1.0).field(field, "")
    if not field.many:
        return _mended(made, rng)
    items = tuple(_mended(item, rng) for item in made)
    return (*old, *items[:1]) if absent or rng.random() < 0.3 else items


def _mended(value: Any, rng: random.Random) -> Any:
    """A group made by itself, without what no record can hold."""
    if not is_dataclass(value):
        return value
    value = forwards(value)
    return answered(value, rng) if hasattr(value, "instrument") else value
