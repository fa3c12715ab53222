"""What each EHR holds of ours: its own id and version for it, and what was sent."""

import re
from collections.abc import Iterable
from dataclasses import astuple, dataclass, fields

from sqlalchemy import ColumnElement, Connection, Select, select

from service.store.sql import chunks, insert_many, lock_names, marks, padded, run
from service.store.tables import FOREVER, THERE, copy, rendering, resource, unresolved

VANISHED = b"vanished"
MADE_THERE = "made there"
MERGED, RESTORED, DECIDED = b"merged ", b"restored", b"ours "
# FHIR's own ids, and what some EHRs have for them, as far as it is one part of a path: not of full stops alone.
REMOTE_ID = re.compile(r"(?!\.+$)[A-Za-z0-9._~-]{1,128}", re.ASCII)
EARLIER = "earlier"  # the version of what an EHR was found to have of ours, where nobody knows which one that is


@dataclass(frozen=True)
class Copy:
    """A resource as a target holds it. `remote_id` is None while it is not there.

    `version` is empty for what was linked, and MADE_THERE for what the EHR made as a part of ours and was not sent yet.
    `sent_hash` is empty where it holds more than what we sent: a change of its own, or what is left from before a restore.
    `made` is JSON: what the EHR made of elements of `version` that it did not take as they were sent, null for what it left out.
    `seen_hash` is of what was read there last; it begins with MERGED while what the EHR changed in it was not taken yet,
    and with RESTORED while that may be what was sent between a backup and its restore: RESTORED alone before it was read again.
    `formerly` are the ids there, with spaces between, that a person or place was linked to before, by a mistake that was mended.
    """

    target: str
    resource: int
    remote_id: str | None
    remote_version: str | None
    version: str
    level: int
    sent_hash: bytes
    seen_hash: bytes | None = None
    made: bytes | None = None
    formerly: str | None = None

    @property
    def ids_before(self) -> tuple[str, ...]:
        return tuple((self.formerly or "").split())

    @property
    def as_document(self) -> bool:
        """Whether it is there as a document, under an id that begins with the document's type."""
        return self.remote_id is not None and "/" in self.remote_id

    @property
    def restored(self) -> bool:
        """Whether it is as a restore left it: what the EHR seems to have changed may be what we sent and no longer know of."""
        return self.seen_hash is not None and self.seen_hash.startswith(RESTORED)

    def is_left(self, seen: bytes) -> bool:
        """Whether what has this hash may be as a restore left it: what was read since is there still."""
        return self.seen_hash in (RESTORED, RESTORED + seen)

    @property
    def lost(self) -> bool:
        """Whether it was only found there after a restore: what the EHR was sent of it is lost here."""
        return self.restored and self.version == EARLIER

    @property
    def made_there(self) -> bool:
        """Whether the EHR made it itself, and was never sent what we make of it."""
        return self.version == MADE_THERE

    @property
    def decided(self) -> bytes | None:
        """The hash of what the EHR held when a person decided that ours stands in its place."""
        return self.seen_hash.removeprefix(DECIDED) if self.seen_hash is not None and self.seen_hash.startswith(DECIDED) else None

    @property
    def vanished(self) -> bool:
        """Whether the EHR had it and has it no more."""
        return self.sent_hash == VANISHED

    @property
    def matched(self) -> bool:
        """Whether it is a person or place of the EHR's own, which was linked and never sent."""
        return self.remote_id is not None and not self.version


_COLUMNS = tuple(field.name for field in fields(Copy))


def held(connection: Connection, target: str, found: Iterable[int]) -> dict[int, Copy]:
    wanted = sorted(set(found))
    copies: dict[int, Copy] = {}
    for some in chunks(wanted):
        chunk = padded(some)
        for row in run(connection, f"SELECT {', '.join(_COLUMNS)} FROM copy WHERE target = : AND resource IN ({marks(chunk)})", (target, *chunk)):
            copies[row[1]] = Copy(*row)
    return copies


def of_type(connection: Connection, target: str, type_: str, after: int, limit: int) -> list[tuple[Copy, int]]:
    """(copy, when it was noted) of a type that a target was sent, in the order of the resources after one."""
    columns = ", ".join(f"c.{name}" for name in _COLUMNS)
    sql = (
        f"SELECT {columns}, c.at FROM copy c JOIN resource r ON r.num = c.resource WHERE c.target = : AND r.type = : AND c.resource > : "
        "AND c.remote_id IS NOT NULL AND c.remote_id NOT LIKE '%/%' AND c.version <> '' ORDER BY c.resource LIMIT :"
    )
    return [(Copy(*row[:-1]), row[-1]) for row in run(connection, sql, (target, type_, after, limit))]


def there(connection: Connection, target: str, remote_ids: Iterable[str]) -> list[tuple[Copy, str, bytes, int]]:
    """(copy, type, uuid, when it was noted) of what a target holds under these ids, of whatever type."""
    columns, found = ", ".join(f"c.{name}" for name in _COLUMNS), list[tuple[Copy, str, bytes, int]]()
    for some in chunks(sorted(set(remote_ids))):
        chunk = padded(some)
        sql = f"SELECT {columns}, r.type, r.uuid, c.at FROM copy c JOIN resource r ON r.num = c.resource WHERE c.target = : AND c.remote_id IN ({marks(chunk)})"
        found += [(Copy(*row[:-3]), row[-3], bytes(row[-2]), row[-1]) for row in run(connection, sql, (target, *chunk))]
    return found


def oldest(connection: Connection, target: str, type_: str) -> int | None:
    """When the oldest of a target's copies of a type was noted: what the EHR changed in them, it changed since."""
    sql = "SELECT MIN(c.at) FROM copy c JOIN resource r ON r.num = c.resource WHERE c.target = : AND r.type = : AND c.remote_id IS NOT NULL"
    [(found,)] = run(connection, sql, (target, type_))
    return int(found) if found is not None else None


def of_stream(connection: Connection, target: str, key: int) -> list[int]:
    """The resources of a stream that a target holds."""
    whose = "r.patient = :" if key > 0 else "r.num = :"
    sql = f"SELECT c.resource FROM resource r JOIN copy c ON c.resource = r.num AND c.target = : WHERE {whose} AND c.remote_id IS NOT NULL"
    return [row[0] for row in run(connection, sql, (target, abs(key)))]


def hold(tx: Connection, found: Iterable[Copy], now: int) -> None:
    """Notes what a target holds now."""
    changed = ", ".join(f"{name} = excluded.{name}" for name in (*_COLUMNS[2:], "at"))
    latest = {(c.target, c.resource): (*astuple(c), now) for c in found}
    insert_many(tx, copy, (*_COLUMNS, "at"), list(latest.values()), f"ON CONFLICT (target, resource) DO UPDATE SET {changed}")


def forget_vanished(tx: Connection, target: str, resources: Iterable[int]) -> None:
    """What the EHR had and has no more is created anew when it is sent the next time."""
    for one in resources:
        run(tx, "UPDATE copy SET remote_id = NULL, sent_hash = : WHERE target = : AND resource = : AND sent_hash = :", (b"", target, one, VANISHED))


def lock(tx: Connection, target: str, brought: Iterable[int], wanted: Iterable[int] = ()) -> None:
    """Taken before streams are, by who brings a resource there and by those who wait for it: the second sees what the first wrote.

    Those who wait do not wait for each other: one practitioner that is not there yet would have all who refer to it settle one after another.
    What belongs to a patient needs none of it: all of it is in one stream, which one worker has.
    """
    lock_names(tx, (f"copy {target} {one}" for one in brought), (f"copy {target} {one}" for one in wanted))


def not_held(connection: Connection, target: str, patient: int, level: int, types: frozenset[str] | None) -> list[int]:
    """The patient's resources that this level sees and of which the target does not hold this version."""
    return list(connection.scalars(lacking(target, resource.c.patient == patient, level, types)))


def lacking(target: str, whose: ColumnElement[bool], level: int, types: frozenset[str] | None) -> Select[tuple[int]]:
    """The resources that this level sees and of which the target does not hold this version. What is gone here is to be told where it is held."""
    r, g, c = resource.c, rendering.c, copy.c
    another = c.version != g.version
    query = (
        select(r.num).join(rendering, g.resource == r.num).outerjoin(copy, (c.resource == r.num) & (c.target == target))
        .where(whose, g.to_seq == FOREVER, g.lo <= level, g.hi >= level)
        .where(((g.state == THERE) & (c.version.is_(None) | another)) | ((g.state != THERE) & c.remote_id.is_not(None) & another))
        .order_by(r.num)
    )  # fmt: skip
    return query.where(r.type.in_(sorted(types))) if types is not None else query


def wait_for(tx: Connection, target: str, waiting: Iterable[tuple[int, int]]) -> None:
    """Notes that a resource (second) was sent with a logical reference to another (first), and is owed again when that is held."""
    values = [(target, wants, one) for wants, one in sorted(set(waiting))]
    insert_many(tx, unresolved, ("target", "wants", "resource"), values, "ON CONFLICT DO NOTHING")


def waiting_for(connection: Connection, target: str, wanted: Iterable[int]) -> list[int]:
    """The resources that wait for one of these; they go on waiting."""
    found: set[int] = set()
    for some in chunks(sorted(set(wanted))):
        chunk = padded(some)
        found |= {row[0] for row in run(connection, f"SELECT resource FROM unresolved WHERE target = : AND wants IN ({marks(chunk)})", (target, *chunk))}
    return sorted(found)


def woken_by(tx: Connection, target: str, held_now: Iterable[int]) -> list[int]:
    """The resources that waited for one of these, each once; they wait no more."""
    found: set[int] = set()
    for some in chunks(sorted(set(held_now))):
        chunk = padded(some)
        found |= {row[0] for row in run(tx, f"DELETE FROM unresolved WHERE target = : AND wants IN ({marks(chunk)}) RETURNING resource", (target, *chunk))}
    return sorted(found)
