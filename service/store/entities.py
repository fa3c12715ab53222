"""The clinic's records as documents: the current one, and every version before it."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Select, insert, select, tuple_, update

from service.store.sql import lock_name
from service.store.tables import entity, entity_version


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


def _stored(row: Any) -> Stored:
    return Stored(row.num, row.kind, row.id, row.patient, row.version, row.document, row.findings, row.erased, row.seq, row.changed_at)


def lock_patient(tx: Connection, id: str) -> Stored | None:
    """The patient's own row, locked before anything of the patient is changed."""
    return get(tx, "patient", id, lock=True)


def get(connection: Connection, kind: str, id: str, *, lock: bool = False) -> Stored | None:
    """An entity by its key. `lock` holds it, and where there is none yet its key, until the transaction ends."""
    query = select(entity).where(entity.c.kind == kind, entity.c.id == id)
    lock = lock and connection.dialect.name != "sqlite"
    row = connection.execute(query.with_for_update() if lock else query).one_or_none()
    if row is None and lock:  # two who make the same one at once: the second waits here, and finds it
        lock_name(connection, f"{kind}/{id}")
        row = connection.execute(query.with_for_update()).one_or_none()
    return _stored(row) if row else None


def lock(tx: Connection, num: int) -> Stored:
    """An entity by its number, locked where rows are."""
    query = select(entity).where(entity.c.num == num)
    return _stored(tx.execute(query if tx.dialect.name == "sqlite" else query.with_for_update()).one())


def several(connection: Connection, keys: Iterable[tuple[str, str]]) -> dict[tuple[str, str], Stored]:
    wanted = list(set(keys))
    if not wanted:
        return {}
    rows = connection.execute(select(entity).where(tuple_(entity.c.kind, entity.c.id).in_(wanted)))
    return {(row.kind, row.id): _stored(row) for row in rows}


def of_patient(connection: Connection, patient: int, kinds: Iterable[str]) -> list[Stored]:
    rows = connection.execute(select(entity).where(entity.c.patient == patient, entity.c.kind.in_(list(kinds))).order_by(entity.c.num))
    return [_stored(row) for row in rows]


def listed(
    connection: Connection, kind: str, *, patient: int | None, since: int, after: tuple[int, int], limit: int, withheld: Select[tuple[int]]
) -> list[Stored]:
    """A page in the order of change: what changed at or after `since` (microseconds), after the (seq, num) of the page before.

    What is of the `withheld` patients takes no room on a page: a page that is not full would tell of it.
    """
    e = entity.c
    query = select(entity).where(e.kind == kind, tuple_(e.seq, e.num) > after, e.changed_at >= since)
    query = query.where(e.patient.is_(None) | e.patient.not_in(withheld))
    if patient is not None:
        query = query.where(e.patient == patient)
    return [_stored(row) for row in connection.execute(query.order_by(e.seq, e.num).limit(limit))]


def add(tx: Connection, values: dict[str, Any], client: str) -> int:
    num = int(tx.execute(insert(entity).values(**values).returning(entity.c.num)).scalar_one())
    if values["kind"] == "patient":
        tx.execute(update(entity).where(entity.c.num == num).values(patient=num))
    _keep(tx, num, values, client)
    return num


def replace(tx: Connection, num: int, values: dict[str, Any], client: str) -> None:
    tx.execute(update(entity).where(entity.c.num == num).values(**values))
    _keep(tx, num, values, client)


def reassess(tx: Connection, num: int, findings: bytes, when: tuple[int, int]) -> None:
    """New findings, at (seq, time), of an entity that itself did not change."""
    tx.execute(update(entity).where(entity.c.num == num).values(findings=findings, seq=when[0], changed_at=when[1]))


def _keep(tx: Connection, num: int, values: dict[str, Any], client: str) -> None:
    kept = {name: values[name] for name in ("version", "document", "erased", "changed_at")}
    tx.execute(insert(entity_version).values(entity=num, client=client, **kept))


def patients_with(connection: Connection, kind: str) -> list[int]:
    """The patients who have an entity of a kind."""
    return list(connection.execute(select(entity.c.patient).where(entity.c.kind == kind, entity.c.patient.is_not(None)).distinct()).scalars())
