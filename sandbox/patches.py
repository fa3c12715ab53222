"""Changes to a resource that are not the whole of it."""

from typing import Any


def merged(value: Any, patch: Any) -> Any:
    """A JSON merge patch (RFC 7396): objects are merged name by name, null takes away, everything else replaces."""
    if not isinstance(patch, dict):
        return patch
    kept = dict(value) if isinstance(value, dict) else {}
    for name, change in patch.items():
        if change is None:
            kept.pop(name, None)
        else:
            kept[name] = merged(kept.get(name), change)
    return kept
