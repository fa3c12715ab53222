"""What somebody else made as a child of an entity of ours: what it can be, and whether it says anything that is otherwise here. Pure.

| a child is        | it is                                                                                                     |
| ----------------- | --------------------------------------------------------------------------------------------------------- |
| listed            | referred to by a resource of the entity, in an element that holds other resources of it (CarePlan.goal)    |
| said by itself    | a resource that refers to one of the entity (Observation.encounter)                                        |
| an item           | of the list whose items yield such a resource: by its type, and by its code where that is fixed            |
"""

from collections.abc import Iterable, Iterator
from typing import Any

from mappings import KINDS, model
from mappings.datatypes import zoned
from mappings.disclosure import Level
from mappings.element import Fhir
from mappings.kind import PROBLEM, Kind, Resource
from mappings.leaves import Fixed, same_code
from mappings.parts import FollowsItem, Subject

CODE = "code"  # FHIR's own name for what a resource is about
VISIT = ("encounter", "context")
APART = frozenset({"resourceType", "id", "meta", "text", "identifier", "display", "unit"})


def listing(shape: Resource) -> frozenset[str]:
    """The elements of a resource that hold other resources of its entity, and no field."""
    return frozenset(name for name, child in shape.tree.children.items() if child.follows and not child.says)


def types_of(kind: Kind) -> frozenset[str]:
    """The types that an item of a kind can yield."""
    return frozenset(shape.type for shape in kind.resources if shape.over is not None)


def _listed() -> Iterator[tuple[str, str, str]]:
    for kind in KINDS.values():
        for shape in (one for one in kind.resources if one.type != "Provenance"):  # it is about everything and has nothing
            yield from ((shape.type, element, type_) for element in listing(shape) for type_ in types_of(kind))


LISTED = frozenset(_listed())  # (type, element, type of what it may list there)
TYPES = frozenset(type_ for kind in KINDS.values() for type_ in types_of(kind))


def shapes(kind: Kind, said: Fhir, view: Level) -> list[Resource]:
    """What a resource can be of a new item of a kind, at a view: by its type, and where its code is that of some, one of those."""
    found = [shape for shape in kind.resources if shape.over is not None and shape.type == said.get("resourceType") and (shape.since or Level.C0) <= view]
    coded = {shape.role: child.value for shape in found if isinstance(child := shape.tree.children.get(CODE), Fixed)}
    mine = [shape for shape in found if shape.role in coded and same_code(said.get(CODE), coded[shape.role])]
    return mine or [shape for shape in found if shape.role not in coded]


def whose(shape: Resource) -> str:
    """The FHIRPath of the element that says whose a resource is."""
    return next((f"{shape.type}.{name}" for name, child in shape.tree.children.items() if isinstance(child, Subject)), shape.type)


def path_of(shape: Resource, field: str) -> str | None:
    """The FHIRPath in which a resource says a field of its item (in our JSON, its names joined by slashes); None where it does not."""
    lines = {model.json_path(line.field.removeprefix(f"{shape.over}.")): line.path for line in shape.tree.lines()}
    again = {model.json_path(child.path): f"{shape.type}.{name}" for name, child in shape.tree.children.items() if isinstance(child, FollowsItem)}
    return {**again, **lines}.get(field.replace("/", "."))


def astray(ours: Fhir, theirs: Fhir) -> Iterator[PROBLEM]:
    """Where a resource does not say what it is about, or at which visit it was, and what it is of the record does."""
    if CODE in ours and CODE not in theirs:
        yield f"{ours['resourceType']}.{CODE}", "does not say what it is about"
    for name in VISIT:
        if name in ours and name not in theirs:
            yield f"{ours['resourceType']}.{name}", "does not refer to the visit that it would be of"


def contradictions(ours: Any, theirs: Any, path: str) -> Iterator[PROBLEM]:
    """What both say and each otherwise, by FHIRPath; a list holds what either says, so that is none."""
    if isinstance(ours, dict) and isinstance(theirs, dict):
        if "coding" in ours:
            yield from () if same_code(theirs, ours) else ((path, "is another code here"),)
        else:
            for name in ours.keys() & theirs.keys() - APART:
                yield from contradictions(ours[name], theirs[name], f"{path}.{name}")
    elif not (isinstance(ours, list) and isinstance(theirs, list)) and not alike(ours, theirs):
        yield path, "is otherwise here, by what the record is"


def alike(ours: Any, theirs: Any) -> bool:
    """Whether two values are the same, a moment however its offset is written."""
    return bool(ours == theirs) or (isinstance(ours, str) and isinstance(theirs, str) and (one := zoned(ours)) is not None and one == zoned(theirs))


def without_strangers(shape: Resource, said: Fhir, ours: Iterable[str]) -> Fhir:
    """A resource without what it lists, among the resources of its entity, that is none of ours by its reference (Type/id): that is its sender's own."""
    known, made = set(ours), dict(said)
    for name in listing(shape) & said.keys():
        if isinstance(said[name], list):
            kept = [one for one in said[name] if not (led := set(_references(one))) or led & known]
            made = {**made, name: kept} if kept else {n: v for n, v in made.items() if n != name}
    return made


def _references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        found = value.get("reference")
        if isinstance(found, str):
            yield found
        else:
            for inner in value.values():
                yield from _references(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _references(inner)
