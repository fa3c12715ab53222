"""The tables of docs/mapping: what becomes of each field in FHIR, in which class it is, and which codes stand for its terms.

They are made from the shapes and dataclasses that the mapping itself uses, for a clinician to check.
"""

import sys
from collections.abc import Iterator, Sequence
from decimal import Decimal
from typing import Any

from mappings import KINDS, codes, model
from mappings.code_table import HL7, LOINC, OURS, OWN, SNOMED, UCUM, Codes
from mappings.disclosure import VIEWS, Level, coarse_of, level_of
from mappings.element import Element, Line
from mappings.kind import Kind, Resource
from mappings.leaves import Derived, Fixed
from mappings.shape import Since, Tree
from mappings.visit import Status

Row = tuple[str, ...]
SYSTEMS = {SNOMED: "SNOMED CT", LOINC: "LOINC", UCUM: "UCUM", codes.DMD: "dm+d", codes.ATC: "ATC", codes.ACT: "HL7 v3 ActCode"}
READ = """How to read it: a *field* is a field of our JSON; `[]` is a list, and \\* says that it is required. *R4* is the one element that carries
it, by resource type and path: what stands in quotation marks is an extension of that name, what stands in brackets is what an element is known
by. *Class* is the level from which a reader sees it: C0 who, when and where; C1 what was done; C2 how it went, item by item; C3 what was said.
*Round trip*: what is **authoritative** is read back from there; an *identity* cannot be changed, nor can what is derived or constant."""


def tables() -> Iterator[tuple[str, str]]:
    """(file name, text) of every table."""
    for kind in KINDS.values():
        yield f"{kind.name}.md", table_of(kind)
    yield "README.md", contents()


def contents() -> str:
    rows = [(f"[{shown(kind)}]({kind.name}.md)", _summary(kind), ", ".join(dict.fromkeys(r.type for r in kind.resources))) for kind in KINDS.values()]
    intro = "What becomes of each record in FHIR R4, made from the code. [What is seen at each level](levels.md) goes across all of them."
    return "\n\n".join(["# The mapping", intro, table(("record", "is", "yields"), rows)]) + "\n"


def table_of(kind: Kind) -> str:
    parts = [f"# {shown(kind)}", _summary(kind), READ, "## Fields", *_fields(kind), "## Resources", *_resources(kind), *_terms(kind)]
    return "\n\n".join(parts) + "\n"


def _summary(kind: Kind) -> str:
    """The first sentence of the kind's module, less its name."""
    first, _, _ = (sys.modules[kind.entity.__module__].__doc__ or "").partition("\n\n")
    said = first.partition(": ")[2]
    return said[:1].upper() + said[1:]


def shown(kind: Kind) -> str:
    return kind.name.replace("-", " ").capitalize().replace("Emdr", "EMDR")


# --- fields

def _fields(kind: Kind) -> Iterator[str]:
    held: dict[str, list[tuple[Resource, str, Line]]] = {}
    for resource in kind.resources:
        for path, line in lines_of(resource):
            held.setdefault(line.field, []).append((resource, path, line))
    rows = [row for path, field, level in leaves(kind.entity) for row in _rows(kind, path, field, level, held.get(path, []))]
    yield table(("field", "type", "R4", "codes", "class", "round trip"), rows)


def _rows(kind: Kind, path: str, field: model.Field, level: Level, held: list[tuple[Resource, str, Line]]) -> Iterator[Row]:
    name = f"`{json_of(kind.entity, path)}`" + (" \\*" if field.required else "")
    for resource, at, line in held:
        systems = ", ".join(dict.fromkeys(system_name(s) for s in line.systems)) or "-"
        several = sum(other.type == resource.type for other in kind.resources) > 1
        where = f"`{at}`" + (f" of *{resource.title.lower()}*" if several else "")
        yield name, type_of(field), where, systems, _class(field, level), _round_trip(resource, line, held)
    if not held:
        yield name, type_of(field), _identity(path), "-", _class(field, level), "identity"


def _identity(path: str) -> str:
    if path == "id":
        return "`identifier` of the head resource; every `id` follows from it"
    return "`subject` or `patient` of every resource" if path == "patient_id" else "`id` of the item's resources, and their `identifier`"


def _class(field: model.Field, level: Level) -> str:
    coarse = coarse_of(field)
    if coarse is None:
        return level.name
    return f"{level.name}; below {coarse.level.name} " + ", ".join(f"{term} reads {other}" for term, other in coarse.terms.items())


def _round_trip(resource: Resource, line: Line, held: list[tuple[Resource, str, Line]]) -> str:
    if line.views != VIEWS:
        return f"**authoritative** below {Level(max(line.views) + 1).name}, where there is nothing else"
    if coarse_of(line.holds) is not None and line.path == "Encounter.status":
        return "**authoritative**, with the extension that [the terms](#terms) name"
    several = [r for r, _, other in held if other.views == VIEWS]
    if len(several) > 1:
        return f"**authoritative** {resource.only or 'elsewhere'}"
    return "**authoritative**"


def leaves(cls: type, prefix: str = "", level: Level = Level.C0) -> Iterator[tuple[str, model.Field, Level]]:
    """Every field that is no group, at its dotted path, with the level from which it is seen."""
    for field in model.fields_of(cls):
        seen = max(level, level_of(field))
        if field.group is not None:
            yield from leaves(field.group, f"{prefix}{field.name}.", seen)
        else:
            yield f"{prefix}{field.name}", field, seen


def json_of(cls: type, path: str) -> str:
    """A dotted path of names as our JSON has it, lists marked."""
    made = []
    for name in path.split("."):
        field = model.field_at(cls, name)
        made.append(field.json + ("[]" if field.many else ""))
        cls = field.group or cls
    return ".".join(made)


def type_of(field: model.Field) -> str:
    found = _one(field)
    return f"list of {found}" if field.many else found


def _one(field: model.Field) -> str:
    terms, to = field.note(Codes), field.note(model.To)
    unit, between = field.note(model.Unit), field.note(model.Between)
    if terms is not None:
        return f"{'true or false, ' if field.base is bool else ''}[{terms.name}](#{_anchor(terms.name)})"
    if field.base is bool:
        return "true or false"
    if to is not None:
        return f"key of {_a(to.kind)}" if to.items is None else f"id of one of the {to.items.replace('_', ' ')} of {_a(to.kind)}"
    if field.base in (int, Decimal):
        bounds = f" {between.low} to {between.high}" if between is not None else ""
        measured = f" in {unit.code}" if unit is not None and unit.code != "1" else ""
        return f"{'whole number' if field.base is int else 'number'}{bounds}{measured}"
    pattern, length = field.note(model.Pattern), field.note(model.Length)
    if pattern is not None:
        return "a key of the clinic's own" if pattern is model.ID else pattern.says.partition(",")[0]
    if length is not None:
        return f"text up to {length.most:,} characters"
    return {"datetime": "date and time with offset", "date": "date"}.get(field.base.__name__, "text")


def _a(kind: str) -> str:
    shown_as = kind.replace("-", " ")
    return f"an {shown_as}" if shown_as[0] in "aei" else f"a {shown_as}"


# --- resources

def lines_of(resource: Resource) -> Iterator[tuple[str, Line]]:
    """The authoritative elements of a resource, each with its path as the tables show it."""
    for path, element, _ in elements(resource.tree, resource.type):
        lines = list(element.lines()) if type(element).lines is not Element.lines else []
        for line in lines:
            yield path if len(lines) == 1 else line.path, line


def elements(element: Element, path: str, since: Level = Level.C0) -> Iterator[tuple[str, Element, Level]]:
    """What says, fixes or derives something within an element, with its path and the level from which it is there."""
    if isinstance(element, Since):
        yield from elements(element.element, path, element.level)
    elif isinstance(element, Tree):
        here = path + _known_by(element)
        for name, child in element.children.items():
            if not (isinstance(child, Fixed) and child.keyed):
                yield from elements(child, here if name.startswith("+") else f"{here}.{name}", since)
    elif type(element).lines is not Element.lines or not list(element.inside()):
        yield path, element, since
    else:
        for within, child in element.inside():
            yield from elements(child, f"{path}{within}", since)


def _known_by(tree: Tree) -> str:
    """What tells an element of an array from the others: the name of an extension, a code, a system."""
    for name, child in tree.children.items():
        if isinstance(child, Fixed) and child.keyed:
            return f"('{_last(child.value)}')" if name == "url" else f"[{_constant(child.value)}]"
    return ""


def _resources(kind: Kind) -> Iterator[str]:
    for resource in kind.resources:
        many = f", one for each of `{model.json_name(resource.over)}`" if resource.over else ""
        head = ", the head resource" if resource.head else ""
        when = f", {resource.only}" if resource.only else ""
        assert resource.since is not None
        yield f"### {resource.type}: {resource.role.replace('-', ' ')}"
        yield f"{resource.title}{head}{many}{when}. There from {resource.since.name} on."
        rows = [(f"`{path}`", f"from {since.name}" if since > resource.since else "", *_said(element))
                for path, element, since in elements(resource.tree, resource.type) if isinstance(element, Fixed | Derived)]  # fmt: skip
        yield table(("beside its fields", "level", "is", "says"), rows)


def _said(element: Fixed | Derived) -> tuple[str, str]:
    return ("derived", f"follows from {element.from_what}") if isinstance(element, Derived) else ("constant", _constant(element.value))


def _constant(value: Any) -> str:
    """A constant in words: the display of a code, the last part of a URL, or itself."""
    if isinstance(value, list):
        return ", ".join(_constant(one) for one in value)
    if isinstance(value, dict):
        coding = (value.get("coding") or [value])[0]
        return str(value.get("text") or coding.get("display") or f"{system_name(coding['system'])} {coding['code']}" if "code" in coding else value)
    if isinstance(value, str) and value.startswith("http"):
        return system_name(value)
    return str(value).lower() if isinstance(value, bool) else str(value)


def system_name(url: str) -> str:
    if url in SYSTEMS:
        return SYSTEMS[url]
    if url.startswith(f"{OURS}/CodeSystem/"):
        return f"ours: {_last(url)}"
    return f"HL7 {_last(url)}" if url.startswith((HL7, "http://hl7.org/fhir/")) else _last(url)


def _last(url: str) -> str:
    return url.rsplit("/", 1)[-1]


# --- terms

def _terms(kind: Kind) -> Iterator[str]:
    within = [element for resource in kind.resources for _, element, _ in elements(resource.tree, "")]
    statuses = {terms.name: e.table for e in within if isinstance(e, Status) and (terms := e.holds.note(Codes)) is not None}
    found = {terms.name: terms for _, field, _ in leaves(kind.entity) if (terms := field.note(Codes)) is not None}
    if found:
        yield "## Terms"
    for name, terms in sorted(found.items()):
        yield f"### {name}"
        if name in statuses:
            yield table(("term", "Encounter.status", "and"), [(f"`{t}`", code, mark.replace("-", " ")) for t, (code, mark) in statuses[name].rows.items()])
        else:
            yield table(("term", "system", "code", "display"), [row for term in terms for row in _codings(terms, term)])


def _codings(terms: Codes, term: Any) -> Iterator[Row]:
    for n, coding in enumerate(terms.codings(term)):
        ours = coding["system"].startswith(OURS) and not coding["system"].startswith(f"{OURS}/Questionnaire")
        written = not ours or _last(coding["system"]) in OWN  # what is written without a code has terms alone
        shown_as = (system_name(coding["system"]), coding["code"]) if written else ("-", "-")
        yield f"`{str(term).lower() if isinstance(term, bool) else term}`" if n == 0 else "", *shown_as, coding.get("display", "")


def _anchor(heading: str) -> str:
    return "".join(c for c in heading.lower().replace(" ", "-") if c.isalnum() or c == "-")


def table(heads: Row, rows: Sequence[Row]) -> str:
    def row(cells: Row) -> str:
        return f"| {' | '.join(cell.replace('|', '&#124;') for cell in cells)} |"

    return "\n".join([row(heads), row(tuple("---" for _ in heads)), *map(row, rows)])
