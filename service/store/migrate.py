"""The schema: made and moved on by Alembic, under one lock, so that processes that start together do it once."""

from collections.abc import Iterable
from pathlib import Path

from sqlalchemy import Connection, insert, inspect, select, text

from service.store import index
from service.store.database import Database
from service.store.tables import clock

LOCK = 7_214_093_551  # any number that nobody else takes
MIGRATIONS = Path(__file__).parent / "migrations"


def upgrade(database: Database, parameters: Iterable[tuple[str, str]]) -> dict[tuple[str, str], int]:
    """Brings the schema to the newest version and returns the numbers of the search parameters."""
    wanted = list(parameters)

    def work(tx: Connection) -> dict[tuple[str, str], int]:
        if not database.sqlite:
            tx.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": LOCK})
        if not is_current(tx):
            _move_on(tx)
        if tx.execute(select(clock.c.id)).first() is None:
            tx.execute(insert(clock).values(id=1, seq=0, at=0, restores=0))
        return index.register(tx, wanted)

    return database.write(work)


def is_current(connection: Connection) -> bool:
    """Whether the schema is the one that this release was written for."""
    if not inspect(connection).has_table("alembic_version"):
        return False
    return list(connection.scalars(text("SELECT version_num FROM alembic_version"))) == [newest()]


def newest() -> str:
    """The number of the last migration, which its file's name begins with."""
    return max(path.name[:4] for path in (MIGRATIONS / "versions").glob("[0-9]*.py"))


def _move_on(tx: Connection) -> None:
    from alembic import command  # only where there is something to do: it is a tenth of a worker's memory
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.attributes["connection"] = tx
    command.upgrade(config, "head")
