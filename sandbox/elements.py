"""Elements of a resource by their path, and what is wrong with the shape of one."""

from collections.abc import Iterator
from typing import Any

from sandbox.outcome import Issue

Fhir = dict[str, Any]


def at(element: Any, path: str) -> list[Any]:
    """Every value at a path such as `participant.individual` or `effective[x]`, through lists; empty where there is none."""
    found = [element]
    for step in path.split("."):
        found = [value for one in found if isinstance(one, dict) for value in _step(one, step)]
    return found


def _step(element: Fhir, step: str) -> Iterator[Any]:
    for name in choices(element, step):
        value = element[name]
        if isinstance(value, list):
            yield from value
        else:
            yield value


def choices(element: Fhir, step: str) -> list[str]:
    """The names under which an element is there: its own, or for `effective[x]` any of effectiveDateTime, effectivePeriod, ..."""
    if not step.endswith("[x]"):
        return [step] if step in element else []
    stem = step[:-3]
    return [name for name in element if name.startswith(stem) and name[len(stem) : len(stem) + 1].isupper()]


DEEPEST = 64
"""Objects and arrays in one another: FHIR's own resources never come near."""


class Walk:
    """One pass over a resource: the elements that have a literal reference with their paths, the paths of what changes the meaning of
    others, and everything that no FHIR JSON may hold."""

    def __init__(self, resource: Fhir) -> None:
        self.references: list[tuple[str, Fhir]] = []
        self.modifiers: list[str] = []
        self.issues: list[Issue] = []
        self._visit(resource, str(resource.get("resourceType")), 0)

    def _visit(self, value: Any, path: str, depth: int) -> None:
        if depth > DEEPEST:
            self._refuse(path.partition(".")[0], f"nested more than {DEEPEST} deep")
        elif isinstance(value, dict):
            self._object(value, path, depth + 1)
        elif isinstance(value, list):
            self._array(value, path, depth + 1)
        elif value is None or value == "":
            self._refuse(path, "null" if value is None else "an empty string")

    def _object(self, value: Fhir, path: str, depth: int) -> None:
        if not value:
            self._refuse(path, "an empty object")
        for name, inner in value.items():
            if name == "reference" and isinstance(inner, str):
                self.references.append((path, value))
            if name in ("modifierExtension", "implicitRules"):
                self.modifiers.append(f"{path}.{name}")
            self._visit(inner, f"{path}.{name}", depth)

    def _array(self, value: list[Any], path: str, depth: int) -> None:
        if not value:
            self._refuse(path, "an empty array")
        for number, inner in enumerate(value):
            if inner is not None:  # null holds a place in `given` beside `_given`
                self._visit(inner, f"{path}[{number}]", depth)

    def _refuse(self, path: str, what: str) -> None:
        self.issues.append(Issue("invalid", f"{path} is {what}, which FHIR has no use for", path))
