"""Generated records that fit together: what they refer to is there, of the same patient."""

import random
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from mappings import KINDS, model
from mappings.kind import Kind
from mappings.schema import load
from service.wire import decode, encode
from tests.conftest import examples
from tests.generate import Maker

Known = dict[str, list[Any]]  # kind -> entities that may be referred to
DROPPED = object()


def known_examples() -> Known:
    """The example pathway as entities, by kind."""
    found: Known = {}
    kinds = {kind.plural: kind for kind in KINDS.values()}
    for plural, _, entity in examples():
        found.setdefault(kinds[plural].name, []).append(load(kinds[plural], decode(encode(entity))))
    return found


def fitted(it: Any, known: Known, rng: random.Random) -> Any:
    """The entity with every reference to something known of its patient; what it cannot refer to is left out."""
    patients = [one.id for one in known["patient"]]
    if getattr(it, "patient_id", None) is not None and it.patient_id not in patients:
        it = replace(it, patient_id=rng.choice(patients))
    it = _fitted(it, it, known, rng, via=False)
    return _fitted(it, it, known, rng, via=True)


def _fitted(it: Any, root: Any, known: Known, rng: random.Random, *, via: bool) -> Any:
    changes: dict[str, Any] = {}
    for field in model.fields_of(type(it)):
        value, to = getattr(it, field.name), field.note(model.To)
        if value is None or value == ():
            continue
        if field.group is not None:
            parts = [_fitted(part, root, known, rng, via=via) for part in (value if field.many else [value])]
            parts = [part for part in parts if part is not DROPPED]
            changes[field.name] = tuple(parts) if field.many else parts[0] if parts else None
        elif to is not None and (to.items is None or to.via is not None) and via == (to.via is not None):
            there = sorted(_there(to, root, known))
            if field.many:
                changes[field.name] = tuple(dict.fromkeys(one if one in there else rng.choice(there) for one in value)) if there else ()
            elif value not in there:
                changes[field.name] = rng.choice(there) if there else None
                if not there and field.required:
                    return DROPPED
    return replace(it, **changes)


def _there(to: model.To, root: Any, known: Known) -> Iterator[str]:
    patient = getattr(root, "patient_id", None)
    mine = [one for one in known.get(to.kind, []) if getattr(one, "patient_id", patient) == patient or to.kind in ("practitioner", "clinic", "patient")]
    if to.items is None:
        yield from (one.id for one in mine)
        return
    owner = model_value(root, str(to.via))
    yield from (item.id for one in mine if one.id == owner for item in getattr(one, to.items))


def model_value(it: Any, path: str) -> Any:
    for name in path.split("."):
        it = None if it is None else getattr(it, name)
    return it


def made(kind: Kind, seed: int, known: Known, *, density: float = 0.8, **given: Any) -> Any:
    """A generated entity of a kind that can be published beside what is known."""
    rng = random.Random(seed)
    for attempt in range(20):
        it = fitted(Maker(seed * 1000 + attempt, density).entity(kind), known, rng)
        it = replace(it, **given)
        if it is not DROPPED and not list(kind.check(it)):
            return it
    raise AssertionError(f"no {kind.name} can be made of seed {seed}")


def world(seed: int, each: int = 3, *, patients: int = 2) -> list[tuple[Kind, Any]]:
    """Generated records of every kind, in an order in which nothing refers to what comes later."""
    known: Known = {}
    found = []
    for kind in KINDS.values():
        for n in range(patients if kind.name == "patient" else each):
            if kind.name == "practitioner" and not n:
                known["practitioner"] = [made(kind, seed, {"practitioner": [], "patient": []}, id="p0", recorded_by=None)]
                it = known["practitioner"][0]
            else:
                known.setdefault("patient", [])
                it = made(kind, seed + 7 * n, known, id=f"{kind.name[0]}{n}")
                known.setdefault(kind.name, []).append(it)
            found.append((kind, it))
    return found


def body(it: Any) -> bytes:
    return encode(model.document_of(it))
