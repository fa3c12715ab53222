"""Every field has one element that carries it: change that and the field follows; nothing else says it in secret."""

import copy
import random
from collections.abc import Iterator
from typing import Any

import pytest

from mappings import KINDS, Ids, model
from mappings.disclosure import VIEWS, Level, coarse_of, withhold
from mappings.element import Fhir, Line
from mappings.kind import Kind, MappingError, Resource
from mappings.leaves import Derived
from mappings.rules import Around, Thresholds, findings
from tests.generate import ALL_KINDS, TENANT, Maker
from tests.mappings.altered import altered_all
from tests.mappings.differing import differs
from tests.mappings.goldens import case

LINES = [(kind, resource, line) for kind in ALL_KINDS for resource, line in kind.lines()]
MEDICINES = ("administration", "administration-medication", "rescue-medication", "rescue-medication-medication")
every_kind = pytest.mark.parametrize("kind", ALL_KINDS, ids=lambda kind: kind.name)


def carriers(resource: Fhir, line: Line) -> list[str]:
    """The top-level keys that carry a field: one element with its primitive's sibling, or any type of a choice."""
    name = line.path.split(".")[1].partition("(")[0]
    names = [name]
    if name.startswith("effective"):
        names = ["effectiveDateTime", "effectivePeriod"]
    elif coarse_of(line.holds) is not None and resource["resourceType"] == "Encounter":
        names = [name, "extension"]  # Encounter.status alone cannot tell a no-show from a cancelled visit
    return [key for name in names for key in (name, f"_{name}")]


def pairs(kind: Kind, line: Line, view: Level) -> Iterator[tuple[Any, Any]]:
    """Entities that differ, to a reader of this view, in one field that both have."""
    for seed in range(400):
        rng = random.Random(seed)
        one = Maker(seed, rng.choice([0.5, 0.8, 1.0])).entity(kind)
        other = differs(kind, one, line.field, model.field_at(kind.entity, line.field), rng, absent=False)
        if other is not None and withhold(one, view) != withhold(other, view):
            yield withhold(one, view), withhold(other, view)


@pytest.mark.parametrize(("kind", "resource", "line"), LINES, ids=lambda it: getattr(it, "role", None) or getattr(it, "name", None) or it.field)
def test_a_field_follows_its_element_and_nothing_else(kind: Kind, resource: Resource, line: Line) -> None:
    view, shown = max(line.views), 0
    for one, other in pairs(kind, line, view):
        ids = Ids(TENANT)
        told, wanted = kind.to_fhir(one, ids, view), kind.to_fhir(other, ids, view)
        moved = [(a, b) for a, b in zip(told, wanted, strict=True) if role(ids, a) == resource.role and any(a.get(k) != b.get(k) for k in carriers(a, line))]
        if not moved:  # a medicine stands in its vial where that is known, else in the administration
            assert resource.role in MEDICINES, "its element says nothing of it"
            continue
        [(a, b)] = moved
        if line.field.endswith(".instrument") and "item" in a:
            continue  # answers and total stand in items of their instrument
        replaced = {k: v for k, v in a.items() if k not in carriers(a, line)} | {k: b[k] for k in carriers(a, line) if k in b}
        assert kind.from_fhir([replaced if r is a else r for r in told], ids, view) == other
        if (shown := shown + 1) == 3:
            return
    assert shown, "no two entities differ in this field alone"


def role(ids: Ids, resource: Fhir) -> str:
    known = ids.key(resource["id"])
    assert known is not None
    return known.role


def test_the_answers_of_one_instrument_are_refused_as_anothers() -> None:
    ids, screening = Ids(TENANT), KINDS["screening"]
    told = screening.to_fhir(case("screening/every-field").entity, ids, Level.C3)
    [phq_9, gad_7, *_] = [r for r in told if r["resourceType"] == "QuestionnaireResponse"]
    with pytest.raises(MappingError) as refusal:
        screening.from_fhir([{**phq_9, "questionnaire": gad_7["questionnaire"]}], ids, Level.C3)
    assert [path for path, _ in refusal.value.problems] == [f"QuestionnaireResponse.item[{n}]" for n in range(10)]


@pytest.mark.parametrize("lot", [None, "KET25-0417"])
def test_a_medicine_stands_in_its_vial_where_lot_or_expiry_is_known_and_in_the_administration_where_they_are_not(lot: str | None) -> None:
    ids, dosing = Ids(TENANT), KINDS["dosing-encounter"]
    entity = altered_all(case("dosing-encounter/iv-infusion-with-wasted-drug").entity, {"administrations.0.lot": lot, "administrations.0.expiry": None})
    told = dosing.to_fhir(entity, ids, Level.C3)
    [given] = [r for r in told if r["resourceType"] == "MedicationAdministration"]
    vials = [r for r in told if r["resourceType"] == "Medication"]
    ketamine = ["36036811000001102", "776446001", "N01AX03", "ketamine"]
    if lot is None:
        assert vials == [] and [c["code"] for c in given["medicationCodeableConcept"]["coding"]] == ketamine
    else:
        [vial] = vials
        assert vial["batch"] == {"lotNumber": lot} and [c["code"] for c in vial["code"]["coding"]] == ketamine
        assert given["medicationReference"] == {"reference": f"Medication/{vial['id']}"} and "medicationCodeableConcept" not in given
    assert dosing.from_fhir(told, ids, Level.C3) == entity


# --- what is not a sender's to change

def rendered(kind: Kind, seed: int, view: Level, density: float = 1.0) -> tuple[Ids, list[Fhir]]:
    ids, entity = Ids(TENANT), Maker(seed, density).entity(kind)
    return ids, kind.to_fhir(withhold(entity, view), ids, view, findings(kind, entity, Around(), Thresholds(), KINDS))


def changes(resource: Fhir) -> Iterator[tuple[str, Fhir]]:
    """The resource with one element changed, or with one taken away: all but narrative, meta and what only shows a code."""
    def walk(value: Any, path: list[Any]) -> Iterator[tuple[str, Fhir]]:
        if path:
            yield f"without {dotted(path)}", put(resource, path, ...)
        if isinstance(value, dict):
            for key, inner in value.items():
                if key not in ("display", "unit") and not (path == [] and key in ("text", "meta", "resourceType", "id")):
                    yield from walk(inner, [*path, key])
        elif isinstance(value, list):
            for n, inner in enumerate(value):
                yield from walk(inner, [*path, n])
        else:
            yield dotted(path), put(resource, path, (not value) if isinstance(value, bool) else f"{value}x" if isinstance(value, str) else value + 1)

    return walk(resource, [])


def put(resource: Fhir, path: list[Any], value: Any) -> Fhir:
    """The resource with another value at a path; ... takes it away, and what is empty then."""
    made = copy.deepcopy(resource)
    places = [made]
    for step in path[:-1]:
        places.append(places[-1][step])
    if value is not ...:
        places[-1][path[-1]] = value
        return made
    for place, step in zip(reversed(places), reversed(path), strict=True):
        del place[step]
        if place:
            break
    return made


def dotted(path: list[Any]) -> str:
    return ".".join(map(str, path))


@every_kind
@pytest.mark.parametrize("view", VIEWS)
def test_every_change_of_a_resource_is_read_or_refused(kind: Kind, view: Level) -> None:
    for seed in range(3):
        ids, told = rendered(kind, seed, view)
        for given in told:
            assert kind.read_only(given, given, ids, view) == []
            was = kind.from_fhir([given], ids, view)
            for path, sent in changes(given):
                try:
                    read = kind.from_fhir([sent], ids, view)
                except MappingError:
                    continue
                assert read != was or kind.read_only(sent, given, ids, view), f"{given['resourceType']} {path}: a change that nobody sees"


@every_kind
def test_the_identity_of_a_resource_cannot_be_changed(kind: Kind) -> None:
    ids, told = rendered(kind, 1, Level.C3)
    for given in told:
        for other in ({"id": "00000000-0000-4000-8000-000000000000"}, {"resourceType": "Basic"}):
            [(path, problem)] = kind.read_only({**given, **other}, given, ids, Level.C3)
            assert path == f"{given['resourceType']}.id" and "cannot be changed" in problem


@every_kind
def test_whose_record_it_is_cannot_be_changed(kind: Kind) -> None:
    ids, told = rendered(kind, 1, Level.C3)
    another = ids.reference("Patient", "patient", "somebody-else", "patient")
    for given in told:
        for name in ("subject", "patient", "for"):
            if name in given:
                assert any(path.startswith(f"{given['resourceType']}") for path, _ in kind.read_only({**given, name: another}, given, ids, Level.C3))


@every_kind
def test_what_follows_from_other_data_cannot_be_added(kind: Kind) -> None:
    """A sender adds each derived element that a resource of the role has elsewhere and not here."""
    known: dict[tuple[str, str], Any] = {}
    bare: dict[tuple[str, str], tuple[Ids, Fhir]] = {}
    for seed in range(12):
        for density in (0.3, 1.0):
            ids, told = rendered(kind, seed, Level.C3, density)
            for given in told:
                shape = next((r for r in kind.resources if r.role == role(ids, given)), None)
                for name, element in shape.tree.children.items() if shape else ():
                    if isinstance(element, Derived):
                        if name in given:
                            known.setdefault((shape.role, name), given[name])
                        else:
                            bare.setdefault((shape.role, name), (ids, given))
    for (_, name), (ids, given) in bare.items():
        value = known.get((role(ids, given), name), "added")
        assert kind.read_only({**given, name: value}, given, ids, Level.C3), f"{given['resourceType']}.{name}"
