"""What every piece of a mapping is: an element that is written from an entity and read back into one."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from mappings import model
from mappings.disclosure import Level, level_of
from mappings.ids import Ids

Fhir = dict[str, Any]
LOST = "has lost what is fixed or follows from other data"
WANTED: dict[type, str] = {dict: "should be an object", list: "should be an array", str: "should be text"}
ITSELF = ""  # the field name for an item of a list of plain values


@dataclass
class Writing:
    """What is being mapped: one entity, at one view."""

    kind: str
    entity: Any
    ids: Ids
    view: Level
    item: str | None = None
    written: dict[str, dict[str | None, Fhir]] = field(default_factory=dict)  # role -> item -> Reference

    def own(self, role: str) -> Fhir | None:
        """A reference to what this entity, or this item, already yielded in this view."""
        found = self.written.get(role, {})
        return found.get(self.item) or found.get(None)

    def own_each(self, *roles: str) -> list[Fhir] | None:
        return [reference for role in roles for reference in self.written.get(role, {}).values()] or None

    def own_of_item(self, *roles: str) -> list[Fhir] | None:
        return [found[self.item] for role in roles if self.item in (found := self.written.get(role, {}))] or None


@dataclass
class Reading:
    """What is being read: the resources of one entity. Problems are collected, so that all are named at once."""

    kind: str
    key: str
    ids: Ids
    view: Level
    root: dict[str, Any] = field(default_factory=dict)
    problems: list[tuple[str, str]] = field(default_factory=list)
    new: bool = False  # of an item that was not there before, so that what elsewhere follows from a field is what says it

    def refuse(self, path: str, problem: str) -> None:
        self.problems.append((path, problem))


@dataclass(frozen=True)
class Line:
    """One authoritative element: for the tables in the docs and for the tests of honesty."""

    field: str
    path: str
    holds: model.Field
    type: str
    systems: tuple[str, ...] = ()
    views: tuple[Level, ...] = (Level.C0, Level.C1, Level.C2, Level.C3)


@dataclass(frozen=True)
class Bound:
    """Where an element stands: the class whose fields its leaves name, the fields' prefix, and the FHIR path."""

    cls: type | None
    prefix: str
    path: str
    plain: model.Field | None = None  # the list of plain values whose item an `ITSELF` leaf is

    def field(self, name: str) -> model.Field:
        if name == ITSELF:
            assert self.plain is not None
            return self.plain
        assert self.cls is not None
        return model.field_at(self.cls, name)

    def at(self, path: str) -> "Bound":
        return Bound(self.cls, self.prefix, f"{self.path}{path}", self.plain)


class Element:
    """One JSON value of FHIR. The base says nothing and reads nothing."""

    wants: type = object  # the JSON that `read` can take: an object, an array, a text, or anything
    says = False  # it holds a field
    follows = False  # it holds what follows from other data
    keyed = False  # it, or what is in it, tells this element of a list from others

    def inside(self) -> "Iterator[tuple[str, Element]]":
        """The elements that this one is made of, each with its FHIR path within it."""
        return iter(())

    def bind(self, to: Bound) -> None:
        for path, element in self.inside():
            element.bind(to.at(path))

    def write(self, it: Any, of: Writing) -> Any:
        return None

    def hear(self, value: Any, at: str, into: dict[str, Any], of: Reading) -> None:
        """Reads what a sender says here, or refuses what is not even of the right JSON type."""
        if isinstance(value, self.wants):
            self.read(value, at, into, of)
        else:
            of.refuse(at, WANTED[self.wants])

    def read(self, value: Any, at: str, into: dict[str, Any], of: Reading) -> None:
        pass

    def takes(self, value: Any) -> bool:
        return True

    def read_only(self, sent: Any, given: Any, at: str, of: Reading) -> Iterator[tuple[str, str]]:
        """(FHIRPath, problem) of every element that is not the sender's to change and differs from what it was given.

        Here, for what says a field: what stands beside the value that is read (further codings, a text) follows from it, so
        it is contradicted by a sender who changes it alone. A sender may add to it.
        """
        if self.says and given is not None and not keeps(sent, given) and self._heard(sent, of) == self._heard(given, of):
            yield at, "contradicts what it stands beside"

    def lost(self, given: Any, at: str, of: Reading) -> Iterator[tuple[str, str]]:
        """The same for an element that a sender has left out: what says a field takes the field away with it."""
        if not self.says:
            yield at, LOST

    def _heard(self, value: Any, of: Reading) -> tuple[dict[str, Any], dict[str, Any]] | None:
        alone, into = Reading(of.kind, of.key, of.ids, of.view), dict[str, Any]()
        self.hear(value, "", into, alone)
        return None if alone.problems else (into, alone.root)

    def lines(self) -> Iterator[Line]:
        for _, element in self.inside():
            yield from element.lines()


def keeps(sent: Any, given: Any) -> bool:
    """Whether everything in `given` is still in `sent`, words that only show a code or a unit apart."""
    if isinstance(given, dict):
        return isinstance(sent, dict) and all(name in sent and keeps(sent[name], v) for name, v in given.items() if name not in ("display", "unit"))
    if isinstance(given, list):
        return isinstance(sent, list) and all(any(keeps(one, value) for one in sent) for value in given)
    return bool(sent == given)


def reference_of(value: Any) -> str:
    """What a Reference leads to, empty where it says nothing of the kind."""
    found = value.get("reference") if isinstance(value, dict) else None
    return found if isinstance(found, str) else ""


def identifier_of(value: Any) -> tuple[Any, str]:
    """System and value of a logical Reference's identifier. Raises ValueError where it has none."""
    found = value.get("identifier") if isinstance(value, dict) else None
    if not isinstance(found, dict) or not isinstance(found.get("value"), str):
        raise ValueError("should refer by an identifier")
    return found.get("system"), found["value"]


def getter(path: str) -> Callable[[Any], Any]:
    """The value at a dotted path of names, None where a group on the way is absent."""
    if path == ITSELF:
        return lambda it: it
    first, _, rest = path.partition(".")
    if not rest:
        return lambda it: getattr(it, first)
    then = getter(rest)

    def get(it: Any) -> Any:
        group = getattr(it, first)
        return None if group is None else then(group)

    return get


def putter(path: str) -> Callable[[dict[str, Any], Any], None]:
    *groups, name = path.split(".")

    def put(into: dict[str, Any], value: Any) -> None:
        for group in groups:
            into = into.setdefault(group, {})
        into[name] = value

    return put


def dig(into: dict[str, Any], path: str) -> Any:
    for name in path.split("."):
        into = into.get(name, {})
    return into


def least_level(line: Line, cls: type) -> Level:
    """The level from which a field at a dotted path is seen: the highest class on its way."""
    level, names = Level.C0, line.field.split(".")
    for name in names:
        if name == ITSELF:
            break
        found = model.field_at(cls, name)
        level = max(level, level_of(found))
        cls = found.group or cls
    return level


def walked(element: Element, path: str) -> Iterator[tuple[str, Element]]:
    """An element and everything in it, each with its FHIR path."""
    yield path, element
    for within, child in element.inside():
        yield from walked(child, f"{path}{within}")
