"""Statements for the hot paths, written as SQL: the driver's own parameters, and rows as plain tuples."""

from collections.abc import Sequence
from hashlib import blake2b
from typing import Any, TypeVar

from sqlalchemy import Connection, text

from service.store.prepared import Prepared

T = TypeVar("T")
ROWS = 500


class Statement:
    """SQL in pieces with its parameters, for either database: `:` stands for the next parameter."""

    def __init__(self) -> None:
        self._pieces: list[str] = []
        self.parameters: list[Any] = []

    def add(self, sql: str, *parameters: Any) -> "Statement":
        self._pieces.append(sql)
        self.parameters += parameters
        return self

    @property
    def sql(self) -> str:
        return " ".join(self._pieces)

    def run(self, connection: Connection) -> list[Any]:
        return run(connection, self.sql, self.parameters)


def run(connection: Connection, sql: str, parameters: Sequence[Any] = ()) -> list[Any]:
    """All rows of one statement whose parameters are written as `:`, in order. The driver is asked directly.

    SQLAlchemy's result objects cost as much as the statement itself on the paths that this is for (measured: 90 of 250 us).
    """
    driver: Any = connection.connection.dbapi_connection
    if connection.dialect.name == "sqlite":
        found: list[Any] = driver.execute(sql.replace(":", "?"), tuple(parameters)).fetchall()
        return found
    prepared: Prepared | None = connection.info.get("prepared")
    if prepared is None:
        prepared = connection.info["prepared"] = Prepared(driver)
    return prepared.run(sql, parameters)


def lock_name(tx: Connection, name: str, *, shared: bool = False) -> None:
    """Locks something that has no row of its own until the transaction ends. SQLite has one writer, who has everything locked."""
    if tx.dialect.name != "sqlite":
        number = int.from_bytes(blake2b(name.encode(), digest_size=8).digest(), signed=True)
        tx.execute(text(f"SELECT pg_advisory_xact_lock{'_shared' if shared else ''}(:number)"), {"number": number})


def insert_many(connection: Connection, table: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Rows of values: by COPY on PostgreSQL, some hundred a statement on SQLite.

    A statement for each row would give up the interpreter's lock as often; on PostgreSQL, one of many rows is parsed for longer
    than it runs (measured: 17 publishes a second, against 60 by COPY).
    """
    driver: Any = connection.connection.dbapi_connection
    if connection.dialect.name != "sqlite":
        with driver.cursor() as cursor, cursor.copy(f"COPY {table} ({', '.join(columns)}) FROM STDIN") as copy:
            for row in rows:
                copy.write_row(row)
        return
    one = f"({', '.join('?' * len(columns))})"
    for start in range(0, len(rows), ROWS):
        chunk = rows[start : start + ROWS]
        sql = f"INSERT INTO {table} ({', '.join(columns)}) VALUES {', '.join([one] * len(chunk))}"
        driver.execute(sql, [value for row in chunk for value in row])


def marks(values: Sequence[Any]) -> str:
    return ", ".join(":" * len(values))


def padded(values: Sequence[T]) -> list[T]:
    """Values for an IN, the last of them again until they are a power of two: statements of few lengths are prepared once."""
    return [*values, *list(values[-1:]) * ((1 << (len(values) - 1).bit_length()) - len(values))]
