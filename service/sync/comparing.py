"""What an EHR holds, held against what it should hold: pure.

| verdict     | it means                                                                                    |
| ----------- | ------------------------------------------------------------------------------------------- |
| same        | all that we say is there, or just what the EHR made of it when it was sent                   |
| differs     | something that we say is not there, or is otherwise there                                    |
| missing     | what was brought there is there no more                                                      |
| over-held   | it holds more than its reader may see now, or what we withdrew                               |
| undelivered | it is owed, or was refused or given up: the delivery says                                    |
| unsupported | the EHR says itself that it does not take it                                                |
| twice       | several there have our identifier                                                            |
| unknown     | something there has an identifier of ours, and we know of no copy                            |
| unread      | it could not be read: nobody knows                                                           |
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

from mappings.element import keeps
from mappings.parts import system_of
from service.renderings import text_of
from service.store.copies import MERGED, RESTORED
from service.store.outbox import DELIVERED, SUPERSEDED, UNSUPPORTED
from service.store.reconciliation import Known
from service.store.tables import DELETED, THERE
from service.sync.deliver import UNSENT, Match, Ready
from service.sync.merging import made_of
from service.sync.outcomes import Outcome, objects
from service.sync.targets.rest import same, seen_hash

VERDICTS = (SAME, DIFFERS, MISSING, OVER_HELD, UNDELIVERED, NOT_TAKEN, TWICE, UNKNOWN, UNREAD) = (
    "same", "differs", "missing", "over-held", "undelivered", "unsupported", "twice", "unknown", "unread",
)  # fmt: skip
MOST_DIFFERENCES = 50  # of one resource
SHOWN_ALONE = ("display", "unit")  # words that only show a code or a unit: an EHR has its own


@dataclass(frozen=True)
class Difference:
    """An element that we say and the EHR does not, or says otherwise: only for who may see both."""

    path: str
    ours: Any
    theirs: Any


@dataclass(frozen=True)
class Finding:
    """One resource, and how it stands at the EHR."""

    verdict: str
    type: str
    id: str = ""
    kind: str = ""
    entity: str = ""
    remote_ids: tuple[str, ...] = ()
    delivery: int | None = None
    words: str = ""
    differences: tuple[Difference, ...] = ()
    seen: bytes | None = None  # the hash of what the EHR holds, where that differs


@dataclass(frozen=True)
class Gone:
    """There is nothing under this id any more: 404 or 410."""


@dataclass(frozen=True)
class Unread:
    """Why it could not be read, without the EHR's own words."""

    words: str


Theirs = dict[str, Any] | Gone | Unread


def not_there(one: Known, *, taken: bool) -> Finding | None:
    """What is said of a resource that the EHR was never brought, or None where it is not for it."""
    if not taken or one.version is None or one.state != THERE:
        return None
    if one.delivery_state == UNSUPPORTED:
        return _found(NOT_TAKEN, one, one.reason)
    why = {None: "Never owed: `ehr catch-up` owes it", DELIVERED: "Delivered, and nobody knows under which id", SUPERSEDED: "Superseded by nothing"}
    return _found(UNDELIVERED, one, why.get(one.delivery_state, f"{one.delivery_state}: {one.reason}".removesuffix(": ")))


def judged(one: Known, theirs: Theirs, ready: Ready | Match | Outcome, *, taken: bool) -> Finding | None:
    """How a resource stands of which the EHR has a copy; None where there is nothing to say any more.

    `ready` is what would be sent now, `taken` whether the EHR is to have resources of its type at all.
    """
    withdrawn = _withdrawn(one, taken=taken)
    match theirs:
        case Unread(words):
            return _found(UNREAD, one, words)
        case Gone():
            return None if withdrawn else _found(MISSING, one, "It is the EHR's own, and was linked" if one.matched else "")
    if one.matched:
        return _found(SAME, one, "It is the EHR's own")
    if withdrawn and not one.is_open:
        return _found(OVER_HELD, one, withdrawn)
    if withdrawn:
        return _found(UNDELIVERED, one, f"{one.delivery_state}: {withdrawn}")
    if not isinstance(ready, Ready):
        return _found(DIFFERS, one, getattr(ready, "words", ""))
    if same(theirs, ready.body):
        return _found(SAME, one)
    if _is_settled(one, ready) and one.seen_hash in (seen_hash(theirs), MERGED + seen_hash(theirs), RESTORED + seen_hash(theirs)):
        return _found(SAME, one, f"As the EHR made it, otherwise than we say: {', '.join(made_of(ready.body, theirs))}")
    ours = {name: value for name, value in ready.body.items() if name not in UNSENT}
    found = tuple(islice(differences(ours, theirs, str(ready.body["resourceType"])), MOST_DIFFERENCES))
    if one.delivery_state in (None, DELIVERED, SUPERSEDED):
        return replace(_found(DIFFERS, one, differences=found), seen=seen_hash(theirs))
    return _found(UNDELIVERED, one, f"{one.delivery_state}: {one.reason}".removesuffix(": "), found)


def _withdrawn(one: Known, *, taken: bool) -> str:
    """Why the EHR should not hold what it holds; empty where it should. A person or place of its own it may keep."""
    if one.matched:
        return ""
    if one.version is None:
        return "It may not see this any more"
    if one.state == DELETED:
        return "Deleted here"
    if not taken:
        return "Not of its agreement any more"
    if one.held_level > one.level and one.held_version != one.version:
        return f"Sent at C{one.held_level}, and it may see C{one.level} now" if one.level >= 0 else "It may not see this any more"
    return ""


def _is_settled(one: Known, ready: Ready) -> bool:
    """Whether the EHR was last sent what we say now: what it made of that is right, however it writes it.

    With a change of its own, or as a document, whose references stay as they were when it was sent, the version says so.
    """
    return one.sent_hash == ready.digest or ((ready.as_document or not one.sent_hash) and one.held_version == one.version)


def _found(verdict: str, one: Known, words: str = "", differences: tuple[Difference, ...] = ()) -> Finding:
    remote_ids = (one.remote_id,) if one.remote_id else ()
    delivery = one.delivery if verdict in (UNDELIVERED, NOT_TAKEN) else None
    return Finding(verdict, one.type, text_of(one.uuid), one.kind, one.entity, remote_ids, delivery, words, differences)


def differences(ours: Any, theirs: Any, path: str) -> Iterator[Difference]:
    """What we say that is not there, element by element. What is there besides is the EHR's."""
    if keeps(theirs, ours):
        return
    if isinstance(ours, dict) and isinstance(theirs, dict):
        for name, value in ours.items():
            if name not in SHOWN_ALONE:
                yield from differences(value, theirs.get(name), f"{path}.{name}")
    elif isinstance(ours, list) and isinstance(theirs, list):
        others = [one for one in theirs if not any(keeps(one, value) for value in ours)]
        for n, value in enumerate(ours):
            if not any(keeps(one, value) for one in theirs):
                yield from differences(value, others.pop(0) if others else None, f"{path}[{n}]")
    else:
        yield Difference(path, ours, theirs)


def our_identifiers(body: Mapping[str, Any]) -> list[tuple[str, str]]:
    """(what it names, value) of every identifier of ours that a resource at the EHR carries: a resource type, or a kind."""
    found = body.get("identifier")
    given = objects(found) if isinstance(found, list) else objects([found])
    ours = [(str(one.get("system", "")), one.get("value")) for one in given]
    return [(system.removeprefix(system_of("")), value) for system, value in ours if system.startswith(system_of("")) and isinstance(value, str)]
