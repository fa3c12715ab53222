"""Conflicts as people see and settle them: element by element what both last agreed on, what we say, and what the EHR says."""

from dataclasses import replace
from typing import Any

from sqlalchemy import Connection

from service.errors import Conflict, NotFound, Unprocessable
from service.renderings import instant, text_of
from service.store import conflicts, copies, deliveries, outbox, reading
from service.store.conflicts import OPEN, OURS, THEIRS

KEPT = (OURS, THEIRS)
SETTLED = b"settled"  # what the EHR holds is known and is to be replaced, whatever was sent last


def described(found: conflicts.Conflict, *, words: bool) -> dict[str, Any]:
    """A conflict as JSON. `words` are what both sides say, for who sees all of the patient."""
    sides = found.sides

    def element(name: str) -> dict[str, Any]:
        values = {"base": sides.base.get(name), "ours": sides.ours.get(name), "theirs": sides.theirs.get(name)} if words else {}
        return {"element": f"{found.type}.{name}", **values}

    said: dict[str, Any] = {
        "id": found.num, "ehr": found.ehr, "state": found.state, "at": instant(found.at), "settledAt": instant(found.settled_at) if found.settled_at else None,
        "resource": {"type": found.type, "id": text_of(found.uuid)}, "entity": {"kind": found.kind, "id": found.entity}, "delivery": sides.delivery,
        "elements": [element(name) for name in sides.elements],
    }  # fmt: skip
    return {name: value for name, value in said.items() if value is not None}


def settle(tx: Connection, num: int, keep: str, now: int) -> None:
    """Settles a conflict: `ours` is sent in the place of what the EHR holds now, `theirs` stands there until we change the same again.

    Raises NotFound, Conflict where it is settled already, and Unprocessable.
    """
    if keep not in KEPT:
        raise Unprocessable(problems=[("/keep", f"should be {' or '.join(KEPT)}")])
    found = conflicts.one(tx, num)
    if found is None:
        raise NotFound(f"There is no conflict {num}")
    resource = found.sides.resource
    copies.lock(tx, found.ehr, [resource])
    [key] = reading.stream_keys(tx, [resource]).values()
    streams = outbox.touch(tx, found.ehr, [key], now)
    if not conflicts.close(tx, num, keep, now):
        raise Conflict(f"Conflict {num} is {found.state if found.state != OPEN else 'settled'} already")
    held = copies.held(tx, found.ehr, [resource]).get(resource)
    assert held is not None, "a conflict is about what an EHR holds"
    if keep == OURS:
        copies.hold(tx, [replace(held, remote_version=found.sides.remote_version, seen_hash=None, sent_hash=SETTLED)], now)
        outbox.owe(tx, found.ehr, {resource: streams[key]}, now, reason="Ours is kept")
        return
    seen = reading.renderings(tx, [resource], held.level).get(resource)
    version = seen.version if seen is not None else held.version
    copies.hold(tx, [replace(held, remote_version=found.sides.remote_version, seen_hash=None, sent_hash=b"", version=version)], now)
    if found.sides.delivery is not None:
        deliveries.cancel(tx, [found.sides.delivery], now)
