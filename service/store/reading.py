"""What a reader may read: one resource, its versions, a patient's all, each as its level for the patient allows."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from sqlalchemy import Connection

from service.store.sql import Statement, chunks, marks, padded, run
from service.store.tables import DELETED, FOREVER, THERE

EARLIER = 50  # versions


class Reader(NamedTuple):
    """Who reads: its key in the disclosure table, its level where consent says nothing, and whether any consent speaks of it."""

    key: str
    level: int
    moved: bool = True


def state(connection: Connection, key: str, level: int) -> tuple[Reader, int]:
    """A reader and the last commit, as things stand: what is read at that commit is one state of the data, transaction or not.

    A reader of whom no consent speaks has its default level for everybody, which is quicker to look up.
    """
    seq, moved = run(connection, "SELECT seq, EXISTS (SELECT 1 FROM disclosure WHERE reader = :) FROM clock", (key,))[0]
    return Reader(key, level, bool(moved)), seq


class Seen(NamedTuple):
    """A rendering as one reader sees it."""

    num: int
    uuid: bytes
    type: str
    patient: int | None
    version: str
    at: int
    state: int
    body: bytes
    level: int

    @property
    def deleted(self) -> bool:
        return self.state == DELETED


# The reader's level for the resource's patient, at this moment.
LEVEL = """COALESCE((SELECT d.level FROM disclosure d WHERE d.reader = : AND d.patient = r.patient AND d.since <= : AND d.until > :), :)"""
_COLUMNS = "r.num, r.uuid, r.type, r.patient, g.version, g.at, g.state, g.body"
_ONE = f"SELECT {_COLUMNS}, {LEVEL}, g.lo, g.hi FROM resource r JOIN rendering g ON g.resource = r.num WHERE r.uuid = : AND r.type = : AND g.to_seq = {FOREVER}"
_VERSIONS = f"SELECT {_COLUMNS}, {LEVEL}, g.lo, g.hi, g.from_seq FROM resource r JOIN rendering g ON g.resource = r.num WHERE r.uuid = : AND r.type = :"


def level_of(reader: Reader, now: int) -> tuple[str, tuple[Any, ...]]:
    """The reader's level for the patient of a `resource r` in SQL, with its parameters."""
    return (LEVEL, _level(reader, now)) if reader.moved else (":", (reader.level,))


def _level(reader: Reader, now: int) -> tuple[Any, ...]:
    return reader.key, now, now, reader.level


def _seen(row: Any) -> Seen:
    return Seen(*row[:9])


def one(connection: Connection, reader: Reader, now: int, type_: str, uuid: bytes) -> Seen | None:
    """The current rendering of a resource, or None where the reader may not know of it."""
    for row in run(connection, _ONE, (*_level(reader, now), uuid, type_)):
        if row[9] <= row[8] <= row[10]:
            return _seen(row)
    return None


def versions(connection: Connection, reader: Reader, now: int, type_: str, uuid: bytes, *, seq: int | None = None) -> list[Seen]:
    """Every version that the reader's view has had, up to a commit, the newest first. A row that was split keeps its version and is one."""
    rows = [
        row for row in run(connection, _VERSIONS, (*_level(reader, now), uuid, type_))
        if row[9] <= row[8] <= row[10] and (seq is None or row[11] <= seq)
    ]  # fmt: skip
    found: dict[str, Seen] = {}
    for row in sorted(rows, key=lambda r: r[11]):
        found.setdefault(row[4], _seen(row))
    return list(reversed(found.values()))


def several(connection: Connection, reader: Reader, now: int, nums: Sequence[int], seq: int) -> dict[int, Seen]:
    """Renderings by number as they were at a commit; without those that the reader may not see or that were deleted."""
    found: dict[int, Seen] = {}
    for some in chunks(nums):
        chunk = padded(some)
        wanted = Statement().add(f"SELECT num AS resource, 0 AS value FROM resource WHERE num IN ({marks(chunk)})", *chunk)
        found |= {seen.num: seen for _, seen in shown(connection, reader, now, wanted, seq)}
    return found


def shown(connection: Connection, reader: Reader, now: int, wanted: Statement, seq: int) -> list[tuple[int, Seen]]:
    """What a reader sees at a commit of the (resource, value) that a statement finds, each with its value and in no order."""
    level, parameters = level_of(reader, now)
    statement = Statement().add(f"SELECT {_COLUMNS}, {level}, found.value FROM (", *parameters)
    statement.add(wanted.sql, *wanted.parameters).add(") AS found CROSS JOIN resource r CROSS JOIN rendering g")
    statement.add("WHERE r.num = found.resource AND g.resource = r.num AND g.to_seq > : AND g.from_seq <= :", seq, seq)
    statement.add(f"AND g.state <> {DELETED} AND {level} BETWEEN g.lo AND g.hi", *parameters)
    return [(row[9], _seen(row)) for row in statement.run(connection)]


def said(connection: Connection, num: int, level: int, since: str | None, *, but: str | None = None) -> list[bytes]:
    """The bodies of a resource as a level saw them, the newest first, back to version `since` with that, and without version `but`."""
    sql = "SELECT version, body FROM rendering WHERE resource = : AND lo <= : AND hi >= : AND state = : ORDER BY from_seq DESC LIMIT :"
    rows = [(version, bytes(body)) for version, body in run(connection, sql, (num, level, level, THERE, EARLIER)) if version != but]
    back_to = next((n for n, (version, _) in enumerate(rows) if version == since), len(rows) - 1)
    return [body for _, body in rows[: back_to + 1]]


def numbers(connection: Connection, uuids: Iterable[bytes]) -> dict[bytes, int]:
    wanted = list(dict.fromkeys(uuids))
    found: dict[bytes, int] = {}
    for some in chunks(wanted):
        chunk = padded(some)
        found |= {row[0]: row[1] for row in run(connection, f"SELECT uuid, num FROM resource WHERE uuid IN ({marks(chunk)})", chunk)}
    return found


def of_patient(
    connection: Connection, reader: Reader, now: int, patient: int, *, seq: int, after: int, limit: int, types: Sequence[str], since: int = 0
) -> list[int]:
    """A patient's resources by number, in the order in which they were first published: those that the reader sees at a commit.

    What the reader does not see takes no room on a page: a page that is not full would tell of it.
    """
    sql = (
        f"SELECT r.num FROM resource r WHERE r.patient = : AND r.num > : AND r.type IN ({marks(types)}) AND EXISTS ("
        f"SELECT 1 FROM rendering g WHERE g.resource = r.num AND g.to_seq > : AND g.from_seq <= : AND g.state <> {DELETED} AND g.at >= : "
        f"AND {LEVEL} BETWEEN g.lo AND g.hi) ORDER BY r.num LIMIT :"
    )
    return [row[0] for row in run(connection, sql, (patient, after, *types, seq, seq, since, *_level(reader, now), limit))] if types else []


def of_entity(connection: Connection, owner: int) -> list[int]:
    return [row[0] for row in run(connection, "SELECT num FROM resource WHERE owner = : ORDER BY num", (owner,))]


def latest_seq(connection: Connection) -> int:
    return int(run(connection, "SELECT seq FROM clock")[0][0])


@dataclass(frozen=True)
class Rendered:
    """A current rendering at a level; `body` is empty where it was deleted."""

    uuid: bytes
    type: str
    version: str
    state: int
    body: bytes


def renderings(connection: Connection, nums: Sequence[int], level: int) -> dict[int, Rendered]:
    """What a level sees of resources now, deleted ones among them."""
    found: dict[int, Rendered] = {}
    for some in chunks(nums):
        chunk = padded(some)
        sql = (
            f"SELECT r.num, r.uuid, r.type, g.version, g.state, g.body FROM resource r JOIN rendering g ON g.resource = r.num "
            f"WHERE r.num IN ({marks(chunk)}) AND g.to_seq = {FOREVER} AND g.lo <= : AND g.hi >= :"
        )
        found |= {row[0]: Rendered(*row[1:]) for row in run(connection, sql, (*chunk, level, level))}
    return found


def stream_keys(connection: Connection, nums: Sequence[int]) -> dict[int, int]:
    """The stream in which each resource is sent: its patient's, or one of its own where it has none."""
    found: dict[int, int] = {}
    for some in chunks(nums):
        chunk = padded(some)
        rows = run(connection, f"SELECT num, patient FROM resource WHERE num IN ({marks(chunk)})", chunk)
        found |= {row[0]: row[1] if row[1] is not None else -row[0] for row in rows}
    return found
