"""Scopes of SMART on FHIR for systems: `system/Observation.rs`, `system/*.cruds`, and of version 1 `system/Patient.read`."""

import re
from collections.abc import Iterable

from sandbox.personas.persona import CREATE, DELETE, HISTORY, HISTORY_SYSTEM, HISTORY_TYPE, PATCH, READ, SEARCH, UPDATE, VREAD

FORM = re.compile(r"system/(\*|[A-Z][A-Za-z]*)\.(read|write|\*|c?r?u?d?s?)")
WORDS = {"read": "rs", "write": "cud", "*": "cruds"}
LETTERS = {
    CREATE: "c", READ: "r", VREAD: "r", HISTORY: "r", HISTORY_TYPE: "r", HISTORY_SYSTEM: "r", UPDATE: "u", PATCH: "u", DELETE: "d", SEARCH: "s",
}  # fmt: skip
"""What an interaction needs; a transaction and a batch need what their entries need."""


def parsed(scope: str) -> tuple[str, frozenset[str]] | None:
    """The type, or *, and what may be done with it; None for any other scope."""
    found = FORM.fullmatch(scope)
    return (found[1], frozenset(WORDS.get(found[2], found[2]))) if found and found[2] else None


def covers(wide: str, narrow: str) -> bool:
    has, asked = parsed(wide), parsed(narrow)
    return has is not None and asked is not None and has[0] in ("*", asked[0]) and has[1] >= asked[1]


def granted(asked: Iterable[str], allowed: Iterable[str] | None) -> list[str]:
    """Of the scopes that were asked for as much as is allowed; None allows whatever this server knows."""
    known = [scope for scope in asked if parsed(scope)]
    if allowed is None:
        return known
    limits = list(allowed)
    whole = [scope for scope in known if any(covers(limit, scope) for limit in limits)]
    return whole + [limit for limit in limits if limit not in whole and any(covers(scope, limit) for scope in known)]


def permits(scopes: Iterable[str], kind: str | None, interaction: str) -> bool:
    """Whether one of the scopes lets an interaction with a type be done, or with all of them where it is with none."""
    letter = LETTERS.get(interaction)
    return letter is None or any(covers(scope, f"system/{kind or '*'}.{letter}") for scope in scopes)
