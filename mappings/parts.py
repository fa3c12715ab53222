"""The fragments of FHIR that every kind is written with: who it is about, when, extensions, readings, answers."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from mappings import codes, model
from mappings.code_table import OURS
from mappings.datatypes import complex_extension, moment, moment_of, part_of, quantity
from mappings.element import identifier_of, reference_of
from mappings.shape import Derived, Element, Fhir, Reading, Refers, Tree, Writing, derived, getter, key, putter

SERVICE = "pathway-fhir"


class Subject(Element):
    """The patient: an identity, the same in every resource of the entity and never changed."""

    wants = dict

    def write(self, it: Any, of: Writing) -> Any:
        return of.ids.reference("Patient", "patient", of.entity.patient_id, "patient")

    def read(self, value: Any, at: str, into: dict[str, Any], of: Reading) -> None:
        found = of.ids.key(reference_of(value).removeprefix("Patient/"))
        if found is None or found.kind != "patient":
            of.refuse(at, "should refer to a Patient that we know")
        elif of.root.setdefault("patient_id", found.id) != found.id:
            of.refuse(at, "differs from the patient of the rest")

    def read_only(self, sent: Any, given: Any, at: str, of: Reading) -> Iterator[tuple[str, str]]:
        if given is not None and sent != given:
            yield at, "is whose record this is and cannot be changed"


def subject() -> Subject:
    return Subject()


def own(role: str) -> Derived:
    """A reference to another resource of this entity, where this view has it."""
    return derived(f"this record's {_shown(role)}", lambda _it, of: of.own(role))


def own_each(*roles: str) -> Derived:
    return derived(f"this record's {_listed(roles)}", lambda _it, of: of.own_each(*roles))


def own_of_item(*roles: str) -> Derived:
    return derived(f"this item's {_listed(roles)}", lambda _it, of: of.own_of_item(*roles))


def _shown(role: str) -> str:
    return role.replace("-", " ")


def _listed(roles: tuple[str, ...]) -> str:
    return ", ".join(map(_shown, roles))


def follows(path: str, out: Any = None) -> Derived:
    """What a field elsewhere says, said here again: read-only."""
    get = getter(path)

    def write(it: Any, of: Writing) -> Any:
        value = get(of.entity)
        return None if value is None else out(value) if out else value

    return derived(f"`{model.json_path(path)}`", write)


def follows_table(path: str, table: Mapping[str, Any]) -> Derived:
    """What a term elsewhere makes of it, by a table that loses something: read-only."""
    get = getter(path)
    rows = [f"{term}: {value}" for term, value in table.items() if isinstance(value, str)]
    says = f"`{model.json_path(path)}`" + (f" ({'; '.join(rows)})" if rows else "")
    return derived(says, lambda _it, of: table[get(of.entity)])


def follows_item(path: str, out: Any = None) -> Derived:
    """What a field of the item says, said here again: read-only, but of a new item it says the field where it is a moment."""
    return FollowsItem(path, out or _same, moment_of if out is iso else None)


class FollowsItem(Derived):
    def __init__(self, path: str, out: Callable[[Any], Any], back: Callable[[Any], Any] | None):
        self.path, get = path, getter(path)
        super().__init__(f"the item's `{model.json_path(path)}`", lambda it, _of: None if (value := get(it)) is None else out(value))
        self._put, self._back = putter(path), back

    def read(self, value: Any, at: str, into: dict[str, Any], of: Reading) -> None:
        if of.new and self._back is not None:
            try:
                self._put(into, self._back(value))
            except ValueError as problem:
                of.refuse(at, str(problem))


def _same(value: Any) -> Any:
    return value


def iso(value: Any) -> str:
    return str(value.isoformat())


def the_clinic() -> Derived:
    """The clinic, which every reader may know of, named as a performer."""
    return derived("the clinic, `clinicId`", lambda _it, of: of.entity.clinic_id and of.ids.reference("Organization", "clinic", of.entity.clinic_id, "clinic"))


def practitioner(name: str) -> Refers:
    return Refers("Practitioner", name, role="practitioner")


def recorded() -> Tree:
    """When and by whom the entity was recorded. The head resource says it; Provenance repeats it."""
    return complex_extension("recorded", part_of("at", valueDateTime=moment("recorded_at")), part_of("by", valueReference=Author("recorded_by")))


class Author(Refers):
    """A practitioner by identifier alone, so that people who record each other make no circle of references."""

    def __init__(self, name: str):
        super().__init__("Practitioner", name, role="practitioner")

    def write(self, it: Any, of: Writing) -> Any:
        found = self._get(it)
        return None if found is None else logical_practitioner(found)

    def read(self, value: Any, at: str, into: dict[str, Any], of: Reading) -> None:
        try:
            system, found = identifier_of(value)
        except ValueError:
            system, found = None, ""
        if system != system_of("practitioner"):
            of.refuse(at, "should refer to a Practitioner by our identifier")
        else:
            self._put(into, found)


def logical_practitioner(found: str) -> Fhir:
    return {"type": "Practitioner", "identifier": {"system": system_of("practitioner"), "value": found}}


def system_of(name: str) -> str:
    """Our identifier system of a resource type (`Observation`: our own uuid) or of a kind (`patient`: the clinic's key)."""
    return f"{OURS}/Id/{name}"


def narrative(title: str) -> Fhir:
    """A constant sentence by role and view: nothing of the patient is ever written into narrative."""
    return {"status": "generated", "div": f'<div xmlns="http://www.w3.org/1999/xhtml">{title}</div>'}


# --- observations


class Effective(Element):
    """effective[x] or performed[x] and the like: a dateTime for a start alone, a Period where there is an end."""

    wants = dict
    says = True

    def __init__(self, choice: str, start: str, end: str):
        self.choice, self.start, self.end = choice, moment(start), moment(end)
        self.period = Tree({"start": self.start, "end": self.end})

    def inside(self) -> Iterator[tuple[str, Element]]:
        yield f".{self.choice}[x]", self.start
        yield f".{self.choice}Period.end", self.end

    def write(self, it: Any, of: Writing) -> Any:
        start, end = self.start.write(it, of), self.end.write(it, of)
        if end is None:
            return None if start is None else {f"{self.choice}DateTime": start}
        return {f"{self.choice}Period": {"start": start, "end": end}}

    def read(self, value: Any, at: str, into: dict[str, Any], of: Reading) -> None:
        if f"{self.choice}DateTime" in value:
            self.start.hear(value[f"{self.choice}DateTime"], f"{at}.{self.choice}DateTime", into, of)
        if f"{self.choice}Period" in value:
            self.period.hear(value[f"{self.choice}Period"], f"{at}.{self.choice}Period", into, of)

    def read_only(self, sent: Any, given: Any, at: str, of: Reading) -> Iterator[tuple[str, str]]:
        return iter(())


def moment_or_unknown(element: str, name: str) -> Fhir:
    """A dateTime that R4 or its profile requires: the moment, or that it is unknown."""
    get = getter(name)
    return {element: moment(name), f"_{element}": derived("whether it is known", lambda it, _of: {"extension": data_absent()} if get(it) is None else None)}


def data_absent(reason: str = "unknown") -> list[Fhir]:
    return [{"url": "http://hl7.org/fhir/StructureDefinition/data-absent-reason", "valueCode": reason}]


def component(code: Fhir, **value: Any) -> Tree:
    return Tree({"code": key(code), **value})


def pressure_component(code: Fhir, prefix: str, number: str, other: str) -> Tree:
    """One of the two pressures. HL7's blood pressure profile wants both, so an unmeasured one says that it is unknown."""
    mine, its = getter(f"{prefix}{number}"), getter(f"{prefix}{other}")
    missing = codes.concept(codes.coding(codes.DATA_ABSENT, "unknown", "Unknown"))
    return Tree({
        "code": key(code),
        "valueQuantity": quantity(f"{prefix}{number}"),
        "dataAbsentReason": derived("whether both were measured", lambda it, _of: missing if mine(it) is None and its(it) is not None else None),
    })


class Pressures(Element):
    """The two components of a blood pressure, both there as soon as one is."""

    wants = list
    says = True

    def __init__(self, prefix: str):
        self.parts = [
            pressure_component(codes.SYSTOLIC, prefix, "sys", "dia"),
            pressure_component(codes.DIASTOLIC, prefix, "dia", "sys"),
        ]
        for tree in self.parts:
            tree.says = tree.follows = False  # each is written even where it says only that it is unknown
        self._any = getter(prefix.rstrip("."))

    def inside(self) -> Iterator[tuple[str, Element]]:
        for tree in self.parts:
            yield "", tree

    def write(self, it: Any, of: Writing) -> Any:
        return None if self._any(it) is None else [tree.write(it, of) for tree in self.parts]

    def read(self, value: Any, at: str, into: dict[str, Any], of: Reading) -> None:
        once: set[int] = set()
        for n, one in enumerate(value):
            for tree in self.parts:
                if tree.takes(one) and id(tree) in once:
                    of.refuse(f"{at}[{n}]", "is said twice")
                elif tree.takes(one):
                    once.add(id(tree))
                    tree.hear(one, f"{at}[{n}]", into, of)


PRESSURE = model.Unit("mm[Hg]", "millimeter of mercury")
PER_MINUTE = model.Unit("/min", "per minute")
PERCENT = model.Unit("%", "percent")
CELSIUS = model.Unit("Cel", "degree Celsius")
CENTIMETRE = model.Unit("cm", "centimeter")
