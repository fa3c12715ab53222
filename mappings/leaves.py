"""The leaves of a shape: a field in its datatype, a reference, a constant, what follows from other data."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from mappings import model
from mappings.code_table import codings_of
from mappings.disclosure import Level
from mappings.element import Bound, Element, Line, Reading, Writing, getter, putter, reference_of


class Fixed(Element):
    """The same for every entity of the kind."""

    def __init__(self, value: Any, *, keyed: bool = False):
        self.value, self.keyed = value, keyed

    def write(self, it: Any, of: Writing) -> Any:
        return self.value

    def takes(self, value: Any) -> bool:
        return not self.keyed or same_code(value, self.value)

    def read_only(self, sent: Any, given: Any, at: str, of: Reading) -> Iterator[tuple[str, str]]:
        if sent != given:
            yield at, "is fixed for this resource"


class Derived(Element):
    """What follows from other data: written, never read. `from_what` says in the docs what it follows from."""

    follows = True

    def __init__(self, from_what: str, how: Callable[[Any, Writing], Any]):
        self.from_what, self._how = from_what, how

    def write(self, it: Any, of: Writing) -> Any:
        return self._how(it, of)

    def read_only(self, sent: Any, given: Any, at: str, of: Reading) -> Iterator[tuple[str, str]]:
        if sent != given:
            yield at, "follows from other data and is read-only"


@dataclass(frozen=True)
class Codec:
    """How one field stands in one FHIR datatype. `back` raises ValueError with the problem."""

    type: str
    out: Callable[[Any], Any]
    back: Callable[[Any], Any]
    systems: tuple[str, ...] = ()


class Said(Element):
    """One field, in one datatype."""

    says = True

    def __init__(self, name: str, codec: Callable[[model.Field], Codec]):
        self.name, self._codec_of = name, codec

    def bind(self, to: Bound) -> None:
        self.field = to.field(self.name)
        self.codec = self._codec_of(self.field)
        self._line = Line(".".join(filter(None, (to.prefix, self.name))), to.path, self.field, self.codec.type, self.codec.systems)
        self._get, self._put, self._out = getter(self.name), putter(self.name), self.codec.out

    def write(self, it: Any, of: Writing) -> Any:
        value = self._get(it)
        return None if value is None else self._out(value)

    def read(self, value: Any, at: str, into: dict[str, Any], of: Reading) -> None:
        try:
            self._put(into, self.codec.back(value))
        except (ValueError, TypeError, KeyError, AttributeError) as problem:
            of.refuse(at, str(problem) if isinstance(problem, ValueError) else f"is no {self.codec.type}")

    def lines(self) -> Iterator[Line]:
        yield self._line


class Refers(Said):
    """A field that holds the key of another entity (or of an item), as a Reference to the resource it yields."""

    wants = dict
    keyed = True  # among references to several types it takes its own

    def __init__(self, type: str, name: str, *, role: str, kind: str | None = None):
        super().__init__(name, lambda _field: Codec(f"Reference({type})", str, str))
        self.type, self.role, self._kind = type, role, kind

    def bind(self, to: Bound) -> None:
        super().bind(to)
        note = self.field.note(model.To)
        assert note is not None, f"{to.prefix}{self.name} refers to nothing"
        self.to = note
        self._via = getter(note.via) if note.via else None

    def write(self, it: Any, of: Writing) -> Any:
        key = self._get(it)
        if key is None:
            return None
        if self.to.items is None:
            return of.ids.reference(self.type, self.to.kind, key, self.role)
        owner = of.entity.id if self._via is None else self._via(of.entity)
        return None if owner is None else of.ids.reference(self.type, self.to.kind, owner, self.role, key)

    def read(self, value: Any, at: str, into: dict[str, Any], of: Reading) -> None:
        type_, _, found = reference_of(value).partition("/")
        key = of.ids.key(found)
        if type_ != self.type or key is None or (key.kind, key.role) != (self.to.kind, self.role):
            of.refuse(at, f"should refer to a {self.type} that we know")
        else:
            self._put(into, key.item if self.to.items else key.id)

    def takes(self, value: Any) -> bool:
        return reference_of(value).startswith(f"{self.type}/")


class Below(Element):
    """Authoritative in the views below a level, where what is authoritative above does not exist; derived from there on."""

    says = True

    def __init__(self, level: Level, element: Said, otherwise: Derived):
        self.level, self.element, self.otherwise = level, element, otherwise

    def inside(self) -> Iterator[tuple[str, Element]]:
        yield "", self.element
        yield "", self.otherwise

    def write(self, it: Any, of: Writing) -> Any:
        return (self.element if of.view < self.level else self.otherwise).write(it, of)

    def read(self, value: Any, at: str, into: dict[str, Any], of: Reading) -> None:
        if of.view < self.level:
            self.element.hear(value, at, into, of)

    def lost(self, given: Any, at: str, of: Reading) -> Iterator[tuple[str, str]]:
        yield from (self.element if of.view < self.level else self.otherwise).lost(given, at, of)

    def lines(self) -> Iterator[Line]:
        for line in self.element.lines():
            yield Line(line.field, line.path, line.holds, line.type, line.systems, tuple(v for v in line.views if v < self.level))


def same_code(value: Any, ours: Any) -> bool:
    """Whether a sender's constant is ours: the same value, or for a CodeableConcept and a Coding the same first code."""
    if isinstance(ours, dict) and isinstance(value, dict):
        if "coding" in ours:
            return any(same_code(coding, ours["coding"][0]) for coding in codings_of(value))
        if "code" in ours:
            return (value.get("system"), value.get("code")) == (ours.get("system"), ours["code"])
    if isinstance(ours, list) and isinstance(value, list):
        return bool(value) and same_code(value[0], ours[0])
    return bool(value == ours)
