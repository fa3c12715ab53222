"""What is in the database, table by table, for tests that compare states of it."""

from typing import Any

from sqlalchemy import select

from service.store.database import Database
from service.store.tables import metadata

NOT_DATA = {"audit", "token", "worker", "jti", "client", "alembic_version"}  # what is written by merely asking


def dicts(database: Database, name: str) -> list[dict[str, Any]]:
    with database.reading() as connection:
        return [dict(row._mapping) for row in connection.execute(select(metadata.tables[name]))]


def state(database: Database) -> dict[str, list[tuple[Any, ...]]]:
    """Every row of every table that holds what was published and what follows from it."""
    return {name: _sorted(database, name) for name in metadata.tables if name not in NOT_DATA}


def _sorted(database: Database, name: str) -> list[tuple[Any, ...]]:
    with database.reading() as connection:
        found = connection.execute(select(metadata.tables[name]))
        return sorted((tuple(bytes(v) if isinstance(v, memoryview) else v for v in row) for row in found), key=repr)
