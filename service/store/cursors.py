"""How far each pull from an EHR has come, type by type, on the EHR's own clock; and what came in lately, by which an echo is known."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from sqlalchemy import Connection, delete, func, insert, select, update

from service.store.sql import run
from service.store.tables import cursor, heard, target

HOUR = 3_600_000_000


@dataclass(frozen=True)
class Cursor:
    """`at` is the EHR's time of the last change that was seen. `held` says why it does not go on; times are microseconds."""

    target: str
    type: str
    at: str | None
    next_at: int
    every: int
    compared_at: int | None
    pulled_at: int | None
    held: str | None


_COLUMNS = "target, type, at, next_at, every, compared_at, pulled_at, held"


def begin(tx: Connection, name: str, types: Iterable[str], every: int, now: int) -> None:
    """From now on these types are pulled, each `every` so often; others are not."""
    kept = {c.type: c for c in of(tx, name)}
    tx.execute(delete(cursor).where(cursor.c.target == name))
    for type_ in sorted(set(types)):
        before = kept.get(type_)
        tx.execute(insert(cursor).values(
            target=name, type=type_, next_at=now, every=every,
            **({"at": before.at, "compared_at": before.compared_at, "pulled_at": before.pulled_at, "held": before.held} if before else {}),
        ))  # fmt: skip


def start_anew(tx: Connection, name: str, now: int) -> None:
    """The pulls of an EHR that is another now begin at the beginning, on its own clock."""
    tx.execute(update(cursor).where(cursor.c.target == name).values(at=None, compared_at=None, pulled_at=None, held=None, next_at=now))


def make_due(tx: Connection, name: str, types: Collection[str], now: int) -> bool:
    """Has these types pulled next, or all without any. Returns whether there was one."""
    c = cursor.c
    which = c.target == name, *((c.type.in_(types),) if types else ())
    return tx.execute(update(cursor).where(*which).values(next_at=now)).rowcount > 0


def of(connection: Connection, name: str) -> list[Cursor]:
    return [Cursor(*row) for row in run(connection, f"SELECT {_COLUMNS} FROM cursor WHERE target = : ORDER BY type", (name,))]


def next_due(connection: Connection, now: int) -> Cursor | None:
    """The pull that has waited longest, of an EHR that may be asked."""
    c, t = cursor.c, target.c
    query = (
        select(c.target, c.type, c.at, c.next_at, c.every, c.compared_at, c.pulled_at, c.held).join(target, t.id == c.target)
        .where(c.next_at <= now, t.removed_at.is_(None), ~t.paused, t.snoozed_until <= now).order_by(c.next_at).limit(1)
    )  # fmt: skip
    row = connection.execute(query).one_or_none()
    return Cursor(*row) if row is not None else None


def claim(tx: Connection, one: Cursor, until: int) -> bool:
    """Whether this pull is ours: nobody else begins it before `until`."""
    c = cursor.c
    mine = c.target == one.target, c.type == one.type, c.next_at == one.next_at
    return tx.execute(update(cursor).where(*mine).values(next_at=until)).rowcount == 1


def come_to(tx: Connection, one: Cursor, at: str | None, held: str | None, now: int, *, compared: bool) -> None:
    """Notes how a pull ended, and when the next one is."""
    c = cursor.c
    values = {"at": at, "held": held, "pulled_at": now, "next_at": now + one.every, **({"compared_at": now} if compared else {})}
    tx.execute(update(cursor).where(c.target == one.target, c.type == one.type).values(**values))


# --- what came in

def note(tx: Connection, name: str, resource: int, digest: bytes, now: int) -> None:
    tx.execute(insert(heard).values(target=name, resource=resource, at=now, digest=digest))
    tx.execute(delete(heard).where(heard.c.target == name, heard.c.resource == resource, heard.c.at < now - HOUR))


def within_the_hour(connection: Connection, name: str, resource: int, digest: bytes, now: int) -> tuple[int, int]:
    """(how many changes of a resource came in from an EHR within the hour, how many of them were just this)."""
    h = heard.c
    query = select(func.count(), func.count().filter(h.digest == digest)).where(h.target == name, h.resource == resource, h.at >= now - HOUR)
    every, this = connection.execute(query).one()
    return every, this
