"""Keys of the clinic to resource ids: uuids that follow from the key alone and that nobody can guess without the namespace.

A resource id is `uuid5(namespace, kind/entity id/role/item id)`: never from position or time, so that inserting a reading
renumbers nothing and mapping twice writes the same resource. The way back is a table (`key`), filled by what was made here
and by what the store knows.
"""

from collections.abc import Mapping
from hashlib import sha1
from typing import Any, NamedTuple
from uuid import UUID


class Key(NamedTuple):
    """What a resource id stands for: an entity's resource in one role, of one item or of the entity itself."""

    kind: str
    id: str
    role: str
    item: str | None


class Ids:
    def __init__(self, namespace: UUID, known: Mapping[str, Key] | None = None):
        self._namespace = namespace.bytes
        self._keys: dict[str, Key] = dict(known or {})
        self._made: dict[tuple[str, str, str, str | None], str] = {}
        self._references: dict[tuple[str, str, str, str, str | None], dict[str, Any]] = {}

    def id(self, kind: str, id: str, role: str, item: str | None = None) -> str:
        """The resource id (RFC 9562 version 5, lower case) of one role of an entity or of an item of it."""
        asked = (kind, id, role, item)
        found = self._made.get(asked)
        if found is None:
            # Keys have no slash (model.ID), so the four parts cannot run into each other.
            name = f"{kind}/{id}/{role}/{item or ''}"
            digest = bytearray(sha1(self._namespace + name.encode(), usedforsecurity=False).digest()[:16])
            digest[6] = digest[6] & 0x0F | 0x50
            digest[8] = digest[8] & 0x3F | 0x80
            hexed = digest.hex()
            found = f"{hexed[:8]}-{hexed[8:12]}-{hexed[12:16]}-{hexed[16:20]}-{hexed[20:]}"
            self._made[asked] = found
            self._keys[found] = Key(kind, id, role, item)
        return found

    def reference(self, type: str, kind: str, id: str, role: str, item: str | None = None) -> dict[str, Any]:
        """A Reference to that resource; the same object each time, so it is not to be changed."""
        asked = (type, kind, id, role, item)
        found = self._references.get(asked)
        if found is None:
            found = self._references[asked] = {"reference": f"{type}/{self.id(kind, id, role, item)}"}
        return found

    def key(self, found: str) -> Key | None:
        """What a resource id stands for, or None where nobody here has made or kept it."""
        return self._keys.get(found)
