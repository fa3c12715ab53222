"""Search: which parameters a persona takes, and what they find."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import orjson

from sandbox.criteria import Criterion, criterion
from sandbox.dates import second
from sandbox.outcome import Issue, Refused
from sandbox.paging import PAGE, page_size
from sandbox.personas.persona import Persona
from sandbox.records import Records, Version
from sandbox.references import local

SILENT = ("_format", "_pretty")
"""Parameters of the answer and not of the search: known, and not in `self`."""


@dataclass(frozen=True, slots=True)
class Search:
    kind: str
    criteria: tuple[Criterion, ...]
    used: tuple[tuple[str, str], ...]
    """What was understood, as `self` repeats it."""
    count: int = PAGE
    """How many to a page; 0 where only the total is asked for."""
    newest_first: bool = False
    told_total: bool = True


def read_search(persona: Persona, kind: str, query: Iterable[tuple[str, str]], base: str, *, strict: bool) -> Search:
    """Raises Refused (400) for a value or modifier that cannot be read, and where `strict` for a parameter that is not known."""
    asked = [(name, value) for name, value in query if name not in SILENT and value]
    if persona.id_alone and any(name == "_id" for name, _ in asked):
        asked = [(name, value) for name, value in asked if name == "_id" or name.partition(":")[0] not in persona.parameters[kind]]
    criteria: list[Criterion] = []
    used: list[tuple[str, str]] = []
    unknown: list[Issue] = []
    options: dict[str, Any] = {}
    for name, value in asked:
        bare, _, modifier = name.partition(":")
        if (option := _option(persona, name, value)) is not None:
            options |= option
            value = str(options["count"]) if name == "_count" else value  # noqa: PLW2901 - the page that is given, not the one asked for
        elif (parameter := persona.parameters[kind].get(bare)) is not None:
            _refuse_values(persona, kind, bare, value)
            criteria.append(criterion(parameter, modifier, value, base))
        else:
            unknown.append(Issue("not-supported", f"{name}={value} is not a search that {persona.title} has for {kind}"))
            continue
        used.append((name, value))
    if len(together := {name.partition(":")[0] for name, _ in used} & persona.exclusive) > 1:
        raise Refused(400, Issue("invalid", f"{' and '.join(sorted(together))} are not searched for together"))
    if strict and unknown:
        raise Refused(400, *unknown)
    if ("_summary", "count") in used:
        options["count"] = 0
    options.setdefault("newest_first", persona.newest_first)
    return Search(kind, tuple(criteria) + _always(persona, kind, criteria, base), tuple(used), **options)


def _option(persona: Persona, name: str, value: str) -> dict[str, Any] | None:
    """What a parameter that shapes the answer changes in it; None for any other, and for a value that this server does not have."""
    match name, value:
        case "_count", _:
            return {"count": page_size(value)}
        case "_sort", "_lastUpdated" | "-_lastUpdated" if persona.last_updated:
            return {"newest_first": value.startswith("-")}
        case "_summary", "count" | "false":
            return {}
        case "_total", "none" | "estimate" | "accurate":
            return {"told_total": value != "none"}
    return None


def _refuse_values(persona: Persona, kind: str, name: str, value: str) -> None:
    refused = persona.refused_values.get((kind, name), frozenset())
    if wrong := [one for one in value.split(",") if one.rpartition("|")[2] in refused]:
        raise Refused(400, Issue("value", f"{name}={','.join(wrong)} is not supported for {kind}"))


def _always(persona: Persona, kind: str, criteria: list[Criterion], base: str) -> tuple[Criterion, ...]:
    """What a persona adds to every search of a type. Raises Refused (400) when one is missing that the type is not searched without."""
    named = {one.parameter.name for one in criteria}
    needed = persona.needs.get(kind)
    if needed is not None and not named & {needed, "_id"}:
        raise Refused(400, Issue("required", f"a search of {kind} needs the parameter {needed}"))
    if kind not in persona.always:
        return ()
    name, value = persona.always[kind]
    return (criterion(persona.parameters[kind][name], "", value, base),)


def found(records: Records, search: Search) -> list[Version]:
    """What is there now and meets every criterion, in the order in which it was last written."""
    with records.lock:
        candidates = _candidates(records, search)
    # What only id and time decide is decided without reading the body.
    outer = [one for one in search.criteria if one.parameter.name.startswith("_")]
    inner = [one for one in search.criteria if not one.parameter.name.startswith("_")]
    held = [
        version
        for version in candidates
        if all(one.holds({"id": version.id, "meta": {"lastUpdated": version.updated}}) for one in outer)
        and (not inner or _holds(inner, orjson.loads(version.body)))
    ]
    return sorted(held, key=lambda version: version.sequence, reverse=search.newest_first)


def _holds(criteria: list[Criterion], resource: Any) -> bool:
    return all(one.holds(resource) for one in criteria)


def _candidates(records: Records, search: Search) -> list[Version]:
    """The few that can be meant by an id, an identifier, a reference or the second of a record, else all of the type."""
    narrowed = [ids for one in search.criteria if (ids := _indexed(records, search.kind, one)) is not None]
    if not narrowed:
        return records.all_of(search.kind)
    latest = (records.latest(search.kind, one) for one in min(narrowed, key=len))
    return [version for version in latest if version is not None and not version.deleted]


def _indexed(records: Records, kind: str, one: Criterion) -> set[str] | None:
    """The ids that an index has for a criterion, perhaps too many; None where no index helps."""
    if one.parameter.name == "_id":
        return set(one.keys)
    if one.parameter.name == "identifier":
        return set().union(*(records.with_identifier(kind, value) for value in one.keys)) if all(one.keys) else None
    if one.parameter.paths == ("recorded",) and all(seconds := [second(value) for value in one.keys]):
        return set().union(*(records.recorded(kind, str(at)) for at in seconds))
    if one.parameter.kind == "reference" and all(local(name) for name in one.keys):
        return set().union(*(records.referring(kind, name) for name in one.keys))
    return None
