"""How each EHR lets us in, as it is kept: what its last token allows, and what keeps us out."""

from dataclasses import dataclass

from sqlalchemy import Connection, delete, select, update

from service.store.sql import run
from service.store.tables import access


@dataclass(frozen=True)
class Access:
    """`granted` are the scopes of the last token, None before the first; `problem` is what keeps us out, `failures` how often in a row."""

    granted: str | None = None
    problem: str | None = None
    failures: int = 0


def get(connection: Connection, target: str) -> Access:
    row = connection.execute(select(access).where(access.c.target == target)).one_or_none()
    return Access(row.granted, row.problem, row.failures) if row else Access()


def every(connection: Connection) -> dict[str, Access]:
    return {row.target: Access(row.granted, row.problem, row.failures) for row in connection.execute(select(access))}


def note(tx: Connection, target: str, found: Access, now: int) -> None:
    latest = "granted = excluded.granted, problem = excluded.problem, failures = excluded.failures, at = excluded.at"
    sql = f"INSERT INTO access (target, granted, problem, failures, at) VALUES (:, :, :, :, :) ON CONFLICT (target) DO UPDATE SET {latest} RETURNING 1"
    run(tx, sql, (target, found.granted, found.problem, found.failures, now))


def resume(tx: Connection, target: str) -> None:
    """What kept us out so far counts no more; it is shown until we are let in."""
    tx.execute(update(access).where(access.c.target == target).values(failures=0))


def forget(tx: Connection, target: str) -> None:
    """What was granted and what kept us out, by what lets us in no more."""
    tx.execute(delete(access).where(access.c.target == target))
