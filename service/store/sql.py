"""Statements for the hot paths, written as SQL: the driver's own parameters, and rows as plain tuples."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from hashlib import blake2b
from typing import Any, TypeVar

from sqlalchemy import Connection, Table

from service.store.columns import COLUMNS, Ints, Truths

T = TypeVar("T")
ROWS = 500
AT_ONCE = 64  # rows of one INSERT on SQLite


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
    held = connection.connection
    driver: Any = held.dbapi_connection
    if connection.dialect.name == "sqlite":
        found: list[Any] = driver.execute(sql.replace(":", "?"), tuple(parameters)).fetchall()
        return found
    prepared = held.info.get("prepared") or _prepared(held.info, driver)
    rows: list[Any] = prepared.run(sql, parameters)
    return rows


def _prepared(info: dict[Any, Any], driver: Any) -> Any:
    from service.store.prepared import Prepared  # and with it psycopg, which is a tenth of the memory of a process that needs none of it

    made = info["prepared"] = Prepared(driver)
    return made


def lock_name(tx: Connection, name: str) -> None:
    """Locks something that has no row of its own until the transaction ends."""
    lock_names(tx, [name])


def lock_names(tx: Connection, alone: Iterable[str], shared: Iterable[str] = ()) -> None:
    """Locks things, for oneself alone or with others who share them. SQLite has one writer, who has everything locked.

    All are locked in one order, whoever locks them, and so no two wait for each other.
    """
    if tx.dialect.name == "sqlite":
        return
    wanted = {**dict.fromkeys(map(_number, shared), False), **dict.fromkeys(map(_number, alone), True)}
    if wanted:
        numbers, whether = zip(*sorted(wanted.items()), strict=True)
        each = "CASE WHEN alone THEN pg_advisory_xact_lock(number) ELSE pg_advisory_xact_lock_shared(number) END"
        run(tx, f"SELECT {each} FROM unnest(:, :) AS wanted (number, alone)", [Ints(numbers), Truths(whether)])


def _number(name: str) -> int:
    return int.from_bytes(blake2b(name.encode(), digest_size=8).digest(), signed=True)


def insert_many(connection: Connection, table: Table, columns: Sequence[str], rows: Sequence[Sequence[Any]], more: str = "") -> list[Any]:
    """Rows of values, at once: columns as arrays on PostgreSQL, some hundred rows a statement on SQLite.

    `more` stands at the end: ON CONFLICT, or RETURNING, whose rows come back in any order.

    A statement for each row would give up the interpreter's lock as often; on PostgreSQL, one that lists many rows is parsed for
    longer than it runs (measured: 17 publishes a second, against 60 by arrays).
    """
    what = f"INSERT INTO {table.name} ({', '.join(columns)})"
    if not rows:
        return []
    if connection.dialect.name != "sqlite":
        arrays = [COLUMNS[table.c[name].type.python_type](values) for name, values in zip(columns, zip(*rows, strict=True), strict=True)]
        return run(connection, f"{what} SELECT * FROM unnest({marks(arrays)}) {more}", arrays)
    driver: Any = connection.connection.dbapi_connection
    one, found = f"({', '.join('?' * len(columns))})", []
    for chunk in _halved(rows):
        sql = f"{what} VALUES {', '.join([one] * len(chunk))} {more}"
        found += driver.execute(sql, [value for row in chunk for value in row]).fetchall()
    return found


def _halved(rows: Sequence[T]) -> Iterator[Sequence[T]]:
    """Rows in parts of some few lengths: a statement for each number of rows would be kept by every connection, and is large."""
    at = 0
    while at < len(rows):
        length = min(AT_ONCE, 1 << ((len(rows) - at).bit_length() - 1))
        yield rows[at : at + length]
        at += length


def chunks(values: Sequence[T]) -> Iterator[Sequence[T]]:
    """Values in parts of as many as one statement may have."""
    return (values[n : n + ROWS] for n in range(0, len(values), ROWS))


def listed(connection: Connection, columns: Mapping[str, type], rows: Sequence[Sequence[Any]]) -> tuple[str, list[Any]]:
    """Rows of values as a table to update from, with its parameters: one statement on PostgreSQL, however many there are.

    On SQLite it is one of few, in which the last row is there several times.
    """
    if connection.dialect.name != "sqlite":
        arrays: list[Any] = [COLUMNS[kind](values) for kind, values in zip(columns.values(), zip(*rows, strict=True), strict=True)]
        return f"(SELECT * FROM unnest({marks(arrays)}) AS u ({', '.join(columns)}))", arrays
    names = ", ".join(f"column{n} AS {name}" for n, name in enumerate(columns, 1))
    filled = padded(rows)
    return f"(SELECT {names} FROM (VALUES {', '.join(f'({marks(row)})' for row in filled)}))", [value for row in filled for value in row]


def marks(values: Sequence[Any]) -> str:
    return ", ".join(":" * len(values))


def padded(values: Sequence[T]) -> list[T]:
    """Values for an IN, the last of them again until they are a power of two: statements of few lengths are prepared once."""
    return [*values, *list(values[-1:]) * ((1 << (len(values) - 1).bit_length()) - len(values))]
