"""FHIR's interactions, the same for every persona: which one a request means, whether this persona has it, and what it does."""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import format_datetime
from urllib.parse import parse_qsl

from sandbox import fhir_json
from sandbox.capability import capability_statement
from sandbox.checks import check, resource_in
from sandbox.elements import Fhir
from sandbox.outcome import Issue, Refused, outcome
from sandbox.personas.persona import CREATE, DELETE, HISTORY, READ, SEARCH, UPDATE, VREAD, Persona
from sandbox.records import Records, Version
from sandbox.searching import Pages, found, read_search, searchset
from sandbox.wire import Answer, Request, answer

ID = re.compile(r"[A-Za-z0-9.-]{1,64}")
Handler = Callable[..., Answer]
"""Of an EHR, a request and what its URL names: the type, the id, the version."""


@dataclass(frozen=True)
class Ehr:
    """One running persona with its records."""

    persona: Persona
    records: Records
    token: str | None = None
    """The bearer token that it asks for; None where it asks for none."""
    pages: Pages = field(default_factory=Pages)
    started: str = field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="seconds"))

    def base(self, request: Request) -> str:
        return request.origin + self.persona.path


def respond(ehr: Ehr, request: Request, parts: list[str]) -> Answer:
    """The answer to a request for `parts` below the base. Raises Refused."""
    if parts == ["metadata"]:
        if request.method != "GET":
            raise _not_allowed(request.method, "metadata", ["GET"])
        return answer(200, capability_statement(ehr.persona, ehr.base(request), ehr.started, secured=ehr.token is not None))
    shape = _shape(parts)
    if shape is None:
        raise Refused(404, Issue("not-supported", f"this server has nothing at {'/'.join(parts) or 'its base'}"))
    if parts[0] not in ehr.persona.types:
        raise Refused(404, Issue("not-supported", f"this server has no resources of type {parts[0]}"))
    offered = {method: handler for method, (code, handler) in shape.items() if code in ehr.persona.types[parts[0]]}
    if request.method not in offered:
        raise _not_allowed(request.method, parts[0], list(offered)) if offered else _not_there(parts)
    return offered[request.method](ehr, request, *(part for part in parts if part not in ("_history", "_search")))


def _shape(parts: list[str]) -> dict[str, tuple[str, Handler]] | None:
    """What can be done, by method, with a URL of this form; None for a form that no server here has."""
    match parts:
        case [_]:
            return {"GET": (SEARCH, search), "POST": (CREATE, create)}
        case [_, "_search"]:
            return {"POST": (SEARCH, search)}
        case [_, resource_id] if ID.fullmatch(resource_id):
            return {"GET": (READ, read), "PUT": (UPDATE, update), "DELETE": (DELETE, delete)}
        case [_, resource_id, "_history"] if ID.fullmatch(resource_id):
            return {"GET": (HISTORY, history)}
        case [_, resource_id, "_history", version] if ID.fullmatch(resource_id) and ID.fullmatch(version):
            return {"GET": (VREAD, vread)}
    return None


def _not_allowed(method: str, what: str, allowed: list[str]) -> Refused:
    return Refused(405, Issue("not-supported", f"{method} is not supported for {what}"), headers={"Allow": ", ".join(allowed)})


def _not_there(parts: list[str]) -> Refused:
    return Refused(404, Issue("not-supported", f"this server does not offer {'/'.join([parts[0], '[id]', *parts[2:3]])}"))


def read(ehr: Ehr, _request: Request, kind: str, resource_id: str) -> Answer:
    return _shown(_there(ehr, kind, resource_id))


def vread(ehr: Ehr, _request: Request, kind: str, resource_id: str, number: str) -> Answer:
    for version in ehr.records.history(kind, resource_id):
        if str(version.number) == number:
            return _shown(_undeleted(version))
    raise Refused(404, Issue("not-found", f"{kind}/{resource_id} has no version {number}"))


def history(ehr: Ehr, request: Request, kind: str, resource_id: str) -> Answer:
    """Every version, the newest first, in one page: no resource here has had so many that two would be needed."""
    versions = ehr.records.history(kind, resource_id)[::-1]
    if not versions:
        raise Refused(404, Issue("not-found", f"{kind}/{resource_id} is not known"))
    base = ehr.base(request)
    entries = [_history_entry(version, base) for version in versions]
    link = [{"relation": "self", "url": f"{base}/{kind}/{resource_id}/_history"}]
    return answer(200, {"resourceType": "Bundle", "type": "history", "total": len(entries), "link": link, "entry": entries})


def _history_entry(version: Version, base: str) -> Fhir:
    entry: Fhir = {"fullUrl": f"{base}/{version.name}"}
    method, status = ("DELETE", "204") if version.deleted else ("POST", "201") if version.number == 1 else ("PUT", "200")
    if not version.deleted:
        entry["resource"] = fhir_json.written(version.body)
    entry["request"] = {"method": method, "url": version.type if method == "POST" else version.name}
    return entry | {"response": {"status": status, "etag": version.etag, "lastModified": version.updated}}


def search(ehr: Ehr, request: Request, kind: str) -> Answer:
    query = request.query + (_form(request) if request.method == "POST" else [])
    base, token = ehr.base(request), dict(query).get("_page")
    if token is not None:
        kept, versions, key, start = ehr.pages.find(token)
        return answer(200, searchset(ehr.pages, kept, versions, base, key=key, start=start))
    asked = read_search(ehr.persona, kind, query, base, strict=request.prefers("handling") == "strict")
    return answer(200, searchset(ehr.pages, asked, found(ehr.records, asked), base))


def _form(request: Request) -> list[tuple[str, str]]:
    media = (request.header("Content-Type") or "").partition(";")[0].strip().lower()
    if media != "application/x-www-form-urlencoded" and request.body:
        raise Refused(415, Issue("not-supported", f"_search takes application/x-www-form-urlencoded, not {media}"))
    return parse_qsl(request.body.decode("utf-8", "replace"), keep_blank_values=True)


def create(ehr: Ehr, request: Request, kind: str) -> Answer:
    resource, base = resource_in(request, kind), ehr.base(request)
    condition = request.header("If-None-Exist") if ehr.persona.conditional_create else None
    with ehr.records.lock:
        if condition is not None and (there := _already_there(ehr, kind, condition, base)) is not None:
            return _written(there, request, base, 200)
        check(resource, base, ehr.records.holds)
        return _written(_write(ehr, resource, ehr.persona.new_id()), request, base, 201)


def _already_there(ehr: Ehr, kind: str, condition: str, base: str) -> Version | None:
    """The one resource that a conditional create means. Raises Refused: 412 for several, 400 for a condition that is not understood."""
    query = condition.removeprefix(kind).removeprefix("?")
    asked = read_search(ehr.persona, kind, parse_qsl(query), base, strict=True)
    if not asked.criteria or len(asked.criteria) < len(asked.used):
        raise Refused(400, Issue("invalid", f"If-None-Exist: {condition} is no condition that a resource could meet"))
    there = found(ehr.records, asked)
    if len(there) > 1:
        names = ", ".join(version.name for version in there[:5])
        raise Refused(412, Issue("multiple-matches", f"{len(there)} resources meet {condition}: {names}"))
    return there[0] if there else None


def update(ehr: Ehr, request: Request, kind: str, resource_id: str) -> Answer:
    """The next version, whether anything changed or not; what was deleted comes back with 201."""
    resource, base = resource_in(request, kind), ehr.base(request)
    if resource.get("id") != resource_id:
        raise Refused(400, Issue("invalid", f"the body has the id {resource.get('id')}, the URL {resource_id}", f"{kind}.id"))
    with ehr.records.lock:
        latest = _known(ehr, kind, resource_id)
        _still(latest, request)
        check(resource, base, ehr.records.holds)
        return _written(_write(ehr, resource, resource_id), request, base, 201 if latest.deleted else 200)


def delete(ehr: Ehr, request: Request, kind: str, resource_id: str) -> Answer:
    with ehr.records.lock:
        latest = _known(ehr, kind, resource_id)
        if latest.deleted:
            return Answer(204, headers={"ETag": latest.etag})
        _still(latest, request)
        if referrers := ehr.records.referrers(latest.name):
            some = ", ".join(referrers[:5])
            raise Refused(409, Issue("conflict", f"{latest.name} cannot be deleted: {len(referrers)} resources refer to it, such as {some}"))
        return Answer(204, headers={"ETag": ehr.records.erase(latest).etag})


def _write(ehr: Ehr, resource: Fhir, resource_id: str) -> Version:
    try:
        return ehr.records.write(resource, resource_id)
    except ValueError as reason:  # half a surrogate pair, an integer of more than 64 bits
        raise Refused(400, Issue("value", f"the body cannot be written as JSON again: {reason}")) from None


def _known(ehr: Ehr, kind: str, resource_id: str) -> Version:
    latest = ehr.records.latest(kind, resource_id)
    if latest is None:
        # R4 says 405 for an update where clients may not choose ids; HAPI says 404, and so it cannot be taken for "no updates here".
        raise Refused(404, Issue("not-found", f"{kind}/{resource_id} is not known, and ids are this server's to give"))
    return latest


def _there(ehr: Ehr, kind: str, resource_id: str) -> Version:
    return _undeleted(_known(ehr, kind, resource_id))


def _undeleted(version: Version) -> Version:
    if version.deleted:
        raise Refused(410, Issue("deleted", f"{version.name} was deleted at {version.updated}"), headers={"ETag": version.etag})
    return version


def _still(latest: Version, request: Request) -> None:
    """Raises Refused (412) when the sender has seen another version than the latest."""
    expected = request.header("If-Match")
    if expected not in (None, "*") and expected.strip().removeprefix("W/").strip('"') != str(latest.number):
        raise Refused(412, Issue("conflict", f"{latest.name} is at version {latest.number}, not {expected}"), headers={"ETag": latest.etag})


def _shown(version: Version) -> Answer:
    return answer(200, version.body, ETag=version.etag, Last_Modified=_http_date(version))


def _written(version: Version, request: Request, base: str, status: int) -> Answer:
    """What a write answers, with as much of a body as was preferred."""
    location = f"{base}/{version.name}/_history/{version.number}"
    headers = {"ETag": version.etag, "Last_Modified": _http_date(version), "Location": location}
    match request.prefers("return"):
        case "minimal":
            return Answer(status, headers={name.replace("_", "-"): text for name, text in headers.items()})
        case "OperationOutcome":
            return answer(status, outcome([Issue("informational", f"{version.name} is at version {version.number}", severity="information")]), **headers)
        case _:
            return answer(status, version.body, **headers)


def _http_date(version: Version) -> str:
    return format_datetime(datetime.fromisoformat(version.updated), usegmt=True)
