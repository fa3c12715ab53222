"""A reader below a field's class cannot tell two entities apart that differ in it, whether it is there or not."""

import random
import re
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mappings import KINDS, Ids, model
from mappings.code_table import Codes
from mappings.disclosure import VIEWS, Level, level_of, withhold
from mappings.kind import Kind
from mappings.rules import Around, Thresholds, findings
from tests.generate import ALL_KINDS, TENANT, Maker
from tests.mappings.differing import differs, hidden
from tests.mappings.written import compact

every_kind = pytest.mark.parametrize("kind", ALL_KINDS, ids=lambda kind: kind.name)
PARTNERS = (Level.C0, Level.C1, Level.C2)


def seen(kind: Kind, entity: Any, level: Level) -> str:
    """Every byte that a reader of a level gets of an entity, its findings among them."""
    judged = findings(kind, entity, Around(), Thresholds(), KINDS)
    return compact(kind.to_fhir(withhold(entity, level), Ids(TENANT), level, judged))


@every_kind
@settings(max_examples=300, deadline=None)
@given(st.integers(0, 2**40), st.sampled_from([0.3, 0.7, 1.0]), st.sampled_from(PARTNERS), st.sampled_from([None, True]))
def test_two_entities_that_differ_in_a_withheld_field_are_the_same_to_a_reader_below(kind: Kind, seed: int, density: float, level: Level, absent: bool | None) -> None:
    rng = random.Random(seed)
    one = Maker(seed, density).entity(kind)
    for path, field in rng.sample(withheld := hidden(kind.entity, level), min(4, len(withheld))):
        other = differs(kind, one, path, field, rng, level=level, absent=absent)
        if other is not None:
            assert seen(kind, other, level) == seen(kind, one, level), path


@every_kind
def test_every_withheld_field_is_tried_both_with_another_value_and_without_one(kind: Kind) -> None:
    for level in PARTNERS:
        wanted = {(path, how) for path, field in hidden(kind.entity, level) for how in ways(field)}
        for seed in range(60):
            one = Maker(seed, 1.0 if seed % 3 else 0.6).entity(kind)
            before, full = seen(kind, one, level), seen(kind, one, Level.C3)
            for path, how in sorted(wanted):
                other = differs(kind, one, path, model.field_at(kind.entity, path), random.Random(seed), level=level, absent=how == "absent" or None)
                if other is not None:
                    assert seen(kind, other, level) == before, path
                    assert seen(kind, other, Level.C3) != full, path
                    wanted.discard((path, how))
            if not wanted:
                break
        assert wanted == set()


def ways(field: model.Field) -> tuple[str, ...]:
    return ("changed",) if field.required else ("changed", "absent")


# --- the hunt: every text and number of C2 and C3 is marked, and its mark is looked for where it must not be

class Marker(Maker):
    """Makes entities in which every C2 and C3 text, key and wide number is unique, and keeps where each mark belongs."""

    def __init__(self, seed: int):
        super().__init__(seed, 1.0)
        self.marks: list[tuple[str, Level, str]] = []
        self.at: list[Level] = [Level.C0]

    def field(self, field: model.Field, path: str) -> Any:
        self.at.append(max(self.at[-1], level_of(field)))
        made = super().field(field, path)
        self.at.pop()
        return made

    def value(self, field: model.Field) -> Any:
        made = super().value(field)
        to = field.note(model.To)
        bound = field.note(Codes) is not None or field.name in ("id", "total") or (to is not None and to.items is not None)
        if self.at[-1] < Level.C2 or bound:  # a term, an item's key and an instrument's score cannot be chosen freely
            return made
        marked = self.mark(field)
        if marked is None:
            return made
        self.marks.append((str(marked), self.at[-1], f"{field.owner.__name__}.{field.name}"))
        return marked

    def mark(self, field: model.Field) -> Any:
        number = 100_000 + len(self.marks)
        between, pattern = field.note(model.Between), field.note(model.Pattern)
        if field.base is Decimal and between is not None:
            return Decimal(between.low) + Decimal(f"1.{number}")
        if field.base is int and between is not None and between.high >= 1000:
            return 900 + number % 100
        if field.base is str and (pattern is None or pattern is model.ID):
            return f"marked-{number}"
        if field.base is str and pattern is not None and "kind/id" in pattern.says:
            return f"emdr-procedures/marked-{number}"
        return None


@every_kind
def test_no_marked_text_or_number_of_c2_and_c3_is_found_below_its_level(kind: Kind) -> None:
    visible: set[str] = set()
    marked: set[str] = set()
    for seed in range(6):
        marker = Marker(seed)
        entity = marker.entity(kind)
        views = {view: seen(kind, entity, view) for view in VIEWS}
        for mark, level, field in marker.marks:
            needles = [mark, *resources_of(mark)]
            marked.add(field)
            for view, text in views.items():
                there = any(re.search(rf"(?<![\w.-]){re.escape(needle)}(?![\w-])", text) for needle in needles)
                assert not (there and view < level), f"{mark} of {field}, {level.name}, is seen at {view.name}"
                if there:
                    visible.add(field)
    assert visible == marked, "a mark that is seen nowhere hunts nothing"


def resources_of(key: str) -> list[str]:
    """The ids of the resources that a marked key could lead to."""
    return [Ids(TENANT).id(kind.name, key, resource.role) for kind in ALL_KINDS for resource in kind.resources if resource.over is None]
