"""Conflicts: a resource that both we and an EHR changed, in elements in which not both can be right. A person settles each.

`base` is what both last agreed on, `ours` and `theirs` what each says now; all three hold what the EHR may see of the resource.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from sqlalchemy import Connection, Select, insert, select, update

from service.store.sql import chunks, marks, padded, run
from service.store.tables import conflict, entity, resource
from service.wire import encode, read

STATES = (OPEN, OURS, THEIRS, MOOT, REPLACED) = ("open", "ours", "theirs", "moot", "replaced")
Json = dict[str, Any]


class Problem(NamedTuple):
    """Why something cannot be taken, whoever is right: of the resource, or of what the EHR made itself (Type/id there) as a part of it."""

    path: str
    words: str
    part: str | None = None

    @property
    def told(self) -> str:
        """The words, and of which part they are."""
        return f"{self.words} (in {self.part}, made at the EHR)" if self.part else self.words


def problems(found: Iterable[tuple[str, str]], part: str | None = None) -> tuple[Problem, ...]:
    """What (path, words) say, of a part where one is named."""
    return tuple(Problem(path, words, part) for path, words in found)


@dataclass(frozen=True)
class Sides:
    """What is in conflict, before it is kept. `delivery` is the one that could not be made; none where the change came in."""

    resource: int
    elements: tuple[str, ...]
    base: Json
    ours: Json
    theirs: Json
    remote_version: str | None
    delivery: int | None = None
    problems: tuple[Problem, ...] = ()

    @property
    def of_parts(self) -> tuple[Problem, ...]:
        return tuple(one for one in self.problems if one.part is not None)


@dataclass(frozen=True)
class Conflict:
    num: int
    ehr: str
    state: str
    at: int
    settled_at: int | None
    type: str
    uuid: bytes
    kind: str
    entity: str
    patient: int | None
    sides: Sides


@dataclass(frozen=True)
class Filter:
    """Which conflicts: with an EHR, in states, about a type or a patient (number). The newest first, after `before`."""

    ehr: str | None = None
    states: tuple[str, ...] = ()
    type: str | None = None
    patient: int | None = None
    before: int | None = None
    limit: int = 100


FOR_A_PERSON = Filter(states=(OPEN,))


def note(tx: Connection, target: str, sides: Sides, now: int) -> None:
    """Keeps a conflict in the place of one about the same resource that is open still; what that says of parts of it holds on."""
    before = next(iter(_open(tx, target, [sides.resource])), None)
    if before is None:
        _keep(tx, target, sides, now)
    else:
        _replace(tx, before, replace(sides, problems=(*sides.problems, *before.sides.of_parts)), now)


def _replace(tx: Connection, before: Conflict, sides: Sides, now: int) -> None:
    close(tx, before.num, REPLACED, now)
    _keep(tx, before.ehr, replace(sides, delivery=sides.delivery or before.sides.delivery), now)  # a delivery that it keeps from being sent ends with it


def _keep(tx: Connection, target: str, sides: Sides, now: int) -> None:
    tx.execute(insert(conflict).values(
        target=target, resource=sides.resource, delivery=sides.delivery, state=OPEN, at=now, elements=encode(list(sides.elements)).decode(),
        base=encode(sides.base), ours=encode(sides.ours), theirs=encode(sides.theirs), remote_version=sides.remote_version,
        problems=encode([list(one) for one in sides.problems]).decode() if sides.problems else None,
    ))  # fmt: skip


def tell(tx: Connection, target: str, sides: Sides, now: int) -> None:
    """Keeps the problems of a resource that were never told of it, beside what is in conflict in it already."""
    before = _of(tx, target, sides.resource)
    told = {problem for one in before for problem in one.sides.problems}
    fresh = tuple(problem for problem in sides.problems if problem not in told)
    there = next((one for one in before if one.state == OPEN), None)
    if fresh and there is not None:
        _replace(tx, there, replace(there.sides, problems=(*there.sides.problems, *fresh)), now)
    elif fresh:
        _keep(tx, target, replace(sides, problems=fresh), now)


def untell(tx: Connection, target: str, resource: int, part: str, now: int) -> None:
    """Takes back the problems of a part of a resource (Type/id there); where nothing else is in conflict, that is over."""
    for one in _open(tx, target, [resource]):
        _leave(tx, one, replace(one.sides, problems=tuple(problem for problem in one.sides.problems if problem.part != part)), now)


def _leave(tx: Connection, one: Conflict, sides: Sides, now: int) -> None:
    """Leaves of a conflict what is in conflict still; where that is nothing, it is over."""
    if not sides.problems and not sides.elements:
        close(tx, one.num, MOOT, now)
    elif (sides.problems, sides.elements) != (one.sides.problems, one.sides.elements):
        _replace(tx, one, sides, now)


def close(tx: Connection, num: int, state: str, now: int) -> bool:
    """Says how a conflict was settled. Returns whether it was open until now."""
    c = conflict.c
    return tx.execute(update(conflict).where(c.num == num, c.state == OPEN).values(state=state, settled_at=now)).rowcount == 1


def moot(tx: Connection, target: str, resources: list[int], now: int) -> None:
    """What the EHR holds at last is no conflict any more; what it made there as a part of that, and was not taken, is still."""
    for one in _open(tx, target, resources):
        _leave(tx, one, Sides(one.sides.resource, (), {}, {}, {}, one.sides.remote_version, problems=one.sides.of_parts), now)


def end(tx: Connection, target: str, now: int) -> None:
    """Nobody has to settle what a target and we say otherwise any more."""
    c = conflict.c
    tx.execute(update(conflict).where(c.target == target, c.state == OPEN).values(state=MOOT, settled_at=now))


def listed(connection: Connection, wanted: Filter = FOR_A_PERSON) -> list[Conflict]:
    c, r = conflict.c, resource.c
    query = _query().order_by(c.num.desc()).limit(wanted.limit)
    for column, value in ((c.target, wanted.ehr), (r.type, wanted.type), (r.patient, wanted.patient)):
        if value is not None:
            query = query.where(column == value)
    if wanted.states:
        query = query.where(c.state.in_(wanted.states))
    if wanted.before is not None:
        query = query.where(c.num < wanted.before)
    return [_conflict(row) for row in connection.execute(query)]


def one(connection: Connection, num: int) -> Conflict | None:
    row = connection.execute(_query().where(conflict.c.num == num)).one_or_none()
    return _conflict(row) if row is not None else None


def _open(connection: Connection, target: str, resources: list[int]) -> list[Conflict]:
    """Those of resources, at most one of each."""
    found = list[int]()
    for some in chunks(resources):
        chunk = padded(some)
        sql = f"SELECT num FROM conflict WHERE target = : AND resource IN ({marks(chunk)}) AND state = :"
        found += [num for (num,) in run(connection, sql, (target, *chunk, OPEN))]
    return [_conflict(row) for row in connection.execute(_query().where(conflict.c.num.in_(found)))] if found else []


def _of(connection: Connection, target: str, resource: int) -> list[Conflict]:
    """All that ever was about a resource."""
    query = _query().where(conflict.c.target == target, conflict.c.resource == resource)
    return [_conflict(row) for row in connection.execute(query)]


def _query() -> Select[Any]:
    c, r, e = conflict.c, resource.c, entity.c
    columns = (c.num, c.target, c.state, c.at, c.settled_at, c.resource, c.delivery, c.elements, c.base, c.ours, c.theirs, c.remote_version, c.problems)
    return select(*columns, r.type, r.uuid, r.patient, e.kind, e.id).join(resource, r.num == c.resource).join(entity, e.num == r.owner)


def _conflict(row: Any) -> Conflict:
    problems = tuple(Problem(*one) for one in read(row.problems.encode())) if row.problems else ()
    bodies = read(row.base), read(row.ours), read(row.theirs)
    sides = Sides(row.resource, tuple(read(row.elements.encode())), *bodies, row.remote_version, row.delivery, problems)
    return Conflict(row.num, row.target, row.state, row.at, row.settled_at, row.type, bytes(row.uuid), row.kind, row.id, row.patient, sides)
