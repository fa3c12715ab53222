"""The alternate route: what an EHR does not take as such goes to it as a DocumentReference, readable and whole. Pure.

Two attachments: a summary in plain text for people, and a FHIR document (R4 3.3: a Composition and the resource) for machines.
Both say what the EHR may see of the resource and no more. One resource is one document, which follows it in place.
"""

import base64
from collections.abc import Iterator, Mapping
from typing import Any

from mappings.kind import META, SERVICE
from mappings.parts import system_of
from service.wire import encode

TYPE = "DocumentReference"
UNREAD = ("resourceType", "id", "meta", "text", "identifier", "extension", "modifierExtension", "implicitRules", "language")
Json = dict[str, Any]


def document(made: Mapping[str, Any], uuid: str, changed: str, *, gone: bool) -> Json:
    """A resource as a DocumentReference. `made` has the EHR's ids in it, `uuid` is our id of it, `changed` when this view of it changed."""
    type_, subject = str(made["resourceType"]), subject_of(made)
    title = words_of(type_)
    return {
        "resourceType": TYPE,
        "meta": META,
        "identifier": [{"system": system_of(TYPE), "value": uuid}],
        "status": "entered-in-error" if gone else "current",
        "type": {"text": title},
        **({"subject": subject} if subject is not None else {}),
        "date": changed,
        "description": f"{title}, as a document",
        "content": [
            {"attachment": _attachment("text/plain; charset=utf-8", "\n".join(readable(made)).encode(), f"{title}, to be read")},
            {"attachment": _attachment("application/fhir+json", encode(_bundle(made, uuid, changed, title)), f"{title}, as a FHIR document")},
        ],
    }


def _attachment(media_type: str, data: bytes, title: str) -> Json:
    return {"contentType": media_type, "language": "en-GB", "data": base64.b64encode(data).decode(), "title": title}


def _bundle(made: Mapping[str, Any], uuid: str, changed: str, title: str) -> Json:
    subject = subject_of(made)
    entry = f"urn:uuid:{uuid}"
    composition = {
        "resourceType": "Composition", "status": "final", "type": {"text": title}, **({"subject": subject} if subject is not None else {}),
        "date": changed, "author": [SERVICE], "title": title, "section": [{"title": title, "entry": [{"reference": entry}]}],
    }  # fmt: skip
    return {
        "resourceType": "Bundle", "type": "document", "identifier": {"system": system_of("document"), "value": uuid}, "timestamp": changed,
        "entry": [{"fullUrl": f"urn:uuid:{_beside(uuid)}", "resource": composition}, {"fullUrl": entry, "resource": {**made, "id": uuid}}],
    }  # fmt: skip


def _beside(uuid: str) -> str:
    """The id of the Composition of a resource: the resource's own with its last digit turned, so that it follows from it."""
    return f"{uuid[:-1]}{15 - int(uuid[-1], 16):x}"


def subject_of(made: Mapping[str, Any]) -> Json | None:
    found = made.get("subject") or made.get("patient")
    return found if isinstance(found, dict) else None


def words_of(type_: str) -> str:
    """CarePlan as "Care plan"."""
    said = "".join(f" {c.lower()}" if c.isupper() else c for c in type_).strip()
    return said[:1].upper() + said[1:]


def readable(made: Mapping[str, Any]) -> Iterator[str]:
    """A resource in lines of text, element by element: what a code shows, a quantity with its unit, a reference by what it displays."""
    yield words_of(str(made["resourceType"]))
    for name, value in made.items():
        if name not in UNREAD:
            yield from _lines(words_of(name), value, "")


def _lines(name: str, value: Any, indent: str) -> Iterator[str]:
    if isinstance(value, list):
        for one in value:
            yield from _lines(name, one, indent)
        return
    said = _said(value)
    if said is not None:
        yield f"{indent}{name}: {said}"
    elif isinstance(value, dict):
        yield f"{indent}{name}:"
        for inner, one in value.items():
            if inner not in UNREAD:
                yield from _lines(words_of(inner), one, indent + "  ")


def _said(value: Any) -> str | None:
    """A value in words, None for one that has parts of its own."""
    if not isinstance(value, dict):
        return "yes" if value is True else "no" if value is False else str(value)
    if "coding" in value or ("text" in value and value.keys() <= {"text", "coding"}):
        shown = [one.get("display") or one.get("code") for one in value.get("coding", [])]
        return str(value.get("text") or next((one for one in shown if one), "not said"))
    if "value" in value and value.keys() <= {"value", "unit", "system", "code", "comparator"}:
        return " ".join(str(one) for one in (value.get("comparator"), value["value"], value.get("unit") or value.get("code")) if one is not None)
    if "reference" in value or ("identifier" in value and "type" in value):
        identifier = value.get("identifier")
        return str(value.get("display") or value.get("reference") or (identifier or {}).get("value"))
    if value.keys() <= {"start", "end"}:
        return f"{value.get('start', '')} to {value.get('end', '')}".strip()
    if "code" in value and value.keys() <= {"system", "code", "display", "version", "userSelected"}:
        return str(value.get("display") or value["code"])
    if "system" in value and "value" in value:
        return str(value["value"])
    return None
