"""The database: engines made after fork, reads that wait for nobody, and write transactions that are repeatable functions.

Measured, and so decided here: writers on SQLite queue on a file lock round the write transaction, for SQLite's own waiting is
unfair (p99 71 ms against 960 ms with eight writers); reads begin plainly; a transaction that loses a race is run again.
"""

import fcntl
import os
import random
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import DBAPIError, SQLAlchemyError, StatementError
from sqlalchemy.pool import NullPool

from service.store.own_files import OwnFile, WriteQueue
from service.store.sql import run

T = TypeVar("T")
RETRIED = ("40001", "40P01")  # PostgreSQL: serialization failure, deadlock
ATTEMPTS = 8
NAME = "pathway-fhir"  # of our connections, on PostgreSQL
OPENING = 7_214_093_552  # any number that nobody else takes
WAITS = "SELECT pg_advisory_lock_shared"
LEAVING = 2.0  # seconds that the connections of a process that has ended may still be there
READING = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
CHECKPOINT = 4000  # pages of 4 kB: a publish changes some 370, many of them again and again (measured: 10 % more of them than at 1000)
CORRUPTS_WAL = "several processes that write and checkpoint a WAL can corrupt it or lose commits before SQLite 3.51.3"


class Outrun(Exception):
    """What a transaction had read is not so any more: it is run again from the start."""


class InUse(Exception):
    """Another process of ours has the database open."""


def sqlite_driver() -> ModuleType:
    """The SQLite that we use: pysqlite3's where it is installed, for Python's own is often an older one."""
    try:
        import pysqlite3

        return pysqlite3  # type: ignore[no-any-return]
    except ImportError:
        return sqlite3


def _postgres_driver() -> ModuleType:
    import psycopg

    return psycopg


def safe_for_wal(version: tuple[int, ...]) -> bool:
    """Whether this SQLite has the fix for lost commits in a WAL (3.51.3, and its branches 3.50.7 and 3.44.6)."""
    return version >= (3, 51, 3) or (3, 50, 7) <= version < (3, 51) or (3, 44, 6) <= version < (3, 45)


class _Held:
    """A connection while somebody has it. Who is done with it leaves it for the next, and it is the first that the next one finds."""

    def __init__(self, engine: Engine, idle: "list[_Held]", faults: tuple[type[Exception], ...]):
        self._idle, self._faults = idle, faults
        self._connection = engine.connect()

    def __enter__(self) -> Connection:
        return self._connection

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        if error is None or (isinstance(error, Exception) and (not isinstance(error, self._faults) or lost_a_race(error))):
            self._idle.append(self)
            return
        self.close()  # whatever went wrong with it, the next one gets another
        if _is(error, "OperationalError"):
            close_all(self._idle)  # the server went, and with it all that it had

    def close(self) -> None:
        with suppress(Exception):
            self._connection.invalidate()
            self._connection.close()


def close_all(idle: list[_Held]) -> None:
    with suppress(IndexError):
        while True:
            idle.pop().close()


class Database:
    """One database, on SQLite or PostgreSQL. Engines belong to a process: what is forked makes its own."""

    def __init__(self, url: str):
        self.url = make_url(url)
        self.sqlite = self.url.get_backend_name() == "sqlite"
        self._engines, self._making = dict[int, Engine](), threading.Lock()
        self._idle = dict[int, list[_Held]]()  # by process: what a fork copied is its parent's
        self._errors = (SQLAlchemyError, (sqlite_driver() if self.sqlite else _postgres_driver()).Error)
        self._options: dict[str, Any] = {"hide_parameters": True, "isolation_level": "AUTOCOMMIT", "poolclass": NullPool}
        self._queue: WriteQueue | None = None
        self._presence: OwnFile | None = None  # locked by all who have it open
        if self.sqlite:
            assert self.url.database, "a database in memory cannot be shared between processes"
            file = os.path.realpath(self.url.database)  # whatever links lead to it, those who have it open meet
            self._queue, self._presence = WriteQueue(Path(f"{file}.lock")), OwnFile(Path(f"{file}.open"))

    @property
    def engine(self) -> Engine:
        found = self._engines.get(os.getpid())
        if found is None:
            with self._making:
                found = self._engines.get(os.getpid()) or self._engines.setdefault(os.getpid(), self._made())
        return found

    def _made(self) -> Engine:
        if self._presence is None:
            made = self._on_postgres()
            with made.connect() as connection:  # after who is alone with it
                connection.exec_driver_sql(f"{WAITS}({OPENING})")
                connection.exec_driver_sql(f"SELECT pg_advisory_unlock_shared({OPENING})")
            return made
        if not self._presence.is_open:
            self._presence.lock(fcntl.LOCK_SH)
        url = self.url.set(drivername="sqlite+pysqlite")
        made = create_engine(url, module=sqlite_driver(), connect_args={"check_same_thread": False, "timeout": 10}, **self._options)
        event.listen(made, "connect", self._set_up_sqlite)
        return made

    def _on_postgres(self) -> Engine:
        url = self.url.set(drivername="postgresql+psycopg")
        made = create_engine(url, connect_args={"application_name": NAME}, **self._options)
        event.listen(made, "connect", _set_up_postgres)
        return made

    def _set_up_sqlite(self, connection: Any, _record: Any) -> None:
        version = tuple(map(int, connection.execute("SELECT sqlite_version()").fetchone()[0].split(".")))
        journal = "WAL" if safe_for_wal(version) else "TRUNCATE"
        pragmas = {
            "journal_mode": journal, "synchronous": "FULL", "foreign_keys": "ON", "busy_timeout": 10000, "cache_size": -2000, "temp_store": "MEMORY",
            "wal_autocheckpoint": CHECKPOINT,
        }  # fmt: skip
        for name, value in pragmas.items():
            connection.execute(f"PRAGMA {name}={value}")

    def glance(self) -> AbstractContextManager[Connection]:
        """A connection for what needs no transaction: one statement, or several at one commit. It is not shared, and need not be made each time.

        The one that was used last knows the most: its pages and statements are at hand, on both sides, and others' take no room.
        """
        idle = self._idle.setdefault(os.getpid(), [])
        try:
            return idle.pop()
        except IndexError:
            return _Held(self.engine, idle, self._errors)

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """One consistent state of the database, for as short as it takes: nothing is held while an answer is sent."""
        with self.glance() as connection, _transaction(connection, "BEGIN" if self.sqlite else READING, "ROLLBACK"):
            yield connection

    def write(self, work: Callable[[Connection], T]) -> T:
        """Runs `work` in one write transaction, again from the start where the database says that it lost a race."""
        for attempt in range(ATTEMPTS):
            try:
                if self._queue is None:
                    return self._written(work, "BEGIN")
                with self._queue:
                    return self._written(work, "BEGIN IMMEDIATE")
            except Exception as error:
                if not lost_a_race(error) or attempt == ATTEMPTS - 1:
                    raise
                time.sleep(random.uniform(0, 0.02 * 2**attempt))  # noqa: S311 (jitter)
        raise AssertionError("unreachable")

    def _written(self, work: Callable[[Connection], T], begin: str) -> T:
        with self.glance() as connection, _transaction(connection, begin, "COMMIT"):
            return work(connection)

    @contextmanager
    def alone(self) -> Iterator[None]:
        """While no other process of ours has the database open: who opens it meanwhile waits. Our own connections are closed first. Raises InUse."""
        self.close()
        try:
            if self._presence is not None:
                self._presence.lock(fcntl.LOCK_EX | fcntl.LOCK_NB)
                yield
                return
            self._engines[os.getpid()] = made = self._on_postgres()
            with made.connect() as connection:
                connection.exec_driver_sql(f"SELECT pg_advisory_lock({OPENING})")
                self._none_connected(connection)
                yield
                connection.exec_driver_sql(f"SELECT pg_advisory_unlock({OPENING})")
        except BlockingIOError:
            raise InUse from None
        finally:
            self.close()

    @staticmethod
    def _none_connected(connection: Connection) -> None:
        """Raises InUse where a process of ours is connected to PostgreSQL. One that has just ended is waited for, and not one that waits for us."""
        others = (
            "SELECT COUNT(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name = : AND pid <> pg_backend_pid() "
            "AND query NOT LIKE :"
        )
        until = time.monotonic() + LEAVING
        while run(connection, others, (NAME, f"{WAITS}%"))[0][0]:
            if time.monotonic() > until:
                raise InUse
            time.sleep(0.1)

    def before_fork(self) -> None:
        """Closes what SQLite may not take along: a child would take its parent's locks for its own, and have none when that one ends.

        Whoever opens the file then is alone with it, and takes away the WAL that the child goes on to write to
        (sqlite.org/howtocorrupt.html, "Carrying an open database connection across a fork()").
        """
        if self.sqlite:
            close_all(self._idle.pop(os.getpid(), []))

    def close(self) -> None:
        close_all(self._idle.pop(os.getpid(), []))
        engine = self._engines.pop(os.getpid(), None)
        if engine is not None:
            engine.dispose()
        for one in (self._queue, self._presence):
            if one is not None:
                one.close()


@contextmanager
def _transaction(connection: Connection, begin: str, end: str) -> Iterator[None]:
    """Begins and ends as the hot paths ask (measured: 100 us less a turn)."""
    try:
        run(connection, begin)
        yield
        run(connection, end)
    except BaseException:
        if connection.invalidated:
            raise  # SQLAlchemy found it lost, and there is nothing to roll back
        driver: Any = connection.connection.dbapi_connection
        if connection.dialect.name != "sqlite" or driver.in_transaction:  # which may not have begun, where SQLite was locked
            connection.exec_driver_sql("ROLLBACK")
        raise


def _set_up_postgres(connection: Any, _record: Any) -> None:
    """One plan for each statement, whatever its values: ours go by an index, and planning takes longer than they do (measured: 360 us a page).

    What is prepared is `prepared.Prepared`'s alone: psycopg, which prepares what it is asked often, lets go of everybody's statements at a
    rollback.
    """
    connection.prepare_threshold = None
    connection.execute("SET plan_cache_mode = force_generic_plan")
    connection.commit()


def lost_a_race(error: Exception) -> bool:
    """Whether the same transaction may well succeed when it is run again. The driver's error may come bare or wrapped."""
    if isinstance(error, Outrun):
        return True
    cause = error.orig if isinstance(error, DBAPIError) else error
    return getattr(cause, "sqlstate", None) in RETRIED or (type(cause).__name__ == "OperationalError" and "database is locked" in str(cause))


def never_written(error: Exception) -> bool:
    """Whether what was to be written is the fault, and would be the next time: a text that the database cannot hold, a number beyond its own."""
    cause = error.orig if isinstance(error, StatementError) else error
    return isinstance(cause, TypeError | ValueError | ArithmeticError) or _is(error, "DataError")


def _is(error: BaseException, name: str) -> bool:
    """Whether an error, SQLAlchemy's or a driver's, is of one of the sorts that DB-API 2.0 names."""
    return any(base.__name__ == name for base in type(error).__mro__)


def dialect_of(connection: Connection) -> str:
    return connection.dialect.name
