"""`$everything` (R4 Patient and Encounter operations): all that is known of a patient, and all that hangs on a visit."""

from collections.abc import Iterable
from dataclasses import dataclass, replace

from sqlalchemy import Connection

from mappings.references import references_in
from mappings.search import PARAMETERS
from service.errors import Gone, NotFound
from service.fhir import answers
from service.fhir.parameters import of_operation, since
from service.fhir.read import UUID, known_id, note, place_of
from service.pages import Place, seal
from service.renderings import text_of, uuid_of
from service.security.access import require
from service.store import reading
from service.store import search as store
from service.store.reading import Reader, Seen
from service.store.search import Query
from service.web import Answer, Call
from service.wire import read


@dataclass
class State:
    """One operation under way, in one state of the database."""

    call: Call
    connection: Connection
    reader: Reader
    seq: int
    given: dict[str, str]


PLACES = ("Practitioner", "PractitionerRole", "Organization", "Location")
KNOWN = ("_count", "_since", "_type", "_page", "_format", "_pretty")


def of_patient(call: Call) -> Answer:
    """GET [base]/Patient/[id]/$everything: the patient's own resources in the order of their first publication, page by page"""
    require(call.who, "Patient", "r")
    answers.check_format(call)
    given = of_operation(call.request.args.items(), KNOWN)
    limit = min(int(given.get("_count", call.service.settings.page_limit)), call.service.settings.page_limit) or 1
    base = f"{call.service.settings.base}/fhir/r4"
    path = f"{base}/Patient/{call.args['id']}/$everything"
    said = "&".join(f"{name}={value}" for name, value in given.items() if name not in ("_page", "_format", "_pretty"))
    with call.service.database.reading() as connection:
        reader, seq = reading.state(connection, call.who.reader, call.who.level)
        sealed_for = repr((path, said, reader.key))
        place = place_of(call, seq, given, sealed_for)
        state = State(call, connection, reader, place.seq, given)
        patient = _one(state, "Patient")
        types = sorted(_wanted(call, given))
        assert patient.patient is not None
        nums = reading.of_patient(
            connection, reader, call.now, patient.patient, seq=place.seq, after=place.resource, limit=limit + 1, types=types, since=since(given) or 0
        )
        found = _seen(state, nums[:limit])
        about = _places(state, found, types)
        links = {"self": path + (f"?{said}" if said else "")}
        if len(nums) > limit:
            token = seal(call.service.tenant, Place(place.seq, 0, nums[limit - 1], place.made_at), sealed_for)
            links["next"] = f"{path}?{said + '&' if said else ''}_page={token}"
    entries = [answers.entry(base, s, "match") for s in found] + [answers.entry(base, s, "include") for s in about]
    return answers.bundle(call, "searchset", entries, links)


def of_encounter(call: Call) -> Answer:
    """GET [base]/Encounter/[id]/$everything: the visit, what refers to it, what that refers to, and the patient"""
    require(call.who, "Encounter", "r")
    answers.check_format(call)
    given = of_operation(call.request.args.items(), KNOWN)
    base = f"{call.service.settings.base}/fhir/r4"
    with call.service.database.reading() as connection:
        reader, seq = reading.state(connection, call.who.reader, call.who.level)
        state = State(call, connection, reader, seq, given)
        visit = _one(state, "Encounter")
        types = _wanted(call, given)
        hanging = _seen(state, _hanging(state, visit))
        known = {visit.num, *(s.num for s in hanging)}
        following = _followed(connection, [visit, *hanging], exclude=known)
        about = [s for s in _seen(state, following) if s.patient in (None, visit.patient)]
        found = [s for s in [visit, *hanging, *about] if s.type in types or s is visit]
    links = {"self": f"{base}/Encounter/{call.args['id']}/$everything"}
    return answers.bundle(call, "searchset", [answers.entry(base, s, "match") for s in found], links)


def _one(state: State, type_: str) -> Seen:
    call = state.call
    seen = reading.one(state.connection, state.reader, call.now, type_, known_id(type_, call.args["id"]))
    if seen is None:
        raise NotFound(f"There is no {type_}/{call.args['id']}")
    note(call, seen)
    if seen.deleted:
        raise Gone(f"{type_}/{call.args['id']} was deleted")
    return seen


def _wanted(call: Call, given: dict[str, str]) -> frozenset[str]:
    scopes = call.who.scopes
    allowed = frozenset(t for t in PARAMETERS if scopes.allow(t, "r") or scopes.allow(t, "s"))
    return allowed & frozenset(given["_type"].split(",")) if "_type" in given else allowed


def _seen(state: State, nums: list[int]) -> list[Seen]:
    found, least = reading.several(state.connection, state.reader, state.call.now, nums, state.seq), since(state.given) or 0
    return [found[num] for num in nums if num in found and found[num].at >= least]


def _places(state: State, found: Iterable[Seen], types: list[str]) -> list[Seen]:
    """The people and places that a page refers to, which are nobody's in particular."""
    nums = _followed(state.connection, found, only=PLACES)
    return [s for s in _seen(replace(state, given={}), nums) if s.type in types]


def _followed(connection: Connection, found: Iterable[Seen], *, only: tuple[str, ...] = (), exclude: Iterable[int] = ()) -> list[int]:
    wanted = []
    for seen in found:
        for _, reference, _ in references_in(read(seen.body)):
            type_, _, id_ = str(reference.get("reference", "")).partition("/")
            if UUID.fullmatch(id_) and (not only or type_ in only):
                wanted.append(uuid_of(id_))
    return sorted(set(reading.numbers(connection, wanted).values()) - set(exclude))


def _hanging(state: State, visit: Seen) -> list[int]:
    """Whatever refers to the visit, by any parameter of any type that leads to an Encounter."""
    call = state.call
    parameters = call.service.tenant.parameters
    numbers = [
        parameters.number(type_, p.rows) for type_, found in PARAMETERS.items() for p in found.values()
        if p.type == "reference" and "Encounter" in p.targets and p.rows == p.name
    ]  # fmt: skip
    query = Query("Encounter", state.reader, call.now, state.seq, call.service.settings.page_limit * 10, parameters=parameters)
    found = store.by_reference(state.connection, query, numbers, [f"Encounter/{text_of(visit.uuid)}"])
    return [num for num in found if num != visit.num]
