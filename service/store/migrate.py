"""The schema: made and moved on by Alembic, under one lock, so that processes that start together do it once."""

from collections.abc import Iterable
from functools import cache
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, insert, select, text

from service.store import index
from service.store.database import Database
from service.store.tables import clock

LOCK = 7_214_093_551  # any number that nobody else takes


def _config(connection: Connection | None = None) -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.attributes["connection"] = connection
    return config


def upgrade(database: Database, parameters: Iterable[tuple[str, str]]) -> dict[tuple[str, str], int]:
    """Brings the schema to the newest version and returns the numbers of the search parameters."""
    wanted = list(parameters)

    def work(tx: Connection) -> dict[tuple[str, str], int]:
        if not database.sqlite:
            tx.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": LOCK})
        if not is_current(tx):
            command.upgrade(_config(tx), "head")
        if tx.execute(select(clock.c.id)).first() is None:
            tx.execute(insert(clock).values(id=1, seq=0, at=0, restores=0))
        return index.register(tx, wanted)

    return database.write(work)


def is_current(connection: Connection) -> bool:
    """Whether the schema is the one that this release was written for."""
    return MigrationContext.configure(connection).get_current_revision() == _head()


@cache
def _head() -> str | None:
    return ScriptDirectory.from_config(_config()).get_current_head()
