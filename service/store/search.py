"""Search over the index: criteria become one statement, whose order is that of an index, so that a page costs what a page holds.

The statement is driven by the index rows of one parameter: a criterion that few resources meet, or else the order that was
asked for, which is then walked until the page is full. Every other criterion is looked up for each candidate.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from sqlalchemy import Connection

from service.store import reading
from service.store.index import EXACT, LONG, WEEK, Parameters
from service.store.reading import Reader, Seen
from service.store.sql import Statement, marks, padded, run

FROM_BELOW = ("eq", "ge", "gt", "sa", "ap")  # the comparisons that only what is late enough can meet
LAST = 2**62 + 1  # where what has no time stands: behind all that has one, whichever way they are sorted
FEW = 1000  # up to so many candidates are looked at one by one, rather than walking an order


@dataclass(frozen=True)
class Alternative:
    """One of the values of a criterion. `low` and `high` bound a time or a number; `op` is a prefix of FHIR, how text compares, or `system` for all of one."""

    op: str = "eq"
    value: str = ""
    other: str | None = None
    low: int = 0
    high: int = 0


@dataclass(frozen=True)
class Criterion:
    """What a resource has to meet in one parameter: any of the alternatives, or with `missing` to have or not have any value."""

    parameter: str
    type: str
    alternatives: tuple[Alternative, ...] = ()
    negated: bool = False
    missing: bool | None = None

    @property
    def is_selective(self) -> bool:
        return self.type in ("token", "reference") and not self.negated and self.missing is None and all(a.op != "system" for a in self.alternatives)


@dataclass(frozen=True)
class Query:
    type: str
    reader: Reader
    now: int
    seq: int
    limit: int
    criteria: tuple[Criterion, ...] = ()
    order: str = ""  # a parameter; empty for whatever order is cheapest
    descending: bool = False
    after: tuple[int, int] | None = None  # (value, resource) of the last entry of the page before
    only: tuple[int, ...] | None = None  # resource numbers, for `_id`
    parameters: Parameters = field(repr=False, default_factory=lambda: Parameters({}, b""))


@dataclass(frozen=True)
class Found:
    """A page in its order. `last` is the (value, resource) of its last entry, after which the next page begins."""

    seen: list[Seen]
    last: tuple[int, int] | None
    more: bool


def search(connection: Connection, query: Query) -> Found:
    if query.only == ():
        return Found([], None, more=False)
    last = -LAST if query.descending else LAST
    rows: list[tuple[int, Seen]] = []
    if query.after is None or query.after[0] != last:
        rows = reading.shown(connection, query.reader, query.now, _statement(connection, query, ordered=True), query.seq)
        rows.sort(key=lambda row: (row[0], row[1].num), reverse=query.descending)
    if len(rows) <= query.limit and _some_lack(query):
        lacking = _lacking(connection, replace(query, limit=query.limit - len(rows)), last)
        rows += sorted(reading.shown(connection, query.reader, query.now, lacking, query.seq), key=lambda row: row[1].num)
    page = rows[: query.limit]
    return Found([seen for _, seen in page], (page[-1][0], page[-1][1].num) if page else None, len(rows) > query.limit)


def _some_lack(query: Query) -> bool:
    """Whether what is searched for may have nothing of what it is sorted by."""
    bounded = any(c.parameter == query.order and c.missing is not True and not c.negated for c in query.criteria)
    return query.order not in ("", "_lastUpdated") and not bounded


def _lacking(connection: Connection, query: Query, last: int) -> Statement:
    """What meets the query and has nothing of what it is sorted by, by number."""
    lacks = Criterion(query.order, "date", missing=True)
    inner = _statement(connection, replace(query, order="_lastUpdated", criteria=(*query.criteria, lacks), after=None), ordered=False)
    statement = Statement().add(f"SELECT l.resource, {last} AS value FROM (").add(inner.sql, *inner.parameters).add(") AS l")
    if query.after is not None and query.after[0] == last:
        statement.add("WHERE l.resource > :", query.after[1])
    return statement.add(f"ORDER BY l.resource LIMIT {query.limit + 1}")


def count(connection: Connection, query: Query) -> int:
    if query.only == ():
        return 0
    inner = _statement(connection, replace(query, order=""), ordered=False)
    return int(run(connection, f"SELECT COUNT(*) FROM ({inner.sql}) AS found", inner.parameters)[0][0])


def _statement(connection: Connection, query: Query, *, ordered: bool) -> Statement:
    driver = _driver(connection, query)
    order = query.order or _natural_order(query)
    numbers = _order_numbers(query, order)
    if driver is not None or query.only is not None:
        return _by_candidates(query, driver, numbers, ordered=ordered)
    branches = [_by_order(query, order, number, ordered=ordered) for number in numbers]
    if len(branches) == 1:
        return branches[0]
    both = Statement()
    for n, branch in enumerate(branches):
        both.add(f"{'UNION ALL ' if n else ''}SELECT * FROM ({branch.sql}) AS b{n}", *branch.parameters)
    return _ordered(both, query, "") if ordered else both


def _ordered(statement: Statement, query: Query, row: str) -> Statement:
    """The limit stands in the statement itself: a plan for any limit is a slower one (measured on SQLite: 146 us in place of 70)."""
    way = " DESC" if query.descending else ""
    return statement.add(f"ORDER BY {row}value{way}, {row}resource{way} LIMIT {query.limit + 1}")


def _finished(statement: Statement, query: Query, rest: Iterable[Criterion], *, ordered: bool) -> Statement:
    """The criteria that are looked up for each candidate, where the page before ended, and the order."""
    for criterion in rest:
        statement.add("AND")
        _exists(statement, query, criterion)
    if query.after is not None:
        statement.add(f"AND (s.value, s.resource) {'<' if query.descending else '>'} (:, :)", *query.after)
    return _ordered(statement, query, "s.") if ordered else statement


# --- what drives a search


def _driver(connection: Connection, query: Query) -> Criterion | None:
    """The criterion that few resources meet, if there is one; references to one thing are taken to be such."""
    if query.only is not None:
        return None
    certain = _certain(query)
    if certain is not None:
        return certain
    for criterion in (c for c in query.criteria if c.is_selective):
        values = [query.parameters.hash(a.value) for a in criterion.alternatives]
        sql = f"SELECT 1 FROM search_value WHERE parameter = : AND value IN ({marks(values)}) LIMIT :"
        if len(run(connection, sql, (_number(query, criterion.parameter), *values, FEW))) < FEW:
            return criterion
    return None


def _certain(query: Query) -> Criterion | None:
    """The criterion that few resources meet however many there are."""
    return next((c for c in query.criteria if c.is_selective and (c.type == "reference" or c.parameter == "identifier")), None)


def _natural_order(query: Query) -> str:
    """The order where none was asked for. It follows from what was asked alone: were it to follow from how much there is, the order
    would tell of what the reader does not see, and change from one page to the next."""
    if query.only is None and _certain(query) is None:
        dated = next((c for c in query.criteria if c.type == "date" and c.missing is None and c.parameter != "_lastUpdated"), None)
        if dated is not None:
            return dated.parameter
    return "_lastUpdated"


def _drives_order(criterion: Criterion, order: str) -> bool:
    return criterion.parameter == order and criterion.missing is None and not criterion.negated and len(criterion.alternatives) == 1


def _by_order(query: Query, order: str, number: int, *, ordered: bool) -> Statement:
    """Walks the rows of one parameter in their order; where the same parameter is bounded too, only between the bounds."""
    statement = Statement().add("SELECT s.resource, s.value FROM search_value s")
    _joined(statement, query, "s")
    statement.add("AND s.parameter = :", number)
    rest = []
    for criterion in query.criteria:
        if not _drives_order(criterion, order):
            rest.append(criterion)
            continue
        wanted = criterion.alternatives[0]
        statement.add("AND")
        _matches(statement, query, criterion, wanted, "s")
        if number == _number(query, order) and order != "_lastUpdated" and wanted.op in FROM_BELOW:
            statement.add("AND s.value >= :", wanted.low - WEEK)  # a short time that ends after `low` began at most a week before
    return _finished(statement, query, rest, ordered=ordered)


def _by_candidates(query: Query, driver: Criterion | None, numbers: list[int], *, ordered: bool) -> Statement:
    """The candidates by the driving criterion's own rows, or by their numbers, each then placed in the order.

    CROSS JOIN, and more than one parameter even where the order has one, keep SQLite from walking the whole order in
    search of the candidates (measured, at 100,000 resources: 895 us of a search by patient, 20 without).
    """
    numbers = numbers if len(numbers) > 1 else numbers * 2
    statement = Statement().add("SELECT DISTINCT s.resource, s.value FROM")
    if driver is not None:
        statement.add("search_value c CROSS JOIN search_value s")
    else:
        statement.add("search_value s")
    _joined(statement, query, "s")
    statement.add(f"AND s.parameter IN ({marks(numbers)})", *numbers)
    if driver is not None:
        statement.add("AND s.resource = c.resource")
        _valid(statement, query, "c")
        statement.add("AND c.parameter = : AND (", _number(query, driver.parameter))
        _any(statement, query, driver, "c")
        statement.add(")")
    else:
        assert query.only is not None
        only = padded(query.only)
        statement.add(f"AND s.resource IN ({marks(only)})", *only)
    return _finished(statement, query, [c for c in query.criteria if c is not driver], ordered=ordered)


def _order_numbers(query: Query, order: str) -> list[int]:
    found = [_number(query, order)]
    long = query.parameters.numbers.get((query.type, order + LONG))
    return [*found, long] if long is not None and order != "_lastUpdated" else found


# --- what a row has to meet


def _joined(statement: Statement, query: Query, row: str) -> None:
    """The row is seen by the reader and stands at the page's commit. Whose level moves with consent needs to know the patient."""
    if query.reader.moved:
        statement.add(f"JOIN resource r ON r.num = {row}.resource")
    statement.add("WHERE 1 = 1")
    _valid(statement, query, row)


def _valid(statement: Statement, query: Query, row: str) -> None:
    level, parameters = reading.level_of(query.reader, query.now)
    statement.add(f"AND {level} BETWEEN {row}.lo AND {row}.hi", *parameters)
    statement.add(f"AND {row}.from_seq <= : AND {row}.to_seq > :", query.seq, query.seq)


def _exists(statement: Statement, query: Query, criterion: Criterion) -> None:
    table = "search_text" if criterion.type == "string" else "search_value"
    numbers = _numbers(query, criterion)
    wanted = criterion.missing is False if criterion.missing is not None else not criterion.negated
    statement.add(f"{'' if wanted else 'NOT '}EXISTS (SELECT 1 FROM {table} x WHERE x.resource = s.resource")
    statement.add(f"AND x.parameter IN ({marks(numbers)})", *numbers)
    _valid(statement, query, "x")
    if criterion.missing is None:
        statement.add("AND (")
        _any(statement, query, criterion, "x")
        statement.add(")")
    statement.add(")")


def _numbers(query: Query, criterion: Criterion) -> list[int]:
    """The numbers of the rows that a criterion looks at."""
    if criterion.type == "date" and criterion.parameter != "_lastUpdated":
        return [_number(query, criterion.parameter), _number(query, criterion.parameter + LONG)]
    if criterion.type == "string" and any(a.op == "exact" for a in criterion.alternatives):  # one modifier is all alternatives'
        return [_number(query, criterion.parameter + EXACT)]
    return [_number(query, criterion.parameter)]


def _any(statement: Statement, query: Query, criterion: Criterion, row: str) -> None:
    for n, alternative in enumerate(criterion.alternatives):
        if n:
            statement.add("OR")
        _matches(statement, query, criterion, alternative, row)


def _matches(statement: Statement, query: Query, criterion: Criterion, wanted: Alternative, row: str) -> None:
    if wanted.op == "system":
        statement.add(f"{row}.other = :", query.parameters.hash(wanted.other or ""))
    elif criterion.type in ("token", "reference"):
        statement.add(f"({row}.value = :", query.parameters.hash(wanted.value))
        if wanted.other is not None:
            statement.add(f"AND {row}.other = :", query.parameters.hash(wanted.other))
        statement.add(")")
    elif criterion.type == "string":
        _text(statement, wanted, row)
    elif criterion.type == "quantity":
        statement.add("(")
        _bounded(statement, wanted, f"{row}.value", f"{row}.value + 1")
        if wanted.other is not None:
            statement.add(f"AND {row}.other = :", query.parameters.hash(wanted.other))
        statement.add(")")
    else:
        end = f"{row}.value + 1" if criterion.parameter == "_lastUpdated" else f"{row}.other"
        statement.add("(")
        _bounded(statement, wanted, f"{row}.value", end)
        statement.add(")")


def _text(statement: Statement, wanted: Alternative, row: str) -> None:
    if wanted.op == "exact":
        statement.add(f"{row}.value = :", wanted.value)
    elif wanted.op == "contains":
        escaped = wanted.value.replace("!", "!!").replace("%", "!%").replace("_", "!_")
        statement.add(f"{row}.value LIKE : ESCAPE '!'", f"%{escaped}%")
    else:
        statement.add(f"({row}.value >= : AND {row}.value < :)", wanted.value, wanted.value + "\U0010ffff")


def _bounded(statement: Statement, wanted: Alternative, start: str, end: str) -> None:
    """FHIR's comparisons of a range [start, end) with the range that was asked for (R4 3.1.1.4.6 and 3.1.1.4.12)."""
    low, high = wanted.low, wanted.high
    sql: dict[str, tuple[str, Sequence[Any]]] = {
        "eq": (f"{start} >= : AND {end} <= :", (low, high)),
        "ne": (f"NOT ({start} >= : AND {end} <= :)", (low, high)),
        "gt": (f"{end} > :", (high,)),
        "ge": (f"{end} > :", (low,)),
        "lt": (f"{start} < :", (low,)),
        "le": (f"{start} < :", (high,)),
        "sa": (f"{start} >= :", (high,)),
        "eb": (f"{end} <= :", (low,)),
        "ap": (f"{start} < : AND {end} > :", (high, low)),
    }
    text, values = sql[wanted.op]
    statement.add(text, *values)


def _number(query: Query, name: str) -> int:
    return query.parameters.number(query.type, name)


def by_reference(connection: Connection, query: Query, parameters: Sequence[int], references: Sequence[str]) -> list[int]:
    """Numbers of the resources that refer to any of these by one of the parameters, as the query's reader sees them."""
    found: list[int] = []
    values = [query.parameters.hash(reference) for reference in references]
    for start in range(0, len(values), 200):
        chunk = values[start : start + 200]
        statement = Statement().add("SELECT DISTINCT s.resource FROM search_value s")
        _joined(statement, query, "s")
        statement.add(f"AND s.parameter IN ({marks(parameters)}) AND s.value IN ({marks(chunk)})", *parameters, *chunk)
        statement.add("ORDER BY s.resource LIMIT :", query.limit + 1)
        found += [int(row[0]) for row in statement.run(connection)]
    return sorted(set(found))

