"""What is sent to an EHR, and in which order: pure. References are put into the EHR's own ids; what it lacks stays logical."""

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from mappings.parts import system_of
from mappings.references import ids_of, references_in
from service.store.copies import Copy
from service.store.outbox import UNHELD, WITHHELD
from service.sync import documents, matching
from service.sync.abilities import Abilities
from service.sync.outcomes import Matched, Moot, Outcome, Refused, Unsupported, Waits
from service.wire import encode

PEOPLE = frozenset({"Patient", "Practitioner", "PractitionerRole", "Organization", "Location"})
UNSENT = ("id", "meta", "text")  # what the hash of what was sent leaves out, so that a release re-sends nothing
HELD, TOGETHER, OWED, NEVER = "held", "together", "owed", "never"
URN = "urn:uuid:"
NEVER_SENT = "Gone before it was ever sent"


@dataclass(frozen=True)
class Owed:
    """One resource that an EHR is owed, as the EHR may see it now. `body` is None where it was deleted.

    `gone` says that we no longer yield it: it was deleted or entered in error. Without a type the EHR may not know of it.
    """

    delivery: int
    resource: int
    uuid: str
    type: str
    version: str
    level: int
    attempts: int
    body: dict[str, Any] | None
    unsure: bool = False
    gone: bool = False
    tried: bool = False  # since the last restore, where there was one

    @cached_property
    def references(self) -> list[tuple[str, dict[str, Any], bool]]:
        """(FHIRPath, Reference, whether it is strong) of all that it refers to."""
        return list(references_in(self.body)) if self.body is not None else []

    @cached_property
    def needs(self) -> set[str]:
        """Our ids of what it refers to."""
        return ids_of(self.references)


@dataclass(frozen=True)
class Standing:
    """How a referred-to resource stands at the EHR: held under an id, created in the same Bundle, owed, or never to be there."""

    state: str
    resource: int
    remote_id: str | None = None
    formerly: tuple[str, ...] = ()  # ids there that it was linked to by a mistake that was mended


@dataclass(frozen=True)
class Ready:
    """What is to be sent. `remote` is the copy to update, None to create."""

    owed: Owed
    body: dict[str, Any]
    digest: bytes
    remote: Copy | None
    unresolved: tuple[int, ...] = ()  # what it refers to logically until that is held
    known: Mapping[str, dict[str, str]] = field(default_factory=dict)  # what it refers to by the EHR's ids (Type/id), by our identifiers
    together: Mapping[str, int] = field(default_factory=dict)  # what it refers to by its fullUrl in the same Bundle: the resource
    updates: bool = True  # whether the EHR takes another version of it once it is there
    restored: bool = False  # what the EHR holds otherwise may be what we sent between a backup and its restore: ours stands in its place
    doubtful: bool = False  # it may be that, or what the EHR made of what we tried to send since: a person's to settle
    as_document: bool = False  # `owed` has the document's type then, `remote` its plain id
    earlier: Callable[[], Sequence[Mapping[str, Any]]] = field(default=tuple, compare=False)  # what we said before, the newest first; asked for when needed


@dataclass(frozen=True)
class Match:
    """A person or place that is to be found among the EHR's own."""

    owed: Owed
    body: dict[str, Any]


def in_order(owed: Iterable[Owed]) -> list[Owed]:
    """What is referred to before what refers to it. References make no circle, so there is always a next one.

    What is deleted comes last, the newest first, when nothing refers to it any more.
    """
    owed = list(owed)
    waiting = {one.uuid: one for one in owed if one.body is not None}
    needs = {one.uuid: one.needs & waiting.keys() - {one.uuid} for one in waiting.values()}
    found: list[Owed] = []
    placed: set[str] = set()
    while waiting:
        ready = [uuid for uuid in waiting if needs[uuid] <= placed] or list(waiting)
        for uuid in ready:
            found.append(waiting.pop(uuid))
            placed.add(uuid)
    return found + [one for one in reversed(owed) if one.body is None]


@dataclass(frozen=True)
class Terms:
    """What an EHR's agreement says of what it does not have or take: people may be made there; the rest may come as documents.

    With `restored` it may hold what nobody here knows of since a backup was restored.
    """

    create_people: bool = False
    documents: bool = False
    restored: bool = False


def prepared(owed: Owed, remote: Copy | None, able: Abilities, stands: Callable[[str, str], Standing], terms: Terms) -> Ready | Match | Outcome:
    """What to send for a resource, or to look for, or why nothing is sent now. `stands` tells how (type, uuid) stands at the EHR."""
    as_document = remote is not None and remote.as_document
    held = remote is not None and remote.remote_id is not None
    if remote is not None and remote.matched:
        return Matched()
    refusal = _able(replace(owed, type=documents.TYPE) if as_document else owed, held, able, terms)
    if isinstance(refusal, Unsupported) and terms.documents and not held and owed.body is not None and able.can(documents.TYPE, "create"):
        refusal, as_document = None, True
    if refusal is not None:
        return refusal
    if owed.body is None and as_document and remote is not None:
        return _in_document(Ready(owed, {}, b"", remote))
    if owed.body is None:
        return Ready(owed, {}, b"", remote if held else None)
    if remote is not None and remote.vanished:
        return Refused(f"It was there as {remote.remote_id} and is no more: a replay creates it anew")
    if owed.type in PEOPLE and not held and not terms.create_people:
        return _to_match(owed, able)
    body = {name: value for name, value in owed.body.items() if name not in ("id", "meta")}
    missing: dict[str, int] = {}
    unresolved: list[int] = []
    known: dict[str, dict[str, str]] = {}
    together: dict[str, int] = {}
    for path, reference, strong in owed.references:
        type_, _, uuid = str(reference.get("reference", "")).partition("/")
        if not uuid:
            continue
        there = stands(type_, uuid)
        if there.state == HELD:
            known |= {f"{type_}/{id_}": identifier_of(type_, uuid) for id_ in (there.remote_id, *there.formerly)}
            body = put(body, path, {**reference, "reference": f"{type_}/{there.remote_id}"})
        elif there.state == TOGETHER:
            together[URN + uuid] = there.resource
            body = put(body, path, {**reference, "reference": URN + uuid})
        elif strong and there.state == OWED:
            missing[f"{type_}/{uuid}"] = there.resource
        elif strong:
            return Refused(f"{path} refers to {type_}/{uuid} {UNHELD}")
        else:
            body = put(body, path, logical(type_, uuid, reference))
            unresolved += [there.resource] if there.state == OWED else []
    if missing:
        return Waits(tuple(missing.values()), f"Waits for what it refers to: {', '.join(missing)}")
    meta = {name: value for name, value in owed.body.get("meta", {}).items() if name not in ("versionId", "lastUpdated")}
    made = {"resourceType": owed.type, **({"meta": meta} if meta else {}), **{n: v for n, v in body.items() if n != "resourceType"}}
    updates = able.can(documents.TYPE if as_document else owed.type, "update")
    ready = Ready(owed, made, digest(made), remote if held else None, tuple(dict.fromkeys(unresolved)), known, together, updates)
    if remote is not None and held:
        ready = replace(ready, restored=remote.restored)
    elif terms.restored:
        tried = owed.tried or (owed.unsure and remote is None)  # or a worker died while it did
        ready = replace(ready, restored=not tried, doubtful=tried)
    return _in_document(ready) if as_document else ready


def _in_document(ready: Ready) -> Ready:
    """The same on its way as a document. Where it is one already, its plain id is put for the one that says so."""
    owed, remote = ready.owed, ready.remote
    plain = replace(remote, remote_id=str(remote.remote_id).removeprefix(f"{documents.TYPE}/")) if remote is not None else None
    if owed.body is None:
        return replace(ready, owed=replace(owed, type=documents.TYPE), remote=plain, as_document=True)
    body = documents.document(ready.body, owed.uuid, str(owed.body.get("meta", {}).get("lastUpdated")), gone=owed.gone)
    return replace(ready, owed=replace(owed, type=documents.TYPE), body=body, remote=plain, as_document=True, unresolved=())


def _able(owed: Owed, held: bool, able: Abilities, terms: Terms) -> Outcome | None:
    if not owed.type:
        return Moot(WITHHELD)
    if owed.gone and not held and not _may_be_there(owed, able, terms):
        return Moot(NEVER_SENT)
    if owed.body is None:
        return None if able.can(owed.type, "delete") else Unsupported(f"This {owed.type} was deleted here and has to be removed there by hand")
    if owed.type in PEOPLE and not held and not terms.create_people:
        return None
    if owed.gone and not able.can(owed.type, "update"):
        return Unsupported(f"This {owed.type} was entered in error here and has to be corrected or removed there by hand")
    if not able.can(owed.type, "update" if held else "create"):
        return Unsupported(not_updated(owed.type) if held else f"This EHR does not take {owed.type}")
    return None


def _may_be_there(owed: Owed, able: Abilities, terms: Terms) -> bool:
    """Whether what is gone may have been sent: an attempt is in doubt; or it was before a restore, where that can be looked for and mended."""
    if owed.unsure or not terms.restored or (owed.type in PEOPLE and not terms.create_people):
        return owed.unsure
    return able.searches(owed.type, "identifier") and able.can(owed.type, "delete" if owed.body is None else "update")


def not_updated(type_: str) -> str:
    """Why what is there is not brought up to date."""
    return f"This EHR does not take {type_} once it is there"


def _to_match(owed: Owed, able: Abilities) -> Match | Outcome:
    body = {"resourceType": owed.type, **(owed.body or {})}
    if owed.type not in matching.KNOWN_BY:
        return Unsupported(f"A {owed.type} is the EHR's own, and has nothing that both know it by: it is referred to by our identifier")
    if not matching.identifiers(body):
        return Refused(f"It has no {' or '.join(matching.KNOWN_BY[owed.type].values())} by which the EHR could know it: link it to the EHR's own")
    if not able.searches(owed.type, "identifier"):
        return Refused(f"This EHR cannot be searched for a {owed.type} by identifier: link it to the EHR's own")
    return Match(owed, body)


def put(body: dict[str, Any], path: str, value: Any) -> dict[str, Any]:
    """The body with another value at a FHIRPath such as Encounter.participant[0].individual; the given body is not changed."""
    steps: list[str | int] = []
    for name in path.split(".")[1:]:
        plain, _, index = name.partition("[")
        steps.append(plain)
        steps += [int(n) for n in index.rstrip("]").split("][")] if index else []
    changed: dict[str, Any] = _put(body, steps, value)
    return changed


def _put(node: Any, steps: list[str | int], value: Any) -> Any:
    if not steps:
        return value
    step = steps[0]
    if isinstance(step, int):
        return [_put(one, steps[1:], value) if n == step else one for n, one in enumerate(node)]
    return {**node, step: _put(node[step], steps[1:], value)}


def logical(type_: str, uuid: str, reference: dict[str, Any]) -> dict[str, Any]:
    """A reference by our identifier, for a receiver that does not hold it (yet)."""
    kept = {name: value for name, value in reference.items() if name != "reference"}
    return {**kept, "type": type_, "identifier": identifier_of(type_, uuid)}


def identifier_of(type_: str, uuid: str) -> dict[str, str]:
    return {"system": system_of(type_), "value": uuid}


def our_identifier(body: Mapping[str, Any]) -> dict[str, str] | None:
    """The identifier of ours by which an EHR can find this resource again: the first that it carries."""
    found = body.get("identifier")
    for one in found if isinstance(found, list) else [found]:
        if isinstance(one, dict) and str(one.get("system", "")).startswith(system_of("")) and isinstance(one.get("value"), str):
            return {"system": one["system"], "value": one["value"]}
    return None


def digest(body: Mapping[str, Any]) -> bytes:
    return hashlib.sha256(encode({name: value for name, value in body.items() if name not in UNSENT})).digest()
