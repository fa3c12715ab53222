"""A finding tells a reader nothing that the fields would not: rules read what they say that they read, and no more."""

import random
from dataclasses import fields
from functools import cache
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mappings import KINDS, model
from mappings.disclosure import Level, coarse_of, level_of
from mappings.kind import Kind
from mappings.rules import RULES, Around, Rule, Thresholds, findings, level_of_rule
from mappings.rules.rule import around
from tests.generate import Maker
from tests.mappings.differing import differs, hidden
from tests.mappings.goldens import cases

JUDGED = [KINDS[name] for name in dict.fromkeys(rule.kind for rule in RULES)]
AROUND = {"patient": "patient", "screening": "screening", "consent": "consent", "dosing": "dosing-encounter", "sessions": "emdr-procedure", "adverse_events": "adverse-event", "decider": "practitioner"}
SEVERAL = ("dosing", "sessions", "adverse_events")


class Watched:
    """An entity or a group that notes which of its fields are read."""

    def __init__(self, it: Any, kind: str, prefix: str, seen: set[str]):
        self.__dict__.update(_it=it, _at=f"{kind}:{prefix}", _seen=seen, _kind=kind, _prefix=prefix)

    def __getattr__(self, name: str) -> Any:
        field = model.field_at(type(self._it), name)
        value = getattr(self._it, name)
        self._seen.add(f"{self._at}{name}")
        return watched(value, self._kind, f"{self._prefix}{name}.", self._seen) if field.group is not None else value


def watched(value: Any, kind: str, prefix: str, seen: set[str]) -> Any:
    if isinstance(value, tuple):
        return tuple(watched(item, kind, prefix, seen) for item in value)
    return None if value is None else Watched(value, kind, prefix, seen)


def made_around(seed: int, density: float) -> Around:
    made: dict[str, Any] = {}
    for name, kind in AROUND.items():
        some = tuple(Maker(seed + n, density).entity(KINDS[kind]) for n in range(2))
        made[name] = some if name in SEVERAL else some[0] if seed % 5 else None
    return Around(**made)


@cache
def records() -> list[tuple[Kind, Any, Around]]:
    """The golden cases in their surroundings, and generated ones in theirs."""
    world = [(one.kind.name, one.entity) for one in cases()]
    found = [(one.kind, one.entity, around(one.entity, world)) for one in cases()]
    return found + [(kind, Maker(seed, density).entity(kind), made_around(seed, density)) for kind in JUDGED for seed in range(150) for density in (0.4, 0.9)]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: f"{rule.id}-{rule.kind}")
def test_a_rule_reads_no_field_but_those_it_names(rule: Rule) -> None:
    seen: set[str] = set()
    for kind, entity, near in records():
        if kind.name == rule.kind:
            nearby = Around(**{f.name: watched(getattr(near, f.name), AROUND[f.name], "", seen) for f in fields(Around)})
            list(rule.judge(watched(entity, rule.kind, "", seen), nearby, Thresholds()))
    whole = {path for path in seen if not any(read == path or read.startswith(f"{path}.") for read in rule.reads)}
    assert whole == set(), "is read and not named"
    unread = {read for read in rule.reads if not any(read == path or path.startswith(f"{read}.") for path in seen)}
    assert unread - {f"{rule.kind}:screening_id", f"{rule.kind}:consent_id"} == set(), "is named and not read"  # by these the surroundings are found


LEVELS = {
    Level.C1: ["R10", "R11", "R12", "R13", "R20", "R21", "R22", "R23", "R24", "R25L", "R30", "R31", "R40", "R60", "R61", "R62"],
    Level.C2: ["R01", "R04", "R06", "R25", "R50", "R51", "R52", "R53", "R60X"],
    Level.C3: ["R52C"],
}


def test_the_class_of_a_finding_is_the_highest_of_what_its_rule_reads() -> None:
    for rule in RULES:
        assert rule.id in LEVELS[level_of_rule(rule, KINDS)]
        assert level_of_rule(rule, KINDS) == max(Level.C1, *(seen_from(field) for path in rule.reads for field in steps(path)))


def seen_from(field: model.Field) -> Level:
    """The level from which all of a field is seen: its class, or that from which it is no longer coarse."""
    coarse = coarse_of(field)
    return max(level_of(field), coarse.level if coarse else Level.C0)


def steps(path: str) -> list[model.Field]:
    kind, _, dotted = path.partition(":")
    names = dotted.split(".")
    return [model.field_at(KINDS[kind].entity, ".".join(names[: n + 1])) for n in range(len(names))]


@pytest.mark.parametrize("kind", JUDGED, ids=lambda kind: kind.name)
@settings(max_examples=150, deadline=None)
@given(st.integers(0, 2**40), st.sampled_from([0.4, 0.9]), st.sampled_from([Level.C1, Level.C2]), st.sampled_from([None, True]))
def test_findings_of_a_level_do_not_move_with_what_is_above_it(kind: Kind, seed: int, density: float, level: Level, absent: bool | None) -> None:
    rng = random.Random(seed)
    one, near = Maker(seed, density).entity(kind), made_around(seed, density)
    before = [f for f in findings(kind, one, near, Thresholds(), KINDS) if f.level <= level]
    for path, field in rng.sample(above := hidden(kind.entity, level), min(6, len(above))):
        other = differs(kind, one, path, field, rng, level=level, absent=absent)
        if other is not None:
            assert [f for f in findings(kind, other, near, Thresholds(), KINDS) if f.level <= level] == before, path
    for name, nearby in AROUND.items():
        it = getattr(near, name)
        it = it[0] if it and name in SEVERAL else it
        if it and (above := hidden(type(it), level)):
            path, field = rng.choice(above)
            other = differs(KINDS[nearby], it, path, field, rng, level=level, absent=absent)
            if other is not None:
                moved = Around(**{f.name: getattr(near, f.name) for f in fields(Around)} | {name: (other, *getattr(near, name)[1:]) if name in SEVERAL else other})
                assert [f for f in findings(kind, one, moved, Thresholds(), KINDS) if f.level <= level] == before, f"{nearby} {path}"


def test_a_finding_never_says_what_was_found() -> None:
    """Its text is the rule's own, the same whatever the values are."""
    texts = {(rule.id, rule.kind): rule.text for rule in RULES}
    for one in cases():
        assert all(found.text == texts[found.rule, one.kind.name] for found in one.findings())
