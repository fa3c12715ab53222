"""An entity with one thing in it another: `altered(dosing, "administrations.0.bp.sys", 181)`."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any


def altered(it: Any, path: str, value: Any) -> Any:
    """The entity, group or list in which what stands at a dotted path of names and indexes is another value."""
    name, _, rest = path.partition(".")
    if isinstance(it, tuple):
        at = int(name)
        return (*it[:at], altered(it[at], rest, value) if rest else value, *it[at + 1 :])
    return replace(it, **{name: altered(getattr(it, name), rest, value) if rest else value})


def altered_all(it: Any, changes: Mapping[str, Any]) -> Any:
    for path, value in changes.items():
        it = altered(it, path, value)
    return it


def found(it: Any, path: str) -> Any:
    """What stands at a dotted path, None where a group on the way is absent."""
    for name in path.split("."):
        it = None if it is None else it[int(name)] if isinstance(it, tuple) else getattr(it, name)
    return it
