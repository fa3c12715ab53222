"""What we publish so that others can read us: our code systems, extensions and questionnaires, as FHIR R4 resources.

They are made from the tables and shapes that the mapping itself uses, so they cannot say anything else.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from mappings import KINDS, model
from mappings.code_table import LOINC, OURS, OWN, coding, own_system
from mappings.datatypes import url
from mappings.element import walked
from mappings.instruments import FREQUENCY, INSTRUMENTS, RISK_LEVEL, VERSION, Instrument
from mappings.leaves import Fixed, Refers
from mappings.parts import narrative
from mappings.rules import RULES
from mappings.shape import Each, Element, Fhir, Parts, Tree
from mappings.visit import MARKS

PUBLISHER = {"status": "active", "experimental": False, "publisher": "pathway-fhir"}
COMPLEX = ("CodeableConcept", "Quantity", "Duration", "Reference", "Coding")


def definitions() -> Iterator[Fhir]:
    """Every definition of ours: code systems, extensions and questionnaires, each in the order of their ids."""
    extensions = extensions_of_kinds()  # and the tables of codes fill as the kinds load
    for name, (title, rows) in sorted({**OWN, "rule": ("Clinical rules", _rules())}.items()):
        yield _code_system(name, title, rows)
    for name in sorted(extensions):
        yield _extension(extensions[name])
    for instrument in sorted(INSTRUMENTS.values(), key=lambda i: i.name.lower()):
        yield _questionnaire(instrument)


# --- code systems

def _rules() -> dict[str, str]:
    """Rule ids and what they say. One that judges several kinds says so for each."""
    texts: dict[str, list[str]] = {}
    for rule in RULES:
        if rule.text not in texts.setdefault(rule.id, []):
            texts[rule.id].append(rule.text)
    return {rule: "; ".join(said) for rule, said in texts.items()}


def _code_system(name: str, title: str, rows: dict[str, str]) -> Fhir:
    return {
        "resourceType": "CodeSystem", "id": name, "text": narrative(title), "url": own_system(name), "version": VERSION, "name": _camel(name),
        "title": title, **PUBLISHER, "description": f"{title}.", "caseSensitive": True, "content": "complete", "count": len(rows),
        "concept": [{"code": code, "display": display} for code, display in rows.items()],
    }  # fmt: skip


# --- extensions

@dataclass
class Used:
    """One of our extensions as the kinds use it: its shape, the elements that carry it, the fields that it holds."""

    name: str
    tree: Tree | None = None
    on: set[str] = field(default_factory=set)
    holds: dict[str, set[str]] = field(default_factory=dict)  # kind -> fields
    repeats: bool = False


def extensions_of_kinds() -> dict[str, Used]:
    """Our extensions by name, found in the shapes of all kinds."""
    found = {name: Used(name, on={"Encounter"}, holds={"visit": {"status", "reason"}}) for name in MARKS}
    for kind in KINDS.values():
        for resource in kind.resources:
            for path, element in walked(resource.tree, resource.type):
                several = isinstance(element, Each)
                tree = element.element if isinstance(element, Each) else element
                name = _name_of(tree)
                if name is None or not isinstance(tree, Tree):
                    continue
                used = found.setdefault(name, Used(name))
                assert used.tree is None or _shape(used.tree) == _shape(tree), f"{name} has two shapes"
                used.tree, used.repeats = tree, used.repeats or several
                used.on.add(path.removesuffix(".extension"))
                used.holds.setdefault(kind.name.replace("-", " "), set()).update(model.json_path(line.field) for line in tree.lines())
    return found


def _name_of(element: Element) -> str | None:
    at = element.children.get("url") if isinstance(element, Tree) else None
    ours = url("")
    return at.value.removeprefix(ours) if isinstance(at, Fixed) and at.value.startswith(ours) else None


def _shape(tree: Tree) -> list[tuple[str, str]]:
    return [("", _choice(tree))] if "extension" not in tree.children else [(_fixed_url(part), _choice(part)) for part in _parts(tree)]


def _parts(tree: Tree) -> list[Tree]:
    parts = tree.children["extension"]
    assert isinstance(parts, Parts)
    return [part for part in parts.parts if isinstance(part, Tree)]


def _fixed_url(tree: Tree) -> str:
    at = tree.children["url"]
    assert isinstance(at, Fixed)
    return str(at.value)


def _choice(tree: Tree) -> str:
    """The datatype of an extension's value, with what it may refer to."""
    [(name, value)] = [(name, child) for name, child in tree.children.items() if name.startswith("value")]
    type_ = name.removeprefix("value")
    return f"Reference({value.type})" if isinstance(value, Refers) else type_ if type_ in COMPLEX else type_[0].lower() + type_[1:]


def _extension(used: Used) -> Fhir:
    """The definition of one extension: one value, or parts of one value each."""
    title = used.name.replace("-", " ").capitalize()
    definition = "; ".join(f"{kind}: {', '.join(sorted(fields))}" for kind, fields in sorted(used.holds.items()))
    elements: list[Fhir] = [{"id": "Extension", "path": "Extension", "short": title, "definition": definition, "min": 0, "max": "*" if used.repeats else "1"}]
    shape = _shape(used.tree) if used.tree is not None else [("", MARKS[used.name])]
    if shape[0][0] == "":
        elements += [{"id": "Extension.extension", "path": "Extension.extension", "max": "0"}, *_url_and_value("Extension", url(used.name), shape[0][1])]
    else:
        slicing = {"discriminator": [{"type": "value", "path": "url"}], "rules": "closed"}
        elements.append({"id": "Extension.extension", "path": "Extension.extension", "slicing": slicing})
        for name, choice in shape:
            at = f"Extension.extension:{name}"
            elements += [
                {"id": at, "path": "Extension.extension", "sliceName": name, "min": 0, "max": "1"},
                {"id": f"{at}.extension", "path": "Extension.extension.extension", "max": "0"},
                *_url_and_value(at, name, choice),
            ]
        elements += [
            {"id": "Extension.url", "path": "Extension.url", "fixedUri": url(used.name)},
            {"id": "Extension.value[x]", "path": "Extension.value[x]", "max": "0"},
        ]
    return {
        "resourceType": "StructureDefinition", "id": used.name, "text": narrative(title), "url": url(used.name), "version": VERSION,
        "name": _camel(used.name), "title": title, **PUBLISHER, "description": definition, "fhirVersion": "4.0.1", "kind": "complex-type",
        "abstract": False, "context": [{"type": "element", "expression": on} for on in sorted(used.on)], "type": "Extension",
        "baseDefinition": "http://hl7.org/fhir/StructureDefinition/Extension", "derivation": "constraint", "differential": {"element": elements},
    }  # fmt: skip


def _url_and_value(at: str, fixed: str, choice: str) -> list[Fhir]:
    path = "Extension" if at == "Extension" else "Extension.extension"
    name, _, target = choice.removesuffix(")").partition("(")
    type_: Fhir = {"code": name}
    if target:
        type_["targetProfile"] = [f"http://hl7.org/fhir/StructureDefinition/{target}"]
    return [
        {"id": f"{at}.url", "path": f"{path}.url", "fixedUri": fixed},
        {"id": f"{at}.value[x]", "path": f"{path}.value[x]", "min": 1, "type": [type_]},
    ]


# --- questionnaires

def _questionnaire(instrument: Instrument) -> Fhir:
    """The instrument's items by code: the wording belongs to its authors and is not repeated here."""
    items = [_item(instrument, n, link) for n, link in enumerate(instrument.links, 1)]
    if instrument.total is not None:
        items.append({"linkId": instrument.total["code"], "code": [instrument.total], "text": "Total", "type": "decimal"})
    if instrument.risk is not None:
        options = [{"valueCoding": RISK_LEVEL.coding(term)} for term in RISK_LEVEL]
        items.append({"linkId": instrument.risk["code"], "code": [instrument.risk], "text": "Risk level", "type": "choice", "answerOption": options})
    return {
        "resourceType": "Questionnaire", "id": instrument.name.lower(), "text": narrative(instrument.title),
        "url": f"{OURS}/Questionnaire/{instrument.name.lower()}", "version": VERSION, "name": _camel(instrument.name), "title": instrument.title,
        **PUBLISHER, "description": f"{instrument.title}.", "code": [instrument.panel], "subjectType": ["Patient"], "item": items,
    }  # fmt: skip


def _item(instrument: Instrument, number: int, link: str) -> Fhir:
    item: Fhir = {"linkId": link, "text": f"Item {number}", "type": {"boolean": "boolean", "coding": "choice"}.get(instrument.answers, "integer")}
    if link[0].isdigit():
        item["code"] = [coding(LOINC, link)]
    if instrument.answers == "coding":
        item["answerOption"] = [{"valueCoding": coding(LOINC, *answer)} for answer in FREQUENCY.values()]
    return item


def _camel(name: str) -> str:
    return "".join(word[:1].upper() + word[1:] for word in name.replace("-", " ").split())


def file_name(definition: dict[str, Any]) -> str:
    return f"{definition['resourceType']}-{definition['id']}.json"
