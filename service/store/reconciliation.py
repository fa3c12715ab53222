"""How what we know of an EHR's copies stands against what it holds: what is to be looked at, what is put right, and the last report."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, select

from service.store import copies, entities, outbox
from service.store.outbox import SENDING, WAITING
from service.store.reading import LEVEL
from service.store.sql import chunks, marks, padded, run
from service.store.tables import FOREVER, reconciliation
from service.store.tables import target as targets
from service.store.targets import Target


@dataclass(frozen=True)
class Known:
    """A resource as a target may see it now, what the target holds of it, and its newest delivery.

    `version` is None where the target may see nothing of it; `remote_id` is None where nothing is there.
    """

    num: int
    uuid: bytes
    type: str
    patient: int | None
    kind: str
    entity: str
    level: int
    version: str | None
    state: int | None
    body: bytes | None
    remote_id: str | None
    remote_version: str | None
    held_version: str
    held_level: int
    sent_hash: bytes
    seen_hash: bytes | None
    delivery: int | None
    delivery_state: str | None
    reason: str

    @property
    def matched(self) -> bool:
        """Whether it is a person or place of the EHR's own, which was linked and never sent."""
        return self.remote_id is not None and not self.held_version

    @property
    def is_open(self) -> bool:
        """Whether it is on its way."""
        return self.delivery_state in (WAITING, SENDING)


def keys(connection: Connection, after: int, limit: int) -> list[int]:
    """The next patients, by number; what belongs to none is `places`."""
    return [row[0] for row in run(connection, "SELECT num FROM entity WHERE kind = 'patient' AND num > : ORDER BY num LIMIT :", (after, limit))]


def patients(connection: Connection) -> int:
    return int(run(connection, "SELECT COUNT(*) FROM entity WHERE kind = 'patient'")[0][0])


def places(connection: Connection) -> list[int]:
    """The resources that belong to no patient."""
    return [row[0] for row in run(connection, "SELECT num FROM resource WHERE patient IS NULL ORDER BY num")]


def of_patients(connection: Connection, target: Target, wanted: Sequence[int], now: int) -> list[Known]:
    return _known(connection, target, "r.patient", wanted, now)


def of_resources(connection: Connection, target: Target, wanted: Sequence[int], now: int) -> list[Known]:
    return _known(connection, target, "r.num", wanted, now)


def _known(connection: Connection, target: Target, column: str, wanted: Sequence[int], now: int) -> list[Known]:
    level = target.reader, now, now, target.level
    sql = (
        f"SELECT r.num, r.uuid, r.type, r.patient, e.kind, e.id, {LEVEL}, g.version, g.state, g.body, c.remote_id, c.remote_version, "
        "COALESCE(c.version, ''), COALESCE(c.level, 0), c.sent_hash, c.seen_hash, d.num, d.state, COALESCE(d.reason, '') "
        "FROM resource r JOIN entity e ON e.num = r.owner "
        "LEFT JOIN copy c ON c.target = : AND c.resource = r.num "
        f"LEFT JOIN rendering g ON g.resource = r.num AND g.to_seq = {FOREVER} AND {LEVEL} BETWEEN g.lo AND g.hi "
        "LEFT JOIN delivery d ON d.num = (SELECT MAX(n.num) FROM delivery n WHERE n.target = : AND n.resource = r.num) "
    )
    found: list[Known] = []
    for some in chunks(wanted):
        chunk = padded(some)
        where = f"WHERE {column} IN ({marks(chunk)}) AND (c.remote_id IS NOT NULL OR g.version IS NOT NULL) ORDER BY r.num"
        found += [Known(*row) for row in run(connection, sql + where, (*level, target.id, *level, target.id, *chunk))]
    return found


@dataclass(frozen=True)
class Again:
    """What is to be owed again: as it was known, with the hash of what the EHR holds otherwise than we say, or missing there."""

    known: Known
    seen: bytes | None = None
    missing: bool = False


def owe_again(tx: Connection, target: Target, found: Iterable[Again], now: int) -> int:
    """Owes what is not there as it should be, each to be looked for first; of what is missing the EHR's id is forgotten.

    What the EHR holds otherwise gives way to what we say, as long as it is what was seen of it.

    Locks as a publish does: patients in order, then streams. What has changed since it was found is left alone. Returns how many are owed.
    """
    again = {one.known.num: one for one in found}
    before = {num: one.known for num, one in again.items()}
    for patient in sorted({one.patient for one in before.values() if one.patient is not None}):
        entities.lock(tx, patient)
    still = [one.num for one in of_resources(tx, target, sorted(before), now) if before[one.num] == one]
    gone = [num for num in still if again[num].missing]
    for num in still:
        if (seen := again[num].seen) is not None:
            run(tx, "UPDATE copy SET sent_hash = :, seen_hash = : WHERE target = : AND resource = :", (b"", copies.DECIDED + seen, target.id, num))
    for some in chunks(gone):
        chunk = padded(some)
        run(tx, f"DELETE FROM copy WHERE target = : AND resource IN ({marks(chunk)}) RETURNING 1", (target.id, *chunk))
    stream_keys = {num: before[num].patient or -num for num in still}
    if still:
        streams = outbox.touch(tx, target.id, set(stream_keys.values()), now)
        outbox.owe(tx, target.id, {num: streams[key] for num, key in stream_keys.items()}, now, reason="Reconciled", unsure=True)
    return len(still)


@dataclass(frozen=True)
class Report:
    """The last time that all of an EHR was reconciled: how many there were of each verdict, and what kept it from being all."""

    target: str
    at: int
    seconds: float
    counts: dict[str, int]
    problems: list[str]


def keep(tx: Connection, report: Report) -> None:
    said = json.dumps({"seconds": report.seconds, "counts": report.counts, "problems": report.problems})
    latest = "ON CONFLICT (target) DO UPDATE SET at = excluded.at, report = excluded.report RETURNING 1"
    run(tx, f"INSERT INTO reconciliation (target, at, report) VALUES (:, :, :) {latest}", (report.target, report.at, said))


def reports(connection: Connection, target: str | None = None) -> list[Report]:
    """The last report of each target that was not removed, or of one."""
    query = select(reconciliation).where(reconciliation.c.target.in_(select(targets.c.id).where(targets.c.removed_at.is_(None))))
    rows = connection.execute((query if target is None else query.where(reconciliation.c.target == target)).order_by(reconciliation.c.target))
    return [_report(row) for row in rows]


def _report(row: Any) -> Report:
    said = json.loads(row.report)
    return Report(row.target, row.at, said["seconds"], said["counts"], said["problems"])
