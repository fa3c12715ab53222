"""The clinic's records as documents: the current one, and every version before it."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Column, Connection, Select, select, tuple_

from service.store.sql import chunks, lock_name, marks, padded, run
from service.store.tables import entity


@dataclass(frozen=True)
class Stored:
    """An entity as it is kept. `document` and `findings` are JSON."""

    num: int
    kind: str
    id: str
    patient: int | None
    version: int
    document: bytes
    findings: bytes
    erased: bool
    seq: int
    changed_at: int


_COLUMNS = "num, kind, id, patient, version, document, findings, erased, seq, changed_at"


def _columns() -> list[Column[Any]]:
    return [entity.c[name] for name in _COLUMNS.split(", ")]


def _stored(row: Any) -> Stored:
    num, kind, id, patient, version, document, findings, erased, seq, changed_at = row
    return Stored(num, kind, id, patient, version, document, findings, bool(erased), seq, changed_at)


def lock_patient(tx: Connection, id: str) -> Stored | None:
    """The patient's own row, locked before anything of the patient is changed."""
    return get(tx, "patient", id, lock=True)


def get(connection: Connection, kind: str, id: str, *, lock: bool = False) -> Stored | None:
    """An entity by its key. `lock` holds it, and where there is none yet its key, until the transaction ends."""
    lock = lock and connection.dialect.name != "sqlite"
    query = f"SELECT {_COLUMNS} FROM entity WHERE kind = : AND id = :{' FOR UPDATE' if lock else ''}"
    rows = run(connection, query, (kind, id))
    if not rows and lock:  # two who make the same one at once: the second waits here, and finds it
        lock_name(connection, f"{kind}/{id}")
        rows = run(connection, query, (kind, id))
    return _stored(rows[0]) if rows else None


def lock(tx: Connection, num: int) -> Stored:
    """An entity by its number, locked where rows are."""
    lock = "" if tx.dialect.name == "sqlite" else " FOR UPDATE"
    return _stored(run(tx, f"SELECT {_COLUMNS} FROM entity WHERE num = :{lock}", (num,))[0])


def several(connection: Connection, keys: Iterable[tuple[str, str]]) -> dict[tuple[str, str], Stored]:
    found = {}
    for some in chunks(list(set(keys))):
        chunk = padded(some)
        pairs = ", ".join(["(:, :)"] * len(chunk))
        for row in run(connection, f"SELECT {_COLUMNS} FROM entity WHERE (kind, id) IN (VALUES {pairs})", [part for key in chunk for part in key]):
            found[row[1], row[2]] = _stored(row)
    return found


def of_patient(connection: Connection, patient: int, kinds: Iterable[str]) -> list[Stored]:
    wanted = list(kinds)
    query = f"SELECT {_COLUMNS} FROM entity WHERE patient = : AND kind IN ({marks(wanted)}) ORDER BY num"
    return [_stored(row) for row in run(connection, query, (patient, *wanted))] if wanted else []


def listed(
    connection: Connection, kind: str, *, patient: int | None, since: int, after: tuple[int, int], limit: int, withheld: Select[tuple[int]]
) -> list[Stored]:
    """A page in the order of change: what changed at or after `since` (microseconds), after the (seq, num) of the page before.

    What is of the `withheld` patients takes no room on a page: a page that is not full would tell of it.
    """
    e = entity.c
    query = select(*_columns()).where(e.kind == kind, tuple_(e.seq, e.num) > after, e.changed_at >= since)
    query = query.where(e.patient.is_(None) | e.patient.not_in(withheld))
    if patient is not None:
        query = query.where(e.patient == patient)
    return [_stored(row) for row in connection.execute(query.order_by(e.seq, e.num).limit(limit))]


def add(tx: Connection, values: dict[str, Any], client: str) -> int:
    num = int(run(tx, f"INSERT INTO entity ({', '.join(values)}) VALUES ({marks(list(values))}) RETURNING num", list(values.values()))[0][0])
    if values["kind"] == "patient":
        run(tx, "UPDATE entity SET patient = num WHERE num = :", (num,))
    _keep(tx, num, values, client)
    return num


def replace(tx: Connection, num: int, values: dict[str, Any], client: str) -> None:
    run(tx, f"UPDATE entity SET {', '.join(f'{name} = :' for name in values)} WHERE num = :", (*values.values(), num))
    _keep(tx, num, values, client)


def reassess(tx: Connection, num: int, findings: bytes, when: tuple[int, int]) -> None:
    """New findings, at (seq, time), of an entity that itself did not change."""
    run(tx, "UPDATE entity SET findings = :, seq = :, changed_at = : WHERE num = :", (findings, *when, num))


def _keep(tx: Connection, num: int, values: dict[str, Any], client: str) -> None:
    kept = [values[name] for name in ("version", "document", "erased", "changed_at")]
    run(tx, "INSERT INTO entity_version (entity, client, version, document, erased, changed_at) VALUES (:, :, :, :, :, :)", (num, client, *kept))


def patients_with(connection: Connection, kind: str) -> list[int]:
    """The patients who have an entity of a kind."""
    return list(connection.execute(select(entity.c.patient).where(entity.c.kind == kind, entity.c.patient.is_not(None)).distinct()).scalars())
