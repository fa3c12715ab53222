"""Statements that a connection of PostgreSQL has prepared, asked and answered in PostgreSQL's binary form.

psycopg's cursors give up the interpreter's lock at each of their steps and get bytes as twice as many hexadecimal digits; libpq,
which psycopg.pq wraps, answers in one step and as it is stored (measured: 28 us of a read in our process, 64 by a cursor).
"""

from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import chain, count
from struct import pack
from typing import Any

from psycopg import Connection, errors
from psycopg.adapt import Transformer
from psycopg.pq import ConnStatus, ExecStatus, Format
from psycopg.pq.abc import PGconn, PGresult

from service.store.columns import Blobs, Ints, Texts, Truths

MOST = 250  # statements that are kept prepared, of 26 kB each in PostgreSQL: what a connection asks varies with its callers' searches


def _int8(value: int) -> bytes:
    return value.to_bytes(8, "big", signed=True)


# PostgreSQL's types and those of their arrays (catalog/pg_type.dat): bool 16, bytea 17, int8 20, int2 21, int4 23, text 25;
# 0 is whatever the statement needs there.
_SENT: dict[type, tuple[int, Callable[[Any], bytes | None]]] = {
    bool: (16, lambda value: b"\1" if value else b"\0"), bytes: (17, lambda value: value), int: (20, _int8), str: (25, str.encode),
    type(None): (0, lambda _value: None),
}  # fmt: skip


def _array(kind: type) -> Callable[[Any], bytes]:
    """How a column is encoded, as array_recv takes it: one dimension, any nulls, the type, length, first index; each value after its length."""
    oid, send = _SENT[kind]

    def encode(values: tuple[Any, ...]) -> bytes:
        nulls = None in values
        head = pack(">iiiii", 1, int(nulls), oid, len(values), 1)
        if kind is int and not nulls:
            return head + pack(">" + "iq" * len(values), *chain.from_iterable((8, value) for value in values))
        sent = (send(value) if value is not None else None for value in values)
        return head + b"".join(b"\xff\xff\xff\xff" if value is None else pack(">i", len(value)) + value for value in sent)

    return encode


_SENT |= {kind: (oid, _array(of)) for kind, oid, of in ((Ints, 1016, int), (Texts, 1009, str), (Blobs, 1001, bytes), (Truths, 1000, bool))}
_DONE = (ExecStatus.TUPLES_OK, ExecStatus.COMMAND_OK)


@dataclass
class Statement:
    """One that is prepared, and how its parameters are sent."""

    name: bytes
    send: list[Callable[[Any], bytes | None]]
    formats: list[int]


class Prepared:
    """The statements of one connection; the one that was longest not asked makes room for another."""

    def __init__(self, driver: "Connection[Any]"):
        self._connection: PGconn = driver.pgconn
        self._rows = Transformer(driver)
        self._known: OrderedDict[tuple[str, tuple[type, ...]], Statement] = OrderedDict()
        self._numbers = count()

    def run(self, sql: str, parameters: Sequence[Any]) -> list[Any]:
        """All rows of a statement whose parameters are `:`. Raises psycopg's errors."""
        key = sql, tuple(map(type, parameters))
        known = self._known.get(key) or self._prepare(key)
        self._known.move_to_end(key)
        values: list[Any] = [send(value) for send, value in zip(known.send, parameters, strict=True)]
        result = self._checked(self._connection.exec_prepared(known.name, values, known.formats, Format.BINARY))
        if not result.ntuples:
            return []
        self._rows.set_pgresult(result, set_loaders=True, format=Format.BINARY)
        return self._rows.load_rows(0, result.ntuples, tuple)

    def _prepare(self, key: tuple[str, tuple[type, ...]]) -> Statement:
        (sql, types), name = key, b"pathway_%d" % next(self._numbers)
        pieces = sql.split(":")
        text = pieces[0] + "".join(f"${n}{piece}" for n, piece in enumerate(pieces[1:], 1))
        self._checked(self._connection.prepare(name, text.encode(), [_SENT[kind][0] for kind in types]))
        made = self._known[key] = Statement(name, [_SENT[kind][1] for kind in types], [Format.BINARY] * len(types))
        if len(self._known) > MOST:
            _, oldest = self._known.popitem(last=False)
            self._checked(self._connection.exec_(b"DEALLOCATE " + oldest.name))
        return made

    def _checked(self, result: PGresult) -> PGresult:
        if result.status in _DONE:
            return result
        found = errors.error_from_result(result)
        if self._connection.status == ConnStatus.BAD and not isinstance(found, errors.OperationalError):
            raise errors.OperationalError(str(found))  # libpq says itself that the server is gone, and without a code
        raise found
