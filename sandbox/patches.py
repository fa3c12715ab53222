"""Changes to a resource that are not the whole of it: JSON Patch (RFC 6902) and JSON merge patch (RFC 7396)."""

import re
from collections.abc import Callable
from copy import deepcopy
from typing import Any

from sandbox.elements import Fhir
from sandbox.outcome import Issue, Refused

Operation = dict[str, Any]
NEEDS = {"add": ("value",), "remove": (), "replace": ("value",), "test": ("value",), "move": ("from",), "copy": ("from",)}


def patched(resource: Fhir, operations: Any) -> Fhir:
    """The resource after every operation. Raises Refused: 400 for what is no JSON Patch, 422 for one that cannot be done here."""
    if not isinstance(operations, list) or not all(_is_operation(one) for one in operations):
        raise Refused(400, Issue("structure", f"a patch is an array of operations, of which each has an op ({', '.join(NEEDS)}), a path, and what that needs"))
    root = {"": deepcopy(resource)}
    for operation in operations:
        try:
            DO[operation["op"]](root, operation)
        except (KeyError, IndexError, ValueError, TypeError, AssertionError):
            raise Refused(422, Issue("processing", f"{operation['op']} {operation['path']} cannot be done")) from None
    after = root.get("")
    if not isinstance(after, dict) or any(after.get(name) != resource.get(name) for name in ("resourceType", "id")):
        raise Refused(422, Issue("processing", "a patch changes neither the type nor the id of a resource"))
    return after


def _is_operation(one: Any) -> bool:
    if not isinstance(one, dict) or one.get("op") not in NEEDS or not all(name in one for name in NEEDS[one["op"]]):
        return False
    return all(isinstance(one[name], str) and re.fullmatch("(/.*)?", one[name], re.DOTALL) for name in ("path", "from") if name in ("path", *NEEDS[one["op"]]))


def steps(pointer: str) -> list[str]:
    """The steps of a JSON pointer."""
    return [step.replace("~1", "/").replace("~0", "~") for step in pointer.split("/")]


def _place(root: Any, pointer: str) -> tuple[Any, str]:
    """What holds the value that a pointer names, and the last step to it."""
    holder, (*way, last) = root, steps(pointer)
    for step in way:
        holder = holder[_index(step)] if isinstance(holder, list) else holder[step]
    return holder, last


def at_pointer(root: Any, pointer: str) -> Any:
    """Raises KeyError, IndexError, ValueError or TypeError where there is nothing."""
    holder, last = _place(root, pointer)
    return holder[_index(last)] if isinstance(holder, list) else holder[last]


def _index(step: str) -> int:
    if not re.fullmatch("0|[1-9][0-9]{0,8}", step):
        raise ValueError(step)
    return int(step)


def _add(root: Any, operation: Operation) -> None:
    _put(root, operation["path"], deepcopy(operation["value"]))


def _put(root: Any, pointer: str, value: Any) -> None:
    holder, last = _place(root, pointer)
    if isinstance(holder, list):
        where = len(holder) if last == "-" else _index(last)
        assert where <= len(holder)
        holder.insert(where, value)
    else:
        holder[last] = value


def _remove(root: Any, operation: Operation) -> None:
    _take(root, operation["path"])


def _take(root: Any, pointer: str) -> Any:
    holder, last = _place(root, pointer)
    return holder.pop(_index(last) if isinstance(holder, list) else last)


def _replace(root: Any, operation: Operation) -> None:
    at_pointer(root, operation["path"])
    holder, last = _place(root, operation["path"])
    holder[_index(last) if isinstance(holder, list) else last] = deepcopy(operation["value"])


def _test(root: Any, operation: Operation) -> None:
    assert at_pointer(root, operation["path"]) == operation["value"]


def _move(root: Any, operation: Operation) -> None:
    assert not operation["path"].startswith(operation["from"] + "/")
    _put(root, operation["path"], _take(root, operation["from"]))


def _copy(root: Any, operation: Operation) -> None:
    _put(root, operation["path"], deepcopy(at_pointer(root, operation["from"])))


DO: dict[str, Callable[[Any, Operation], None]] = {"add": _add, "remove": _remove, "replace": _replace, "test": _test, "move": _move, "copy": _copy}


def merged(value: Any, patch: Any) -> Any:
    """A JSON merge patch: objects are merged name by name, null takes away, everything else replaces."""
    if not isinstance(patch, dict):
        return patch
    kept = dict(value) if isinstance(value, dict) else {}
    for name, change in patch.items():
        if change is None:
            kept.pop(name, None)
        else:
            kept[name] = merged(kept.get(name), change)
    return kept
