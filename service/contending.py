"""Conflicts as people see and settle them: element by element what both last agreed on, what we say, and what the EHR says."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from service.accepting import Heard, Unfit, accept
from service.errors import Conflict, NotFound, Unprocessable
from service.exchange import Act
from service.incoming import translated
from service.renderings import instant, text_of
from service.store import conflicts, copies, deliveries, outbox, reading
from service.store.conflicts import OPEN, OURS, THEIRS, Problem
from service.store.copies import DECIDED
from service.wire import encode, read

KEPT = (OURS, THEIRS)


def described(found: conflicts.Conflict, *, words: bool) -> dict[str, Any]:
    """A conflict as JSON. `words` are what both sides say, and why theirs is not to be taken, for who sees all of the patient."""
    sides = found.sides

    def element(name: str) -> dict[str, Any]:
        values = {"base": sides.base.get(name), "ours": sides.ours.get(name), "theirs": sides.theirs.get(name)} if words else {}
        return {"element": f"{found.type}.{name}", **values}

    said: dict[str, Any] = {
        "id": found.num, "ehr": found.ehr, "state": found.state, "at": instant(found.at), "settledAt": instant(found.settled_at) if found.settled_at else None,
        "resource": {"type": found.type, "id": text_of(found.uuid)}, "entity": {"kind": found.kind, "id": found.entity}, "delivery": sides.delivery,
        "elements": [element(name) for name in sides.elements],
        "problems": pathed(found, sides.problems) if words and sides.problems else None,
    }  # fmt: skip
    return {name: value for name, value in said.items() if value is not None}


def pathed(found: conflicts.Conflict, problems: Sequence[Problem]) -> list[dict[str, str]]:
    return [{"path": one.path or found.type, "problem": one.told} for one in problems]


def settle(act: Act, num: int, keep: str, now: int) -> tuple[Problem, ...]:
    """Settles a conflict: `ours` is sent in the place of what the EHR holds now; `theirs` stands there, and is taken here as far as it can be.

    Returns the problems, by path, for which theirs is not taken. Raises NotFound, Conflict where it is settled already, and Unprocessable.
    """
    tx = act.tx
    if wrong := wrong_choice(keep):
        raise Unprocessable(problems=wrong)
    found = conflicts.one(tx, num)
    if found is None:
        raise NotFound(f"There is no conflict {num}")
    resource = found.sides.resource
    problems = _taken(act, found) if keep == THEIRS and found.state == OPEN else ()
    copies.lock(tx, found.ehr, [resource])
    [key] = reading.stream_keys(tx, [resource]).values()
    streams = outbox.touch(tx, found.ehr, [key], now)
    if not conflicts.close(tx, num, keep, now):
        raise Conflict(f"Conflict {num} is {found.state if found.state != OPEN else 'settled'} already")
    held = copies.held(tx, found.ehr, [resource]).get(resource)
    assert held is not None, "a conflict is about what an EHR holds"
    if keep == OURS and held.vanished:
        copies.forget_vanished(tx, found.ehr, [resource])
        outbox.owe(tx, found.ehr, {resource: streams[key]}, now, reason="To be there again")
        return ()
    if keep == OURS:
        copies.hold(tx, [replace(held, seen_hash=DECIDED + (held.seen_hash or b""), sent_hash=b"")], now)
        outbox.owe(tx, found.ehr, {resource: streams[key]}, now, reason="Ours is kept")
        return ()
    if held.vanished:
        return problems
    made = read(held.made) if held.made else {}
    agreed = {name: found.sides.ours.get(name) for name in found.sides.elements}  # as if we had said just this before: theirs is a change of their own then
    copies.hold(tx, [replace(held, sent_hash=b"", made=encode({**made, **agreed}))], now)  # what was seen of theirs is known, and no news
    if found.sides.delivery is not None:
        deliveries.cancel(tx, [found.sides.delivery], now)
    outbox.owe(tx, found.ehr, {resource: streams[key]}, now, reason="Theirs is kept")  # for what else we changed
    return problems


def wrong_choice(keep: Any) -> list[tuple[str, str]]:
    """What is wrong with what is to be kept, as it came."""
    return [] if keep in KEPT else [("/keep", f"should be {' or '.join(KEPT)}")]


def _taken(act: Act, found: conflicts.Conflict) -> tuple[Problem, ...]:
    """Takes what the EHR says into the record, in the place of what we say. Returns the problems for which it is not."""
    sides = found.sides
    if not sides.theirs:
        return sides.problems
    [held] = copies.held(act.tx, found.ehr, [sides.resource]).values()
    head = {"resourceType": found.type, "id": text_of(found.uuid)}
    outcome = accept(act, Heard(sides.resource, {**translated(act.tx, held, sides.theirs), **head}, {**sides.base, **head}, held.level), over=True)
    return conflicts.problems(outcome.problems) if isinstance(outcome, Unfit) else ()
