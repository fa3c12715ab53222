"""A rehearsal: what would be asked of an EHR, request by request, by the code that asks it, with nothing sent.

The EHR is played by a line that leads nowhere: searches find nobody, and what is created gets an id that shows where the EHR's
own will stand. Where the next request depends on what the EHR holds, the rehearsal of that resource ends.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from mappings.search import PARAMETERS
from service.store import streams, targets
from service.store.copies import Copy
from service.store.streams import Lease
from service.store.targets import Target
from service.sync import documents, ehrs
from service.sync.abilities import Abilities
from service.sync.deliver import PEOPLE, Owed
from service.sync.exchanges import SAID
from service.sync.matching import KNOWN_BY
from service.sync.outcomes import Delivered, Held, Matched, Outcome, Reply, Unsure
from service.sync.sending import Stream, rehearsed
from service.sync.transactions import TRANSACTION
from service.sync.transport import Interrupted
from service.wire import encode, read
from service.wiring import Service

TOGETHER = "In the Bundle above"
UNSUPPORTED, AS_DOCUMENT, NO_CHANGES = "unsupported", "as a document", "changes of it are unsupported"
SHOWN = frozenset(name.lower() for name in SAID)


@dataclass(frozen=True)
class Request:
    method: str
    url: str
    headers: Mapping[str, str]
    body: Any = None


@dataclass(frozen=True)
class Planned:
    """One delivery: the requests that would be made for it, in order, and what is known already to come of it."""

    owed: Owed
    requests: tuple[Request, ...]
    words: str


class Nowhere:
    """A line that keeps what is said on it and answers as an EHR that holds nothing yet."""

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self._made = 0

    def call(self, method: str, url: str, headers: dict[str, str], body: bytes | None = None) -> Reply:
        shown = {name: value if name.lower() in SHOWN else "(not shown)" for name, value in headers.items()}  # a gateway's key may be among them
        self.requests.append(Request(method, url, shown, read(body) if body else None))
        said = self.requests[-1].body
        if method == "POST" and said.get("type") == TRANSACTION:
            return Reply(200, {}, encode({"resourceType": "Bundle", "type": "transaction-response", "entry": [self._entry(one) for one in said["entry"]]}))
        if method == "POST":
            return Reply(201, {"Location": f"{url}/{self._new_id()}"}, encode(said))
        if method == "GET" and urlsplit(url).query:
            return Reply(200, {}, encode({"resourceType": "Bundle", "type": "searchset"}))
        if method == "GET":
            raise Interrupted("what follows depends on what it holds")
        return Reply(200, {}, encode(said)) if method == "PUT" else Reply(204, {}, b"")

    def _entry(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        url = asked["request"]["url"]
        if asked["request"]["method"] == "POST":
            return {"response": {"status": "201", "location": f"{url}/{self._new_id()}"}}
        return {"response": {"status": "200"}}

    def _new_id(self) -> str:
        self._made += 1
        return f"id-{self._made}-at-the-EHR"


def planned(service: Service, target: Target, able: Abilities, patient: int | None = None) -> Iterator[Planned]:
    """Every delivery that waits for an EHR, stream by stream in the order in which they would be sent; of one patient alone where that is given."""
    with service.database.glance() as connection:
        waiting = streams.waiting(connection, target.id, patient)
    line, assumed = Nowhere(), dict[int, Copy]()
    ehr = ehrs.over(service, target, line)
    for num, key in waiting:
        stream = Stream(service, Lease(num, target.id, key, 0), target, ehr, able, rehearses=True)
        for one in rehearsed(stream, assumed):
            yield Planned(one.owed, tuple(line.requests), _words(one.outcome) if line.requests or not isinstance(one.outcome, Delivered) else TOGETHER)
            line.requests.clear()


def _words(outcome: Outcome | None) -> str:
    match outcome:
        case Delivered():
            return ""
        case Held():
            return "Nothing is sent: it holds just this already"
        case Matched(remote_id=None):
            return "Nothing is sent: it is the EHR's own"
        case Matched():
            return "Nothing is sent: it is looked for, linked where one alone is this one, else parked"
        case Unsure():
            return "It is read first; what follows depends on what the EHR holds"
    return getattr(outcome, "words", "")


def forecast(service: Service, target: Target, able: Abilities, *, every: bool = False) -> list[dict[str, Any]]:
    """Type by type what an EHR would be sent of what is there now, were it added: how many, and in which way, or why not; or of `every` type."""
    with service.database.glance() as connection:
        counts = dict(targets.seen(connection, target.level))
    types = sorted(PARAMETERS) if every else counts
    return [{"type": type_, "resources": counts.get(type_, 0), "sent": _way(target, able, type_)} for type_ in types]


def falls_short(target: Target, able: Abilities) -> dict[str, list[str]]:
    """The types that an EHR is sent and does not take as such, takes once and never again, or gets as documents."""
    ways = {type_: _way(target, able, type_) for type_ in sorted(PARAMETERS)}
    return {
        "unsupported": [type_ for type_, way in ways.items() if way == UNSUPPORTED],
        "onlyCreated": [type_ for type_, way in ways.items() if way.endswith(NO_CHANGES)],
        "asDocuments": [type_ for type_, way in ways.items() if way == AS_DOCUMENT],
    }


def _way(target: Target, able: Abilities, type_: str) -> str:
    if not target.takes(type_):
        return "not in agreement"
    if type_ in PEOPLE and not target.settings.get("create_people"):
        if type_ not in KNOWN_BY:
            return "referred to by our identifier"
        return "looked for among its own" if able.searches(type_, "identifier") else "to be linked by hand: it cannot be searched by identifier"
    if not able.can(type_, "create"):
        return AS_DOCUMENT if target.settings.get("alternate") and able.can(documents.TYPE, "create") else UNSUPPORTED
    way = "create; it cannot be asked whether it has it"
    if able.searches(type_, "identifier"):
        way = "conditional create" if type_ in able.conditional_create else "search, then create"
    return way if able.can(type_, "update") else f"{way}; {NO_CHANGES}"
