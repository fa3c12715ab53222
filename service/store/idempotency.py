"""Answers that are kept under a caller's Idempotency-Key, so that a request that is sent again is answered again, not done again."""

import json
from dataclasses import dataclass

from sqlalchemy import Connection, delete, insert, select

from service.errors import Unprocessable
from service.store.sql import lock_name
from service.store.tables import idempotency


@dataclass(frozen=True)
class Kept:
    status: int
    headers: dict[str, str]
    body: bytes


def find(tx: Connection, client: str, key: str, request: bytes, *, now: int) -> Kept | None:
    """The answer that was given before. Raises Unprocessable where the key was used for another request.

    On PostgreSQL the key is locked until the end of the transaction: the second of two at once waits for the first.
    """
    lock_name(tx, f"{client}\0{key}")
    i = idempotency.c
    tx.execute(delete(idempotency).where(i.client == client, i.key == key, i.expires_at < now))
    row = tx.execute(select(idempotency).where(i.client == client, i.key == key)).one_or_none()
    if row is None:
        return None
    if row.request != request:
        raise Unprocessable("This Idempotency-Key was used for another request")
    return Kept(row.status, json.loads(row.headers), row.body)


def keep(tx: Connection, client: str, key: str, request: bytes, *, answer: tuple[int, dict[str, str], bytes], until: int) -> None:
    status, headers, body = answer
    tx.execute(insert(idempotency).values(
        client=client, key=key, request=request, status=status, headers=json.dumps(headers), body=body, expires_at=until,
    ))  # fmt: skip
