"""The keys with which we sign who we are, as they are kept: those of one EHR before those of all, the newest that may sign first."""

import json
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, insert, or_, select, update

from service.store.tables import signing_key


@dataclass(frozen=True)
class SigningKey:
    """One key. It is published from when it was made until it is retired, and signs from `signs_from` until a newer one does."""

    kid: str
    alg: str
    target: str | None
    public: dict[str, Any]
    private: str = field(repr=False)  # sealed
    created_at: int
    signs_from: int
    retired_at: int | None = None


def add(tx: Connection, made: SigningKey) -> None:
    tx.execute(insert(signing_key).values(
        kid=made.kid, alg=made.alg, target=made.target, public=json.dumps(made.public), private=made.private, created_at=made.created_at,
        signs_from=made.signs_from, retired_at=None,
    ))  # fmt: skip


def every(connection: Connection) -> list[SigningKey]:
    """All that there ever were, the oldest first."""
    return [_key(row) for row in connection.execute(select(signing_key).order_by(signing_key.c.created_at, signing_key.c.kid))]


def published(connection: Connection) -> list[SigningKey]:
    return [one for one in every(connection) if one.retired_at is None]


def signing(connection: Connection, alg: str, target: str, now: int, *, without: str | None = None) -> SigningKey | None:
    """The key that signs for a target now."""
    k = signing_key.c
    query = select(signing_key).where(k.alg == alg, k.retired_at.is_(None), k.signs_from <= now, or_(k.target == target, k.target.is_(None)))
    found = [_key(row) for row in connection.execute(query.order_by(k.target.is_(None), k.signs_from.desc(), k.created_at.desc(), k.kid))]
    return next((one for one in found if one.kid != without), None)


def retire(tx: Connection, kid: str, now: int) -> bool:
    """Takes a key out of use for good: what could sign with it is forgotten."""
    k = signing_key.c
    return tx.execute(update(signing_key).where(k.kid == kid, k.retired_at.is_(None)).values(retired_at=now, private="")).rowcount == 1


def _key(row: Any) -> SigningKey:
    return SigningKey(row.kid, row.alg, row.target, json.loads(row.public), row.private, row.created_at, row.signs_from, row.retired_at)
