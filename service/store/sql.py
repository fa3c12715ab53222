"""Statements for the hot paths, written as SQL: the driver's own parameters, and rows as plain tuples."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection


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
    """All rows of one statement whose parameters are written as `:`, in order."""
    mark = "?" if connection.dialect.name == "sqlite" else "%s"
    return list(connection.exec_driver_sql(sql.replace(":", mark), tuple(parameters)))


def marks(values: Sequence[Any]) -> str:
    return ", ".join(":" * len(values))
