"""Answers that are kept under a caller's Idempotency-Key, so that a request that is sent again is answered again, not done again."""

import json
from dataclasses import dataclass
from hashlib import blake2b

from sqlalchemy import Connection, delete, insert, select, text

from service.errors import Conflict
from service.store.tables import idempotency


@dataclass(frozen=True)
class Kept:
    status: int
    headers: dict[str, str]
    body: bytes


def find(tx: Connection, client: str, key: str, request: bytes, *, now: int) -> Kept | None:
    """The answer that was given before. Raises Conflict where the key was used for another request.

    On PostgreSQL the key is locked until the end of the transaction: the second of two at once waits for the first.
    """
    if tx.dialect.name != "sqlite":
        number = int.from_bytes(blake2b(f"{client}\0{key}".encode(), digest_size=8).digest(), signed=True)
        tx.execute(text("SELECT pg_advisory_xact_lock(:number)"), {"number": number})
    i = idempotency.c
    tx.execute(delete(idempotency).where(i.client == client, i.key == key, i.expires_at < now))
    row = tx.execute(select(idempotency).where(i.client == client, i.key == key)).one_or_none()
    if row is None:
        return None
    if row.request != request:
        raise Conflict("This Idempotency-Key was used for another request")
    return Kept(row.status, json.loads(row.headers), row.body)


def keep(tx: Connection, client: str, key: str, request: bytes, *, answer: tuple[int, dict[str, str], bytes], until: int) -> None:
    status, headers, body = answer
    tx.execute(insert(idempotency).values(
        client=client, key=key, request=request, status=status, headers=json.dumps(headers), body=body, expires_at=until,
    ))  # fmt: skip
