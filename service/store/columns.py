"""Columns of rows that PostgreSQL is sent at once, as arrays, by what they hold."""

from typing import Any


class Ints(tuple[int | None, ...]):
    """A column of rows that are sent at once, as an array; None where a row has no value. So are the others."""


class Texts(tuple[str | None, ...]):
    pass


class Blobs(tuple[bytes | None, ...]):
    pass


class Truths(tuple[bool | None, ...]):
    pass


COLUMNS: dict[type, type[tuple[Any, ...]]] = {int: Ints, str: Texts, bytes: Blobs, bool: Truths}
