"""Renderings of resources: what readers of each level see, version by version.

A view's version, time and history move only when what that view sees changes. Rows carry a range of levels, so that views that
are alike and always were are one row; when one of them changes, the row is split and the others keep their version.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from hashlib import blake2b
from typing import Any

from sqlalchemy import Connection, bindparam, select, update

from service.store.sql import chunks, insert_many
from service.store.tables import FOREVER, THERE, entity, rendering, resource

LEVELS = (0, 1, 2, 3)
Key = tuple[str, int, Any, int]  # of the search index: table, parameter, value, other
FoundBy = frozenset[tuple[Key, int, int]]  # with the range of levels that find a resource by it


@dataclass(frozen=True)
class Content:
    """What one view sees of a resource, without the version and time that the store gives it."""

    state: int
    body: bytes  # JSON object without resourceType, id and meta

    @cached_property
    def digest(self) -> bytes:
        return blake2b(self.body, digest_size=16, person=bytes([self.state])).digest()


@dataclass(frozen=True)
class Yielded:
    """A resource that an entity yields now, at each level at which it exists."""

    uuid: bytes
    type: str
    role: str
    item: str | None
    views: Mapping[int, Content]
    found_by: FoundBy = frozenset()  # all but the time of its commit


@dataclass(frozen=True)
class Row:
    """A current rendering."""

    num: int
    lo: int
    hi: int
    version: str
    at: int
    state: int
    digest: bytes
    body: bytes
    from_seq: int


@dataclass
class Known:
    """A resource that is stored, with its current renderings."""

    num: int
    uuid: bytes
    type: str
    role: str
    item: str | None
    rows: list[Row]

    def at(self, level: int) -> Row | None:
        return next((row for row in self.rows if row.lo <= level <= row.hi), None)


@dataclass(frozen=True)
class Change:
    """What became of one resource: rows that ended, rows that began, and the levels whose view changed."""

    known: Known
    ended: list[Row]
    begun: list[Row]
    levels: frozenset[int]
    wanted: Yielded | None = None


Tombstone = Callable[[str, bytes], Content]
Token = Callable[[bytes, str, bytes], str]
Render = Callable[[str, bytes, str, int, Content], bytes]  # of a type and id, at a version and time


def known_of(tx: Connection, owner: int) -> dict[bytes, Known]:
    """The resources of an entity and their current renderings, those that are deleted among them."""
    r, g = resource.c, rendering.c
    found: dict[bytes, Known] = {}
    rows = tx.execute(
        select(r.num, r.uuid, r.type, r.role, r.item, g.lo, g.hi, g.version, g.at, g.state, g.digest, g.body, g.from_seq)
        .join(rendering, g.resource == r.num).where(r.owner == owner, g.to_seq == FOREVER)
    )  # fmt: skip
    for row in rows:
        known = found.setdefault(row.uuid, Known(row.num, row.uuid, row.type, row.role, row.item, []))
        known.rows.append(Row(row.num, row.lo, row.hi, row.version, row.at, row.state, row.digest, row.body, row.from_seq))
    return found


def keys(connection: Connection, *, nums: Iterable[int] = (), uuids: Iterable[bytes] = ()) -> list[tuple[bytes, str, str, str, str | None]]:
    """(uuid, kind, entity's key, role, item) of resources: what each id stands for."""
    r, e = resource.c, entity.c
    query = select(r.uuid, e.kind, e.id, r.role, r.item).join(entity, e.num == r.owner)
    wheres = [r.num.in_(some) for some in chunks(sorted(set(nums)))] + [r.uuid.in_(some) for some in chunks(sorted(set(uuids)))]
    return [(bytes(row.uuid), row.kind, row.id, row.role, row.item) for where in wheres for row in connection.execute(query.where(where))]


def plan(known: Known | None, wanted: Yielded | None, uuid: bytes, tombstone: Tombstone, token: Token) -> list[tuple[frozenset[int], Content, str]]:
    """(levels, content, version) of every new rendering that a resource needs so that each level sees what is wanted."""
    fresh: dict[tuple[bytes, str], tuple[set[int], Content]] = {}
    for level in LEVELS:
        now, want = known.at(level) if known else None, wanted.views.get(level) if wanted else None
        if want is None:
            if now is None or now.state != THERE:
                continue
            assert known is not None
            want = tombstone(known.type, now.body)
        elif now is not None and now.digest == want.digest:
            continue
        version = token(uuid, now.version if now else "", want.digest)
        fresh.setdefault((want.digest, version), (set(), want))[0].add(level)
    return [(frozenset(levels), content, version) for (_, version), (levels, content) in fresh.items()]


def runs(levels: Iterable[int]) -> list[tuple[int, int]]:
    """Levels as ranges: {0, 1, 3} is (0, 1), (3, 3)."""
    found: list[tuple[int, int]] = []
    for level in sorted(levels):
        if found and found[-1][1] == level - 1:
            found[-1] = (found[-1][0], level)
        else:
            found.append((level, level))
    return found


def changed(known: Known, wanted: Yielded | None, planned: list[tuple[frozenset[int], Content, str]], when: tuple[int, int], render: Render) -> Change:
    """The rows that end and begin so that there is what is wanted, as it was planned, at (seq, time).

    A level that did not change keeps its version in a row of its own.
    """
    seq, at = when
    levels = frozenset[int]().union(*(which for which, _, _ in planned))
    ended = [row for row in known.rows if set(range(row.lo, row.hi + 1)) & levels]
    begun = [
        replace(row, lo=lo, hi=hi, from_seq=seq)
        for row in ended for lo, hi in runs(set(range(row.lo, row.hi + 1)) - levels)
    ]  # fmt: skip
    for which, content, version in planned:
        for lo, hi in runs(which):
            begun.append(Row(known.num, lo, hi, version, at, content.state, content.digest, render(known.type, known.uuid, version, at, content), seq))
    return Change(known, ended, begun, levels, wanted)


def add(tx: Connection, found: Iterable[Yielded], owner: int, patient: int | None) -> dict[bytes, Known]:
    """New resources, which have no rendering yet."""
    new = {y.uuid: y for y in found}
    values = [(y.uuid, y.type, y.role, y.item, owner, patient) for y in new.values()]
    rows = insert_many(tx, resource, ("uuid", "type", "role", "item", "owner", "patient"), values, "RETURNING num, uuid")
    return {uuid: Known(num, uuid, new[uuid].type, new[uuid].role, new[uuid].item, []) for num, uuid in ((num, bytes(uuid)) for num, uuid in rows)}


_END = (
    update(rendering)
    .where(
        rendering.c.resource == bindparam("b_resource"), rendering.c.to_seq == FOREVER,
        rendering.c.lo == bindparam("b_lo"), rendering.c.from_seq == bindparam("b_from"),
    )
    .values(to_seq=bindparam("b_seq"))
)  # fmt: skip


def store(tx: Connection, changes: Iterable[Change], seq: int) -> None:
    changes = list(changes)
    ended = [{"b_resource": row.num, "b_lo": row.lo, "b_from": row.from_seq, "b_seq": seq} for change in changes for row in change.ended]
    for chunk in chunks(ended):
        tx.execute(_END, chunk)
    begun = [
        (row.num, row.lo, row.hi, row.version, row.at, seq, FOREVER, row.state, row.digest, row.body) for change in changes for row in change.begun
    ]  # fmt: skip
    insert_many(tx, rendering, ("resource", "lo", "hi", "version", "at", "from_seq", "to_seq", "state", "digest", "body"), begun)
