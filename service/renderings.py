"""An entity as the bytes that each view is served: pure, given the tenant."""

from collections.abc import Iterable
from functools import lru_cache
from typing import Any

from mappings import search
from mappings.disclosure import VIEWS, Level, withhold
from mappings.findings import Finding
from mappings.kind import META, Kind
from mappings.tombstones import entered_in_error
from service.store import index
from service.store.clock import moment
from service.store.resources import Content, Key, Row, Yielded
from service.store.tables import DELETED, ENTERED_IN_ERROR, THERE
from service.tenant import Tenant
from service.wire import encode, read

HEAD = ("resourceType", "id", "meta")


def rendered(tenant: Tenant, kind: Kind, entity: Any, found: Iterable[Finding]) -> dict[bytes, Yielded]:
    """Every resource of an entity at every view that has it, as bytes; in the order in which the entity yields them."""
    ids = tenant.ids()
    made: dict[bytes, tuple[str, str, str | None, dict[int, Content], dict[int, tuple[Key, ...]]]] = {}
    found, before = tuple(found), None
    for view in VIEWS:
        seen = withhold(entity, view)
        if view > Level.C1 and seen == before and all(f.level != view for f in found):
            # Above C1 a view differs by what it shows of the entity alone; one that shows no more is the one below it.
            for _, _, _, views, keys in made.values():
                if int(view) - 1 in views:
                    views[int(view)], keys[int(view)] = views[int(view) - 1], keys[int(view) - 1]
            continue
        before = seen
        for resource in kind.to_fhir(seen, ids, view, found):
            key = ids.key(resource["id"])
            assert key is not None, "every id was made here"
            type_, _, _, views, keys = made.setdefault(uuid_of(resource["id"]), (resource["resourceType"], key.role, key.item, {}, {}))
            body, below = _content(resource), views.get(int(view) - 1)
            if below is not None and below.body == body:
                views[int(view)], keys[int(view)] = below, keys[int(view) - 1]
            else:
                views[int(view)] = Content(THERE, body)
                keys[int(view)] = tuple(index.keys(tenant.parameters, type_, search.index_entries(resource)))
    return {
        uuid: Yielded(uuid, type_, role, item, views, index.found_by(((level,), at_this) for level, at_this in keys.items()))
        for uuid, (type_, role, item, views, keys) in made.items()
    }  # fmt: skip


def tombstone(type_: str, body: bytes) -> Content:
    """What becomes of a resource that is no longer yielded: entered in error, or deleted where R4 has no status for that."""
    marked = entered_in_error({"resourceType": type_, **read(body)})
    return Content(DELETED, b"") if marked is None else Content(ENTERED_IN_ERROR, _content(marked))


def full_body(type_: str, uuid: bytes, version: str, at: int, content: Content) -> bytes:
    """The bytes that are served: the content with its type, id, version and time in front."""
    if content.state == DELETED:
        return b""
    meta = {"versionId": version, "lastUpdated": instant(at), **META}
    return encode({"resourceType": type_, "id": text_of(uuid), "meta": meta})[:-1] + b"," + content.body[1:]


def entries(type_: str, row: Row) -> Iterable[Any]:
    """What a rendering is found by."""
    return search.index_entries({"resourceType": type_, **read(row.body)})


def _content(resource: dict[str, Any]) -> bytes:
    return encode({name: value for name, value in resource.items() if name not in HEAD})


@lru_cache(maxsize=256)
def instant(at: int) -> str:
    return moment(at).isoformat(timespec="milliseconds")


def uuid_of(text: str) -> bytes:
    return bytes.fromhex(text.replace("-", ""))


def text_of(uuid: bytes) -> str:
    h = uuid.hex()
    return f"{h[:8]}-{h[8:12]}-{h[12:16]}-{h[16:20]}-{h[20:]}"
