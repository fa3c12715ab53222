"""What would be sent to an EHR, and what it would be asked, worked out without sending anything."""

from typing import Any

from sqlalchemy import Connection

from service.renderings import text_of
from service.store import deliveries, levels, reading
from service.store.deliveries import Filter
from service.store.outbox import PARKED
from service.store.targets import Target
from service.sync import matching
from service.wire import read

MANY = 1000


def unmatched(connection: Connection, name: str) -> list[tuple[str, int]]:
    """The people and places that an EHR was not found to have: (Type/the clinic's key, resource)."""
    found = [one for type_ in matching.KNOWN_BY for one in deliveries.listed(connection, Filter(name, (PARKED,), type_, limit=MANY))]
    nums = reading.numbers(connection, [one.uuid for one in found])
    return [(f"{one.type}/{one.entity}", nums[one.uuid]) for one in found]


def seen_by(connection: Connection, target: Target, num: int, now: int) -> dict[str, Any] | None:
    """A resource as an EHR may see it now, without its version; None where it may not, or where it is gone."""
    [key] = reading.stream_keys(connection, [num]).values()
    level = levels.level(connection, target.reader, key if key > 0 else None, target.level, now)
    found = reading.renderings(connection, [num], level).get(num)
    if found is None or not found.body:
        return None
    return {"resourceType": found.type, "id": text_of(found.uuid), **read(found.body)}
