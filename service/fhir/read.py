"""Reading one resource: as it is, as it was, and everything about a patient or a visit."""

import re
from urllib.parse import urlencode

from sqlalchemy import Connection

from service.errors import Gone, NotFound
from service.fhir import answers
from service.fhir.parameters import of_operation, since
from service.pages import Place, seal, unseal
from service.renderings import instant, text_of, uuid_of
from service.security.access import require
from service.store import reading
from service.store.reading import Reader, Seen
from service.web import Answer, Call
from service.wire import encode

UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")


def read(call: Call) -> Answer:
    """GET [base]/[type]/[id]"""
    type_ = call.args["type"]
    require(call.who, type_, "r")
    answers.check_format(call)
    with call.service.database.glance() as connection:
        seen = reading.one(connection, Reader(call.who.reader, call.who.level), call.now, type_, known_id(type_, call.args["id"]))
    if seen is None:
        raise NotFound(f"There is no {type_}/{call.args['id']}")
    note(call, seen)
    if seen.deleted:
        raise Gone(f"{type_}/{call.args['id']} was deleted", headers={"ETag": f'W/"{seen.version}"'})
    return answers.resource(call, seen)


def vread(call: Call) -> Answer:
    """GET [base]/[type]/[id]/_history/[vid]"""
    with call.service.database.glance() as connection:
        seen = next((s for s in _versions(call, connection) if s.version == call.args["version"]), None)
    if seen is None:
        raise NotFound(f"There is no version {call.args['version'][:64]} of {call.args['type']}/{call.args['id']}")
    if seen.deleted:
        raise Gone("This version says that the resource was deleted")
    return answers.resource(call, seen)


def history(call: Call) -> Answer:
    """GET [base]/[type]/[id]/_history: every version of the caller's view, the newest first, page by page"""
    settings, given = call.service.settings, of_operation(call.request.args.items(), ("_count", "_since", "_page", "_format", "_pretty"))
    path = f"{settings.base}/fhir/r4/{call.args['type']}/{call.args['id']}"
    said = urlencode([(name, value) for name, value in given.items() if name in ("_count", "_since")])
    limit = min(int(given.get("_count", settings.page_size)), settings.page_limit)
    with call.service.database.reading() as connection:
        sealed_for = repr((path, said, call.who.reader))
        place = place_of(call, reading.latest_seq(connection), given, sealed_for)
        found = _versions(call, connection, place.seq)
    asked = [(seen, seen is found[-1]) for seen in found if seen.at >= (since(given) or 0)]
    page, links = asked[place.value : place.value + limit], {"self": f"{path}/_history" + (f"?{said}" if said else "")}
    if limit and len(asked) > place.value + limit:
        token = seal(call.service.tenant, Place(place.seq, place.value + limit, 0, place.made_at), sealed_for)
        links["next"] = f"{path}/_history?{said + '&' if said else ''}_page={token}"
    return answers.bundle(call, "history", [_version_entry(path, seen, first=first) for seen, first in page], links, total=len(asked))


def place_of(call: Call, seq: int, given: dict[str, str], sealed_for: str) -> Place:
    """Where the asked-for page begins: as its link says, or at the beginning of the data as it is at the last commit."""
    if "_page" in given:
        oldest = call.now - call.service.settings.page_seconds * 1_000_000
        return unseal(call.service.tenant, given["_page"], sealed_for, not_before=oldest)
    return Place(seq, 0, 0, call.now)


def _versions(call: Call, connection: Connection, seq: int | None = None) -> list[Seen]:
    type_ = call.args["type"]
    require(call.who, type_, "r")
    answers.check_format(call)
    found = reading.versions(connection, Reader(call.who.reader, call.who.level), call.now, type_, known_id(type_, call.args["id"]), seq=seq)
    if not found:
        raise NotFound(f"There is no {type_}/{call.args['id']}")
    note(call, found[0])
    return found


def _version_entry(path: str, seen: Seen, *, first: bool) -> bytes:
    method = "DELETE" if seen.deleted else "POST" if first else "PUT"
    url = path.rsplit("/fhir/r4/", 1)[1]
    said = {
        "request": {"method": method, "url": url if method != "POST" else url.split("/")[0]},
        "response": {"status": {"DELETE": "204", "POST": "201", "PUT": "200"}[method], "etag": f'W/"{seen.version}"', "lastModified": instant(seen.at)},
    }
    resource = b"" if seen.deleted else b',"resource":' + seen.body
    return b'{"fullUrl":' + encode(path) + resource + b"," + encode(said)[1:]


def known_id(type_: str, text: str) -> bytes:
    """The uuid of an id, where it can be one of ours."""
    if not UUID.fullmatch(text):
        raise NotFound(f"There is no {type_}/{text[:64]}")
    return uuid_of(text)


def note(call: Call, seen: Seen) -> None:
    call.patient, call.level = seen.patient, seen.level


def owner_of(connection: Connection, seen: Seen) -> str:
    return f"{seen.type}/{text_of(seen.uuid)}"
