"""The references of a resource that we emit: where they stand, and which of them the resource makes no sense without.

Strong are whose record it is, the course of which an EMDR session is a part, and the members of a set of observations; all
others are weak, and a receiver can do without them until what they lead to is there.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from mappings.element import Fhir

WHOSE = frozenset({"subject", "patient", "for"})
STRONG = frozenset({("Procedure", "partOf"), ("Observation", "hasMember")})


def strong(resource_type: str, element: str) -> bool:
    """Whether a reference at a top-level element is one that the resource makes no sense without."""
    return element in WHOSE or (resource_type, element) in STRONG


def references_in(resource: Fhir) -> Iterator[tuple[str, dict[str, Any], bool]]:
    """(FHIRPath, Reference, whether it is strong) of every reference in a resource, logical ones too."""
    type_ = str(resource["resourceType"])
    for name, value in resource.items():
        for path, reference in _walk(value, f"{type_}.{name}"):
            yield path, reference, strong(type_, name)


def ids_in(resource: Fhir) -> set[str]:
    """The ids of all that a resource refers to, whoever gave them."""
    return ids_of(references_in(resource))


def ids_of(references: Iterable[tuple[str, dict[str, Any], bool]]) -> set[str]:
    """The same of what `references_in` found."""
    return {str(reference["reference"]).rpartition("/")[2] for _, reference, _ in references if "reference" in reference}


def rewritten(value: Any, change: Callable[[Fhir], Fhir | None]) -> Any:
    """A value with what `change` makes of each object in it, from outside inwards; what it makes nothing of is looked into."""
    if isinstance(value, list):
        return [rewritten(one, change) for one in value]
    if not isinstance(value, dict):
        return value
    changed = change(value)
    return {name: rewritten(one, change) for name, one in value.items()} if changed is None else changed


def local(reference: str) -> str:
    """Type/id of a reference, without the server's URL where it has one."""
    return "/".join(reference.split("/")[-2:])


def _walk(value: Any, path: str) -> Iterator[tuple[str, dict[str, Any]]]:
    if isinstance(value, list):
        for n, inner in enumerate(value):
            if isinstance(inner, dict | list):  # paths are written of what can hold a reference alone
                yield from _walk(inner, f"{path}[{n}]")
    elif isinstance(value, dict):
        if isinstance(value.get("reference"), str) or (isinstance(value.get("identifier"), dict) and "type" in value):
            yield path, value
        else:
            for name, inner in value.items():
                if isinstance(inner, dict | list):
                    yield from _walk(inner, f"{path}.{name}")
