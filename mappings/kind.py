"""A kind of entity: its dataclass, the resources that it yields, and the two directions between them.

    to_fhir(withhold(entity, view), ids, view) -> resources        from_fhir(resources, ids, view) -> what they say of the entity

`Resource` is one resource that a kind yields: of the entity itself, or of each item of one of its lists. The head resource
holds the clinic's own key; every resource that can carry one has our identifier with its own uuid.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from mappings import codes, model, parts
from mappings.disclosure import Level, level_of
from mappings.element import walked
from mappings.findings import Finding, detected_issue
from mappings.ids import Ids
from mappings.shape import Bound, Element, Fhir, Line, Parts, Reading, Refers, Since, Tree, Writing, derived, key, least_level

ONE_IDENTIFIER = frozenset({"QuestionnaireResponse", "AdverseEvent"})  # R4 gives these 0..1
NO_IDENTIFIER = frozenset({"Provenance"})
META = {"source": f"{codes.OURS}/{parts.SERVICE}"}  # without a version, so that a release changes no resource
SERVICE: Fhir = {"type": "Device", "identifier": {"system": parts.system_of("service"), "value": parts.SERVICE}, "display": parts.SERVICE}
PROBLEM = tuple[str, str]


class MappingError(ValueError):
    """What a resource says that we cannot take: every problem with its FHIRPath."""

    def __init__(self, problems: Sequence[PROBLEM]):
        super().__init__("; ".join(f"{path}: {problem}" for path, problem in problems))
        self.problems = list(problems)


@dataclass
class Resource:
    """One resource that a kind yields.

    `over` names the list whose items yield one each. `since` is the level at which it first exists; without it, the lowest
    class of the fields that it holds. `title` is its narrative, `plain` the narrative below C1.
    """

    type: str
    role: str
    title: str
    shape: dict[str, Any]
    over: str | None = None
    since: Level | None = None
    head: bool = False
    plain: str | None = None
    key_since: Level = Level.C0  # head: from where the clinic's own key is shown
    when: Callable[[Any, Writing], bool] | None = None
    only: str = ""  # `when` in words, where it moves a field from one resource to another
    tree: Tree = field(init=False)

    def bind(self, kind: "Kind") -> None:
        cls, prefix = kind.entity, ""
        if self.over is not None:
            found = model.field_at(cls, self.over)
            assert found.group is not None, f"{self.over} has no items"
            cls, prefix = found.group, self.over
        shape = dict(self.shape)
        if self.type not in NO_IDENTIFIER:
            shape = {"identifier": self._identifier(kind, shape.pop("identifier", [])), **shape}
        self.tree = Tree(shape)
        self.tree.bind(Bound(cls, prefix, self.type))
        if self.since is None:
            self.since = min((least_level(line, kind.entity) for line in self.tree.lines()), default=Level.C0)
        title, plain = parts.narrative(self.title), parts.narrative(self.plain or self.title)
        self._text = {view: plain if view < Level.C1 else title for view in Level}

    def _identifier(self, kind: "Kind", more: Any) -> Element:
        def uuid(_it: Any, of: Writing) -> str:
            return of.ids.id(of.kind, of.entity.id, self.role, of.item)

        mine = Tree({"system": key(parts.system_of(self.type)), "value": derived("the resource's own id", uuid)})
        clinic: Element = Tree({"system": key(parts.system_of(kind.name)), "value": derived("`id`, the clinic's own key", lambda _it, of: of.entity.id)})
        if self.type in ONE_IDENTIFIER:
            return clinic if self.head else mine
        return Parts([mine, *([Since(self.key_since, clinic)] if self.head else []), *(more if isinstance(more, list) else [more])])

    def write(self, it: Any, of: Writing) -> Fhir | None:
        assert self.since is not None
        if of.view < self.since or (self.when is not None and not self.when(it, of)):
            return None
        body = self.tree.write(it, of)
        if body is None and not self.head:
            return None
        found = of.ids.id(of.kind, of.entity.id, self.role, of.item)
        of.written.setdefault(self.role, {})[of.item] = of.ids.reference(self.type, of.kind, of.entity.id, self.role, of.item)
        return {"resourceType": self.type, "id": found, "meta": META, "text": self._text[of.view], **(body or {})}


@dataclass
class Kind:
    """A kind of entity. `check` yields (JSON pointer, problem) for what no FHIR could represent."""

    name: str
    plural: str
    entity: type
    resources: Sequence[Resource]
    check: Callable[[Any], Iterator[PROBLEM]] = lambda _it: iter(())

    def __post_init__(self) -> None:
        self.resources = [*self.resources, self._provenance()]
        for resource in self.resources:
            resource.bind(self)
        self._by_role = {resource.role: resource for resource in self.resources}
        self._passes: list[tuple[str | None, list[Resource]]] = []
        for resource in self.resources:
            if not self._passes or self._passes[-1][0] != resource.over:
                self._passes.append((resource.over, []))
            self._passes[-1][1].append(resource)

    @property
    def head(self) -> Resource:
        return next(r for r in self.resources if r.head)

    @cached_property
    def lists(self) -> tuple[model.Field, ...]:
        """The lists whose items have ids of their own, by which one item can be written alone."""
        return tuple(f for f in model.fields_of(self.entity) if f.many and f.group is not None and "id" in {g.name for g in model.fields_of(f.group)})

    @cached_property
    def of_patient(self) -> bool:
        """Whether its records are about a patient, so that consent may withhold them."""
        return self.name == "patient" or any(f.json == "patientId" for f in model.fields_of(self.entity))

    def to_fhir(self, entity: Any, ids: Ids, view: Level, findings: Iterable[Finding] = ()) -> list[Fhir]:
        """The resources of an entity that was withheld to `view`, the head first; the findings that this view may see among them."""
        if entity is None:
            return []
        of = Writing(self.name, entity, ids, view)
        head: list[Fhir] = []
        rest: list[Fhir] = []
        for over, resources in self._passes:
            for item in (None,) if over is None else getattr(entity, over):
                of.item = None if item is None else item.id
                it = entity if item is None else item
                for resource in resources:
                    if resource.role == "provenance":
                        of.item = None
                        rest += [detected_issue(f, of, self._evidence(f, of)) for f in findings if f.level <= view]
                    made = resource.write(it, of)
                    if made is not None:
                        (head if resource.head else rest).append(made)
        return head + rest

    def from_fhir(self, resources: Iterable[Fhir], ids: Ids, view: Level, *, new: bool = False) -> Any:
        """What the resources of one entity, as seen at `view`, say of it; absent where they say nothing. `new` is for an item that is not there yet.

        Raises MappingError with every problem by FHIRPath.
        """
        of: Reading | None = None
        problems: list[PROBLEM] = []
        for resource in resources:
            type_ = str(resource.get("resourceType"))
            known = ids.key(str(resource.get("id")))
            shape = self._by_role.get(known.role) if known and known.kind == self.name else None
            if known is not None and known.kind == self.name and known.role == "finding":
                continue
            if known is None or shape is None or shape.type != type_:
                problems.append((f"{type_}.id", f"is no resource of a {self.name} that we know"))
                continue
            if of is None:
                of = Reading(self.name, known.id, ids, view, {"id": known.id}, new=new)
            if of.key != known.id:
                problems.append((f"{type_}.id", f"belongs to another {self.name}"))
                continue
            shape.tree.hear(resource, type_, self._place(of.root, shape, known.item), of)
        problems += of.problems if of is not None else []
        if problems:
            raise MappingError(problems)
        return model.construct(self.entity, of.root) if of is not None else None

    def _place(self, root: dict[str, Any], shape: Resource, item: str | None) -> dict[str, Any]:
        if shape.over is None:
            return root
        items = root.setdefault(shape.over, [])
        found = next((i for i in items if i["id"] == item), None)
        if found is None:
            found = {"id": item}
            items.append(found)
        return found

    def shape(self, role: str) -> Resource | None:
        """The resource in a role; None for a finding."""
        return self._by_role.get(role)

    def read_only(self, sent: Fhir, given: Fhir, ids: Ids, view: Level) -> list[PROBLEM]:
        """What a sender changed in a resource that it was given and that is not its to change."""
        known = ids.key(str(given.get("id")))
        type_ = str(given.get("resourceType"))
        if known is None or sent.get("resourceType") != type_ or sent.get("id") != given.get("id"):
            return [(f"{type_}.id", "is the resource's identity and cannot be changed")]
        if known.role == "finding":
            return [] if {**sent, "meta": None, "text": None} == {**given, "meta": None, "text": None} else [(type_, "is a finding and read-only")]
        of = Reading(self.name, known.id, ids, view)
        return list(self._by_role[known.role].tree.read_only(sent, given, type_, of))

    def lines(self) -> Iterator[tuple[Resource, Line]]:
        """Every authoritative element, resource by resource."""
        for resource in self.resources:
            for line in resource.tree.lines():
                yield resource, line

    def references(self) -> Iterator[tuple[Resource, Refers]]:
        """Every element that refers to another entity."""
        for resource in self.resources:
            yield from ((resource, e) for _, e in walked(resource.tree, resource.type) if isinstance(e, Refers))

    def _evidence(self, finding: Finding, of: Writing) -> list[Fhir]:
        """The resources of this view that hold what the finding is about."""
        found: dict[str, Fhir] = {}
        for pointer in finding.fields:
            for reference in self._holding(pointer, of):
                found[reference["reference"]] = reference
        return list(found.values())

    def _holding(self, pointer: str, of: Writing) -> Iterator[Fhir]:
        names = [n for n in pointer.split("/") if n]
        top = self._tops.get(names[0] if names else "")
        if top is None:
            return
        if top.many and len(names) > 1 and names[1].isdigit() and top in self.lists:
            items = getattr(of.entity, top.name)
            item = items[int(names[1])].id if int(names[1]) < len(items) else None
            wanted = names[2] if len(names) > 2 else None
        else:
            item, wanted = None, None
        for resource, names_held in self._held:
            if item is None:
                holds = resource.over is None and top.name in names_held
            else:
                holds = resource.over == top.name and (wanted is None or wanted in names_held)
            if holds:
                reference = of.written.get(resource.role, {}).get(item)
                if reference is not None:
                    yield reference

    @cached_property
    def _tops(self) -> dict[str, model.Field]:
        return {f.json: f for f in model.fields_of(self.entity)}

    @cached_property
    def _held(self) -> list[tuple[Resource, set[str]]]:
        def first(resource: Resource, line: Line) -> str:
            name = line.field.removeprefix(f"{resource.over}.") if resource.over else line.field
            return name.split(".")[0] if resource.over is None else model.json_name(name.split(".")[0])

        return [(r, {first(r, line) for line in r.tree.lines()}) for r in self.resources]

    def _provenance(self) -> Resource:
        recorded = model.field_at(self.entity, "recorded_at")
        return Resource(
            "Provenance", "provenance", "Where this record comes from", since=level_of(recorded),
            when=lambda it, _of: it.recorded_at is not None,
            shape={
                "target": derived("everything else of this record in this view", _everything),
                "recorded": parts.follows("recorded_at", parts.iso),
                "policy": [f"{codes.OURS}/map"],
                "agent": derived("`recordedBy`, and this service", _agents),
                "entity": [{"role": "source", "what": {"identifier": {"system": parts.system_of(self.name), "value": parts.follows("id")}}}],
            },
        )


def _everything(_it: Any, of: Writing) -> list[Fhir] | None:
    return [reference for found in of.written.values() for reference in found.values()] or None


def _agents(it: Any, _of: Writing) -> list[Fhir]:
    """Who wrote the record down, as far as it says, and we who made FHIR of it."""
    def agent(type_: str, display: str, who: Fhir) -> Fhir:
        return {"type": codes.concept(codes.coding(codes.HL7 + "provenance-participant-type", type_, display)), "who": who}

    author = [agent("author", "Author", parts.logical_practitioner(it.recorded_by))] if it.recorded_by is not None else []
    return [*author, agent("assembler", "Assembler", SERVICE)]
