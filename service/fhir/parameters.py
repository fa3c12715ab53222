"""The parameters of a search, as R4 writes them (3.1.1), made into criteria; what is not understood is named, all at once."""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation

from mappings.code_table import UCUM
from mappings.search import COMMON, LONGEST_TEXT, PARAMETERS, Parameter, folded, span
from service.errors import Unsearchable
from service.store.index import scaled
from service.store.search import Alternative, Criterion
from service.web import whole

PREFIXES = ("eq", "ne", "gt", "ge", "lt", "le", "sa", "eb", "ap")
RESULT = ("_count", "_sort", "_include", "_revinclude", "_include:iterate", "_summary", "_total", "_elements", "_format", "_pretty", "_page")
MOST_COUNTED = 1_000_000
NUMBER = re.compile(r"[+-]?\d{1,18}(\.\d{1,18})?([eE][+-]?\d{1,2})?")
Chained = Callable[[Parameter, str, str, str], Iterable[str]]  # (parameter, target type, inner parameter, value) -> references


@dataclass
class Asked:
    """What a search asks for. `used` are the parameters that were understood, for the self link."""

    criteria: list[Criterion] = field(default_factory=list)
    ids: list[str] | None = None
    sort: str = ""
    descending: bool = False
    count: int | None = None
    include: list[tuple[str, bool]] = field(default_factory=list)
    revinclude: list[str] = field(default_factory=list)
    summary_count: bool = False
    total: bool = False
    elements: list[str] = field(default_factory=list)
    page: str | None = None
    used: list[tuple[str, str]] = field(default_factory=list)
    dropped: list[tuple[str, str]] = field(default_factory=list)
    impossible: bool = False  # a chain that leads to nothing


@dataclass(frozen=True)
class Where:
    """What the parameters are of: the searched type, our base URL, and how a chain is followed."""

    type: str
    base: str
    chained: Chained


def understood(type_: str, given: Iterable[tuple[str, str]], *, lenient: bool, chained: Chained, base: str) -> Asked:
    """The parameters as criteria. What is unknown is refused with every other problem, or dropped where the caller is lenient."""
    asked = Asked()
    problems: list[tuple[str, str]] = []
    for name, value in given:
        try:
            if name.split(":")[0] in RESULT or name in RESULT:
                _result(asked, type_, name, value)
            else:
                _criterion(asked, Where(type_, base, chained), name, value)
            if name not in ("_page", "_format", "_pretty"):
                asked.used.append((name, value))
        except UnknownParameter as problem:
            asked.dropped.append((name, str(problem)))
        except ValueError as problem:
            problems.append((name, str(problem)))
    if problems or (asked.dropped and not lenient):
        wrong = [*problems, *asked.dropped]
        raise Unsearchable("The search cannot be carried out", [(f"http.{name}", f"{name}: {problem}") for name, problem in wrong])
    return asked


def of_operation(args: Iterable[tuple[str, str]], known: Iterable[str]) -> dict[str, str]:
    """The parameters of an operation or a history, which search for nothing. Raises Unsearchable with every one that is wrong."""
    given = dict(args)
    problems = [(name, "is not offered") for name in sorted(given.keys() - set(known))]
    if "_count" in given and whole(given["_count"], 0, MOST_COUNTED) is None:
        problems.append(("_count", "is a whole number"))
    if "_since" in given and since(given) is None:
        problems.append(("_since", "is no instant"))
    if problems:
        raise Unsearchable("The request cannot be carried out", [(f"http.{name}", f"{name}: {problem}") for name, problem in problems])
    return given


def since(given: Mapping[str, str]) -> int | None:
    """The moment of `_since` in microseconds: 0 where none is given, None where it is no moment."""
    try:
        return span(given["_since"].replace(" ", "+"))[0] if "_since" in given else 0
    except (ValueError, OverflowError):
        return None


class UnknownParameter(ValueError):
    """A parameter that this type is not searched by."""


def parameter_of(type_: str, name: str) -> Parameter:
    found = COMMON.get(name) or PARAMETERS[type_].get(name)
    if found is None:
        raise UnknownParameter(f"{type_} is not searched by this")
    return found


def _criterion(asked: Asked, where: Where, name: str, value: str) -> None:
    plain, _, modifier = name.partition(":")
    plain, _, inner = plain.partition(".")
    if "." in modifier:  # subject:Patient.identifier
        modifier, _, inner = modifier.partition(".")
    parameter = parameter_of(where.type, plain)
    if plain == "_id":
        asked.ids = _both(asked.ids, [one.removeprefix("|") for one in value.split(",")])
        return
    if inner:
        references = _followed(where, parameter, modifier, inner, value)
        asked.impossible = asked.impossible or not references
        asked.criteria.append(Criterion(parameter.rows, "reference", tuple(Alternative(value=r) for r in references)))
        return
    if modifier == "missing":
        if value not in ("true", "false"):
            raise ValueError("missing is true or false")
        asked.criteria.append(Criterion(parameter.rows, parameter.type, missing=value == "true"))
        return
    alternatives = tuple(_alternative(parameter, modifier, one, where.base) for one in _unescaped(value))
    several = tuple(a for found in alternatives for a in found)
    asked.criteria.append(Criterion(parameter.rows, parameter.type, several, negated=modifier == "not"))


def _both(before: list[str] | None, now: list[str]) -> list[str]:
    return now if before is None else [one for one in before if one in now]


def _followed(where: Where, parameter: Parameter, modifier: str, inner: str, value: str) -> list[str]:
    """What a chain leads to: the references to all that meet its inner parameter."""
    if parameter.type != "reference":
        raise ValueError("only a reference can be followed")
    if modifier and modifier not in parameter.targets:
        raise ValueError(f"does not refer to {modifier}")
    targets = [target for target in ([modifier] if modifier else parameter.targets) if target in PARAMETERS]
    return [reference for target in targets for reference in where.chained(parameter, target, inner, value)]


def _unescaped(value: str) -> list[str]:
    """The alternatives of a value: commas part them unless escaped (R4 3.1.1.4.9)."""
    parts = re.split(r"(?<!\\),", value)
    if len(parts) > 200:
        raise ValueError("has more than 200 alternatives")
    if any(not part for part in parts):
        raise ValueError("has no value")
    return parts


def _plain(text: str) -> str:
    return re.sub(r"\\([,$|\\])", r"\1", text)


def _alternative(parameter: Parameter, modifier: str, text: str, base: str) -> list[Alternative]:
    allowed = {"token": ("", "not"), "string": ("", "exact", "contains"), "reference": ("", *parameter.targets)}.get(parameter.type, ("",))
    if modifier not in allowed:
        raise UnknownParameter(f"the modifier :{modifier} is not offered")
    if parameter.type == "token":
        return [_token(text)]
    if parameter.type == "reference":
        return _reference(parameter, modifier, text, base)
    if parameter.type == "date":
        return [_date(text)]
    if parameter.type == "quantity":
        return [_quantity(text)]
    plain = _plain(text)
    return [Alternative(op=modifier or "starts", value=plain[:LONGEST_TEXT] if modifier == "exact" else folded(plain))]


def _token(text: str) -> Alternative:
    parts = re.split(r"(?<!\\)\|", text)
    if len(parts) == 1:
        return Alternative(value=_plain(text))
    if len(parts) > 2 or parts == ["", ""]:
        raise ValueError("a token is code, system|code, system| or |code")
    return Alternative(op="eq" if parts[1] else "system", value=_plain(parts[1]), other=_plain(parts[0]))


def _reference(parameter: Parameter, modifier: str, text: str, base: str) -> list[Alternative]:
    text = _plain(text).removeprefix(f"{base}/")
    if "://" in text or text.startswith("urn:"):
        return [Alternative(value=text)]
    type_, slash, id_ = text.partition("/")
    if not slash:
        return [Alternative(value=f"{target}/{text}") for target in ([modifier] if modifier else parameter.targets)]
    if type_ not in parameter.targets or (modifier and type_ != modifier):
        raise ValueError(f"refers to {' or '.join(parameter.targets)}, not to {type_[:40]}")
    return [Alternative(value=f"{type_}/{id_}")]


def _prefixed(text: str) -> tuple[str, str]:
    return (text[:2], text[2:]) if text[:2] in PREFIXES and len(text) > 2 else ("eq", text)


def _date(text: str) -> Alternative:
    op, moment = _prefixed(text)
    try:
        low, high = span(moment.replace(" ", "+"))  # sic: a + in a query is often sent as it is, and read as a space
    except (ValueError, OverflowError):  # the last day of the calendar has no day after it
        raise ValueError(f"is no date: {moment[:40]}") from None
    if op == "ap":  # a tenth of the distance to now, as R4 suggests
        around = abs(int(datetime.now(UTC).timestamp() * 1_000_000) - low) // 10
        low, high = low - around, high + around
    return Alternative(op=op, low=low, high=high)


def _quantity(text: str) -> Alternative:
    op, rest = _prefixed(text)
    number, *unit = re.split(r"(?<!\\)\|", rest)
    if not NUMBER.fullmatch(number) or len(unit) not in (0, 2):
        raise ValueError("a quantity is number or number|system|code")
    try:
        value = Decimal(number)
    except InvalidOperation:
        raise ValueError("is no number") from None
    exponent = value.as_tuple().exponent
    half = Decimal(1).scaleb(exponent if isinstance(exponent, int) else 0) / 2
    if op == "ap":
        half = abs(value) / 10
    bounds = (value - half, value + half) if op in ("eq", "ne", "ap") else (value, value)
    low, high = scaled(bounds[0]), scaled(bounds[1])
    return Alternative(op=op, low=low, high=high + 1 if low == high else high, other=_unit(*unit) if unit else None)


def _unit(system: str, code: str) -> str:
    """What the index knows a unit by. All of ours are UCUM's: one of another system is none that is there."""
    return _plain(code) if system in ("", UCUM) else f"{system}|{code}"


def _result(asked: Asked, type_: str, name: str, value: str) -> None:
    if name == "_count":
        asked.count = whole(value, 0, MOST_COUNTED)
        if asked.count is None:
            raise ValueError("is a whole number")
    elif name == "_sort":
        _sort(asked, type_, value)
    elif name in ("_include", "_include:iterate", "_include:recurse"):
        asked.include += [(one, name != "_include") for one in value.split(",")]
    elif name == "_revinclude":
        asked.revinclude += value.split(",")
    elif name == "_summary":
        if value not in ("count", "false"):
            raise UnknownParameter("only count is offered")
        asked.summary_count = value == "count"
    elif name == "_total":
        if value not in ("none", "accurate", "estimate"):
            raise ValueError("is none, estimate or accurate")
        asked.total = value != "none"
    elif name == "_elements":
        asked.elements = [e for e in value.split(",") if e]
    elif name == "_page":
        asked.page = value
    elif name not in ("_format", "_pretty"):
        raise UnknownParameter("is not offered")


def _sort(asked: Asked, type_: str, value: str) -> None:
    if "," in value:
        raise UnknownParameter("one parameter is sorted by")
    asked.descending = value.startswith("-")
    parameter = parameter_of(type_, value.removeprefix("-"))
    if parameter.type != "date":
        raise UnknownParameter("only times are sorted by")
    asked.sort = parameter.rows
