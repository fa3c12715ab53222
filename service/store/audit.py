"""The audit trail: who did what to whose record, appended and never changed.

Rows of writes and refusals commit with what they speak of. A sealer chains committed rows with an HMAC whose key is outside the
database, so that a row that was changed or taken out afterwards shows.
"""

import hmac
import json
from collections.abc import Iterable, Iterator
from hashlib import sha256
from typing import Any, NamedTuple

from sqlalchemy import Connection, select

from service.store.sql import ROWS, insert_many, listed, lock_name, run
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
        insert_many(tx, audit, Event._fields, rows)


def seal(tx: Connection, key: bytes, limit: int = 5000) -> tuple[int, bytes] | None:
    """Chains rows that are not yet sealed, the oldest first. Returns the last link's number and the head, None if there was none.

    Rows get their numbers before they are committed, so one may turn up late among those that are sealed already: the chain has
    an order of its own.
    """
    a = audit.c
    lock_name(tx, "audit chain")
    last = tx.execute(select(a.link, a.chain).where(a.link.is_not(None)).order_by(a.link.desc()).limit(1)).one_or_none()
    began = link, head = (last.link, last.chain) if last is not None else (0, b"")
    for done in range(0, limit, ROWS):  # a worker's memory is that of the most that it ever had at once
        links = []
        for row in tx.execute(select(audit).where(a.chain.is_(None)).order_by(a.num).limit(min(ROWS, limit - done))):
            link, head = link + 1, _link(key, head, link + 1, row)
            links.append((row.num, link, head))
        if links:
            found, parameters = listed(tx, {"num": int, "link": int, "chain": bytes}, links)
            run(tx, f"UPDATE audit SET link = s.link, chain = s.chain FROM {found} AS s WHERE audit.num = s.num", parameters)
        if len(links) < ROWS:
            break
    return (link, head) if (link, head) != began else None


def verify(connection: Connection, key: bytes) -> Iterator[tuple[int, bool]]:
    """(number, whether its link holds) of every sealed row, in the order of the chain."""
    head, before = b"", 0
    sealed = select(audit).where(audit.c.link.is_not(None)).order_by(audit.c.link).limit(ROWS)
    part = sealed  # from the least number there is, so that a row with one that no link has shows too
    while rows := connection.execute(part).all():
        part = sealed.where(audit.c.link > rows[-1].link)
        for row in rows:
            holds = row.link == before + 1 and hmac.compare_digest(_link(key, head, row.link, row), row.chain)
            yield row.num, holds
            head, before = row.chain, row.link


def _link(key: bytes, head: bytes, link: int, row: Any) -> bytes:
    what = (link, row.num, row.at, row.client, row.action, row.target, row.patient, row.level, row.status, row.request, row.detail)
    return hmac.new(key, head + json.dumps(what).encode(), sha256).digest()
