"""What goes out comes back: for every kind, every view, every field and every code."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mappings import Ids, model
from mappings.code_table import Codes
from mappings.disclosure import VIEWS, Level, withhold
from mappings.kind import Kind
from mappings.schema import load
from mappings.shape import least_level
from tests.generate import ALL_KINDS, TENANT, Maker

seeds = st.integers(0, 2**40)
densities = st.sampled_from([0.15, 0.5, 0.9, 1.0])
every_kind = pytest.mark.parametrize("kind", ALL_KINDS, ids=lambda kind: kind.name)


@every_kind
@settings(max_examples=150, deadline=None)
@given(seeds, densities, st.sampled_from(VIEWS))
def test_what_a_reader_may_see_comes_back_as_it_was(kind: Kind, seed: int, density: float, view: Level) -> None:
    ids = Ids(TENANT)
    seen = withhold(Maker(seed, density).entity(kind), view)
    assert kind.from_fhir(kind.to_fhir(seen, ids, view), ids, view) == seen


@every_kind
@settings(max_examples=40, deadline=None)
@given(seeds)
def test_the_order_of_resources_says_nothing_but_the_order_of_items(kind: Kind, seed: int) -> None:
    ids = Ids(TENANT)
    entity = Maker(seed, 0.9).entity(kind)
    resources = kind.to_fhir(entity, ids, Level.C3)
    random.Random(seed).shuffle(resources)
    assert by_id(kind.from_fhir(resources, ids, Level.C3)) == by_id(entity)


@every_kind
@settings(max_examples=60, deadline=None)
@given(seeds, densities)
def test_our_json_comes_back_as_it_was(kind: Kind, seed: int, density: float) -> None:
    entity = Maker(seed, density).entity(kind)
    document = model.document_of(entity)
    assert load(kind, document) == entity
    assert model.revive(kind.entity, document) == entity


@every_kind
def test_generated_entities_reach_every_field_and_every_code(kind: Kind) -> None:
    reached: set[object] = set()
    for seed in range(400):
        maker = Maker(seed, 1.0)
        maker.entity(kind)
        reached |= maker.reached
        if not (missing := wanted(kind.entity, kind.entity.__name__) - reached):
            return
    assert missing == set()


@every_kind
def test_every_field_has_one_authoritative_element_in_every_view_that_may_see_it(kind: Kind) -> None:
    said: dict[str, list[tuple[str, tuple[Level, ...]]]] = {}
    for resource, line in kind.lines():
        said.setdefault(line.field, []).append((resource.role, tuple(v for v in line.views if v >= resource.since)))
    ids_of_items = {f"{listed.name}.id" for listed in kind.lists}
    assert set(leaves(kind.entity, "")) - {"id", "patient_id"} - ids_of_items == set(said)
    for _, line in kind.lines():
        for view in VIEWS:
            if view >= least_level(line, kind.entity):
                where = {role for role, views in said[line.field] if view in views}
                # A medicine stands in its vial, where that is known, and in the administration where it is not.
                assert len(where) == 1 or where == {"administration", "administration-medication"} or where == {"rescue-medication", "rescue-medication-medication"}, line


@every_kind
def test_a_changed_field_is_read_and_no_other(kind: Kind) -> None:
    """For each field: two entities that differ in it alone; the elements that differ are put into the other's resources, and it follows."""
    for seed in range(25):
        ids = Ids(TENANT)
        one = Maker(seed, 0.9).entity(kind)
        other = Maker(seed + 1000, 0.9).entity(kind, id=one.id, patient_id=one.patient_id) if hasattr(one, "patient_id") else Maker(seed + 1000, 0.9).entity(kind, id=one.id)
        for field in model.fields_of(kind.entity):
            if field.name in ("id", "patient_id"):
                continue
            changed = model.construct(kind.entity, {f.name: getattr(other if f.name == field.name else one, f.name) for f in model.fields_of(kind.entity)})
            if list(kind.check(changed)) or changed == one:
                continue
            assert kind.from_fhir(kind.to_fhir(changed, ids, Level.C3), ids, Level.C3) == changed


def by_id(entity: object) -> object:
    from dataclasses import replace

    changed = {}
    for field in model.fields_of(type(entity)):
        if field.many and field.group is not None and "id" in {f.name for f in model.fields_of(field.group)}:
            changed[field.name] = tuple(sorted(getattr(entity, field.name), key=lambda item: item.id))
    return replace(entity, **changed)  # type: ignore[type-var]


def leaves(cls: type, prefix: str) -> list[str]:
    found = []
    for field in model.fields_of(cls):
        path = f"{prefix}{field.name}"
        found += leaves(field.group, f"{path}.") if field.group is not None else [path]
    return found


def wanted(cls: type, path: str) -> set[object]:
    found: set[object] = set()
    for field in model.fields_of(cls):
        here = f"{path}.{field.name}"
        found.add(("field", here, None))
        if field.group is not None:
            found |= wanted(field.group, here)
        elif (codes := field.note(Codes)) is not None:
            found |= {("term", codes.name, term) for term in codes}
    return found
