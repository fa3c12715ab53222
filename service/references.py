"""Whom a record is about and what it refers to: there, of the same patient, and never changed to another's."""

from typing import Any

from sqlalchemy import Connection

from mappings import model
from mappings.kind import Kind
from service.errors import Unprocessable
from service.store import entities
from service.store.entities import Stored
from service.wire import read

Reference = tuple[str, model.To, str]


def check(tx: Connection, kind: Kind, entity: Any, stored: Stored | None, patient: Stored | None) -> None:
    """Raises Unprocessable with every reference that does not hold, by JSON pointer."""
    problems = []
    if stored is not None and kind.name != "patient" and stored.patient != (patient.num if patient else None):
        problems.append(("/patientId", "is whose record this is and cannot be changed"))
    references = [r for r in model.references_of(entity) if not _within(kind, entity, r)]
    there = entities.several(tx, [_owner(entity, r) for r in references])
    for reference in references:
        problem = _problem(there.get(_owner(entity, reference)), reference, patient)
        if problem is not None:
            problems.append((reference[0], problem))
    if problems:
        raise Unprocessable("The record refers to what it cannot", problems)


def _within(kind: Kind, entity: Any, reference: Reference) -> bool:
    """A reference within the entity, which its own check has looked at, or to itself (a practitioner who records itself)."""
    _, to, key = reference
    return (to.items is not None and to.via is None) or (to.kind == kind.name and to.items is None and key == entity.id)


def _owner(entity: Any, reference: Reference) -> tuple[str, str]:
    _, to, key = reference
    if to.items is None:
        return to.kind, key
    found = entity
    for name in str(to.via).split("."):
        found = getattr(found, name)
    return to.kind, str(found)


def _problem(found: Stored | None, reference: Reference, patient: Stored | None) -> str | None:
    _, to, key = reference
    if found is None:
        return f"there is no {to.kind} {key}" if to.items is None else f"there is no {to.kind} whose {to.items} these would be"
    if found.patient is not None and found.kind != "patient" and (patient is None or found.patient != patient.num):
        return f"{to.kind} {found.id} is another patient's"
    if to.items is not None and all(item.get("id") != key for item in read(found.document).get(model.json_name(to.items), [])):
        return f"{to.kind} {found.id} has none of its {to.items} with the id {key}"
    return None
