"""What each EHR holds of ours: its own id and version for it, and what was sent."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, delete, select
from sqlalchemy.dialects import postgresql, sqlite

from service.store.sql import chunks, lock_name
from service.store.tables import FOREVER, THERE, copy, rendering, resource, unresolved


@dataclass(frozen=True)
class Copy:
    """A resource as a target holds it. `remote_id` is None while it is not there."""

    target: str
    resource: int
    remote_id: str | None
    remote_version: str | None
    version: str
    level: int
    sent_hash: bytes
    seen_hash: bytes | None = None

    @property
    def matched(self) -> bool:
        """Whether it is a person or place of the EHR's own, which was linked and never sent."""
        return self.remote_id is not None and not self.version


def held(connection: Connection, target: str, found: Iterable[int]) -> dict[int, Copy]:
    wanted = sorted(set(found))
    copies: dict[int, Copy] = {}
    for chunk in chunks(wanted):
        for row in connection.execute(select(copy).where(copy.c.target == target, copy.c.resource.in_(chunk))):
            copies[row.resource] = Copy(row.target, row.resource, row.remote_id, row.remote_version, row.version, row.level, row.sent_hash, row.seen_hash)
    return copies


def hold(tx: Connection, found: Iterable[Copy], now: int) -> None:
    """Notes what a target holds now."""
    make = sqlite.insert if tx.dialect.name == "sqlite" else postgresql.insert
    values: list[dict[str, Any]] = [
        {"target": c.target, "resource": c.resource, "remote_id": c.remote_id, "remote_version": c.remote_version, "version": c.version,
         "level": c.level, "sent_hash": c.sent_hash, "seen_hash": c.seen_hash, "at": now}
        for c in found
    ]  # fmt: skip
    for chunk in chunks(values):
        made = make(copy).values(chunk)
        changed = {name: made.excluded[name] for name in ("remote_id", "remote_version", "version", "level", "sent_hash", "seen_hash", "at")}
        tx.execute(made.on_conflict_do_update(index_elements=["target", "resource"], set_=changed))


def lock(tx: Connection, target: str, resources: Iterable[int]) -> None:
    """Taken before streams are, by who waits for a resource and by who brings it there: the second sees what the first wrote.

    What belongs to a patient needs none of it: all of it is in one stream, which one worker has.
    """
    for one in sorted(resources):
        lock_name(tx, f"copy {target} {one}")


def not_held(connection: Connection, target: str, patient: int, level: int, types: frozenset[str] | None) -> list[int]:
    """The patient's resources that this level sees and of which the target does not hold this version.

    What is gone here is to be told where it is held.
    """
    r, g, c = resource.c, rendering.c, copy.c
    another = c.version != g.version
    query = (
        select(r.num).join(rendering, g.resource == r.num).outerjoin(copy, (c.resource == r.num) & (c.target == target))
        .where(r.patient == patient, g.to_seq == FOREVER, g.lo <= level, g.hi >= level)
        .where(((g.state == THERE) & (c.version.is_(None) | another)) | ((g.state != THERE) & c.remote_id.is_not(None) & another))
        .order_by(r.num)
    )  # fmt: skip
    if types is not None:
        query = query.where(r.type.in_(sorted(types)))
    return list(connection.execute(query).scalars())


def wait_for(tx: Connection, target: str, waiting: Iterable[tuple[int, int]]) -> None:
    """Notes that a resource (second) was sent with a logical reference to another (first), and is owed again when that is held."""
    make = sqlite.insert if tx.dialect.name == "sqlite" else postgresql.insert
    values = [{"target": target, "wants": wants, "resource": one} for wants, one in set(waiting)]
    for chunk in chunks(values):
        tx.execute(make(unresolved).values(chunk).on_conflict_do_nothing())


def waiting_for(connection: Connection, target: str, wanted: Iterable[int]) -> list[int]:
    """The resources that wait for one of these; they go on waiting."""
    found: set[int] = set()
    for chunk in chunks(sorted(set(wanted))):
        found |= set(connection.execute(select(unresolved.c.resource).where(unresolved.c.target == target, unresolved.c.wants.in_(chunk))).scalars())
    return sorted(found)


def woken_by(tx: Connection, target: str, held_now: Iterable[int]) -> list[int]:
    """The resources that waited for one of these, each once; they wait no more."""
    found: set[int] = set()
    for chunk in chunks(sorted(set(held_now))):
        u = unresolved.c
        where = (u.target == target) & u.wants.in_(chunk)
        found |= set(tx.execute(select(u.resource).where(where)).scalars())
        tx.execute(delete(unresolved).where(where))
    return sorted(found)
