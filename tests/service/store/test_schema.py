"""The schema that migrations make is the one that the tables say, on both databases."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory

from service.store import migrate
from service.store.database import Database
from service.store.tables import metadata
from service.wiring import index_parameters
from tests import postgres


def test_migrations_make_what_the_tables_say(database: Database) -> None:
    with database.engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def bare_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The URL of a database without a table."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path}/bare.db"
        return
    with postgres.database(request.getfixturevalue("postgres_url")) as url:
        yield url


def test_processes_that_start_together_make_it_once(bare_url: str) -> None:
    several = [Database(bare_url) for _ in range(4)]
    with ThreadPoolExecutor(4) as pool:
        numbers = list(pool.map(lambda one: migrate.upgrade(one, index_parameters()), several))
    assert all(found == numbers[0] for found in numbers) and len(set(numbers[0].values())) == len(numbers[0])
    with several[0].glance() as connection:
        assert migrate.is_current(connection)
    for one in several:
        one.close()


def test_the_newest_migration_is_the_one_that_alembic_would_end_with() -> None:
    config = Config()
    config.set_main_option("script_location", str(migrate.MIGRATIONS))
    assert migrate.newest() == ScriptDirectory.from_config(config).get_current_head()
