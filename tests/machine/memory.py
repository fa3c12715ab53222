"""An EHR in memory, at the end of a line: FHIR REST as far as a delivery goes, with the next answers faulted as a test says."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlsplit

from service.sync.outcomes import Reply
from service.sync.transport import Interrupted, NotReached

TYPES = ("Patient", "Practitioner", "Organization", "Encounter", "Observation", "MedicationAdministration", "Medication", "Provenance", "CareTeam", "EpisodeOfCare",
         "Procedure", "Condition", "DetectedIssue", "Location", "Goal", "Task", "CarePlan", "QuestionnaireResponse")  # fmt: skip
FAULTS = ("ok", "not reached", "lost", "hang", "400", "500", "503", "429", "502 and done", "empty")
Json = dict[str, Any]
STATEMENT: Json = {"resourceType": "CapabilityStatement", "fhirVersion": "4.0.1", "rest": [{"mode": "server", "resource": [
    {"type": t, "interaction": [{"code": c} for c in ("create", "update", "read", "delete")], "searchParam": [{"name": "identifier"}, {"name": "recorded"}]}
    for t in TYPES
]}]}  # fmt: skip
TOGETHER = {**STATEMENT, "rest": [{**STATEMENT["rest"][0], "interaction": [{"code": "transaction"}], "resource": [
    {**one, "conditionalCreate": True} for one in STATEMENT["rest"][0]["resource"]
]}]}  # fmt: skip


class Killed(BaseException):
    """The process died here: nothing after this is done."""


@dataclass
class Memory:
    statement: Json = field(default_factory=lambda: STATEMENT)
    kept: dict[str, Json] = field(default_factory=dict)  # Type/id -> resource with its version
    written: list[tuple[str, Json]] = field(default_factory=list)  # every write that was taken, in order
    faults: list[str] = field(default_factory=list)  # of the next writes
    refuses: tuple[str, str] | None = None  # writes of this type fail in this way
    meanwhile: Callable[[], None] | None = None  # what happens while the next write is under way
    afterwards: Callable[[], None] | None = None  # what happens when the next write is done, before its answer is looked at
    ever: set[str] = field(default_factory=set)  # Type/id of all that was ever there
    count: int = 0

    def call(self, method: str, url: str, headers: dict[str, str], body: bytes | None = None) -> Reply:
        parts = urlsplit(url)
        way = parts.path.removeprefix("/fhir").strip("/")
        if method == "GET":
            return self._got(way, parse_qs(parts.query))
        meanwhile, self.meanwhile = self.meanwhile, None
        if meanwhile is not None:
            meanwhile()
        asked = [one["request"]["url"] for one in json.loads(body or b"{}")["entry"]] if not way else [way]
        if self.refuses is not None and self.refuses[0] in {one.partition("/")[0] for one in asked}:
            fault = self.refuses[1]
        else:
            fault = self.faults.pop(0) if self.faults else "ok"
        reply = self._faulted(fault, lambda: self._write(method, way, headers, body) if way else self._together(json.loads(body or b"{}")["entry"]))
        afterwards, self.afterwards = self.afterwards, None
        if afterwards is not None:
            afterwards()
        return reply

    def _faulted(self, fault: str, done: Callable[[], Reply]) -> Reply:
        match fault:
            case "not reached":
                raise NotReached("refused")
            case "hang":
                raise Interrupted("no answer within 1 s")
            case "killed before":
                raise Killed
            case "400" | "500":
                return Reply(int(fault), {}, b'{"resourceType":"OperationOutcome","issue":[{"severity":"error","code":"processing","diagnostics":"no"}]}')
            case "503" | "429":
                return Reply(int(fault), {"Retry-After": "2"}, b"")
        reply = done()
        match fault:
            case "lost":
                raise Interrupted("reset")
            case "killed after":
                raise Killed
            case "502 and done":
                return Reply(502, {}, b"")
            case "empty":
                return Reply(reply.status, {name: value for name, value in reply.headers.items() if name == "Location"}, b"")
        return reply

    def _got(self, way: str, query: dict[str, list[str]]) -> Reply:
        if way == "metadata":
            return _reply(200, self.statement)
        if "/" in way:
            found = self.kept.get(way)
            return _reply(200, found) if found is not None else Reply(404, {}, b"")
        return _reply(200, {"resourceType": "Bundle", "type": "searchset", "entry": [{"resource": one} for one in self._matching(way, query)]})

    def _matching(self, type_: str, query: dict[str, list[str]]) -> Iterator[Json]:
        wanted = query.get("identifier", ["|"])[0].split("|")
        recorded = query.get("recorded", [None])[0]
        for name, one in self.kept.items():
            if name.startswith(f"{type_}/"):
                identifiers = one.get("identifier", [])
                mine = any([i.get("system"), i.get("value")] == wanted for i in (identifiers if isinstance(identifiers, list) else [identifiers]))
                if mine or (recorded is not None and one.get("recorded") == recorded):
                    yield one

    def _write(self, method: str, way: str, headers: dict[str, str], body: bytes | None) -> Reply:
        if method == "POST":
            condition = headers.get("If-None-Exist") if self.statement is TOGETHER else None
            for found in self._matching(way, parse_qs(condition)) if condition else ():
                return _reply(200, found, {"Location": f"http://ehr.test/fhir/{way}/{found['id']}", "ETag": f'W/"{found["meta"]["versionId"]}"'})
            self.count += 1
            way = f"{way}/r{self.count}"
        there = self.kept.get(way)
        if method == "DELETE":
            self.kept.pop(way, None)
            return Reply(204, {}, b"")
        if method == "PUT" and there is None:
            return Reply(404, {}, b"")
        version = f'W/"{there["meta"]["versionId"]}"' if there is not None else None
        if "If-Match" in headers and headers["If-Match"] != version:
            return Reply(412, {}, b"")
        said = json.loads(body or b"{}")
        made = {**said, "id": way.partition("/")[2], "meta": {"versionId": str(int(there["meta"]["versionId"]) + 1 if there is not None else 1)}}
        self.kept[way] = made
        self.ever.add(way)
        self.written.append((way, said))
        return _reply(201 if method == "POST" else 200, made, {"Location": f"http://ehr.test/fhir/{way}", "ETag": f'W/"{made["meta"]["versionId"]}"'})


    def _together(self, entries: list[Json]) -> Reply:
        """All of a transaction or none: what others create is referred to by its fullUrl, and comes before what refers to it."""
        kept, written, ever, names = dict(self.kept), list(self.written), set(self.ever), dict[str, str]()
        told: list[Json] = []
        for one in entries:
            asked, body = one["request"], json.dumps(one.get("resource"))
            for urn, name in names.items():
                body = body.replace(f'"{urn}"', f'"{name}"')
            headers = {header: asked[name] for name, header in (("ifMatch", "If-Match"), ("ifNoneExist", "If-None-Exist")) if name in asked}
            reply = self._write(asked["method"], asked["url"], headers, body.encode())
            if reply.status >= 400:
                self.kept, self.written, self.ever = kept, written, ever
                return reply
            location = reply.headers.get("Location", "").removeprefix("http://ehr.test/fhir/")
            names |= {one["fullUrl"]: location} if asked["method"] == "POST" else {}
            told.append({"resource": reply.json(), "response": {"status": str(reply.status), "location": location, "etag": reply.headers.get("ETag")}})
        return _reply(200, {"resourceType": "Bundle", "type": "transaction-response", "entry": told})


def _reply(status: int, body: Json, headers: dict[str, str] | None = None) -> Reply:
    return Reply(status, headers or {}, json.dumps(body).encode())
