"""Two changes of one resource, ours and the EHR's, since both last agreed: pure.

Element by element, as the resource has them: what one side alone changed is as that side has it; what both changed in the same
way is so; what both changed differently is a conflict, which a person settles. What an EHR adds to what we said is no change.
Whose a resource is follows from how the patient is linked: where an EHR says another patient, that is a person's to settle too.
References are compared by what they mean: the EHR's own id for a resource, and our identifier of it, are one.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mappings.children import alike
from mappings.element import keeps
from mappings.parts import system_of
from mappings.references import WHOSE, local, rewritten

Json = dict[str, Any]
APART = frozenset({"resourceType", "id", "meta", "text", "implicitRules"})
OURS = re.compile(r"([A-Z][A-Za-z]+)/([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})")


class First(dict[str, Any]):
    """What we said first of a resource that the EHR made itself: of that it holds what it says itself."""


@dataclass(frozen=True)
class Merge:
    """What both sides together say. `kept` are the elements in which the EHR's change stands, `conflicts` those in which none can."""

    body: Json
    kept: tuple[str, ...]
    conflicts: tuple[str, ...]


def merge(base: Mapping[str, Any], ours: Mapping[str, Any], theirs: Mapping[str, Any], known: Mapping[str, Json]) -> Merge:
    """`base` is what both last agreed on; `known` is, for a reference by the EHR's id (Type/id), the same by our identifier."""
    body: Json = {}
    kept, conflicts = [], []
    for name in dict.fromkeys([*ours, *theirs]):
        if name in APART:
            continue
        mine, other = ours.get(name), theirs.get(name)
        before, now, there = (meant(side.get(name), known) for side in (base, ours, theirs))
        if keeps(there, before):  # they left it as it was, or added to it
            value = (other if keeps(other, mine) else mine) if before == now else _with_what_is_new(mine, now, before, there, other)
        elif keeps(there, now) or (before == now and name not in WHOSE):
            value = other
            kept += [] if keeps(there, now) else [name]
        elif _has_come_in(before, now, there):
            value = _with_what_is_new(mine, now, before, there, other)
        else:
            value = mine
            conflicts.append(name)
        if value is not None:
            body[name] = value
    said = {name: ours[name] for name in ("resourceType", "meta", "text") if name in ours and not (name == "text" and kept)}
    return Merge({**said, **body}, tuple(kept), tuple(conflicts))


def insisted(found: Merge, ours: Mapping[str, Any], known: Mapping[str, Json]) -> Merge:
    """A merge in which a person has decided for ours: whatever we say stands, beside what the EHR has of its own."""
    mine = {name: value for name, value in ours.items() if name not in APART and not keeps(meant(found.body.get(name), known), meant(value, known))}
    return Merge({**found.body, **mine}, tuple(name for name in found.kept if name not in mine), ())


def _has_come_in(before: Any, now: Any, there: Any) -> bool:
    """Whether our list is theirs with what we added to it: what they changed in it we have taken already."""
    if not (isinstance(before, list) and isinstance(now, list) and isinstance(there, list)):
        return False
    ours = [any(keeps(one, item) for one in there) for item in now]
    return all(any(keeps(one, item) for item in now) for one in there) and all(theirs or item not in before for theirs, item in zip(ours, now, strict=True))


def _with_what_is_new(mine: Any, now: Any, before: Any, there: Any, other: Any) -> Any:
    """What we say now, with what they added to what we said before (`now` and `there` as it is meant, `mine` and `other` as it is written)."""
    if isinstance(mine, list) and isinstance(before, list) and isinstance(there, list):
        return _items_with_what_is_new(list(zip(mine, now, strict=True)), before, list(zip(other, there, strict=True)))
    if isinstance(mine, dict) and isinstance(now, dict) and isinstance(before, dict) and isinstance(there, dict) and "reference" not in other:
        inside = {name: _with_what_is_new(value, now.get(name), before.get(name), there.get(name), other.get(name)) for name, value in mine.items()}
        return {**inside, **{name: value for name, value in other.items() if name not in mine and name not in before}}
    return mine


def _items_with_what_is_new(ours: list[tuple[Any, Any]], before: list[Any], theirs: list[tuple[Any, Any]]) -> list[Any]:
    """Our items in our order, each with what they added to it; then theirs. Both are (as it is written, as it is meant)."""
    left, items = list(theirs), []
    for mine, now in ours:
        found = next((one for one in left if one[1] == now), None) or next((one for one in left if keeps(one[1], now)), None)
        items.append(mine if found is None else found[0])
        if found is not None:
            left.remove(found)
    return items + [other for other, there in left if not any(keeps(there, one) for one in before)]


def made_of(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> Json:
    """What an EHR made of elements that we sent and that it does not hold so: its own, or None for what it left out."""
    return {name: theirs.get(name) for name, value in ours.items() if name not in APART and not keeps(theirs.get(name), value)}


def as_made(earlier: Sequence[Json], made: Mapping[str, Any], *, made_there: bool = False) -> list[Json]:
    """What we said (the newest first), as the EHR would have made it: the oldest is what it made `made` of, and so of what is the same since.

    With `made_there` the oldest is what we said first of a resource that the EHR made itself.
    """
    if made_there and earlier:
        return [*earlier[:-1], First(earlier[-1])]
    if not made or not earlier:
        return list(earlier)
    sent, found = earlier[-1], list[Json]()
    for one in earlier:
        alike_ = {name: value for name, value in made.items() if one.get(name) == sent.get(name)}
        found.append({name: value for name, value in {**one, **alike_}.items() if value is not None})
    return found


def agreed(earlier: Sequence[Mapping[str, Any]], theirs: Mapping[str, Any], known: Mapping[str, Json]) -> Mapping[str, Any] | None:
    """Which of what we said before (the newest first) the EHR still holds, else the oldest; None where we never said anything.

    Of several that it holds all of, it is the one that says most: what we took away since is there still, and was not added there.
    Of what it made itself, the oldest is what we took from it.
    """
    there = meant(dict(theirs), known)
    held = [(one, as_meant) for one in earlier if keeps(there, as_meant := _said(one, known))]
    if held:
        most = held[0]
        for one in held[1:]:
            most = one if keeps(one[1], most[1]) and not keeps(most[1], one[1]) else most
        return most[0]
    last = earlier[-1] if earlier else None
    if not isinstance(last, First):
        return last
    return {name: _of_theirs(value, theirs[name], known) for name, value in last.items() if name in theirs}


def still(said: Mapping[str, Any], theirs: Mapping[str, Any], known: Mapping[str, Json]) -> bool:
    """Whether an EHR holds all of what we said once, and perhaps more."""
    return keeps(meant(dict(theirs), known), _said(said, known))


def _said(one: Mapping[str, Any], known: Mapping[str, Json]) -> Json:
    return {name: value for name, value in meant(dict(one), known).items() if name not in APART}


def _of_theirs(ours: Any, theirs: Any, known: Mapping[str, Json]) -> Any:
    """What we say without all that they do not: an element that they have, and of a list what they have too."""
    if isinstance(ours, dict) and isinstance(theirs, dict) and "reference" not in ours:
        return {name: _of_theirs(value, theirs[name], known) for name, value in ours.items() if name in theirs}
    if isinstance(ours, list) and isinstance(theirs, list):
        return [one for one in ours if any(keeps(meant(other, known), meant(one, known)) for other in theirs)]
    return theirs if alike(ours, theirs) else ours


def meant(value: Any, known: Mapping[str, Json]) -> Any:
    """A value with each reference to one of ours by our identifier, however it was written."""
    return rewritten(value, lambda one: _by_identifier(one, known))


def _by_identifier(value: Json, known: Mapping[str, Json]) -> Json | None:
    said = value.get("reference")
    if isinstance(said, str):
        rest = {name: one for name, one in value.items() if name not in ("reference", "display", "type", "identifier")}
        ours = OURS.fullmatch(said)
        if (found := known.get(local(said))) is not None:
            return {**rest, "identifier": found}
        if ours is not None:
            return {**rest, "identifier": {"system": system_of(ours[1]), "value": ours[2]}}
        return {**rest, "reference": said}
    if "identifier" in value and value.keys() <= {"type", "identifier", "display"}:
        return {"identifier": value["identifier"]}
    return None
