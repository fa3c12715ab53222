"""External EHRs, as they are kept: what they take, at which level, and how they are faring."""

import json
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, func, insert, update

from service.store import clock, levels
from service.store.sql import run
from service.store.tables import FOREVER, THERE, target


@dataclass(frozen=True)
class Target:
    """One EHR. `settings` holds what only its own module reads: auth (with its secret sealed), headers, limits, types."""

    id: str
    base_url: str
    fhir_version: str
    level: int
    organisation: str | None
    role: str | None
    paused: bool
    max_in_flight: int
    snoozed_until: int
    failures: int
    capability: dict[str, Any] | None = None
    capability_at: int | None = None
    settings: dict[str, Any] = field(default_factory=dict)
    catching_up: int | None = None

    @property
    def reader(self) -> str:
        return f"target:{self.id}"

    @property
    def types(self) -> frozenset[str] | None:
        """The resource types that this target is owed; None for all."""
        found = self.settings.get("types")
        return frozenset(found) if found else None

    def takes(self, type_: str) -> bool:
        return self.types is None or type_ in self.types


_COLUMNS = "target.id, base_url, fhir_version, level, organisation, role, paused, max_in_flight, snoozed_until, failures, settings, capability_at, catching_up"


def _target(row: Any) -> Target:
    id, url, version, level, organisation, role, paused, most, snoozed, failures, settings, capability_at, catching_up, capability = row
    can = json.loads(capability) if capability else None
    return Target(id, url, version, level, organisation, role, bool(paused), most, snoozed, failures, can, capability_at, json.loads(settings), catching_up)


def all_targets(connection: Connection, *, statements: bool = False) -> list[Target]:
    """Those that were not removed; what they say that they can, which may be long, only where it is asked for."""
    said = "capability" if statements else "NULL"
    return [_target(row) for row in run(connection, f"SELECT {_COLUMNS}, {said} FROM target WHERE removed_at IS NULL ORDER BY id")]


def removed_from(connection: Connection) -> list[str]:
    """The base URLs of those that were removed."""
    return [row[0] for row in run(connection, "SELECT base_url FROM target WHERE removed_at IS NOT NULL")]


def asked(tx: Connection) -> tuple[list[Target], int]:
    """All targets, and how often one was added before they were read: `clock.tick` says whether it is still so."""
    rows = run(tx, f"SELECT targets, {_COLUMNS}, NULL FROM clock LEFT JOIN target ON removed_at IS NULL ORDER BY target.id")
    return [_target(row[1:]) for row in rows if row[1] is not None], rows[0][0]


def get(connection: Connection, id: str) -> Target | None:
    rows = run(connection, f"SELECT {_COLUMNS}, capability FROM target WHERE id = : AND removed_at IS NULL", (id,))
    return _target(rows[0]) if rows else None


def told_at(connection: Connection, told: Target, patient: int | None, now: int) -> int | None:
    """The level at which a target may be told of a patient now, or of what has none; None while it is paused or snoozed, or where it was removed."""
    sql = f"SELECT COALESCE({levels.LEVEL}, level) FROM target WHERE id = : AND removed_at IS NULL AND NOT paused AND snoozed_until <= :"
    rows = run(connection, sql, (*levels.asked(told.reader, patient, now), told.id, now))
    return int(rows[0][0]) if rows else None


def named(connection: Connection, id: str) -> bool:
    """Whether there is a target of this name, or was one before it was removed."""
    return bool(run(connection, "SELECT 1 FROM target WHERE id = :", (id,)))


def seen(connection: Connection, level: int) -> list[tuple[str, int]]:
    """(type, how many) of the resources that a level sees where no consent says otherwise."""
    sql = (
        f"SELECT r.type, COUNT(*) FROM resource r JOIN rendering g ON g.resource = r.num WHERE g.to_seq = {FOREVER} AND g.lo <= : AND g.hi >= : "
        "AND g.state = : GROUP BY r.type ORDER BY r.type"
    )
    return [(row[0], row[1]) for row in run(connection, sql, (level, level, THERE))]


def add(tx: Connection, found: Target, now: int) -> None:
    tx.execute(insert(target).values(
        id=found.id, base_url=found.base_url, fhir_version=found.fhir_version, settings=json.dumps(found.settings), level=found.level,
        organisation=found.organisation, role=found.role, capability=None, capability_at=None, paused=found.paused,
        max_in_flight=found.max_in_flight, snoozed_until=0, failures=0, created_at=now, removed_at=None, catching_up=found.catching_up,
    ))  # fmt: skip
    clock.target_added(tx)


def change(tx: Connection, id: str, **values: Any) -> None:
    """Sets columns of a target: `paused`, `snoozed_until`, `failures`, `capability` (a dict) and so on."""
    if isinstance(values.get("capability"), dict):
        values["capability"] = json.dumps(values["capability"], default=str).encode()
    if isinstance(values.get("settings"), dict):
        values["settings"] = json.dumps(values["settings"])
    tx.execute(update(target).where(target.c.id == id).values(**values))


def next_call(tx: Connection, id: str, now: int, gap: int) -> int:
    """When a target may be called next, whoever calls; the call after that comes a gap (microseconds) later."""
    sql = "UPDATE target SET paced_until = CASE WHEN paced_until > : THEN paced_until ELSE : END + : WHERE id = : RETURNING paced_until"
    found = run(tx, sql, (now, now, gap, id))
    return int(found[0][0]) - gap if found else now


def fared(tx: Connection, id: str, *, snoozed_until: int = 0, failed: int = 0, recovered: bool = False) -> None:
    """Notes how a target has fared with one of those that send to it: more failures, after it recovered or on top of what there were.

    Others send at the same time: a snooze that one of them was asked for is never made shorter by another.
    """
    t = target.c
    longer = func.max if tx.dialect.name == "sqlite" else func.greatest
    failures = failed if recovered else t.failures + failed
    tx.execute(update(target).where(t.id == id).values(snoozed_until=longer(t.snoozed_until, snoozed_until), failures=failures))
