"""A mapping is an expression shaped like its result, and the same expression is read both ways.

    {"status": code("status"), "period": {"start": moment("start"), "end": moment("end")}, "type": since(C1, [fixed(DOSING)])}

Leaves that name a field are *authoritative*: written from it and read back into it. `fixed` and `derived` elements are only
written; what a sender changes in them is refused (`read_only`). Absence is handled here once: what says nothing is left
out, up to the whole resource; 0 and False are data. Nothing here knows a kind, a resource type or a code.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mappings.disclosure import Level
from mappings.element import ITSELF, LOST, WANTED, Bound, Element, Fhir, Line, Reading, Writing, dig, getter, least_level, putter
from mappings.leaves import Below, Codec, Derived, Fixed, Refers, Said

__all__ = [
    "ITSELF", "Below", "Bound", "Codec", "Derived", "Each", "Element", "Fhir", "Fixed", "Line", "Parts", "Reading", "Refers", "Said", "Since",
    "Tree", "Writing", "derived", "each", "element_of", "fixed", "getter", "key", "least_level", "putter", "since",
]  # fmt: skip

class Tree(Element):
    """A JSON object. It is there when a field in it says something; without fields, when something follows from other data; else always.

    A key that begins with + is an element that writes several keys itself (a choice of type).
    """

    wants = dict

    def __init__(self, shape: Mapping[str, Any]):
        self.children = {name: element_of(value) for name, value in shape.items() if value is not None}
        self.says = any(child.says for child in self.children.values())
        self.follows = any(child.follows for child in self.children.values())
        # Only a constant of its own, or one in an array of its own, is there whatever else is.
        self._keys = {name: child for name, child in self.children.items() if child.keyed and isinstance(child, Fixed | Parts)}
        self.keyed = bool(self._keys)

    def inside(self) -> Iterator[tuple[str, Element]]:
        for name, child in self.children.items():
            yield "" if name.startswith("+") else f".{name}", child

    def bind(self, to: Bound) -> None:
        super().bind(to)
        self._rows = [(name, child.write, child.says if self.says else child.follows, name.startswith("+")) for name, child in self.children.items()]

    def write(self, it: Any, of: Writing) -> Any:
        made: Fhir = {}
        said = not (self.says or self.follows)
        for name, write, counts, spread in self._rows:
            value = write(it, of)
            if type(value) is OnlyFixed:
                made[name] = value.values
            elif value is not None:
                if spread:
                    made.update(value)
                else:
                    made[name] = value
                if counts:
                    said = True
        return made if said and made else None

    def read(self, value: Any, at: str, into: dict[str, Any], of: Reading) -> None:
        for name, child in self.children.items():
            if name.startswith("+"):
                child.hear(value, at, into, of)
            elif name in value:
                child.hear(value[name], f"{at}.{name}", into, of)

    def takes(self, value: Any) -> bool:
        return isinstance(value, dict) and all(
            name in value and child.takes(value[name]) for name, child in self._keys.items()
        )

    def read_only(self, sent: Any, given: Any, at: str, of: Reading) -> Iterator[tuple[str, str]]:
        if not isinstance(sent, dict):
            yield at, WANTED[dict]
            return
        given = given or {}
        for name, child in self.children.items():
            if name.startswith("+"):
                yield from child.read_only(sent, given, at, of)
            elif name in sent:
                yield from child.read_only(sent[name], given.get(name), f"{at}.{name}", of)
            elif name in given:
                yield from child.lost(given[name], f"{at}.{name}", of)


@dataclass(frozen=True)
class OnlyFixed:
    """An array that could have said something and has but its constants: there if the object around it is, and no reason for it."""

    values: list[Any]


class Parts(Element):
    """A JSON array of unlike elements, each written and recognised by one part; what no part takes is not ours."""

    wants = list

    def __init__(self, parts: Sequence[Any]):
        self.parts = [element_of(part) for part in parts if part is not None]
        if not all(part.keyed for part in self.parts[:-1]):
            raise ValueError("a part that takes anything has to stand last, or the parts after it are never read")
        self.says, self.follows = any(part.says for part in self.parts), any(part.follows for part in self.parts)
        self._keys = [part for part in self.parts if part.keyed and isinstance(part, Fixed)]
        self.keyed = bool(self._keys)

    def inside(self) -> Iterator[tuple[str, Element]]:
        for part in self.parts:
            yield "", part

    def bind(self, to: Bound) -> None:
        super().bind(to)
        self._rows = [(part.write, isinstance(part, Each), part.says) for part in self.parts]

    def write(self, it: Any, of: Writing) -> Any:
        made: list[Any] = []
        said = not self.says
        for write, several, says in self._rows:
            value = write(it, of)
            if value is not None:
                said = said or says
                if several:
                    made += value
                else:
                    made.append(value)
        return None if not made else made if said else OnlyFixed(made)

    def _taken(self, values: Any) -> Iterator[tuple[int, Any, Element]]:
        for n, value in enumerate(values):
            part = next((p for p in self.parts if p.takes(value)), None)
            if part is not None:
                yield n, value, part

    def read(self, value: Any, at: str, into: dict[str, Any], of: Reading) -> None:
        once: set[int] = set()
        for n, one, part in self._taken(value):
            if part.says and not isinstance(part, Each) and id(part) in once:
                of.refuse(f"{at}[{n}]", "is said twice")
                continue
            once.add(id(part))
            part.hear(one, f"{at}[{n}]", into, of)

    def takes(self, value: Any) -> bool:
        return isinstance(value, list) and all(any(part.takes(one) for one in value) for part in self._keys)

    def read_only(self, sent: Any, given: Any, at: str, of: Reading) -> Iterator[tuple[str, str]]:
        if not isinstance(sent, list):
            yield at, WANTED[list]
            return
        before: dict[int, list[Any]] = {}
        for _, one, part in self._taken(given or []):
            before.setdefault(id(part), []).append(one)
        for n, one, part in self._taken(sent):
            mine = before.get(id(part), [])
            yield from part.read_only(one, mine.pop(0) if mine else None, f"{at}[{n}]", of)
        if any(before.get(id(part)) for part in self.parts if not part.says):
            yield at, LOST

    def lost(self, given: Any, at: str, of: Reading) -> Iterator[tuple[str, str]]:
        yield from self.read_only([], given, at, of)


class Each(Element):
    """One element for each item of a list field; within it, leaves name the fields of the item."""

    says = True

    def __init__(self, name: str, shape: Any):
        self.name, self.element = name, element_of(shape)
        self.keyed, self.wants = self.element.keyed, self.element.wants

    def inside(self) -> Iterator[tuple[str, Element]]:
        yield "", self.element

    def bind(self, to: Bound) -> None:
        listed = to.field(self.name)
        assert listed.many, f"{self.name} is no list"
        prefix = ".".join(filter(None, (to.prefix, self.name)))
        self.element.bind(Bound(listed.group, prefix, to.path, listed))
        self._get, self._put, self._plain = getter(self.name), putter(self.name), listed.group is None

    def write(self, it: Any, of: Writing) -> Any:
        values = self._get(it)
        if not values:
            return None
        write = self.element.write
        return [made for value in values if (made := write(value, of)) is not None] or None

    def read(self, value: Any, at: str, into: dict[str, Any], of: Reading) -> None:
        item: dict[str, Any] = {}
        self.element.hear(value, at, item, of)
        found = dig(into, self.name)
        self._put(into, [*(found or []), item.get(ITSELF) if self._plain else item])

    def takes(self, value: Any) -> bool:
        return self.element.takes(value)

    def read_only(self, sent: Any, given: Any, at: str, of: Reading) -> Iterator[tuple[str, str]]:
        if given is not None:  # an item that was added has nothing that could have been changed
            yield from self.element.read_only(sent, given, at, of)


class Since(Element):
    """An element that is there only in views from a level on."""

    def __init__(self, level: Level, element: Any):
        self.level, self.element = level, element_of(element)
        self.says, self.keyed, self.wants, self.follows = self.element.says, self.element.keyed, self.element.wants, self.element.follows

    def inside(self) -> Iterator[tuple[str, Element]]:
        yield "", self.element

    def write(self, it: Any, of: Writing) -> Any:
        return self.element.write(it, of) if of.view >= self.level else None

    def read(self, value: Any, at: str, into: dict[str, Any], of: Reading) -> None:
        self.element.hear(value, at, into, of)

    def takes(self, value: Any) -> bool:
        return self.element.takes(value)

    def read_only(self, sent: Any, given: Any, at: str, of: Reading) -> Iterator[tuple[str, str]]:
        yield from self.element.read_only(sent, given, at, of)


def element_of(value: Any) -> Element:
    """Plain dicts, lists and constants of a shape as elements."""
    if isinstance(value, Element):
        return value
    if _is_constant(value):
        return Fixed(value)
    if isinstance(value, dict):
        return Tree(value)
    if isinstance(value, list):
        return Parts(value)
    return Fixed(value)


def _is_constant(value: Any) -> bool:
    if isinstance(value, dict):
        return all(map(_is_constant, value.values()))
    if isinstance(value, list):
        return all(map(_is_constant, value))
    return value is not None and not isinstance(value, Element)


def fixed(value: Any) -> Fixed:
    return Fixed(value)


def key(value: Any) -> Fixed:
    """A constant by which this element of an array is known again: a url, a system, a code."""
    return Fixed(value, keyed=True)


def derived(from_what: str, how: Callable[[Any, Writing], Any]) -> Derived:
    return Derived(from_what, how)


def since(level: Level, element: Any) -> Since:
    return Since(level, element)


def each(name: str, shape: Any) -> Each:
    return Each(name, shape)
