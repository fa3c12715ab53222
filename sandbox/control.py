"""The requests that no EHR has, which `besides.py` lists: counts, the last requests, faults, a reset, and the hands of the EHR's own users."""

from collections import deque
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from sandbox import docs, fhir_json
from sandbox.ehr import Ehr
from sandbox.faults.board import Faults
from sandbox.faults.fault import Asked
from sandbox.journal import Journal
from sandbox.keeping import given, kept
from sandbox.outcome import Issue, Refused
from sandbox.page import index_page
from sandbox.paging import NUMBER
from sandbox.patches import merged
from sandbox.personas.persona import INTERACTIONS, Persona
from sandbox.rest import respond
from sandbox.seeding import seed
from sandbox.wire import Answer, Request

REMEMBERED = 1000
# The page runs no script and is framed by nobody; what it shows came from requests.
PAGE_HEADERS = {"Content-Type": "text/html; charset=utf-8", "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'"}


class Control:
    def __init__(self, ehrs: Mapping[str, Ehr], journal: Journal | None, faults: Faults) -> None:
        self._ehrs, self._journal, self._faults = ehrs, journal, faults
        self._log: deque[dict[str, Any]] = deque(maxlen=REMEMBERED)

    def saw(self, asked: Asked, status: int, took_s: float) -> None:
        time, request = datetime.now(UTC).isoformat(timespec="milliseconds"), asked.request
        seen = {"time": time, "persona": asked.ehr.persona.name, "method": request.method, "path": request.path, "query": request.query_string}
        self._log.append({**seen, "status": status or None, "ms": round(took_s * 1000, 1), "faults": asked.struck})

    def respond(self, request: Request) -> Answer:
        match request.method, request.path.strip("/").split("/"):
            case "GET", [""]:
                page = index_page([ehr.persona for ehr in self._ehrs.values()], request.origin, self._counts(), self._last(50))
                return Answer(200, page.encode(), dict(PAGE_HEADERS))
            case "GET", ["docs", *name] if len(name) <= 1:
                return self._docs(*name)
            case "GET", ["_sandbox", "counts"]:
                return _json(self._counts())
            case "GET", ["_sandbox", "log"]:
                return _json(self._last(_limit(request)))
            case "DELETE", ["_sandbox"]:
                self._reset()
                return Answer(204)
            case "GET", ["_sandbox", "faults"]:
                return _json(self._faults.told())
            case "POST", ["_sandbox", "faults"]:
                return self._set_faults(_read(request))
            case "DELETE", ["_sandbox", "faults", *one] if len(one) <= 1:
                return self._take_away(*one)
            case _, ["_sandbox", "records", name, *parts] if name in self._ehrs and parts and parts != ["metadata"]:
                return respond(_own_users(self._ehrs[name]), request.by_hand(), parts)
            case "GET" | "PUT", ["_sandbox", name, "versions"] if name in self._ehrs:
                return _json(kept(self._ehrs[name]) if request.method == "GET" else self._put_back(self._ehrs[name], _read(request)))
            case _, ["_sandbox", name, what] if name in self._ehrs and (said := _site(self._ehrs[name], request, what)) is not None:
                return said
        bases = ", ".join(ehr.persona.path for ehr in self._ehrs.values())
        raise Refused(404, Issue("not-found", f"there is nothing here: the FHIR bases are {bases}, and / says what else there is"))

    def _docs(self, name: str | None = None) -> Answer:
        if name is None:
            return Answer(200, docs.PAGE.encode(), {"Content-Type": "text/html; charset=utf-8", "Content-Security-Policy": docs.POLICY})
        if name == "openapi.json":
            return _json(docs.document(self._ehrs, self._faults.about))
        if (found := docs.asset(name)) is None:
            raise Refused(404, Issue("not-found", f"the page at /docs has no {name}"))
        return Answer(200, found[0], {"Content-Type": found[1]})

    def _set_faults(self, given: Any) -> Answer:
        made = [fault.told() for fault in self._faults.add(given)]
        return _json(made if isinstance(given, list) else made[0], 201)

    def _take_away(self, fault: str | None = None) -> Answer:
        if not self._faults.take_away(fault) and fault is not None:
            raise Refused(404, Issue("not-found", f"there is no fault {fault}"))
        return Answer(204)

    def _counts(self) -> dict[str, Any]:
        return {name: ehr.records.counts() for name, ehr in self._ehrs.items()}

    def _last(self, limit: int) -> list[dict[str, Any]]:
        return list(self._log)[::-1][:limit]

    def _put_back(self, ehr: Ehr, said: Any) -> Any:
        found = given(ehr, said)
        with ehr.records.lock:
            if self._journal:
                self._journal.clear(ehr.persona.name)
            ehr.once.clear()
            ehr.records.put_back(found)
            return ehr.records.counts()

    def _reset(self) -> None:
        with ExitStack() as locked:
            for ehr in self._ehrs.values():
                locked.enter_context(ehr.records.lock)
                ehr.records.clear()
                ehr.once.clear()
                ehr.settings.set({})
                ehr.smart.restart()
            if self._journal:
                self._journal.clear()
            self._log.clear()
        self._faults.take_away()


def _site(ehr: Ehr, request: Request, what: str) -> Answer | None:
    """What is done with one EHR beside its records; None for what there is not."""
    match request.method, what:
        case "POST", "seed":
            return _json(seed(ehr, _read(request)), 201)
        case "GET" | "PUT", "settings":
            if request.method == "PUT":
                ehr.settings.set(_read(request))
            return _json(ehr.settings.told())
        case "GET" | "PUT" | "PATCH" | "DELETE", "smart":
            if request.method == "PUT":
                ehr.smart.set(_read(request))
            elif request.method == "PATCH":
                ehr.smart.change(_read(request))
            elif request.method == "DELETE":
                ehr.smart.turn_off()
            return _json(ehr.smart.told(ehr.base(request)))
        case "DELETE", "tokens":
            ehr.smart.revoke()
            return Answer(204)
    return None


def _own_users(ehr: Ehr) -> Ehr:
    """The same records as the EHR's own users see them: they write every type, change what they like, and search as the standard says."""
    was = ehr.persona
    types = dict.fromkeys(was.types, frozenset(INTERACTIONS))
    own = Persona(was.name, was.title, was.path, types, new_id=was.new_id, patch=merged, conditional_create=True, last_updated=True)
    # Links to further pages are below the EHR's own base, which has its own word for them.
    return replace(ehr, persona=replace(own, page_parameter=was.page_parameter))


def _limit(request: Request) -> int:
    asked = dict(request.query).get("limit", "100")
    if not NUMBER.fullmatch(asked):
        raise Refused(400, Issue("value", f"limit={asked} is not a number"))
    return min(int(asked), REMEMBERED)


def _read(request: Request) -> Any:
    try:
        return fhir_json.read(request.body)
    except ValueError as reason:
        raise Refused(400, Issue("structure", f"the body is not JSON: {reason}")) from None


def _json(value: Any, status: int = 200) -> Answer:
    return Answer(status, fhir_json.write(value, pretty=True), {"Content-Type": "application/json"})
