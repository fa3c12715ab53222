"""Entities of every kind: create, replace, read, list, erase, and the items of their lists one by one."""

import hashlib
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlencode

from sqlalchemy import Connection

from mappings import model
from mappings.datatypes import moment_of
from mappings.disclosure import Level
from mappings.kind import Kind
from mappings.schema import Refused, load
from service.api import envelope
from service.api.envelope import JSON, allow, kind_of
from service.api.given import unoffered
from service.errors import Conflict, Malformed, NotFound, Problems, Stale, Unprocessable
from service.exchange import Act, Prepared, erase, locked, prepare, publish
from service.pages import Place, seal, unseal
from service.store import audit, entities, idempotency, levels
from service.store.clock import micros
from service.web import Answer, Call, whole
from service.wire import encode, read

DAY = 24 * 3_600_000_000
PAGE = ("changedSince", "limit", "after")


def replace(call: Call) -> Answer:
    """PUT /api/v1/{kind}/{id}"""
    kind = kind_of(call)
    allow(call, kind, "cu")
    entity = _named(call, kind, call.json(JSON))
    prepared = _prepared(call, kind, entity)
    try:
        return _write(call, kind, entity, lambda act: publish(act, kind, entity, prepared), new=envelope.wants_new(call))
    except Conflict as taken:  # here it is the caller's own condition that does not hold (RFC 9110, 13.1.2)
        raise Stale(taken.detail) from None


def create(call: Call) -> Answer:
    """POST /api/v1/{kind}: `id` is required; with an Idempotency-Key the same request is answered as it was the first time"""
    kind = kind_of(call)
    allow(call, kind, "c")
    raw = call.json(JSON)
    entity = load(kind, raw)
    key = call.header("Idempotency-Key")
    prepared = _prepared(call, kind, entity)
    if key is None:
        return _write(call, kind, entity, lambda act: publish(act, kind, entity, prepared), new=True)
    if not 1 <= len(key) <= 200 or not key.isprintable():
        raise Malformed("Idempotency-Key: should have 1 to 200 printable characters")
    asked = hashlib.sha256(call.request.path.encode() + b"\n" + encode(raw)).digest()
    return _write(call, kind, entity, lambda act: publish(act, kind, entity, prepared), new=True, kept=(key, asked))


def _prepared(call: Call, kind: Kind, entity: Any) -> Prepared:
    with call.service.database.reading() as connection:
        return prepare(call.service.tenant, connection, kind, entity)


def get(call: Call) -> Answer:
    """GET /api/v1/{kind}/{id}"""
    kind = kind_of(call)
    allow(call, kind, "r")
    with call.service.database.reading() as connection:
        found = envelope.look_at(call, connection, entities.get(connection, kind.name, call.args["id"]), f"{kind.name} {call.args['id'][:64]}")
    if envelope.knows(call, found):
        return Answer(304, headers={"ETag": f'"{found.version}"'})
    return envelope.one(found)


def listed(call: Call) -> Answer:
    """GET /api/v1/{kind}?patient=&changedSince=&limit=&after=: in the order of change, so that a poller misses nothing"""
    kind = kind_of(call)
    allow(call, kind, "s")
    given, limit, since = _asked(call, kind)
    said = urlencode(sorted((name, value) for name, value in given.items() if name != "after"))
    oldest = call.now - call.service.settings.page_seconds * 1_000_000
    place = unseal(call.service.tenant, given["after"], said + call.request.path, not_before=oldest) if "after" in given else Place(0, 0, 0, call.now)
    with call.service.database.reading() as connection:
        patient = envelope.patient(call, connection, given.get("patient"))
        withheld = levels.below(call.who.reader, int(Level.C3), call.now)
        after = (place.value, place.resource)
        found = entities.listed(connection, kind.name, patient=patient, since=since, after=after, limit=limit + 1, withheld=withheld)
    headers = {}
    if len(found) > limit:
        last = found[limit - 1]
        token = seal(call.service.tenant, Place(0, last.seq, last.num, call.now), said + call.request.path)
        headers["Link"] = f'<{call.service.settings.base}{call.request.path}?{said + "&" if said else ""}after={token}>; rel="next"'
    return Answer(200, encode({"items": [envelope.described(s) for s in found[:limit]]}), JSON, headers)


def _asked(call: Call, kind: Kind) -> tuple[dict[str, str], int, int]:
    given = dict(call.request.args.items())
    problems = unoffered(given, ("patient", *PAGE) if kind.of_patient else PAGE)
    limit, since = call.service.settings.page_size, 0
    if "limit" in given:
        asked, most = whole(given["limit"], 1, call.service.settings.page_limit), call.service.settings.page_limit
        if asked is None:
            problems.append(("limit", f"should be from 1 to {most}"))
        limit = asked or limit
    if "changedSince" in given:
        try:
            since = micros(moment_of(given["changedSince"].replace(" ", "+")))
        except ValueError as problem:
            problems.append(("changedSince", str(problem)))
    if problems:
        raise Malformed("The query cannot be carried out", problems)
    return given, limit, since


def remove(call: Call) -> Answer:
    """DELETE /api/v1/{kind}/{id}: entered in error; nothing is ever taken out"""
    kind = kind_of(call)
    allow(call, kind, "d")
    return _write(call, kind, None, lambda act: erase(act, kind, call.args["id"]))


def put_item(call: Call) -> Answer:
    """PUT /api/v1/{kind}/{id}/{list}/{itemId}: one item, so that two who chart one day do not overwrite each other"""
    kind, field = kind_of(call), _listed(call)
    allow(call, kind, "u")
    item = call.json(JSON)
    if not isinstance(item, dict):
        raise Unprocessable(problems=[("", "should be an object")])
    if item.setdefault("id", call.args["item"]) != call.args["item"]:
        raise Unprocessable(problems=[("/id", f"should be {call.args['item']}, as in the path")])
    return _change_items(call, kind, field, lambda items: _with(items, item))


def delete_item(call: Call) -> Answer:
    """DELETE /api/v1/{kind}/{id}/{list}/{itemId}"""
    kind, field = kind_of(call), _listed(call)
    allow(call, kind, "u")
    return _change_items(call, kind, field, lambda items: _without(items, call.args["item"]))


def _listed(call: Call) -> model.Field:
    for field in kind_of(call).lists:
        if kebab(field.json) == call.args["list"]:
            return field
    raise NotFound(f"{call.args['kind']} have no {call.args['list'][:64]}")


def kebab(name: str) -> str:
    return "".join(f"-{c.lower()}" if c.isupper() else c for c in name)


def _with(items: list[Any], item: dict[str, Any]) -> list[Any]:
    ids = [one.get("id") for one in items]
    return [item if one.get("id") == item["id"] else one for one in items] if item["id"] in ids else [*items, item]


def _without(items: list[Any], id: str) -> list[Any]:
    kept = [one for one in items if one.get("id") != id]
    if len(kept) == len(items):
        raise NotFound(f"There is no item {id[:64]} here")
    return kept


def _change_items(call: Call, kind: Kind, field: model.Field, change: Callable[[list[Any]], list[Any]]) -> Answer:
    def work(act: Act) -> Any:
        stored, _ = locked(act.tx, kind, call.args["id"])
        found = envelope.look_at(call, act.tx, stored, f"{kind.name} {call.args['id'][:64]}")
        if found.erased:
            raise NotFound(f"{kind.name} {found.id} was entered in error")
        document = read(found.document)
        document[field.json] = items = change(document.get(field.json, []))
        try:
            return publish(act, kind, load(kind, {name: value for name, value in document.items() if value != []}))
        except (Refused, Unprocessable) as refusal:
            raise Unprocessable(problems=list(_of_item(call, field, items, refusal.problems))) from None

    return _write(call, kind, None, work)


def _of_item(call: Call, field: model.Field, items: list[Any], problems: Problems) -> Iterator[tuple[str, str]]:
    """Problems by their place in the item that was sent; what its change makes wrong elsewhere in the record is the item's as a whole."""
    mine = next((f"/{field.json}/{n}" for n, one in enumerate(items) if one.get("id") == call.args["item"]), None)
    for pointer, problem in problems:
        if mine is not None and (pointer + "/").startswith(mine + "/"):
            yield pointer.removeprefix(mine), problem
        else:
            yield "", f"{pointer}: {problem}"


def _named(call: Call, kind: Kind, body: Any) -> Any:
    """The entity of the path's id that a body describes. One that says another id is refused, with all else that is wrong with it."""
    problems = []
    if isinstance(body, dict) and body.setdefault("id", call.args["id"]) != call.args["id"]:
        problems = [("/id", f"should be {call.args['id']}, as in the path")]
        body["id"] = call.args["id"]
    try:
        entity = load(kind, body)
    except Refused as refusal:
        raise Refused([*problems, *refusal.problems]) from None
    if problems:
        raise Refused(problems)
    return entity


def _write(call: Call, kind: Kind, entity: Any, work: Callable[[Act], Any], *, new: bool = False, kept: tuple[str, bytes] | None = None) -> Answer:
    """One write with its audit row and, where a key was given, its answer, in one transaction."""
    expect = envelope.expected_version(call)
    key = entity.id if entity is not None else call.args["id"]

    def run(tx: Connection) -> Answer:
        envelope.check_may_write(call, tx, kind, key, getattr(entity, "patient_id", None))
        if kept is not None:
            before = idempotency.find(tx, call.who.client, *kept, now=call.now)
            if before is not None:
                return Answer(before.status, before.body, JSON, {**before.headers, "Idempotency-Replayed": "true"})
        done = work(Act(call.service.tenant, tx, call.who.client, expect, new))
        call.patient, call.detail = done.stored.patient, f"{kind.name}/{done.stored.id} version={done.stored.version} changed={done.changed}"
        answer = envelope.written(call, kind, done)
        audit.record(tx, [call.event(f"{call.request.method} {kind.name}", answer.status)])
        if kept is not None:
            idempotency.keep(tx, call.who.client, *kept, answer=(answer.status, answer.headers, answer.body), until=call.now + DAY)
        return answer

    answer = call.service.database.write(run)
    call.audited = True
    return answer
