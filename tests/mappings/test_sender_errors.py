"""What a sender says wrongly is refused by its FHIRPath, every problem at once, and nothing that it says breaks the reading."""

import copy
import random
from collections.abc import Iterator
from decimal import Decimal
from functools import reduce
from operator import getitem
from typing import Any

import pytest

from mappings import Ids, model
from mappings.codes import DMD
from mappings.disclosure import Level, withhold
from mappings.element import Fhir, Line
from mappings.kind import Kind, MappingError, Resource
from tests.generate import ALL_KINDS, TENANT, Maker
from tests.mappings.differing import differs
from tests.mappings.test_honesty import LINES, carriers, every_kind, put, rendered, role

FURLONGS = {"value": 1, "unit": "furlong", "system": "http://unitsofmeasure.org", "code": "[fur_us]"}
ELSEWHERE = {"system": "https://elsewhere.example/codes", "code": "no-such-code"}
UNKNOWN = "00000000-0000-4000-8000-000000000000"
WRONG: dict[str, list[Any]] = {  # datatype -> what cannot stand there
    "string": [7, "", " ", ["x"]],
    "boolean": ["yes", 1, "true"],
    "integer": ["1", Decimal("1.5"), True],
    "decimal": ["1", True],
    "dateTime": [7, "soon", "2026-03-02T10:00:00", "2026-13-40T10:00:00Z", "9999-01-01T00:00:00Z"],
    "date": [7, "02/03/2026", "2026-02-30"],
    "code": ["no-such-code", 7],
    "canonical": ["https://elsewhere.example/Questionnaire/x|1", 7],
    "Coding": [ELSEWHERE, {}, "x"],
    "CodeableConcept": [{"coding": [ELSEWHERE]}, {"text": "in words alone"}, {}, "x"],
    "Quantity": [FURLONGS, {**FURLONGS, "system": "http://unitsofmeasure.org", "code": None}, {}, 7],
    "item": [[{"linkId": "no-such-item", "answer": [{"valueInteger": 1}]}], [{}], 7],
}


ENDS = {"CodeableConcept": ("coding",), "Coding": ("code", "system"), "Quantity": ("value",), "Reference": ("reference", "identifier")}


def corruptions(line: Line, path: list[Any]) -> list[Any]:
    if line.type == "dateTime" and line.holds.base is str:
        return [7, "02/03/2026"]
    if line.systems == (DMD,):  # beside which a sender may have codings of its own
        return [{"system": DMD, "code": "no-such-code"}, {"system": DMD}]
    if not line.type.startswith("Reference"):
        return WRONG[line.type]
    target = line.type.removeprefix("Reference").strip("()")
    found = [{"reference": f"{target}/{UNKNOWN}"}, {"reference": 7}, {"display": "somebody"}]
    return found[:1] if isinstance(path[-1], int) else found  # among references to several types, only those to ours are ours


def differing(one: Any, other: Any, path: list[Any]) -> list[Any]:
    """The path at which two JSON values first differ."""
    if isinstance(one, dict) and isinstance(other, dict):
        for key in one:
            if one[key] != other.get(key):
                return differing(one[key], other.get(key), [*path, key])
    if isinstance(one, list) and isinstance(other, list):
        for n, (a, b) in enumerate(zip(one, other, strict=False)):
            if a != b:
                return differing(a, b, [*path, n])
    return path


def place_of(kind: Kind, resource: Resource, line: Line, one: Any, ids: Ids, rng: random.Random, view: Level) -> tuple[Fhir, list[Any]] | None:
    """The resource and the JSON path at which the element of a field stands, found by changing the field; None where it is not there."""
    other = differs(kind, one, line.field, model.field_at(kind.entity, line.field), rng, absent=False)
    if other is None:
        return None
    told, wanted = ({r["id"]: r for r in kind.to_fhir(withhold(it, view), ids, view)} for it in (one, other))
    for id_, given in told.items():
        if role(ids, given) == resource.role and id_ in wanted:
            for key in carriers(given, line):
                if key in given and given[key] != wanted[id_].get(key) and (key != "extension" or ".extension" in line.path):
                    at = differing(given, {**given, key: wanted[id_].get(key)}, [])
                    if at[-1] == "url" or (line.holds.many and isinstance(held := reduce(getitem, at, given), list) and isinstance(held[0], dict)):
                        return None  # one has an item more, behind the others or where another extension stands
                    path = element(at, line)
                    return given, [*path, 0] if line.type != "item" and isinstance(reduce(getitem, path, given), list) else path
    return None


def element(path: list[Any], line: Line) -> list[Any]:
    """The path of the element around the value that differs: the concept of a code, the quantity of a number."""
    if line.type == "item":
        return path[: path.index("item") + 1]
    within = ENDS.get(line.type.partition("(")[0], ())
    last = max((n for n, step in enumerate(path) if step in within), default=len(path))
    return path[:last]


def fhirpath(resource: Fhir, path: list[Any]) -> str:
    return resource["resourceType"] + "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path)


def names(problem: str, place: str) -> bool:
    """Whether a problem's path is that of the place, or of what it is in or around."""
    return place.startswith(problem) or problem.startswith(place)


@pytest.mark.parametrize(("kind", "resource", "line"), [row for row in LINES if row[2].type != "uri"], ids=lambda it: getattr(it, "role", None) or getattr(it, "name", None) or it.field)
def test_what_cannot_stand_in_an_element_is_refused_by_its_path(kind: Kind, resource: Resource, line: Line) -> None:
    view = max(line.views)
    for seed in range(300):
        ids, one = Ids(TENANT), Maker(seed, 0.9).entity(kind)
        found = place_of(kind, resource, line, one, ids, random.Random(seed), view)
        if found is None:
            continue
        given, path = found
        for wrong in corruptions(line, path):
            with pytest.raises(MappingError) as refusal:
                kind.from_fhir([put(given, path, wrong)], ids, view)
            assert any(names(problem, fhirpath(given, path)) for problem, _ in refusal.value.problems), (wrong, refusal.value.problems)
        return
    raise AssertionError("no entity holds this field")


@every_kind
def test_every_problem_of_a_resource_is_named_at_once(kind: Kind) -> None:
    for seed in range(2):
        ids, one = Ids(TENANT), Maker(seed, 1.0).entity(kind)
        broken: dict[str, Fhir] = {}
        places: set[str] = set()
        for resource, line in kind.lines():
            if line.type in ("canonical", "item", "uri") or Level.C3 not in line.views:
                continue  # without its questionnaire a response's answers are not read
            found = place_of(kind, resource, line, one, ids, random.Random(seed), Level.C3)
            if found is not None:
                given, path = found
                broken[given["id"]] = put(broken.get(given["id"], given), path, corruptions(line, path)[0])
                places.add(fhirpath(given, path))
        with pytest.raises(MappingError) as refusal:
            kind.from_fhir(broken.values(), ids, Level.C3)
        problems = [path for path, _ in refusal.value.problems]
        assert {place for place in places if not any(names(problem, place) for problem in problems)} == set()


@pytest.mark.parametrize("wrong", ["text", 7, True, None, [], {}, ["x"], [None], [{}], {"x": 1}, [[]]], ids=repr)
@every_kind
def test_nothing_that_a_sender_says_breaks_the_reading(kind: Kind, wrong: Any) -> None:
    ids, told = rendered(kind, 1, Level.C3)
    for given in told:
        for path in nodes(given):
            sent = put(given, path, copy.copy(wrong))
            try:
                kind.from_fhir([sent], ids, Level.C3)
            except MappingError as refusal:
                assert all(problem.startswith(given["resourceType"]) for problem, _ in refusal.problems)
            list(kind.read_only(sent, given, ids, Level.C3))


def nodes(resource: Fhir) -> Iterator[list[Any]]:
    def walk(value: Any, path: list[Any]) -> Iterator[list[Any]]:
        if path:
            yield path
        for step, inner in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
            if not (path == [] and step in ("text", "meta", "resourceType", "id")):
                yield from walk(inner, [*path, step])

    return walk(resource, [])


def test_an_unknown_resource_is_refused_by_its_id() -> None:
    for kind in ALL_KINDS:
        with pytest.raises(MappingError) as refusal:
            kind.from_fhir([{"resourceType": "Observation", "id": UNKNOWN}], Ids(TENANT), Level.C3)
        assert [path for path, _ in refusal.value.problems] == ["Observation.id"]


def test_a_reading_said_twice_is_refused() -> None:
    [dosing] = [kind for kind in ALL_KINDS if kind.name == "dosing-encounter"]
    ids, told = rendered(dosing, 1, Level.C3)
    given = next(r for r in told if role(ids, r) == "observation-bp")
    with pytest.raises(MappingError) as refusal:
        dosing.from_fhir([{**given, "component": [*given["component"], given["component"][0]]}], ids, Level.C3)
    assert refusal.value.problems == [("Observation.component[2]", "is said twice")]
