"""Reading one resource: as it is, as it was, and everything about a patient or a visit."""

import re

from sqlalchemy import Connection

from service.errors import Gone, NotFound
from service.fhir import answers
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
    seen = next((s for s in _versions(call) if s.version == call.args["version"]), None)
    if seen is None:
        raise NotFound(f"There is no version {call.args['version'][:64]} of {call.args['type']}/{call.args['id']}")
    if seen.deleted:
        raise Gone("This version says that the resource was deleted")
    return answers.resource(call, seen)


def history(call: Call) -> Answer:
    """GET [base]/[type]/[id]/_history: every version of the caller's view, the newest first"""
    found = _versions(call)
    base = f"{call.service.settings.base}/fhir/r4"
    path = f"{base}/{call.args['type']}/{call.args['id']}"
    made = [_version_entry(path, seen, first=n == len(found) - 1) for n, seen in enumerate(found)]
    return answers.bundle(call, "history", made, {"self": f"{path}/_history"}, total=len(found))


def _versions(call: Call) -> list[Seen]:
    type_ = call.args["type"]
    require(call.who, type_, "r")
    answers.check_format(call)
    with call.service.database.glance() as connection:
        found = reading.versions(connection, Reader(call.who.reader, call.who.level), call.now, type_, known_id(type_, call.args["id"]))
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
