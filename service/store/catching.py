"""What a new EHR is owed of what was there before it: streams are looked at one after another, in the order of their keys.

The places come first (their keys are below zero), then the patients. How far it has come is kept with the target; whoever
publishes meanwhile owes to it already, so that nothing is left out and nothing is owed twice.
"""

from collections.abc import Collection

from sqlalchemy import Connection, exists, func, select

from service.store.copies import lacking
from service.store.outbox import CANCELLED, PARKED, SENDING, UNSUPPORTED, WAITING
from service.store.sql import chunks, run
from service.store.tables import delivery, entity, resource

START = -(2**62)  # before every key
SEEN_TO = (WAITING, SENDING, PARKED, UNSUPPORTED, CANCELLED)  # what is in one of these is owed already, or somebody decided about it


def catching_up(connection: Connection) -> list[str]:
    """The targets that are not caught up with yet."""
    return [row[0] for row in run(connection, "SELECT id FROM target WHERE catching_up IS NOT NULL AND removed_at IS NULL ORDER BY id")]


def position(tx: Connection, name: str) -> int | None:
    """The key that was looked at last; None once there is none left."""
    rows = run(tx, "SELECT catching_up FROM target WHERE id = : AND removed_at IS NULL", (name,))
    return rows[0][0] if rows else None


def come_to(tx: Connection, name: str, at: int | None) -> None:
    run(tx, "UPDATE target SET catching_up = : WHERE id = : RETURNING 1", (at, name))


def next_keys(connection: Connection, after: int, limit: int) -> list[int]:
    """The keys of the next streams, whether they were ever made or not."""
    found: list[int] = []
    if after < 0:
        sql = "SELECT -num FROM resource WHERE patient IS NULL AND num < : ORDER BY num DESC LIMIT :"
        found = [row[0] for row in run(connection, sql, (-after, limit))]
    if len(found) < limit:
        sql = "SELECT num FROM entity WHERE kind = 'patient' AND num > : ORDER BY num LIMIT :"
        found += [row[0] for row in run(connection, sql, (max(after, 0), limit - len(found)))]
    return found


def not_owed(connection: Connection, name: str, key: int, level: int, types: frozenset[str] | None) -> list[int]:
    """The resources of a stream that this level sees, that the target does not hold, and that nobody has decided about."""
    r, d = resource.c, delivery.c
    newest = select(d.state).where(d.target == name, d.resource == r.num).order_by(d.num.desc()).limit(1).scalar_subquery()
    whose = r.patient == key if key > 0 else r.num == -key
    query = lacking(name, whose, level, types).where(func.coalesce(newest, "").not_in(SEEN_TO))
    return list(connection.scalars(query))


def never_owed(connection: Connection, name: str, wanted: Collection[int], level: int, types: frozenset[str] | None) -> dict[int, int]:
    """Those of these resources that this level sees and that the target was never owed: resource -> key of its stream."""
    found: dict[int, int] = {}
    r, d = resource.c, delivery.c
    for some in chunks(sorted(wanted)):
        query = lacking(name, r.num.in_(some), level, types).add_columns(r.patient).where(~exists().where(d.target == name, d.resource == r.num))
        found |= {num: -num if patient is None else patient for num, patient in connection.execute(query)}
    return found


def progress(connection: Connection, at: int) -> tuple[int, int]:
    """(streams looked at, of how many)."""
    places = select(func.count()).select_from(resource).where(resource.c.patient.is_(None))
    patients = select(func.count()).select_from(entity).where(entity.c.kind == "patient")
    done = [connection.execute(query).scalar_one() for query in (places.where(-resource.c.num <= at), patients.where(entity.c.num <= at))]
    return sum(done), sum(connection.execute(query).scalar_one() for query in (places, patients))


def begin(tx: Connection, name: str) -> None:
    """Looks at everything again from the start."""
    come_to(tx, name, START)
