"""FHIR's interactions, the same for every persona: what each of them does with a request that means it."""

from dataclasses import dataclass
from datetime import datetime
from email.utils import format_datetime
from urllib.parse import parse_qsl

from sandbox import fhir_json
from sandbox.checks import check, patch_in, resource_in
from sandbox.dates import span
from sandbox.ehr import Ehr
from sandbox.elements import Fhir
from sandbox.outcome import Issue, Refused, outcome
from sandbox.paging import PAGE, Listing, page, page_size
from sandbox.records import Version
from sandbox.searching import Search, found, read_search
from sandbox.wire import Answer, Request, answer


def read(ehr: Ehr, _request: Request, kind: str, resource_id: str) -> Answer:
    return _shown(_there(ehr, kind, resource_id))


def vread(ehr: Ehr, _request: Request, kind: str, resource_id: str, number: str) -> Answer:
    for version in ehr.records.history(kind, resource_id):
        if str(version.number) == number:
            return _shown(_undeleted(version))
    raise Refused(404, Issue("not-found", f"{kind}/{resource_id} has no version {number}"))


def history(ehr: Ehr, request: Request, kind: str | None = None, resource_id: str | None = None) -> Answer:
    """Every version of one resource, of a type, or of all of them, deletions too: the newest first, and none from before `_since`."""
    query, base = dict(request.query), ehr.base(request)
    if ehr.persona.page_parameter in query:
        return _later_page(ehr, query[ehr.persona.page_parameter], base)
    if resource_id is not None and not ehr.records.history(str(kind), resource_id):
        raise Refused(404, Issue("not-found", f"{kind}/{resource_id} is not known"))
    used = [(name, query[name]) for name in ("_since", "_count") if query.get(name)]
    versions = ehr.records.versions(kind, resource_id)
    if "_since" in query:
        since = _instant(query["_since"])
        versions = [version for version in versions if datetime.fromisoformat(version.updated) >= since]
    path = "/".join(part for part in (kind, resource_id, "_history") if part)
    size = page_size(query["_count"]) if query.get("_count") else PAGE
    return _page(ehr, Listing("history", path, used, versions, (size, size)), base)


def _instant(text: str) -> datetime:
    try:
        return span(text)[0]
    except (ValueError, OverflowError):
        raise Refused(400, Issue("value", f"_since={text} is not an instant, or its + was not encoded as %2B")) from None


def _history_entry(version: Version, base: str) -> Fhir:
    entry: Fhir = {"fullUrl": f"{base}/{version.name}"}
    method, status = ("DELETE", "204") if version.deleted else ("POST", "201") if version.number == 1 else ("PUT", "200")
    if not version.deleted:
        entry["resource"] = fhir_json.written(version.body)
    entry["request"] = {"method": method, "url": version.type if method == "POST" else version.name}
    return entry | {"response": {"status": status, "etag": version.etag, "lastModified": version.updated}}


def search(ehr: Ehr, request: Request, kind: str) -> Answer:
    query = request.query + (_form(request) if request.method == "POST" else [])
    base, token = ehr.base(request), dict(query).get(ehr.persona.page_parameter)
    if token is not None:
        return _later_page(ehr, token, base)
    asked = read_search(ehr.persona, kind, query, base, strict=request.prefers("handling") == "strict")
    sizes = ehr.persona.page_sizes(kind, asked.used, asked.count)
    return _page(ehr, Listing("searchset", kind, asked.used, found(ehr.records, asked), sizes, asked.told_total, ehr.persona.page_parameter), base)


def _match(version: Version, base: str) -> Fhir:
    return {"fullUrl": f"{base}/{version.name}", "resource": fhir_json.written(version.body), "search": {"mode": "match"}}


def _later_page(ehr: Ehr, token: str, base: str) -> Answer:
    listing, start = ehr.pages.find(token)
    return _page(ehr, listing, base, token=token, start=start)


def _page(ehr: Ehr, listing: Listing, base: str, *, token: str = "", start: int = 0) -> Answer:
    entry_of = _history_entry if listing.type == "history" else _match
    return answer(200, page(ehr.pages, listing, base, entry_of, token=token, start=start))


def _form(request: Request) -> list[tuple[str, str]]:
    media = (request.header("Content-Type") or "").partition(";")[0].strip().lower()
    if media != "application/x-www-form-urlencoded" and request.body:
        raise Refused(415, Issue("not-supported", f"_search takes application/x-www-form-urlencoded, not {media}"))
    return parse_qsl(request.body.decode("utf-8", "replace"), keep_blank_values=True)


def create(ehr: Ehr, request: Request, kind: str) -> Answer:
    resource, base = resource_in(request, kind), ehr.base(request)
    said = request.header("If-None-Exist") if ehr.persona.conditional_create else None
    condition = read_condition(ehr, kind, said, base) if said is not None else None  # before the lock: others are to wait for as little as can be
    with ehr.records.lock:
        if condition is not None and (there := condition.meant(ehr)) is not None:
            return _written(ehr, there, request, 200)
        resource = check(resource, base, ehr.holds, ehr.persona)
        new_id = resource["id"] if ehr.together else ehr.persona.new_id()  # in a transaction the others know it by this id already
        return _written(ehr, _write(ehr, resource, new_id), request, 201)


@dataclass(frozen=True, slots=True)
class Condition:
    """What one resource at most is to meet."""

    said: str
    search: Search

    def meant(self, ehr: Ehr) -> Version | None:
        """The one resource that is meant, if there is one. Raises Refused: 412 for several."""
        there = found(ehr.records, self.search)
        if len(there) > 1:
            names = ", ".join(version.name for version in there[:5])
            raise Refused(412, Issue("multiple-matches", f"{len(there)} resources meet {self.said}: {names}"))
        return there[0] if there else None


def read_condition(ehr: Ehr, kind: str, said: str, base: str) -> Condition:
    """Raises Refused: 400 for a condition that is not understood."""
    query = said.removeprefix(kind).removeprefix("?")
    asked = read_search(ehr.persona, kind, parse_qsl(query), base, strict=True)
    if not asked.criteria or len(asked.criteria) < len(asked.used):
        raise Refused(400, Issue("invalid", f"{said} is no condition that a resource could meet"))
    return Condition(said, asked)


def update(ehr: Ehr, request: Request, kind: str, resource_id: str) -> Answer:
    """The next version, whether anything changed or not; what was deleted comes back with 201."""
    resource, base = resource_in(request, kind), ehr.base(request)
    if resource.get("id") != resource_id:
        raise Refused(400, Issue("invalid", f"the body has the id {resource.get('id')}, the URL {resource_id}", f"{kind}.id"))
    with ehr.records.lock:
        latest = _known(ehr, kind, resource_id)
        _still(ehr, latest, request)
        resource = check(resource, base, ehr.holds, ehr.persona)
        return _written(ehr, _write(ehr, resource, resource_id), request, 201 if latest.deleted else 200)


def patch(ehr: Ehr, request: Request, kind: str, resource_id: str) -> Answer:
    changes = patch_in(request)
    with ehr.records.lock:
        latest = _there(ehr, kind, resource_id)
        _still(ehr, latest, request)
        resource = check(ehr.persona.patch(fhir_json.read(latest.body), changes), ehr.base(request), ehr.holds, ehr.persona)
        return _written(ehr, _write(ehr, resource, resource_id), request, 200)


def delete(ehr: Ehr, request: Request, kind: str, resource_id: str) -> Answer:
    with ehr.records.lock:
        latest = _known(ehr, kind, resource_id)
        if latest.deleted:
            return Answer(204, headers={"ETag": latest.etag})
        _still(ehr, latest, request)
        going = ehr.together.going if ehr.together else ()
        if referrers := [name for name in ehr.records.referrers(latest.name) if name not in going]:
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


def _still(ehr: Ehr, latest: Version, request: Request) -> None:
    """Raises Refused when the sender has seen another version than the latest, or where that has to be said does not say it just so."""
    expected, exact = request.header("If-Match"), ehr.persona.exact_if_match
    if expected is None and exact:
        raise Refused(412, Issue("required", "a change needs If-Match with the ETag as it came"))
    if expected is None or (expected == "*" and not exact) or expected == latest.etag:
        return
    if exact or expected.strip().removeprefix("W/").strip('"') != str(latest.number):
        issue = Issue("conflict", f"{latest.name} is at version {latest.number}, not {expected}")
        raise Refused(ehr.persona.stale_status, issue, headers={"ETag": latest.etag})


def _shown(version: Version) -> Answer:
    return answer(200, version.body, {"ETag": version.etag, "Last-Modified": _http_date(version)})


def _written(ehr: Ehr, version: Version, request: Request, status: int) -> Answer:
    """What a write answers, with as much of a body as was preferred."""
    location = f"{ehr.base(request)}/{version.name}"
    headers = {"ETag": version.etag, "Last-Modified": _http_date(version)}
    if ehr.persona.silent_writes:
        return Answer(status, b"", {**headers, "Content-Type": "text/html", **({"Location": location} if status == 201 else {})})
    headers["Location"] = f"{location}/_history/{version.number}"
    match request.prefers("return"):
        case "minimal":
            return Answer(status, b"", headers)
        case "OperationOutcome":
            return answer(status, outcome([Issue("informational", f"{version.name} is at version {version.number}", severity="information")]), headers)
        case _:
            return answer(status, version.body, headers)


def _http_date(version: Version) -> str:
    return format_datetime(datetime.fromisoformat(version.updated), usegmt=True)
