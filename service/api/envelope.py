"""What our API says of a record: the entity as it is kept, its version, and what the rules found in it."""

import re
from typing import Any

import orjson
from sqlalchemy import Connection

from mappings import KINDS
from mappings.disclosure import Level
from mappings.kind import Kind
from service.errors import Malformed, NotAllowed, NotFound, Unprocessable
from service.exchange import Published
from service.renderings import instant
from service.security.access import require
from service.store import entities, levels
from service.store.entities import Stored
from service.web import Answer, Call
from service.wire import encode

JSON = "application/json"
MERGE_PATCH = "application/merge-patch+json"
KIND_BY_PLURAL = {kind.plural: kind for kind in KINDS.values()}
SCOPE_TYPE = {"medical-background": "Condition"}  # all others have the scope of their head's type
ETAG = re.compile(r'(?:W/)?"(\d{1,9})"')
ANY = "*"


def kind_of(call: Call) -> Kind:
    found = KIND_BY_PLURAL.get(call.args["kind"])
    if found is None:
        raise NotFound(f"There are no {call.args['kind'][:64]} here")
    return found


def scope_type(kind: Kind) -> str:
    return SCOPE_TYPE.get(kind.name, kind.head.type)


def allow(call: Call, kind: Kind, letters: str) -> None:
    """This API is for the clinic's own software: it needs the scope, and the level at which nothing is withheld."""
    require(call.who, scope_type(kind), letters)
    if call.who.level < Level.C3:
        raise NotAllowed("This API needs a client of level C3, since what is written replaces what was read")


def sees(call: Call, connection: Any, patient: int | None) -> bool:
    """Whether consent leaves the caller at the level that this API needs for a patient."""
    return levels.level(connection, call.who.reader, patient, call.who.level, call.now) >= Level.C3


def look_at(call: Call, connection: Any, stored: Stored | None, what: str) -> Stored:
    """A stored entity that the caller may know of. Raises NotFound, in the same words, where it is not there or is withheld."""
    if stored is None or not sees(call, connection, stored.patient):
        raise NotFound(f"There is no {what}")
    call.patient, call.level = stored.patient, int(Level.C3)
    return stored


def patient(call: Call, connection: Any, key: str | None) -> int | None:
    """The patient whom a query names, by the clinic's own key. Raises NotFound."""
    if key is None:
        return None
    return look_at(call, connection, entities.get(connection, "patient", key), f"patient {key[:64]}").num


def check_may_write(call: Call, tx: Connection, kind: Kind, id: str, patient: str | None = None) -> None:
    """Answers a write of what is withheld from the caller as if it were not there, before anything is told of it or changed.

    It is asked before the write and not after it: a patient may well deny the clinic's own software, which has to record that.
    """
    whose = entities.lock_patient(tx, patient) if patient is not None else None
    stored = entities.get(tx, kind.name, id)
    if stored is not None:
        look_at(call, tx, stored, f"{kind.name} {id[:64]}")
    if whose is not None and not sees(call, tx, whose.num):
        raise Unprocessable("The record refers to what it cannot", [("/patientId", f"there is no patient {patient}")])


def described(stored: Stored) -> dict[str, Any]:
    """An entity with its version and findings; numbers stand as they were sent."""
    said: dict[str, Any] = {"entity": orjson.Fragment(stored.document), "version": stored.version, "changedAt": instant(stored.changed_at)}
    return said | ({"erased": True} if stored.erased else {}) | {"findings": orjson.Fragment(stored.findings)}


def one(stored: Stored) -> Answer:
    return Answer(200, encode(described(stored)), JSON, {"ETag": f'"{stored.version}"'})


def written(call: Call, kind: Kind, done: Published) -> Answer:
    """The answer to a write: what is there now, whether it changed, and every resource that it yields."""
    said = {**described(done.stored), "changed": done.changed, "resources": [{"type": t, "id": i} for t, i in done.resources]}
    headers = {"ETag": f'"{done.stored.version}"'}
    if done.created:
        headers["Location"] = f"{call.service.settings.base}/api/v1/{kind.plural}/{done.stored.id}"
    return Answer(201 if done.created else 200, encode(said), JSON, headers)


def knows(call: Call, stored: Stored) -> bool:
    """Whether If-None-Match names the version that is there, compared weakly (RFC 9110, 13.1.2)."""
    given = [tag.strip() for tag in (call.header("If-None-Match") or "").split(",")]
    return ANY in given or str(stored.version) in [found[1] for tag in given if (found := ETAG.fullmatch(tag))]


def wants_new(call: Call) -> bool:
    """Whether If-None-Match says that there may be none yet."""
    return (call.header("If-None-Match") or "").strip() == ANY


def expected_version(call: Call) -> int | None:
    """The version of If-Match, None where there is none or any will do."""
    given = call.header("If-Match")
    if given is None or given.strip() == ANY:
        return None
    found = ETAG.fullmatch(given.strip())
    if found is None:
        raise Malformed('If-Match: should be one version such as "3"')
    return int(found[1])
