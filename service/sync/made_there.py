"""What an EHR made itself and made a part of ours: found by what a copy of ours lists, or by what it refers to of ours.

Only the EHR itself is asked, by type and id: a URL that a resource says is not followed.
"""

import re
from collections.abc import Iterable, Iterator
from typing import Any

from sqlalchemy import Connection

from mappings.children import LISTED, TYPES, VISIT
from mappings.references import WHOSE, references_in
from service.accepting import Accepted, Taken, Unfit
from service.adopting import Child, adopt, is_ours
from service.exchange import Act
from service.incoming import News
from service.store import conflicts, copies
from service.store.clock import micros
from service.store.conflicts import Sides
from service.store.copies import Copy
from service.store.targets import Target
from service.sync.comparing import Unread
from service.sync.deliver import PEOPLE
from service.sync.looking import Looking
from service.sync.outcomes import id_of, version_in
from service.sync.targets.rest import seen_hash
from service.wiring import Service

Json = dict[str, Any]
LED = re.compile(r"([A-Z][A-Za-z]+)/([A-Za-z0-9.-]{1,64})(?:/_history/[^/]+)?")
MOST_TOLD = 1000


def listed(service: Service, target: Target, looking: Looking, parent: Copy, theirs: Json) -> list[Child] | None:
    """What a copy of ours lists that is none of ours; None where some of it is not read, and is to be looked at again."""
    type_ = theirs.get("resourceType")
    wanted = {
        led for name, value in theirs.items() if isinstance(value, list)
        for _, reference, _ in references_in({"resourceType": type_, name: value})
        if (led := _led(target, reference)) is not None and (type_, name, led[0]) in LISTED
    }  # fmt: skip
    found = list[Child]()
    for type_, id_ in sorted(wanted - _held(service, target, wanted).keys()):
        body = looking.read(type_, id_)
        if isinstance(body, Unread):
            return None
        if isinstance(body, dict) and body.get("id") == id_:
            found.append(_child(target, parent, body, listed=True))
    return found


def referring(service: Service, target: Target, strangers: Iterable[Json]) -> Iterator[Child]:
    """Those of an EHR's own resources that refer to a copy of ours, or are told as not taken since one listed them, each with that."""
    led = [(one, _refers(target, one)) for one in strangers if one.get("resourceType") in TYPES and id_of(one) and not is_ours(one)]
    known = _held(service, target, {to for _, found in led for to in found})
    others = _not_taken(service, target) if led else {}
    for one, found in led:
        its, told = next((known[to] for to in found if to in known), None), others.get(f"{one['resourceType']}/{one['id']}")
        if parent := its or told:
            yield _child(target, parent, one, listed=told is not None)


def take(service: Service, child: Child) -> Accepted | None:
    """Takes a child into the record that it belongs to; what cannot be taken is told, once, of the copy that it was made a part of."""
    target, now = child.target.id, micros(service.tenant.now())

    def work(tx: Connection) -> Accepted | None:
        outcome = adopt(Act(service.tenant, tx, f"target:{target}"), child)
        match outcome:
            case Unfit(problems):
                told = conflicts.problems(problems, child.name)
                conflicts.tell(tx, target, Sides(child.parent.resource, (), {}, {}, {}, child.parent.remote_version, problems=told), now)
            case Taken():
                conflicts.untell(tx, target, child.parent.resource, child.name, now)
        return outcome

    return service.database.write(work)


def _not_taken(service: Service, target: Target) -> dict[str, Copy]:
    """What could not be taken (Type/id), as far as that is told still, with the copy of which it is."""
    with service.database.reading() as connection:
        told = conflicts.listed(connection, conflicts.Filter(ehr=target.id, states=(conflicts.OPEN,), limit=MOST_TOLD))
        names = {problem.part: one.sides.resource for one in told for problem in one.sides.problems if problem.part is not None}
        held = copies.held(connection, target.id, names.values())
    return {name: held[num] for name, num in names.items() if num in held}


def _child(target: Target, parent: Copy, body: Json, *, listed: bool) -> Child:
    return Child(target, parent, News(body, version_in(body), seen_hash(body)), listed)


def _held(service: Service, target: Target, wanted: Iterable[tuple[str, str]]) -> dict[tuple[str, str], Copy]:
    """Of these (type, id) at an EHR, those that are copies of ours."""
    ids = {id_ for _, id_ in wanted}
    if not ids:
        return {}
    with service.database.glance() as connection:
        return {(type_, str(copy.remote_id)): copy for copy, type_, _, _ in copies.there(connection, target.id, ids)}


def _refers(target: Target, body: Json) -> list[tuple[str, str]]:
    """(type, id) of what a resource refers to beside people and places, the visit first: that says more of where it belongs than all else."""
    names = sorted((name for name in body if name not in WHOSE), key=lambda name: name not in VISIT)
    references = [one for name in names for _, one, _ in references_in({"resourceType": body["resourceType"], name: body[name]})]
    return [led for one in references if (led := _led(target, one)) is not None and led[0] not in PEOPLE]


def _led(target: Target, reference: Json) -> tuple[str, str] | None:
    """The type and id at the EHR to which a reference leads, if it does."""
    said = reference.get("reference")
    found = LED.fullmatch(said.removeprefix(f"{target.base_url.rstrip('/')}/")) if isinstance(said, str) else None
    return (found[1], found[2]) if found is not None else None
