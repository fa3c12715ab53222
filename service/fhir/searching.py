"""Search by type (R4 3.1.1): criteria over the index, a page of stored bytes, and what the page refers to where that is asked for."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from urllib.parse import quote

from sqlalchemy import Connection

from mappings.references import references_in
from mappings.search import PARAMETERS, Parameter
from service.errors import Unsearchable
from service.fhir import answers
from service.fhir.parameters import Asked, parameter_of, understood
from service.fhir.read import UUID
from service.pages import Place, seal, unseal
from service.renderings import text_of, uuid_of
from service.security.access import require
from service.store import reading
from service.store import search as store
from service.store.reading import Reader, Seen
from service.store.search import Alternative, Criterion, Query
from service.web import Answer, Call
from service.wire import encode, read

MOST_INCLUDED = 5000
MOST_CHAINED = 500
DEEPEST_INCLUDE = 3


@dataclass
class Search:
    """One search under way, in one state of the database."""

    call: Call
    connection: Connection
    type: str
    base: str
    reader: Reader
    seq: int
    asked: Asked = field(default_factory=Asked)

    def query(self, type_: str, criteria: Iterable[Criterion], limit: int) -> Query:
        parameters = self.call.service.tenant.parameters
        return Query(type_, self.reader, self.call.now, self.seq, limit, tuple(criteria), parameters=parameters)

    def seen(self, nums: Sequence[int]) -> list[Seen]:
        found = reading.several(self.connection, self.reader, self.call.now, nums, self.seq)
        return [found[num] for num in nums if num in found]


def search(call: Call) -> Answer:
    """GET [base]/[type]?... and POST [base]/[type]/_search"""
    type_ = call.args["type"]
    require(call.who, type_, "s")
    answers.check_format(call)
    given = _given(call)
    call.detail = " ".join(sorted({name for name, _ in given}))[:500]  # names of parameters: their values may be a patient's
    service = call.service
    with service.database.glance() as connection:
        reader, seq = reading.state(connection, call.who.reader, call.who.level)
        under_way = Search(call, connection, type_, f"{service.settings.base}/fhir/r4", reader, seq)
        lenient = "handling=lenient" in (call.header("Prefer") or "")
        under_way.asked = understood(type_, given, lenient=lenient, chained=_chained(under_way), base=under_way.base)
        return _answered(under_way)


def _given(call: Call) -> list[tuple[str, str]]:
    given = list(call.request.args.items(multi=True))
    return [*given, *call.form()] if call.request.method == "POST" else given


def _answered(under_way: Search) -> Answer:
    asked, call = under_way.asked, under_way.call
    limit = min(asked.count if asked.count is not None else call.service.settings.page_size, call.service.settings.page_limit)
    query, place = _query(under_way, limit)
    used = _url(under_way, asked.used)
    if asked.summary_count or limit == 0:
        return answers.bundle(call, "searchset", _dropped(asked), {"self": used}, total=store.count(under_way.connection, query))
    found = store.search(under_way.connection, query)
    total = store.count(under_way.connection, replace(query, after=None)) if asked.total else None
    included = _included(under_way, found.seen)
    links = {"self": used}
    if found.more and found.last is not None:
        made_at = place.made_at if place else call.now
        token = seal(call.service.tenant, Place(query.seq, *found.last, made_at), _fingerprinted(under_way, limit))
        links["next"] = _url(under_way, [*asked.used, ("_page", token)])
    entries = [answers.entry(under_way.base, s, "match", _subset(asked, s)) for s in found.seen]
    entries += [answers.entry(under_way.base, s, "include") for s in included]
    call.detail += f" entries={len(entries)}"
    return answers.bundle(call, "searchset", [*entries, *_dropped(asked)], links, total=total)


def _query(under_way: Search, limit: int) -> tuple[Query, Place | None]:
    asked, call = under_way.asked, under_way.call
    criteria: list[Criterion] = list(asked.criteria)
    query = under_way.query(under_way.type, criteria, limit)
    only: tuple[int, ...] | None = None
    if asked.ids is not None:
        wanted = [uuid_of(one) for one in asked.ids if UUID.fullmatch(one)]
        only = tuple(reading.numbers(under_way.connection, wanted).values())
    if asked.impossible:
        only = ()
    query = replace(query, only=only, order=asked.sort, descending=asked.descending)
    if asked.page is None:
        return query, None
    oldest = call.now - call.service.settings.page_seconds * 1_000_000
    place = unseal(call.service.tenant, asked.page, _fingerprinted(under_way, limit), not_before=oldest)
    under_way.seq = place.seq
    return replace(query, seq=place.seq, after=(place.value, place.resource)), place


def _subset(asked: Asked, seen: Seen) -> bytes | None:
    return encode(answers.subset(seen, asked.elements)) if asked.elements else None


def _dropped(asked: Asked) -> list[bytes]:
    """What a lenient caller's search left out, said in an outcome entry (R4 3.1.1.2.1)."""
    if not asked.dropped:
        return []
    issues = [(f"http.{name}", f"{name} was not used: {problem}") for name, problem in asked.dropped]
    return [answers.outcome_entry(answers.outcome("warning", "not-supported", issues))]


def _url(under_way: Search, parameters: Iterable[tuple[str, str]]) -> str:
    query = "&".join(f"{quote(name, safe=':_-.')}={quote(value, safe='/:,-_.~|')}" for name, value in parameters)
    return f"{under_way.base}/{under_way.type}" + (f"?{query}" if query else "")


def _fingerprinted(under_way: Search, limit: int) -> str:
    said = [*sorted(under_way.asked.used), ("limit", str(limit)), ("reader", under_way.reader.key), ("type", under_way.type)]
    return repr(said)


# --- chains: patient.identifier=...


def _chained(under_way: Search):  # type: ignore[no-untyped-def]
    def follow(_parameter: Parameter, target: str, inner: str, value: str) -> list[str]:
        if "." in inner:
            raise ValueError("one step can be followed")
        require(under_way.call.who, target, "s")
        asked = understood(target, [(inner, value)], lenient=False, chained=_chained(under_way), base=under_way.base)
        query = under_way.query(target, asked.criteria, MOST_CHAINED)
        if asked.ids is not None:
            query = replace(query, only=tuple(reading.numbers(under_way.connection, [uuid_of(i) for i in asked.ids if UUID.fullmatch(i)]).values()))
        found = store.search(under_way.connection, query)
        if found.more:
            raise ValueError(f"leads to more than {MOST_CHAINED} resources: ask more closely")
        return [f"{s.type}/{text_of(s.uuid)}" for s in found.seen]

    return follow


# --- what the matches refer to, and what refers to them


def _included(under_way: Search, matches: list[Seen]) -> list[Seen]:
    known = {s.num for s in matches}
    found: list[Seen] = []
    for name in under_way.asked.revinclude:
        found += _new(under_way, _referring(under_way, name, matches), known)
    fresh, rules = [*matches, *found], under_way.asked.include
    for _ in range(DEEPEST_INCLUDE):
        nums = reading.numbers(under_way.connection, [uuid for one in fresh for uuid in _referred(under_way, one, rules)])
        fresh = _new(under_way, nums.values(), known)
        found += fresh
        rules = [(name, again) for name, again in rules if again]
        if not fresh or not rules:
            break
    return found


def _new(under_way: Search, nums: Iterable[int], known: set[int]) -> list[Seen]:
    """Resources that are not on the page yet, that the caller may see, and whose types its scopes allow."""
    wanted = sorted(set(nums) - known)
    scopes = under_way.call.who.scopes
    found = [s for s in under_way.seen(wanted) if scopes.allow(s.type, "r") or scopes.allow(s.type, "s")]
    known |= {s.num for s in found}
    if len(known) > MOST_INCLUDED:
        raise Unsearchable(f"The page would hold more than {MOST_INCLUDED} resources: ask for fewer with _count")
    return found


def _referred(under_way: Search, seen: Seen, rules: Iterable[tuple[str, bool]]) -> list[bytes]:
    """The ids that a resource refers to by what the include rules name: Type:parameter, Type:parameter:Target, or *."""
    found: list[bytes] = []
    body = None
    for name, _ in rules:
        type_, _, rest = name.partition(":")
        parameter_name, _, target = rest.partition(":")
        paths: tuple[str, ...] | None = None
        to_types: tuple[str, ...] = (target,) if target else ()
        if name != "*" and type_ not in PARAMETERS:
            raise Unsearchable(f"_include={name[:80]}: there is no type {type_[:40]}")
        if name != "*" and parameter_name != "*":
            parameter = _reference_parameter(type_, parameter_name, f"_include={name}")
            paths = tuple(path.partition("[")[0] for path in parameter.paths)
            to_types = to_types or parameter.targets
        if name != "*" and type_ != seen.type:
            continue
        body = body or read(seen.body)
        for path, reference, _ in references_in(body):
            to, _, id_ = str(reference.get("reference", "")).partition("/")
            if UUID.fullmatch(id_) and (paths is None or _plain(path) in paths) and (not to_types or to in to_types):
                found.append(uuid_of(id_))
    return found


def _plain(path: str) -> str:
    """A FHIRPath without its type and indexes: Encounter.participant[0].individual is participant.individual."""
    return ".".join(name.partition("[")[0] for name in path.split(".")[1:])


def _reference_parameter(type_: str, name: str, shown: str) -> Parameter:
    try:
        found = parameter_of(type_, name)
    except ValueError as problem:
        raise Unsearchable(f"{shown[:120]}: {problem}") from None
    if found.type != "reference":
        raise Unsearchable(f"{shown[:120]}: is no reference")
    return found


def _referring(under_way: Search, name: str, matches: list[Seen]) -> list[int]:
    type_, _, rest = name.partition(":")
    if type_ not in PARAMETERS:
        raise Unsearchable(f"_revinclude={name[:80]}: there is no type {type_[:40]}")
    parameter = _reference_parameter(type_, rest.partition(":")[0], f"_revinclude={name}")
    number = under_way.call.service.tenant.parameters.number(type_, parameter.rows)
    query = under_way.query(type_, (), MOST_INCLUDED)
    return store.by_reference(under_way.connection, query, [number], [f"{s.type}/{text_of(s.uuid)}" for s in matches])


__all__ = ["Alternative", "search"]
