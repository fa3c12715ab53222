"""What we publish so that others can read us: our code systems, extensions and questionnaires, as FHIR R4 resources.

They are made from the tables that the mapping itself uses, so they cannot say anything else.
"""

from collections.abc import Iterator
from typing import Any

from mappings import KINDS
from mappings.code_table import LOINC, OURS, OWN, coding, own_system
from mappings.datatypes import EXTENSIONS, url
from mappings.instruments import FREQUENCY, INSTRUMENTS, RISK_LEVEL, VERSION, Instrument
from mappings.rules import RULES
from mappings.shape import Each, Element, Fhir, Tree

PUBLISHER = {"status": "active", "experimental": False, "publisher": "pathway-fhir"}


def definitions() -> Iterator[Fhir]:
    """Every definition of ours, in the order of their ids within each type."""
    assert KINDS  # the tables fill as the kinds load
    for name, (title, rows) in sorted({**OWN, "rule": ("Clinical rules", {r.id: r.text for r in RULES})}.items()):
        yield _code_system(name, title, rows)
    for name, shape in sorted(EXTENSIONS.items()):
        yield _extension(name, shape)
    for instrument in INSTRUMENTS.values():
        yield _questionnaire(instrument)


def _code_system(name: str, title: str, rows: dict[str, str]) -> Fhir:
    return {
        "resourceType": "CodeSystem", "id": name, "url": own_system(name), "version": VERSION, "name": _camel(name), "title": title, **PUBLISHER,
        "description": title, "caseSensitive": True, "content": "complete", "count": len(rows),
        "concept": [{"code": code, "display": display} for code, display in rows.items()],
    }  # fmt: skip


def _extension(name: str, shape: dict[str, Any]) -> Fhir:
    """The definition of one extension: one value, or parts of one value each."""
    elements: list[Fhir] = [{"id": "Extension", "path": "Extension", "min": 0, "max": "*"}]
    if "value" in shape:
        elements += [
            {"id": "Extension.extension", "path": "Extension.extension", "max": "0"},
            *_url_and_value("Extension", "Extension", url(name), shape["value"]),
        ]
    else:
        slicing = {"discriminator": [{"type": "value", "path": "url"}], "rules": "closed"}
        elements.append({"id": "Extension.extension", "path": "Extension.extension", "slicing": slicing})
        for part in shape["parts"]:
            tree, most = (part.element, "*") if isinstance(part, Each) else (part, "1")
            part_name, choice = _part(tree)
            at = f"Extension.extension:{part_name}"
            elements += [
                {"id": at, "path": "Extension.extension", "sliceName": part_name, "min": 0, "max": most},
                {"id": f"{at}.extension", "path": "Extension.extension.extension", "max": "0"},
                *_url_and_value(at, "Extension.extension", part_name, choice),
            ]
        elements += [
            {"id": "Extension.url", "path": "Extension.url", "fixedUri": url(name)},
            {"id": "Extension.value[x]", "path": "Extension.value[x]", "max": "0"},
        ]
    return {
        "resourceType": "StructureDefinition", "id": name, "url": url(name), "version": VERSION, "name": _camel(name), "title": name.replace("-", " "),
        **PUBLISHER, "description": f"{name.replace('-', ' ').capitalize()}.", "fhirVersion": "4.0.1", "kind": "complex-type", "abstract": False,
        "context": [{"type": "element", "expression": "Element"}], "type": "Extension",
        "baseDefinition": "http://hl7.org/fhir/StructureDefinition/Extension", "derivation": "constraint", "differential": {"element": elements},
    }  # fmt: skip


def _url_and_value(at: str, path: str, fixed: str, choice: str) -> list[Fhir]:
    type_ = choice.removeprefix("value")
    type_ = type_ if type_ in ("CodeableConcept", "Quantity", "Duration", "Reference", "Coding") else type_[0].lower() + type_[1:]
    return [
        {"id": f"{at}.url", "path": f"{path}.url", "fixedUri": fixed},
        {"id": f"{at}.value[x]", "path": f"{path}.value[x]", "min": 1 if at == "Extension" else 0, "type": [{"code": type_}]},
    ]


def _part(tree: Element) -> tuple[str, str]:
    assert isinstance(tree, Tree)
    [choice] = [name for name in tree.children if name.startswith("value")]
    return tree.children["url"].value, choice  # type: ignore[attr-defined]


def _questionnaire(instrument: Instrument) -> Fhir:
    """The instrument's items by code: the wording belongs to its authors and is not repeated here."""
    items = [_item(instrument, n, link) for n, link in enumerate(instrument.links, 1)]
    if instrument.total is not None:
        items.append({"linkId": instrument.total["code"], "code": [instrument.total], "text": "Total", "type": "decimal"})
    if instrument.risk is not None:
        options = [{"valueCoding": RISK_LEVEL.coding(term)} for term in RISK_LEVEL]
        items.append({"linkId": instrument.risk["code"], "code": [instrument.risk], "text": "Risk level", "type": "choice", "answerOption": options})
    return {
        "resourceType": "Questionnaire", "id": instrument.name.lower(), "url": f"{OURS}/Questionnaire/{instrument.name.lower()}", "version": VERSION,
        "name": _camel(instrument.name), "title": instrument.title, **PUBLISHER, "description": instrument.title, "code": [instrument.panel],
        "subjectType": ["Patient"], "item": items,
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
