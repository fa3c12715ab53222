"""A database that is busy, away or back again: what could be done is done, what could not leaves nothing behind."""

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

import psycopg
import pytest
from sqlalchemy import Connection, select
from sqlalchemy.exc import OperationalError

from service.config import Settings
from service.store.database import Database, InUse, Outrun, sqlite_driver
from service.store.sql import run
from tests.service.tables import dicts


def add(tx: Connection) -> None:
    run(tx, "INSERT INTO worker (id, started_at, seen_at) VALUES ('a', 0, 0)")


@contextmanager
def held(database: Database) -> Iterator[None]:
    """Another program writes to the file, and stands in no queue of ours."""
    other = sqlite_driver().connect(database.url.database, isolation_level=None, check_same_thread=False)
    other.execute("BEGIN IMMEDIATE")
    try:
        yield
    finally:
        other.execute("ROLLBACK")
        other.close()


def impatient(database: Database) -> None:
    with database.glance() as connection:
        connection.exec_driver_sql("PRAGMA busy_timeout = 20")


def test_a_write_to_a_file_that_another_program_has_locked_is_made_when_it_lets_go(database: Database) -> None:
    if not database.sqlite:
        pytest.skip("PostgreSQL is nobody's alone")
    impatient(database)
    with ExitStack() as stack:
        stack.enter_context(held(database))
        threading.Timer(0.1, stack.pop_all().close).start()
        database.write(add)
    assert len(dicts(database, "worker")) == 1


def test_a_file_that_stays_locked_is_said_to_be(database: Database) -> None:
    if not database.sqlite:
        pytest.skip("PostgreSQL is nobody's alone")
    impatient(database)
    with held(database), pytest.raises((OperationalError, sqlite_driver().OperationalError), match="locked"):
        database.write(add)
    database.write(add)
    assert len(dicts(database, "worker")) == 1


def test_what_fails_in_a_write_leaves_nothing_and_the_next_write_is_made(database: Database) -> None:
    def fails(tx: Connection) -> None:
        add(tx)
        raise LookupError

    with pytest.raises(LookupError):
        database.write(fails)
    assert not dicts(database, "worker")
    database.write(add)
    assert len(dicts(database, "worker")) == 1


def test_whoever_comes_next_has_the_connection_that_was_used_last_and_nobody_shares_one(database: Database) -> None:
    with database.glance() as one, database.glance() as another:
        assert one is not another
    with database.reading() as again:
        assert again is one
    assert database.write(lambda tx: tx) is one


def test_a_write_that_lost_a_race_is_run_again_on_the_same_connection(database: Database) -> None:
    tried: list[Connection] = []

    def outrun_once(tx: Connection) -> None:
        add(tx)
        tried.append(tx)
        if len(tried) == 1:
            raise Outrun

    database.write(outrun_once)
    assert tried[0] is tried[1] and len(dicts(database, "worker")) == 1


@pytest.mark.parametrize("what", [KeyboardInterrupt, "SELECT nothing FROM nowhere"])
def test_a_connection_with_which_something_went_wrong_is_not_used_again(database: Database, what: type[BaseException] | str) -> None:
    with pytest.raises((KeyboardInterrupt, *database._errors)), database.reading() as one:
        if not isinstance(what, str):
            raise what
        run(one, what)
    assert one.closed
    with database.glance() as another:
        assert another is not one and run(another, "SELECT 1") == [(1,)]


def hang_up(database: Database) -> int:
    """The server closes every connection of ours. How many there were."""
    with psycopg.connect(database.url.render_as_string(hide_password=False), autocommit=True) as other:
        ours = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
        return len(other.execute(ours).fetchall())


def glance(database: Database) -> None:
    with database.glance() as connection:
        run(connection, "SELECT 1")


def look(database: Database) -> None:
    with database.reading() as connection:
        run(connection, "SELECT 1")


@pytest.mark.parametrize("ask", [glance, look, lambda database: database.write(add)])
def test_when_the_server_has_closed_every_connection_one_caller_is_told_and_the_next_is_answered(
    database: Database, ask: Callable[[Database], None]
) -> None:
    if database.sqlite:
        pytest.skip("SQLite has no server")
    with ExitStack() as stack:
        for _ in range(4):
            stack.enter_context(database.reading())
    assert hang_up(database) >= 4
    with pytest.raises((OperationalError, psycopg.OperationalError)):
        ask(database)
    for again in (ask, glance, look):
        again(database)


@pytest.mark.parametrize("core", [True, False])
def test_a_connection_that_is_lost_within_a_write_is_said_to_be_whoever_finds_out(database: Database, core: bool) -> None:
    if database.sqlite:
        pytest.skip("SQLite has no server")

    def loses(tx: Connection) -> None:
        add(tx)
        hang_up(database)
        if core:
            tx.execute(select(1))
        else:
            run(tx, "SELECT 1")

    look(database)
    with pytest.raises((OperationalError, psycopg.OperationalError)):
        database.write(loses)
    assert not dicts(database, "worker")
    database.write(add)
    assert len(dicts(database, "worker")) == 1


def test_a_forked_process_loses_nothing_when_its_parent_lets_go_of_the_file_and_others_come_and_go(database: Database) -> None:
    if not database.sqlite:
        pytest.skip("PostgreSQL has no locks of ours")
    glance(database)
    database.before_fork()
    said, say = os.pipe()
    go, on = os.pipe()
    child = os.fork()
    if not child:
        try:
            glance(database)
            os.write(say, b"1")
            os.read(go, 1)
            database.write(add)
            os.write(say, b"1")
            os.read(go, 1)
        finally:
            os._exit(0)
    os.read(said, 1)
    database.close()
    path = str(database.url.database)
    for wait in (True, False):
        newcomer = sqlite_driver().connect(path)
        there = newcomer.execute("SELECT COUNT(*) FROM worker").fetchone()
        newcomer.close()
        os.write(on, b"1")
        if wait:
            os.read(said, 1)
    os.waitpid(child, 0)
    assert there == (1,)


def test_nobody_is_alone_with_a_database_that_another_process_has_open_and_somebody_is_when_it_ends(database: Database, settings: Settings) -> None:
    with database.glance() as connection:
        run(connection, "SELECT 1")
    another = Database(settings.database_url)
    with pytest.raises(InUse), another.alone():
        pytest.fail("it is not alone")
    database.close()
    with another.alone():
        pass
    with database.glance() as connection:
        assert run(connection, "SELECT 1") == [(1,)]


def test_who_opens_a_file_that_somebody_is_alone_with_waits(database: Database, settings: Settings) -> None:
    if not database.sqlite:
        pytest.skip("PostgreSQL's own locks see to it")
    database.close()
    opened = threading.Thread(target=lambda: database.write(add))
    with Database(settings.database_url).alone():
        opened.start()
        opened.join(0.2)
        assert opened.is_alive()
    opened.join(10)
    assert len(dicts(database, "worker")) == 1
