"""The table on top of a kind's module is what a clinician reads first: every field is in it, with its class."""

import importlib
import re
from typing import Any

import pytest

from mappings import KINDS, model
from mappings.disclosure import Level, coarse_of, level_of
from mappings.instruments import Administered
from mappings.screening import Screening

KIND_TABLES = [(kind.entity.__module__, kind.entity) for kind in KINDS.values()]
PART_TABLES = [("mappings.assessment", Screening), ("mappings.responses", Administered)]  # of a part of an entity


def rows(module: str) -> list[tuple[list[str], str]]:
    """(fields, class) of each row of the table in a module's docstring."""
    lines = [line for line in (importlib.import_module(module).__doc__ or "").splitlines() if line.startswith("|")]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]
    return [(re.split(r",\s*", cell[0]), cell[-1]) for cell in cells]


def classes(cls: type, name: str) -> list[Level]:
    """The classes of all that a field holds, from the one from which anything of it is seen to the one from which all is."""
    field = next(f for f in model.fields_of(cls) if f.json == name)
    return list(within(field, level_of(field)))


def within(field: model.Field, level: Level) -> Any:
    if field.group is None:
        coarse = coarse_of(field)
        yield level
        yield max(level, coarse.level) if coarse else level
    else:
        for inner in model.fields_of(field.group):
            if inner.name != "id":  # an item of which no more is left is absent
                yield from within(inner, max(level, level_of(inner)))


def span(found: list[Level]) -> str:
    return min(found).name if min(found) == max(found) else f"{min(found).name}-{max(found).name}"


@pytest.mark.parametrize(("module", "cls"), KIND_TABLES, ids=lambda it: it if isinstance(it, str) else "")
def test_every_field_of_a_kind_is_named_in_its_table_once(module: str, cls: type) -> None:
    named = [name for names, _ in rows(module) for name in names]
    assert sorted(named) == sorted(field.json for field in model.fields_of(cls))


@pytest.mark.parametrize(("module", "cls"), [*KIND_TABLES, *PART_TABLES], ids=lambda it: it if isinstance(it, str) else "")
def test_the_class_of_a_row_goes_from_the_least_to_the_highest_of_its_fields(module: str, cls: type) -> None:
    wanted = {", ".join(names): span([level for name in names for level in classes(cls, name)]) for names, _ in rows(module)}
    assert {", ".join(names): class_ for names, class_ in rows(module)} == wanted
