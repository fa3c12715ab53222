"""Callers and their tokens, as they are kept: opaque tokens of 256 bits as SHA-256, short-lived and revocable."""

import json
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from sqlalchemy import Connection, delete, insert, select, update
from sqlalchemy.exc import IntegrityError

from service.security.scopes import Scopes, parse
from service.store.tables import client, jti, token

ALGORITHMS = ("RS384", "ES384")


@dataclass(frozen=True)
class Client:
    """A system that may call. `level` is what it sees where no consent says otherwise; recipients of consents match by the rest."""

    id: str
    name: str
    level: int
    scopes: Scopes
    organisation: str | None = None
    role: str | None = None
    algorithms: tuple[str, ...] = ALGORITHMS
    jwks: dict[str, Any] | None = None
    jwks_url: str | None = None
    revoked_at: int | None = None

    @property
    def reader(self) -> str:
        return f"client:{self.id}"


@dataclass(frozen=True)
class Caller:
    """Who a token speaks for, and what it allows."""

    client: str
    level: int
    scopes: Scopes

    @property
    def reader(self) -> str:
        return f"client:{self.client}"


def add(tx: Connection, found: Client, now: int) -> None:
    tx.execute(insert(client).values(
        id=found.id, name=found.name, level=found.level, organisation=found.organisation, role=found.role, scopes=str(found.scopes),
        algorithms=" ".join(found.algorithms), jwks=json.dumps(found.jwks) if found.jwks else None, jwks_url=found.jwks_url, created_at=now,
    ))  # fmt: skip


def get(connection: Connection, id: str) -> Client | None:
    row = connection.execute(select(client).where(client.c.id == id)).one_or_none()
    return _client(row) if row else None


def every(connection: Connection) -> list[Client]:
    return [_client(row) for row in connection.execute(select(client).order_by(client.c.created_at))]


def _client(row: Any) -> Client:
    return Client(
        row.id, row.name, row.level, parse(row.scopes), row.organisation, row.role, tuple(row.algorithms.split()),
        json.loads(row.jwks) if row.jwks else None, row.jwks_url, row.revoked_at,
    )  # fmt: skip


def revoke(tx: Connection, id: str, now: int) -> bool:
    """Ends a client and all of its tokens."""
    tx.execute(update(token).where(token.c.client == id, token.c.revoked_at.is_(None)).values(revoked_at=now))
    return tx.execute(update(client).where(client.c.id == id, client.c.revoked_at.is_(None)).values(revoked_at=now)).rowcount == 1


def issue(tx: Connection, found: Client, scopes: Scopes, seconds: int, now: int) -> str:
    """A new access token, which is shown once and kept only as its hash."""
    made = secrets.token_urlsafe(32)
    tx.execute(insert(token).values(hash=hashed(made), client=found.id, scopes=str(scopes), expires_at=now + seconds * 1_000_000))
    return made


def hashed(text: str) -> bytes:
    return sha256(text.encode()).digest()


def caller(connection: Connection, hash_: bytes, now: int) -> Caller | None:
    """Who a token speaks for: None where it is unknown, past its time or revoked, or its client is."""
    query = (
        select(token.c.client, token.c.scopes, client.c.level)
        .join(client, client.c.id == token.c.client)
        .where(token.c.hash == hash_, token.c.expires_at > now, token.c.revoked_at.is_(None), client.c.revoked_at.is_(None))
    )
    row = connection.execute(query).one_or_none()
    return Caller(row.client, row.level, parse(row.scopes)) if row else None


def use_once(tx: Connection, id: str, value: str, expires_at: int) -> bool:
    """Whether this assertion id is new for the client; from now on it is not."""
    try:
        with tx.begin_nested():
            tx.execute(insert(jti).values(client=id, jti=value, expires_at=expires_at))
    except IntegrityError:
        return False
    return True


def forget_expired(tx: Connection, tables: Iterable[Any], before: int) -> None:
    for table in tables:
        tx.execute(delete(table).where(table.c.expires_at < before))
