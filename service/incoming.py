"""What an EHR says of a copy that it holds of ours, brought in: taken, known already, in conflict, or not to be taken.

What it says is put into our ids, held against the newest of what we said that it still keeps, and given to `accept`. Whatever
comes of it, its next update reads before it writes: what the EHR changed is never overwritten unseen.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import Connection

from mappings import KINDS, children
from mappings.element import keeps, reference_of
from mappings.kind import Resource
from mappings.parts import system_of
from mappings.references import ids_in, local, references_in, rewritten
from service.accepting import UUID, Accepted, Clash, Heard, Nothing, Taken, Unfit, accept
from service.exchange import Act
from service.renderings import text_of, uuid_of
from service.store import audit, conflicts, copies, cursors, reading, resources
from service.store.clock import micros
from service.store.conflicts import Sides
from service.store.copies import Copy
from service.sync.merging import APART, agreed, as_made, merge
from service.wire import read

Json = dict[str, Any]
MOST_IN_AN_HOUR = 5  # changes of one resource, of which this one came before: both sides answer each other


@dataclass(frozen=True)
class News:
    """What an EHR holds now: its body and version, and the hash by which it is known again."""

    body: Json
    version: str | None
    digest: bytes


@dataclass(frozen=True)
class Said:
    """What both last agreed on, what we say, and what the EHR says, all with our ids."""

    given: Mapping[str, Any]
    ours: Json
    theirs: Json


def take(act: Act, held: Copy, news: News) -> Accepted:
    """Takes what an EHR changed in a copy: nothing where we said nothing of it, at the EHR's level, that it could have changed."""
    tx, now = act.tx, micros(act.tenant.now())
    uuid, shape = _shape(tx, held)
    said = _of_ours(tx, held, news.body, uuid, shape)
    bodies = [{**read(body), **_head(said)} for body in reading.said(tx, held.resource, held.level, held.version)]
    given = agreed(as_made(bodies, _made(tx, held, said), made_there=held.made_there), said, {})
    if given is None:
        return Nothing()
    every, this = cursors.within_the_hour(tx, held.target, held.resource, news.digest, now)
    if every >= MOST_IN_AN_HOUR and this:
        outcome: Accepted = Unfit((("", f"is an echo loop: {every} changes came in within the hour, this one {this} times"),))
    else:
        outcome = accept(act, Heard(held.resource, said, _as_listed(shape, given, said, bodies[0]), held.level))
    _keep(act, held, news, Said(given, bodies[0], said), outcome)
    return outcome


def _made(tx: Connection, held: Copy, said: Json) -> Json:
    """What the EHR made of elements that it did not take as they were sent, with our ids."""
    return in_our_ids(tx, held.target, {**read(held.made), "resourceType": said["resourceType"]}) if held.made else {}


def _keep(act: Act, held: Copy, news: News, said: Said, outcome: Accepted) -> None:
    tx, now = act.tx, micros(act.tenant.now())
    given, ours, theirs = dict(said.given), said.ours, said.theirs
    seen = reading.renderings(tx, [held.resource], held.level).get(held.resource)
    agrees = seen is not None and bool(seen.body) and keeps(theirs, {name: value for name, value in read(seen.body).items() if name not in APART})
    version = seen.version if seen is not None and agrees else held.version
    noted = replace(held, version=version, remote_version=news.version or held.remote_version, seen_hash=news.digest, sent_hash=b"")
    copies.hold(tx, [replace(noted, made=None) if agrees else noted], now)
    if held.vanished:
        conflicts.moot(tx, held.target, [held.resource], now)  # it is there again
    match outcome:
        case Taken():
            cursors.note(tx, held.target, held.resource, news.digest, now)
            stored = outcome.published.stored
            audit.record(tx, [audit.Event(now, act.client, "accept", f"{stored.kind}/{stored.id}", 200, patient=stored.patient, level=held.level)])
        case Clash():
            elements = merge(given, ours, theirs, {}).conflicts or _differing(ours, theirs)
            conflicts.note(tx, held.target, Sides(held.resource, elements, given, ours, theirs, news.version), now)
        case Unfit(problems):
            sides = Sides(held.resource, _differing(ours, theirs), given, ours, theirs, news.version, problems=conflicts.problems(problems))
            conflicts.note(tx, held.target, sides, now)
        case Nothing():
            pass


def _differing(ours: Json, theirs: Json) -> tuple[str, ...]:
    return tuple(name for name in dict.fromkeys([*ours, *theirs]) if name not in APART and not keeps(theirs.get(name), ours.get(name)))


def translated(connection: Connection, held: Copy, theirs: Json) -> Json:
    """A resource of the EHR with our ids, its own and of all that it refers to as far as we know it; without what it lists of its own among ours."""
    return _of_ours(connection, held, theirs, *_shape(connection, held))


def _shape(connection: Connection, held: Copy) -> tuple[bytes, Resource | None]:
    """The id of the resource of which there is a copy, and what it is; None for a finding."""
    [(uuid, kind, _, role, _)] = resources.keys(connection, nums=[held.resource])
    return uuid, KINDS[kind].shape(role)


def _of_ours(connection: Connection, held: Copy, theirs: Json, uuid: bytes, shape: Resource | None) -> Json:
    said = in_our_ids(connection, held.target, theirs)
    return {**(said if shape is None else children.without_strangers(shape, said, _ours(connection, said))), "id": text_of(uuid)}


def in_our_ids(connection: Connection, target: str, theirs: Json, base: str | None = None) -> Json:
    """A resource of the EHR with our ids of all that it refers to, as far as we know it. A URL leads to the EHR's own where it is below `base`."""
    there = copies.there(connection, target, ids_in(theirs))
    known = {f"{type_}/{copy.remote_id}": f"{type_}/{text_of(uuid)}" for copy, type_, uuid, _ in there}
    return {**rewritten(theirs, lambda value: _in_our_ids(value, known, base))}


def _ours(connection: Connection, said: Json) -> set[str]:
    """The references (Type/id) in a resource with our ids that lead to what is ours."""
    led = {reference: reference.rpartition("/")[2] for _, one, _ in references_in(said) if (reference := reference_of(one))}
    uuids = {id_: uuid_of(id_) for id_ in led.values() if UUID.fullmatch(id_)}
    known = reading.numbers(connection, uuids.values())
    return {reference for reference, id_ in led.items() if uuids.get(id_) in known}


def _as_listed(shape: Resource | None, given: Mapping[str, Any], said: Json, ours: Json) -> Json:
    """What the EHR was given, with what it lists of ours just as we list it now: that is no change."""
    names = children.listing(shape) & said.keys() & ours.keys() if shape is not None else ()
    agree = [name for name in names if isinstance(said[name], list) and keeps(said[name], ours[name]) and len(said[name]) == len(ours[name])]
    return {**given, **{name: said[name] for name in agree}}


def _in_our_ids(value: Json, known: Mapping[str, str], base: str | None) -> Json | None:
    """A reference with our id, whether it was by the EHR's or by our identifier; None for what is no reference."""
    said, identifier = value.get("reference"), value.get("identifier")
    if isinstance(said, str):
        elsewhere = base is not None and "://" in said and not said.startswith(f"{base.rstrip('/')}/")
        return {**value, "reference": said if elsewhere else known.get(local(said), said)}
    if isinstance(identifier, dict) and value.keys() <= {"type", "identifier", "display"} and identifier.get("system") == system_of(str(value.get("type"))):
        rest = {name: one for name, one in value.items() if name not in ("type", "identifier")}
        return {"reference": f"{value['type']}/{identifier.get('value')}", **rest}
    return None


def _head(said: Json) -> Json:
    return {"resourceType": said["resourceType"], "id": said["id"]}
