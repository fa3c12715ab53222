"""Several deliveries of one stream in one request, which an EHR carries out as a whole or not at all. Pure.

| what R4 says (3.1.0.11)                               | what is done                                                                      |
| ----------------------------------------------------- | --------------------------------------------------------------------------------- |
| an entry has its method, url and conditions           | POST with ifNoneExist, PUT with ifMatch, DELETE; what is to be searched first goes singly |
| entries refer to what others create by their fullUrl  | `urn:uuid:` and our id; what is there already by the EHR's ids                    |
| the answer has an entry for each, in the same order   | each is settled by its own; one that does not say what became of it is unsure     |
| a failure is one answer for all, and nothing was done | 4xx: each goes singly at once; what is to be waited for is waited for; else unsure |
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from mappings.references import rewritten
from service.sync import searches
from service.sync.abilities import Abilities
from service.sync.deliver import URN, Ready, digest, our_identifier
from service.sync.exchanges import Exchange
from service.sync.outcomes import Delivered, Outcome, Reply, Retry, Unsure, judged, words_of
from service.wire import encode

TRANSACTION = "transaction"  # of HL7's system-restful-interaction
STATUS = re.compile(r"([1-5][0-9]{2})\b")
Json = dict[str, Any]


@dataclass(frozen=True)
class Entry:
    """A delivery that goes with others, and what its entry asks for."""

    ready: Ready
    request: Json

    @property
    def creates(self) -> bool:
        return bool(self.request["method"] == "POST")

    def written(self, base: str) -> Json:
        owed, url = self.ready.owed, str(self.request["url"])
        match self.request["method"]:
            case "POST":
                return {"fullUrl": URN + owed.uuid, "resource": self.ready.body, "request": self.request}
            case "PUT":
                return {"fullUrl": f"{base}/{url}", "resource": {**self.ready.body, "id": url.partition("/")[2]}, "request": self.request}
        return {"request": self.request}


@dataclass(frozen=True)
class Told:
    """What came of one entry, and the EHR's words for it. `found` says that it was there already, as this: it is to be compared."""

    outcome: Outcome
    answer: Json | None = None
    found: bool = False


def entry(ready: Ready, able: Abilities, *, careful: bool) -> Entry | None:
    """How a resource is asked for in a Bundle; None for what goes singly, because something is to be looked at before it is sent."""
    owed, remote = ready.owed, ready.remote
    if owed.unsure or ready.as_document or (remote is not None and owed.body is not None and not remote.sent_hash):
        return None
    if remote is not None:
        match = {"ifMatch": remote.remote_version} if remote.remote_version and owed.body is not None else {}
        return Entry(ready, {"method": "DELETE" if owed.body is None else "PUT", "url": f"{owed.type}/{remote.remote_id}", **match})
    identifier = our_identifier(ready.body)
    match searches.once(ready.body, able, careful=careful):
        case searches.CONDITION if identifier is not None:
            return Entry(ready, {"method": "POST", "url": owed.type, "ifNoneExist": searches.condition(identifier)})
        case searches.NOTHING:
            return Entry(ready, {"method": "POST", "url": owed.type})
    return None


def bundle(entries: Iterable[Entry], base: str) -> Json:
    return {"resourceType": "Bundle", "type": TRANSACTION, "entry": [one.written(base) for one in entries]}


def told(entries: Sequence[Entry], reply: Reply) -> list[Told] | Outcome:
    """What an answer says of each entry; or of all of them alike, and then Refused means that nothing was done."""
    if reply.status != 200:
        whole = judged(reply, updating=False)
        passing = isinstance(whole, Retry) and (whole.snoozes or reply.status < 500)
        return whole if passing or 300 <= reply.status < 500 else Unsure(words_of(reply) or f"The EHR failed ({reply.status})", reply.status)
    said = reply.json() or {}
    answers = said.get("entry")
    if said.get("resourceType") != "Bundle" or said.get("type") != "transaction-response" or not isinstance(answers, list):
        return Unsure("The answer to a transaction says nothing of its entries", reply.status)
    if len(answers) != len(entries):
        return Unsure(f"The answer to a transaction of {len(entries)} entries has {len(answers)}", reply.status)
    return [_told(one, answer) for one, answer in zip(entries, answers, strict=True)]


def _told(one: Entry, answer: Any) -> Told:
    response = answer.get("response") if isinstance(answer, dict) else None
    status = STATUS.match(str(response.get("status"))) if isinstance(response, dict) else None
    if not isinstance(response, dict) or status is None:
        return Told(Unsure("Its entry in the answer has no status"))
    outcome = _judged(one, _reply(int(status[1]), response, answer.get("resource")))
    return Told(outcome, answer, isinstance(outcome, Delivered) and "ifNoneExist" in one.request and outcome.status == 200)


def _reply(status: int, response: Mapping[str, Any], resource: Any) -> Reply:
    """What an entry is answered, as if it had come alone."""
    headers = {"Location": response.get("location"), "ETag": response.get("etag")}
    body = resource if isinstance(resource, dict) else response.get("outcome")
    return Reply(status, {name: value for name, value in headers.items() if isinstance(value, str)}, encode(body) if isinstance(body, dict) else b"")


def _judged(one: Entry, reply: Reply) -> Outcome:
    owed, outcome = one.ready.owed, judged(reply, updating=not one.creates)
    if not isinstance(outcome, Delivered):
        return Unsure(getattr(outcome, "words", "") or f"Its entry in the answer is {reply.status}", reply.status)
    if one.request["method"] == "DELETE":
        return Delivered(None, None, reply.status)
    type_, location, seen = owed.type, reply.header("Location"), outcome.seen
    known = one.ready.remote.remote_id if one.ready.remote is not None else None
    others = (location is not None and f"/{type_}/" not in f"/{location}") or (known is not None and outcome.remote_id not in (None, known))
    if others or (seen is not None and (seen.get("resourceType") != type_ or our_identifier(seen) not in (None, our_identifier(one.ready.body)))):
        return Unsure("Its entry in the answer is another's", reply.status)
    if known is None and outcome.remote_id is None:
        return Unsure("Its entry in the answer gives no id for it", reply.status)
    return replace(outcome, remote_id=known or outcome.remote_id)


def ids(entries: Iterable[Entry], answers: Iterable[Told]) -> dict[str, str]:
    """The EHR's `Type/id` of what was created, by its fullUrl."""
    both = zip(entries, answers, strict=True)
    return {URN + e.ready.owed.uuid: f"{e.ready.owed.type}/{t.outcome.remote_id}" for e, t in both if e.creates and isinstance(t.outcome, Delivered)}


def landed(ready: Ready, known: Mapping[str, str]) -> Ready:
    """What was sent, with the EHR's ids as if it had gone singly. Where one is not known it is compared when that is there."""
    if not ready.together:
        return ready
    unknown = tuple(num for urn, num in ready.together.items() if urn not in known)

    def there(value: Json) -> Json | None:
        urn = value.get("reference")
        return {**value, "reference": known[urn]} if isinstance(urn, str) and urn in known else None

    body = rewritten(ready.body, there)
    return replace(ready, body=body, digest=b"" if unknown else digest(body), unresolved=(*ready.unresolved, *unknown))


def own(said: Iterable[Exchange], base: str, one: Entry, answer: Json | None = None) -> tuple[Exchange, ...]:
    """What was said of one entry: no delivery's log has another's resource."""
    sent = encode(one.written(base))
    return tuple(replace(each, sent=sent, received=encode(answer) if answer is not None else each.received) for each in said)
