"""The audit trail: who did what to whose record, appended and never changed.

Rows of writes and refusals commit with what they speak of. A sealer chains committed rows with an HMAC whose key is outside the
database, so that a row that was changed or taken out afterwards shows.
"""

import hmac
from collections.abc import Iterable, Iterator
from hashlib import sha256
from typing import Any, NamedTuple

from sqlalchemy import Connection, select, update

from service.store.sql import insert_many
from service.store.tables import audit


class Event(NamedTuple):
    """`target` is a path without its query or kind/id; `detail` holds counts and parameter names, and nothing clinical."""

    at: int
    client: str
    action: str
    target: str
    status: int
    request: str = ""
    patient: int | None = None
    level: int | None = None
    detail: str = ""


def record(tx: Connection, events: Iterable[Event]) -> None:
    rows = list(events)
    if rows:
        insert_many(tx, "audit", Event._fields, rows)


def seal(tx: Connection, key: bytes, limit: int = 1000) -> tuple[int, bytes] | None:
    """Chains the rows that are not yet sealed, in their order. Returns the last row's number and the head, None if there was none."""
    a = audit.c
    rows = tx.execute(select(audit).where(a.chain.is_(None)).order_by(a.num).limit(limit)).all()
    if not rows:
        return None
    head = tx.execute(select(a.chain).where(a.num < rows[0].num, a.chain.is_not(None)).order_by(a.num.desc()).limit(1)).scalar_one_or_none() or b""
    for row in rows:
        head = _link(key, head, row)
        tx.execute(update(audit).where(a.num == row.num).values(chain=head))
    return rows[-1].num, head


def verify(connection: Connection, key: bytes) -> Iterator[tuple[int, bool]]:
    """(number, whether its link holds) of every sealed row, in order."""
    head = b""
    for row in connection.execute(select(audit).where(audit.c.chain.is_not(None)).order_by(audit.c.num)):
        head = _link(key, head, row)
        holds = hmac.compare_digest(head, row.chain)
        yield row.num, holds
        head = row.chain


def _link(key: bytes, head: bytes, row: Any) -> bytes:
    what = (row.num, row.at, row.client, row.action, row.target, row.patient, row.level, row.status, row.request, row.detail)
    said = "\x1f".join(map(str, what))
    return hmac.new(key, head + said.encode(), sha256).digest()
