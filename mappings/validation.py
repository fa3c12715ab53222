"""Whether a resource is R4: its shape by fhir.resources, and what that does not check, every problem at once by FHIRPath.

fhir.resources (R4B, the same as R4 for the types that we emit) takes any code, any target of a reference, ids of any length
and texts for numbers, drops what is empty, and holds back what is missing until everything else is right. Those are looked
for here. Invariants, profiles and terminology are the HL7 validator's business (`make validate`).
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, time
from decimal import Decimal
from functools import cache
from typing import Any, get_args, get_origin

from mappings.code_table import codings_of
from mappings.required_codes import CODES, CONCEPTS

Problem = tuple[str, str]
ID = re.compile(r"[A-Za-z0-9\-.]{1,64}")
REFERENCE = re.compile(r"(https?://\S+/)?(?P<type>[A-Z][A-Za-z]+)/(?P<id>[^/\s]+)(/_history/[^/\s]+)?")
ELSEWHERE = re.compile(r"#\S*|[a-z][a-z0-9+.-]*:\S+")  # within the resource, or by a URI that names no type
PRIMITIVES: dict[type, tuple[tuple[type, ...], str]] = {  # the Python type of a primitive -> what stands for it in JSON
    bool: ((bool,), "true or false"), int: ((int,), "a whole number"), Decimal: ((int, float, Decimal), "a number"),
    str: ((str,), "text"), bytes: ((str,), "text"), date: ((str,), "text"), datetime: ((str,), "text"), time: ((str,), "text"),
}  # fmt: skip


def problems(resource: Any) -> list[Problem]:
    """(FHIRPath, problem) of everything that is wrong with a resource as R4, in the order of the paths; empty when nothing is."""
    type_ = resource.get("resourceType") if isinstance(resource, dict) else None
    if not isinstance(type_, str) or not _is_resource(type_):
        return [("resourceType", "should name a type of resource")]
    found = list(dict.fromkeys(_looked_for(type_, resource, type_)))
    said = {path for path, _ in found}
    return sorted([*found, *((path, problem) for path, problem in _of_shape(type_, resource) if said.isdisjoint(_on_the_way(path)))])


def _on_the_way(path: str) -> list[str]:
    """A path, and those of everything that it is in."""
    return [path[: end.start()] for end in re.finditer(r"[.\[]", path)] + [path]


@dataclass(frozen=True)
class Child:
    """One element of a FHIR type: of a complex type by its name, or a primitive by the Python type that stands for it."""

    name: str
    complex: str | None
    primitive: type | None
    many: bool
    required: bool
    choice: str | None
    choice_required: bool
    targets: tuple[str, ...]


# --- what fhir.resources does not look for

def _looked_for(owner: str, value: dict[str, Any], path: str) -> Iterator[Problem]:
    known = {"resourceType"} if _is_resource(owner) else set[str]()
    choices: dict[str, list[str]] = {}
    for child in _children(owner):
        known |= {child.name, f"_{child.name}"} if child.primitive is not None else {child.name}
        here = f"{path}.{child.name}"
        there = child.name in value or (f"_{child.name}" in value and child.primitive is not None)
        if child.choice is not None:
            choices.setdefault(child.choice + ("!" if child.choice_required else ""), []).extend([child.name] if there else [])
        if not there:
            if child.required:
                yield here, "is required"
        elif child.name in value:
            yield from _of_child(owner, child, value[child.name], here)
    yield from ((f"{path}.{name}", "is no element of this type") for name in value if name not in known)
    for choice, names in choices.items():
        if len(names) > 1:
            yield f"{path}.{choice.rstrip('!')}[x]", f"should be of one type, not {' and '.join(names)}"
        if not names and choice.endswith("!"):
            yield f"{path}.{choice.rstrip('!')}[x]", "is required"
    if _is_resource(owner) and isinstance(value.get("id"), str) and not ID.fullmatch(value["id"]):
        yield f"{path}.id", "should be 1 to 64 letters, digits, - and ."


def _of_child(owner: str, child: Child, value: Any, path: str) -> Iterator[Problem]:
    if value in (None, [], {}):
        yield path, "should not be empty: leave out what is not known"
    elif child.many and isinstance(value, list):
        for n, one in enumerate(value):
            yield from _of_one(owner, child, one, f"{path}[{n}]")
    elif child.many:
        yield path, "should be an array"
    else:
        yield from _of_one(owner, child, value, path)


def _of_one(owner: str, child: Child, value: Any, path: str) -> Iterator[Problem]:
    if child.primitive is not None:
        types, says = PRIMITIVES[child.primitive]
        if value is not None and (not isinstance(value, types) or (isinstance(value, bool) and bool not in types)):  # null holds an array's place
            yield path, f"should be {says}"
        elif (allowed := _required().get((owner, child.name))) is not None and isinstance(value, str) and value not in allowed:
            yield path, f"should be one of {', '.join(allowed)}"
        return
    if not isinstance(value, dict):
        yield path, "should be an object"
        return
    bound = _required_concepts().get((owner, child.name))
    if bound is not None and not any(one.get("system") == bound[0] and one.get("code") in bound[1] for one in codings_of(value)):
        yield path, f"should have a code of {bound[0]}: {', '.join(bound[1])}"
    if child.complex == "Reference":
        yield from _of_reference(child.targets, value, path)
    if child.complex == "Resource":
        inner = value.get("resourceType")
        if not isinstance(inner, str) or not _is_resource(inner):
            yield f"{path}.resourceType", "should name a type of resource"
        else:
            yield from _looked_for(inner, value, path)
    elif child.complex is not None:
        yield from _looked_for(child.complex, value, path)


def _of_reference(targets: tuple[str, ...], value: dict[str, Any], path: str) -> Iterator[Problem]:
    literal = value.get("reference")
    found = REFERENCE.fullmatch(literal) if isinstance(literal, str) else None
    if isinstance(literal, str) and found is None and not ELSEWHERE.fullmatch(literal):
        yield f"{path}.reference", "should be a type and an id, or a URL"
    if found is not None and not ID.fullmatch(found["id"]):
        yield f"{path}.reference", "should lead to an id of 1 to 64 letters, digits, - and ."
    named = {found["type"]} if found is not None else set()
    if isinstance(value.get("type"), str):
        named.add(value["type"])
    if targets and "Resource" not in targets and not named <= set(targets):
        yield path, f"should refer to {' or '.join(targets)}, not {' or '.join(sorted(named - set(targets)))}"


# --- what fhir.resources looks for

def _of_shape(type_: str, resource: dict[str, Any]) -> Iterator[Problem]:
    try:
        _class_of(type_).model_validate(resource)
    except (KeyError, ValueError) as refusal:  # a KeyError for a resource of no known type within this one, which we said
        for error in refusal.errors() if hasattr(refusal, "errors") else ():
            held_back = error["type"] in ("missing", "model_field_validation.missing") or "from this list" in error["msg"]
            if not held_back:  # what we looked for ourselves
                yield _path(type_, error["loc"]), error["msg"].removeprefix("Value error, ").rstrip(".")


def _path(type_: str, loc: tuple[Any, ...]) -> str:
    return type_ + "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in loc)


@cache
def _class_of(name: str) -> Any:
    from fhir.resources.R4B import get_fhir_model_class  # 61 MB: only where something is validated

    return get_fhir_model_class(name)


@cache
def _is_resource(name: str) -> bool:
    try:
        return issubclass(_class_of(name), _class_of("Resource"))
    except (KeyError, ValueError):
        return False


@cache
def _children(owner: str) -> tuple[Child, ...]:
    """The elements of a FHIR type as fhir.resources has them."""
    found = []
    for field in _class_of(owner).model_fields.values():
        notes = field.json_schema_extra or {}
        if notes.get("element_property"):
            base, many = _base(field.annotation)
            complex_ = base.__name__.removesuffix("Type") if getattr(base, "__module__", "") == "abc" else None
            primitive = None if complex_ is not None else base if base in PRIMITIVES else str  # a url is a class of its own
            found.append(Child(
                name=field.alias, complex=complex_, primitive=primitive, many=many,
                required=field.is_required() or bool(notes.get("element_required")), choice=notes.get("one_of_many"),
                choice_required=bool(notes.get("one_of_many_required")), targets=tuple(notes.get("enum_reference_types", ())),
            ))  # fmt: skip
    return tuple(found)


def _base(annotation: Any) -> tuple[Any, bool]:
    """The type within Optional, Annotated and List, and whether there was a list."""
    many = get_origin(annotation) is list
    inner = [a for a in get_args(annotation) if a is not type(None)]
    if not inner:
        return annotation, many
    base, list_within = _base(inner[0])
    return base, many or list_within


@cache
def _required() -> dict[tuple[str, str], list[str]]:
    return {_owned(path): codes.split() for path, codes in CODES.items()}


@cache
def _required_concepts() -> dict[tuple[str, str], tuple[str, list[str]]]:
    return {_owned(path): (system, codes.split()) for path, (system, codes) in CONCEPTS.items()}


def _owned(path: str) -> tuple[str, str]:
    """`Consent.provision.type` as fhir.resources names what it belongs to: (`ConsentProvision`, `type`)."""
    *owner, name = path.split(".")
    return "".join(part[:1].upper() + part[1:] for part in owner), name
