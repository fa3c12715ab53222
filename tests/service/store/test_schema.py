"""The schema that migrations make is the one that the tables say, on both databases."""

from concurrent.futures import ThreadPoolExecutor

from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext

from service.store import migrate
from service.store.database import Database
from service.store.tables import metadata
from service.wiring import index_parameters


def test_migrations_make_what_the_tables_say(database: Database) -> None:
    with database.engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []


def test_processes_that_start_together_make_it_once(database_url: str) -> None:
    several = [Database(database_url) for _ in range(4)]
    with ThreadPoolExecutor(4) as pool:
        numbers = list(pool.map(lambda one: migrate.upgrade(one, index_parameters()), several))
    assert all(found == numbers[0] for found in numbers) and len(set(numbers[0].values())) == len(numbers[0])
    with several[0].glance() as connection:
        assert migrate.is_current(connection)
    for one in several:
        one.close()
