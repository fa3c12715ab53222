"""The search index: what a resource is found by, as integers, kept from the commit that begins it to the one that ends it.

A token is (code, system) and a reference its text, each as a keyed 63-bit hash, so that nobody can choose two that collide; a
time is (start, end) in microseconds, a quantity (millionths, unit). A time that spans more than a week has rows of its own
parameter, so that a search for recent visits need look no further back than a week; a text has its own letters under another.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache, lru_cache
from hashlib import blake2b
from typing import Any

from sqlalchemy import Connection, Table, bindparam, insert, select, update

from service.store.resources import Change, FoundBy, Key, Row, runs
from service.store.sql import chunks, insert_many
from service.store.tables import DELETED, FOREVER, parameter, search_text, search_value

WEEK = 7 * 24 * 3_600_000_000
LONG, EXACT = "~long", "~exact"
SCALE = 1_000_000
Entries = Callable[[str, Row], Iterable[Any]]  # (name, type, value, other) of a rendering


@dataclass(frozen=True)
class Parameters:
    """Numbers of the search parameters, which the database gives once and keeps."""

    numbers: dict[tuple[str, str], int]
    key: bytes

    def number(self, type_: str, name: str) -> int:
        return self.numbers[type_, name]

    def hash(self, text: str) -> int:
        return _hash(self.key, text)


@lru_cache(maxsize=50_000)
def _hash(key: bytes, text: str) -> int:
    return int.from_bytes(blake2b(text.encode(), digest_size=8, key=key).digest()) >> 1 if text else 0


def register(tx: Connection, wanted: Iterable[tuple[str, str]]) -> dict[tuple[str, str], int]:
    """The numbers of the parameters, new ones added behind those that are there."""
    known = {(row.type, row.name): row.num for row in tx.execute(select(parameter))}
    names = sorted({(type_, plain + more) for type_, plain in wanted for more in ("", LONG, EXACT)} - known.keys())
    if names:
        first = max(known.values(), default=0) + 1
        tx.execute(insert(parameter), [{"num": n, "type": type_, "name": name} for n, (type_, name) in enumerate(names, first)])
        known |= {name: n for n, name in enumerate(names, first)}
    return known


def scaled(number: Any) -> int:
    """A quantity as an integer of millionths, within what the index can hold."""
    return max(-(2**62), min(2**62, int(number * SCALE)))


def keys(parameters: Parameters, type_: str, entries: Iterable[Any]) -> Iterable[Key]:
    """Index keys of what a rendering is found by, all but the time of its commit."""
    for name, kind, value, other in entries:
        if kind == "string":
            yield "text", parameters.number(type_, name), value, 0
            yield "text", parameters.number(type_, name + EXACT), other, 0
        elif kind == "date":
            longer = other - value > WEEK
            yield "value", parameters.number(type_, name + LONG if longer else name), value, other
        elif kind == "quantity":
            yield "value", parameters.number(type_, name), scaled(value), parameters.hash(other)
        else:
            yield "value", parameters.number(type_, name), parameters.hash(value), parameters.hash(other)


def found_by(seen: Iterable[tuple[Iterable[int], Iterable[Key]]]) -> FoundBy:
    """Each key with the ranges of levels that find a resource by it, from (levels, keys) of all that is seen of it."""
    found: dict[Key, int] = {}
    for levels, at_these in seen:
        mask = sum(1 << level for level in levels)
        for key in at_these:
            found[key] = found.get(key, 0) | mask
    return frozenset((key, lo, hi) for key, mask in found.items() for lo, hi in _ranges(mask))


@cache
def _ranges(mask: int) -> list[tuple[int, int]]:
    return runs(level for level in range(mask.bit_length()) if mask >> level & 1)


def _of_rows(parameters: Parameters, type_: str, rows: Iterable[Row], entries: Entries) -> FoundBy:
    return found_by((range(row.lo, row.hi + 1), keys(parameters, type_, entries(type_, row))) for row in rows)


def _dated(parameters: Parameters, type_: str, rows: Iterable[Row]) -> FoundBy:
    number = parameters.number(type_, "_lastUpdated")
    return found_by((range(row.lo, row.hi + 1), [("value", number, row.at, 0)]) for row in rows)


def _before_and_after(parameters: Parameters, change: Change, entries: Entries) -> tuple[FoundBy, FoundBy]:
    """The index rows of a resource before and after a change. What it yields says it itself, where that is all there is of it."""
    type_, wanted = change.known.type, change.wanted
    was = [row for row in change.known.rows if row.state != DELETED]
    now = [row for row in [*(row for row in change.known.rows if row not in change.ended), *change.begun] if row.state != DELETED]
    before = _of_rows(parameters, type_, was, entries)
    if wanted is not None and wanted.views.keys() == {level for row in now for level in range(row.lo, row.hi + 1)}:
        after = wanted.found_by
    else:
        after = _of_rows(parameters, type_, now, entries)
    return before | _dated(parameters, type_, was), after | _dated(parameters, type_, now)


def store(tx: Connection, parameters: Parameters, changes: Iterable[Change], entries: Entries, seq: int) -> None:
    """Ends the index rows that no longer hold and adds those that now do; what did not change is not touched."""
    ended: list[tuple[Key, int, int, int]] = []
    begun: list[tuple[Key, int, int, int]] = []
    for change in changes:
        before, after = _before_and_after(parameters, change, entries)
        ended += [(*row, change.known.num) for row in before - after]
        begun += [(*row, change.known.num) for row in after - before]
    for name, table in (("value", search_value), ("text", search_text)):
        gone = [_ending(*row, seq) for row in ended if row[0][0] == name]
        for chunk in chunks(gone):
            tx.execute(_END[name], list(chunk))
        columns = tuple(column.name for column in table.columns)
        insert_many(tx, table, columns, sorted(_beginning(*row, seq) for row in begun if row[0][0] == name))


def _ending(key: Key, lo: int, _hi: int, resource: int, seq: int) -> dict[str, Any]:
    found = {"b_parameter": key[1], "b_value": key[2], "b_resource": resource, "b_lo": lo, "b_seq": seq}
    return {**found, "b_other": key[3]} if key[0] == "value" else found


def _beginning(key: Key, lo: int, hi: int, resource: int, seq: int) -> tuple[Any, ...]:
    name, number, value, other = key
    return (number, value, resource, *((other,) if name == "value" else ()), lo, hi, seq, FOREVER)


def _end(table: Table) -> Any:
    c = table.c
    where = [c.parameter == bindparam("b_parameter"), c.value == bindparam("b_value"), c.resource == bindparam("b_resource"),
             c.lo == bindparam("b_lo"), c.to_seq == FOREVER]  # fmt: skip
    if "other" in c:
        where.append(c.other == bindparam("b_other"))
    return update(table).where(*where).values(to_seq=bindparam("b_seq"))


_END = {"value": _end(search_value), "text": _end(search_text)}
