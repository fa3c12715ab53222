"""Accept: a change that a source made to a resource of ours comes inward, into the entity that yielded it.

What counts is what *changed* against what the source was last given: only those fields are applied to the full entity, so what
the source may not see survives. Accept ends in publish, so everyone else is owed what follows, and the source too where more
follows than it said itself.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from mappings import KINDS, model
from mappings.disclosure import Level, withhold
from mappings.ids import Ids, Key
from mappings.kind import MappingError
from mappings.references import ids_in
from mappings.schema import Refused, load
from service.errors import Unprocessable
from service.exchange import Act, Published, locked, publish
from service.renderings import text_of, uuid_of
from service.store import resources
from service.wire import encode, read

Fhir = Mapping[str, Any]
Path = tuple[str, ...]  # of field names in JSON; an item of a list by its id, or by its place where it has none
ABSENT: Any = ...
MODIFIERS = ("modifierExtension", "implicitRules")
UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


@dataclass(frozen=True)
class Heard:
    """What a source says of a resource now, and what it was last given, both with our ids in them, at the source's view."""

    resource: int
    said: Fhir
    given: Fhir
    view: int


@dataclass(frozen=True)
class Taken:
    """The entity was changed."""

    published: Published
    fields: tuple[str, ...]  # JSON pointers


@dataclass(frozen=True)
class Nothing:
    """It says nothing of ours that we do not say."""


@dataclass(frozen=True)
class Clash:
    """Both sides changed the same fields (JSON pointers)."""

    fields: tuple[str, ...]


@dataclass(frozen=True)
class Unfit:
    """It cannot be taken: every problem, by FHIRPath or JSON pointer."""

    problems: tuple[tuple[str, str], ...]


Accepted = Taken | Nothing | Clash | Unfit


def accept(act: Act, heard: Heard, *, over: bool = False) -> Accepted:
    """Applies what a source changed. With `over` its change stands where both changed the same.

    Takes the locks of a publish, in its order: patient, entity, streams, clock.
    """
    [(_, name, key, *_)] = resources.keys(act.tx, nums=[heard.resource])
    kind = KINDS[name]
    stored, _ = locked(act.tx, kind, key)
    if stored.erased:
        return Unfit((("", "was entered in error here"),))
    ids, view = ids_of(act, heard.said, heard.given), Level(heard.view)
    type_ = str(heard.given.get("resourceType"))
    try:
        problems = [*modified(heard.said, heard.given, type_), *kind.read_only(dict(heard.said), dict(heard.given), ids, view)]
        given, said = (_document(kind.from_fhir([dict(one)], ids, view)) for one in (heard.given, heard.said))
    except MappingError as refusal:
        return Unfit(tuple(refusal.problems))
    if problems:
        return Unfit(tuple(problems))
    entity: Any = model.revive(kind.entity, read(stored.document))
    document, seen = model.document_of(entity), model.document_of(withhold(entity, view))
    changes = [(path, before, after) for path, before, after in _changes(given, said, seen) if _at(seen, path) != after]
    if not changes:
        return Nothing()
    if not over and (clash := [path for path, before, _ in changes if _at(seen, path) != before]):
        return Clash(tuple(_pointer(document, path) for path in clash))
    hidden = [path for path, _, _ in changes if _at(document, path) != _at(seen, path)]
    if hidden:
        return Unfit(tuple((_pointer(document, path), "holds more than this source sees, and cannot be replaced as a whole") for path in hidden))
    fields = tuple(_pointer(document, path) for path, _, _ in changes)
    for path, _, after in changes:
        document = _put(document, path, after)
    try:
        return Taken(publish(act, kind, load(kind, read(encode(document)))), fields)
    except (Refused, Unprocessable) as refusal:
        return Unfit(tuple(refusal.problems))


def modified(said: Any, given: Any, path: str) -> Iterator[tuple[str, str]]:
    """Every element that may turn the meaning of the others round, and that we do not know (R4 2.4.1, 2.27.3)."""
    if isinstance(said, Mapping):
        for name, value in said.items():
            known = given.get(name) if isinstance(given, Mapping) else None
            if name in MODIFIERS and value != known:
                yield f"{path}.{name}", "may change what all else means, and is not known here"
            yield from modified(value, known, f"{path}.{name}")
    elif isinstance(said, list):
        for n, value in enumerate(said):
            yield from modified(value, given[n] if isinstance(given, list) and n < len(given) else None, f"{path}[{n}]")


def ids_of(act: Act, *bodies: Fhir) -> Ids:
    """What the ids in resources stand for, as far as they are ours."""
    uuids = {uuid_of(one) for body in bodies for one in (str(body.get("id")), *ids_in(dict(body))) if UUID.fullmatch(one)}
    return act.tenant.ids((text_of(uuid), Key(kind, id, role, item)) for uuid, kind, id, role, item in resources.keys(act.tx, uuids=uuids))


# --- documents, field by field

def _document(entity: Any) -> dict[str, Any]:
    return {} if entity is None else model.document_of(entity)


def _changes(before: Any, after: Any, now: Any, path: Path = ()) -> Iterator[tuple[Path, Any, Any]]:
    """(path in what there is now, before, after) of every field that differs.

    Lists of items with ids item by item; other lists of one length place by place, as long as it is sure which item is which of those that are now.
    """
    if before == after:
        return
    if isinstance(before, dict) and isinstance(after, dict):
        for name in dict.fromkeys([*before, *after]):
            yield from _changes(before.get(name, ABSENT), after.get(name, ABSENT), _at(now, (name,)), (*path, name))
    elif _is_of_items(before) and _is_of_items(after):
        old, new = ({one["id"]: one for one in items} for items in (before, after))
        for id in dict.fromkeys([*old, *new]):
            yield from _changes(old.get(id, ABSENT), new.get(id, ABSENT), _at(now, (id,)), (*path, id))
    elif (changed := _changed_items(before, after, now)) is not None:
        for place, one, other in changed:
            yield from _changes(one, other, now[place], (*path, str(place)))
    else:
        yield path, before, after


def _changed_items(before: Any, after: Any, now: Any) -> list[tuple[int, Any, Any]] | None:
    """(where it is now, before, after) of each changed item of lists without ids: in its place, or wherever it is as it was; None where that is not sure."""
    lists = all(isinstance(one, list) and all(isinstance(item, dict) for item in one) for one in (before, after, now))
    if not lists or len(before) != len(after):
        return None
    changed = [(n, was, said) for n, (was, said) in enumerate(zip(before, after, strict=True)) if was != said]
    if len(now) == len(before) and all(item in (was, said) for item, was, said in zip(now, before, after, strict=True)):
        return changed
    if all(now.count(was) == 1 for _, was, _ in changed):
        return [(now.index(was), was, said) for _, was, said in changed]
    return None


def _is_of_items(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(one, dict) and isinstance(one.get("id"), str) for one in value)


def _place(items: list[Any], name: str) -> int | None:
    if _is_of_items(items):
        return next((n for n, one in enumerate(items) if one["id"] == name), None)
    return int(name) if name.isdigit() and int(name) < len(items) else None


def _at(document: Any, path: Path) -> Any:
    for name in path:
        if isinstance(document, list):
            place = _place(document, name)
            document = ABSENT if place is None else document[place]
        else:
            document = document.get(name, ABSENT) if isinstance(document, dict) else ABSENT
    return document


def _put(document: Any, path: Path, value: Any) -> Any:
    if not path:
        return value
    name, rest = path[0], path[1:]
    if isinstance(document, list):
        place = _place(document, name)
        if place is None:
            return document if value is ABSENT else [*document, _put({}, rest, value)]
        changed = _put(document[place], rest, value)
        return [changed if n == place else one for n, one in enumerate(document) if changed is not ABSENT or n != place]
    made = {**(document if isinstance(document, dict) else {})}
    changed = _put(made.get(name, {} if rest else ABSENT), rest, value)
    if changed is ABSENT or changed == {}:
        made.pop(name, None)
    else:
        made[name] = changed
    return made


def _pointer(document: Any, path: Path) -> str:
    """A path as a JSON pointer into the document: an item by its place."""
    said = ""
    for name in path:
        place = _place(document, name) if isinstance(document, list) else None
        said += f"/{name if place is None else place}"
        document = _at(document, (name,)) if isinstance(document, dict | list) else ABSENT
    return said
