"""Records in two tellings that a reader below must not be able to tell apart: they differ in what is withheld from it, and in nothing else."""

import random
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import zip_longest
from typing import Any

from mappings import Ids, model
from mappings.disclosure import Level, level_of, withhold
from mappings.kind import Kind
from tests.generate import ALL_KINDS, TENANT
from tests.mappings.differing import differs, hidden, paths
from tests.service.worlds import DROPPED, Known, fitted, made

EACH = 2
MANY = {"practitioner": 4, "clinic": 3}  # what others refer to, and can refer to another of
Ways = set[tuple[str, str, str]]  # kind, path of a field, how it was varied


@dataclass(frozen=True)
class Twin:
    """One record: as it is, the other tellings of it, and both after a change that every reader may see (None where there is none)."""

    kind: Kind
    one: Any
    others: tuple[Any, ...]
    later: Any
    others_later: Any


@dataclass
class Story:
    """What happens in two worlds. `ghosts` are in the other world alone: nothing of them may be known at the level."""

    level: Level
    twins: list[Twin]
    ghosts: list[tuple[Kind, Any]]


def story(seed: int, level: Level, *, each: int = EACH, density: float = 0.9) -> Story:
    rng = random.Random(seed)
    twins: list[Twin] = []
    here, there, afterwards = Known(), Known(), Known()
    for kind in ALL_KINDS:
        for n in range(MANY.get(kind.name, each)):
            one = _made(kind, seed + 7 * n, here, id=f"{kind.name[:3]}{n}", density=density if n % 2 else 1.0)
            other = _told_otherwise(kind, one, level, rng, there)
            here.setdefault(kind.name, []).append(one)
            there.setdefault(kind.name, []).append(other)
            again = _told_otherwise(kind, other, level, rng, afterwards)
            afterwards.setdefault(kind.name, []).append(again)
            twins.append(Twin(kind, one, (other, again), *_changed(kind, one, again, rng)))
    return Story(level, twins, _ghosts(seed, level, afterwards))


def _made(kind: Kind, seed: int, known: Known, **given: Any) -> Any:
    first = kind.name == "practitioner" and not known.get("practitioner")
    if first:  # there is nobody yet who could have recorded it
        return _quiet(made(kind, seed, {"practitioner": [], "patient": []}, **given | {"recorded_by": None}))
    return _quiet(made(kind, seed, {"patient": [], **known}, **given))


def _quiet(it: Any) -> Any:
    """Consents here are about somebody else than the readers, whose role is the clinic's: those who are meant may notice."""
    if not hasattr(it, "provisions"):
        return it
    said = tuple(p if p.recipient is None or p.recipient.role != "clinic" else replace(p, recipient=replace(p.recipient, role="gp")) for p in it.provisions)
    return replace(it, provisions=said)


def _told_otherwise(kind: Kind, one: Any, level: Level, rng: random.Random, known: Known) -> Any:
    """The record with every field that is withheld changed, added or taken away, as far as it can be represented."""
    seen, other = withhold(one, level), _fitted(one, known, rng)
    fields = hidden(kind.entity, level)
    for _ in range(3):  # what cannot be changed yet often can when something else has changed
        told = {path for path, _ in _differences(kind.entity, one, other, "")}
        for path, field in sorted(rng.sample(fields, len(fields)), key=lambda at: at[1].group is None):  # groups before what is in them
            if path in told:
                continue
            changed = differs(kind, other, path, field, rng, level=level, absent=rng.choice([None, None, True]))
            changed = None if changed is None else _fitted(changed, known, rng)
            if changed is not None and withhold(changed, level) == seen and not list(kind.check(changed)):
                other = changed
    assert withhold(other, level) == seen
    return other


def _fitted(it: Any, known: Known, rng: random.Random) -> Any:
    found = fitted(it, {"patient": [], "practitioner": [], **known}, rng)
    return None if found is DROPPED else _quiet(found)


def _changed(kind: Kind, one: Any, other: Any, rng: random.Random) -> tuple[Any, Any]:
    """Both with another value of one field that every reader sees."""
    for field in rng.sample(model.fields_of(kind.entity), len(model.fields_of(kind.entity))):
        plain = field.group is None and not field.many and field.note(model.To) is None and field.name != "id"
        if plain and level_of(field) == Level.C0:
            changed = differs(kind, one, field.name, field, rng)
            if changed is not None:
                value = {field.name: getattr(changed, field.name)}
                if not list(kind.check(replace(other, **value))):
                    return changed, replace(other, **value)
    return None, None


def _ghosts(seed: int, level: Level, known: Known) -> list[tuple[Kind, Any]]:
    found = []
    for kind in ALL_KINDS:
        for n in range(3):
            it = _made(kind, seed + 1000 + n, known, id=f"ghost{n}")
            if not kind.to_fhir(withhold(it, level), Ids(TENANT), level):
                found.append((kind, it))
    return found


def ways(twins: list[Twin]) -> Ways:
    """Every field in which the tellings differ, and whether it is there in both or in one alone."""
    return {
        (twin.kind.name, path, how)
        for twin in twins for one, other in ((twin.one, twin.others[0]), (twin.others[0], twin.others[1]))
        for path, how in _differences(twin.kind.entity, one, other, "")
    }  # fmt: skip


def _differences(cls: type, one: Any, other: Any, prefix: str) -> Iterator[tuple[str, str]]:
    for field in model.fields_of(cls):
        before, after = (getattr(it, field.name, None) for it in (one, other))
        if before == after:
            continue
        yield f"{prefix}{field.name}", "absent" if before in (None, ()) or after in (None, ()) else "changed"
        if field.group is not None:
            pairs = zip_longest(before or (), after or ()) if field.many else [(before, after)]
            for left, right in pairs:
                yield from _differences(field.group, left, right, f"{prefix}{field.name}.")


def withheld_fields(kind: Kind, level: Level) -> set[tuple[str, str]]:
    return {(kind.name, path) for path, _ in hidden(kind.entity, level)}


def above_c0(kind: Kind) -> set[tuple[str, str]]:
    return {(kind.name, path) for path, _, seen in paths(kind.entity) if seen > Level.C0}
