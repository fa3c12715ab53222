"""What is asked to get each answer that the document has: one call for each status of each operation, in the world of the examples."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import urlencode

from joserfc import jwt
from werkzeug.test import TestResponse

from mappings import KINDS
from mappings.model import references_of
from mappings.schema import load
from mappings.search import PARAMETERS
from service import notifications
from service.openapi.operations import Operation
from service.openapi.parameters import searched_by
from service.openapi.records import referring
from service.site import ASSERTION
from service.web import FORM
from service.wire import encode, read
from tests.openapi.world import CALLERS, EXAMPLES, KEY, NOW, REQUEST_ID, World, bearer

JSON = "application/json"
NOBODY_S = "00000000-0000-4000-8000-000000000000"
TOO_MUCH = 2_000_001
ERASED = ("adverse-events", "ann-nausea")  # what yields the types that are deleted when they are entered in error

NOTIFICATION = {
    "resourceType": "Bundle", "type": "history", "entry": [{
        "fullUrl": "urn:uuid:b21e4fae-ce73-45cb-8e37-1e203362b2ae",
        "resource": {"resourceType": "Parameters", "parameter": [
            {"name": "subscription", "valueReference": {"reference": "https://ehr.example/fhir/r4/Subscription/1"}},
            {"name": "status", "valueCode": "active"}, {"name": "type", "valueCode": "event-notification"},
            {"name": "notification-event", "part": [
                {"name": "event-number", "valueString": "1"},
                {"name": "focus", "valueReference": {"reference": "https://ehr.example/fhir/r4/CarePlan/1"}},
            ]},
        ]},
    }],
}  # fmt: skip


@dataclass(frozen=True)
class Request:
    """One call. `values` are the parts of the path by name; `before` is called first; `service` is how the one that is called is set up."""

    method: str
    path: str
    values: Mapping[str, Any] = field(default_factory=dict)
    query: Mapping[str, Any] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    body: Any = None
    type: str = ""
    caller: str | None = "clinic"
    before: tuple["Request", ...] = ()
    service: str = "usual"

    @property
    def url(self) -> str:
        return self.path.format(**self.values) + (f"?{urlencode(self.query)}" if self.query else "")

    @property
    def parameters(self) -> dict[str, Any]:
        return {**self.values, **self.query, **self.headers}

    @property
    def bytes(self) -> bytes | None:
        if isinstance(self.body, str | bytes | None):
            return self.body.encode() if isinstance(self.body, str) else self.body
        return urlencode(self.body).encode() if self.type == FORM else encode(self.body)


def call(world: World, request: Request) -> TestResponse:
    """The answer to a request, after what comes before it."""
    for one in request.before:
        assert call(world, one).status_code < 300, one
    said = {"X-Request-ID": REQUEST_ID, **({"Authorization": f"Bearer {bearer(request.caller)}"} if request.caller else {})}
    typed = {"Content-Type": request.type} if request.type else {}
    return world.send(request.method, request.url, headers={**said, **typed, **request.headers}, body=request.bytes)


class Asking:
    """The requests, made of what is in the world. What it looks up is the same each time."""

    def __init__(self, world: World):
        self.world = world
        world.put_back()
        self.entities = {kind.plural: read(sorted((EXAMPLES / kind.plural).glob("*.json"))[0].read_bytes()) for kind in KINDS.values()}
        self.deliveries = self._deliveries()
        self.conflict = self._got("GET", "/api/v1/conflicts?state=open&limit=1")["items"][0]["id"]
        self.ids = {type_: self._found(type_) for type_ in PARAMETERS}
        erased = self._got("PUT", f"/api/v1/{'/'.join(ERASED)}", self.entities[ERASED[0]])["resources"]
        self.ids |= {one["type"]: one["id"] for one in erased if one["type"] in ("AdverseEvent", "Provenance")}
        self.versions = {type_: self._got("GET", f"/fhir/r4/{type_}/{id_}")["meta"]["versionId"] for type_, id_ in self.ids.items()}

    def request(self, operation: Operation, status: int) -> Request:
        main = self.main(operation)
        if status == operation.main:
            return main
        special = getattr(self, f"_{status}")
        return special(operation, main)

    # --- what every operation is asked for in its own example

    def main(self, operation: Operation) -> Request:
        made = Request(operation.method, operation.path, type=next(iter(operation.body), ""), caller="clinic" if 429 in operation.errors else None)
        if operation.kind is not None:
            return self._of_record(operation, made)
        if operation.type:
            return self._of_resource(operation, made)
        return replace(made, **{
            "get schema": {"values": {"kind": "dosing-encounter"}}, "import": {"body": self._lines()},
            "list deliveries": {"query": {"ehr": "sandbox-epic", "state": "unsupported", "limit": 2}},
            "get delivery": {"values": {"number": self.deliveries["delivered"]}}, "replay delivery": {"values": {"number": self.deliveries["unsupported"]}},
            "cancel delivery": {"values": {"number": self.deliveries["unsupported"]}},
            "get attempt": {"values": {"number": self.deliveries["delivered"], "attempt": 1}},
            "replay deliveries": {"query": {"ehr": "sandbox-epic", "type": "Goal"}}, "cancel deliveries": {"query": {"ehr": "sandbox-epic", "type": "Goal"}},
            "list conflicts": {"query": {"ehr": "sandbox-plain", "state": "open", "limit": 2}},
            "get conflict": {"values": {"number": self.conflict}}, "settle conflict": {"values": {"number": self.conflict}, "body": {"keep": "theirs"}},
            "get reconciliation": {"values": {"name": "sandbox-epic"}},
            "get ehr": {"values": {"name": "sandbox-epic"}}, "pause ehr": {"values": {"name": "sandbox-epic"}}, "resume ehr": {"values": {"name": "sandbox-epic"}},
            "change ehr": {"values": {"name": "sandbox-epic"}, "body": {"level": "C2", "documents": True, "types": ["Observation", "CarePlan"]}},
            "remove ehr": {"values": {"name": "sandbox-epic"}},
            "catch up ehr": {"values": {"name": "sandbox-epic"}}, "list pulls": {"values": {"name": "sandbox-plain"}},
            "set pulls": {"values": {"name": "sandbox-plain"}, "body": {"types": ["CarePlan", "Goal", "Task"], "every": 300}},
            "pull now": {"values": {"name": "sandbox-plain"}, "query": {"type": "Goal"}},
            "link": {"values": {"name": "sandbox-plain", "type": "Patient", "id": "ann"}, "body": {"remoteId": "2f9c-ann"}},
            "token": {"body": self._form()},
            "notification": {"values": {"name": "sandbox-plain"}, "body": NOTIFICATION, "headers": self._of_the_ehr()},
        }.get(operation.name, {}))  # fmt: skip

    def _of_record(self, operation: Operation, made: Request) -> Request:
        kind, entity = operation.kind, self.entities[operation.kind.plural]
        values = {"id": entity["id"]} if "{id}" in operation.path else {}
        if operation.list is not None:
            return self._of_item(operation, made, entity)
        if operation.name == "list":
            return replace(made, query={**({"patient": "ann"} if kind.of_patient else {}), "limit": 2})
        if operation.name == "get bundle":
            return replace(made, values=values, query={"view": "C1"})
        body = {**entity, "id": f"{entity['id']}-2"} if operation.name == "create" else entity
        return replace(made, values=values, body=body if operation.body else None)

    def _of_item(self, operation: Operation, made: Request, entity: dict[str, Any]) -> Request:
        """The last item of the list, or one that is added where every one of them is referred to."""
        item, before = entity[operation.list.json][-1], ()
        if within(operation):
            item = {**item, "id": "added-later"}
            before = (Request("PUT", made.path.format(id=entity["id"], item=item["id"]), body=item, type=JSON),)
        values = {"id": entity["id"], "item": item["id"]}
        return replace(made, values=values, body=item) if operation.body else replace(made, values=values, before=before)

    def _of_resource(self, operation: Operation, made: Request) -> Request:
        type_ = operation.type
        if operation.name.startswith("search-type"):
            asked = {"patient": f"Patient/{self.ids['Patient']}"} if "patient" in searched_by(type_) else {}
            asked |= {"_count": 2}
            return replace(made, query=asked) if operation.method == "GET" else replace(made, body=asked)
        values = {"id": self.ids[type_]} | ({"version": self.versions[type_]} if operation.name == "vread" else {})
        query = {"_count": 3} if operation.id == "everythingPatient" else {"_type": "Encounter,Procedure"} if operation.id == "everythingEncounter" else {}
        return replace(made, values=values, query=query)

    # --- what is asked for every other status

    def _201(self, _operation: Operation, main: Request) -> Request:
        named = f"{main.values['id']}-2"
        return replace(main, values={"id": named}, body={**main.body, "id": named})

    def _304(self, operation: Operation, main: Request) -> Request:
        version = f'W/"{self.versions[operation.type]}"' if operation.type else call(self.world, main).headers["ETag"]
        return replace(main, headers={"If-None-Match": version})

    def _400(self, operation: Operation, main: Request) -> Request:
        if operation.interface == "token":
            return replace(main, body={**main.body, "grant_type": "password"})
        if 400 in operation.own:
            wrong = {"list": {"limit": 0}, "list deliveries": {"state": "lost"}, "list conflicts": {"state": "lost"}, "pull now": {"type": "Goal,Dream"}, "replay deliveries": {"limit": 2}, "cancel deliveries": {"limit": 2}, "get bundle": {"view": "C9"}, "$everything": {"shoe-size": 39}, "history-instance": {"shoe-size": 39}}
            asked = wrong.get(operation.name, {"shoe-size": 39, "_count": "some"})
            return replace(main, body=asked) if main.type == FORM else replace(main, query=asked)
        return replace(main, body='{"id": "ann", ') if main.type == JSON else replace(main, query={"x": "\0"})

    def _401(self, operation: Operation, main: Request) -> Request:
        if operation.name == "notification":
            return replace(main, headers={})
        return replace(main, body={**main.body, "client_assertion": "not.a.token"}) if operation.interface == "token" else replace(main, caller=None)

    def _403(self, _operation: Operation, main: Request) -> Request:
        return replace(main, caller="narrow")

    def _404(self, operation: Operation, main: Request) -> Request:
        if operation.interface == "site":
            return replace(main, service="without metrics")
        if operation.name == "put":
            return replace(main, caller="pharmacy")
        if operation.name in ("list", "list deliveries", "list conflicts", "replay deliveries", "cancel deliveries"):
            return replace(main, query={"patient": "nobody"})
        unknown = {"id": NOBODY_S if operation.type else "nobody", "number": 999_999, "name": "nowhere", "kind": "dream"}
        name = next(iter(main.values))
        return replace(main, values={**main.values, name: unknown[name]}, before=())

    def _406(self, _operation: Operation, main: Request) -> Request:
        return replace(main, headers={"Accept": "application/xml"})

    def _409(self, operation: Operation, main: Request) -> Request:
        if operation.name == "create":
            return replace(main, body=self.entities[operation.kind.plural])
        if operation.name == "settle conflict":
            return replace(main, before=(main,))
        if operation.name == "pull now":
            return replace(main, values={"name": "sandbox-epic"})
        return replace(main, values={"number": self.deliveries["delivered"]})

    def _410(self, operation: Operation, main: Request) -> Request:
        erasing = Request("DELETE", f"/api/v1/{'/'.join(ERASED)}")
        if operation.name == "read":
            return replace(main, before=(erasing,))
        self.world.put_back()
        versions = read(call(self.world, Request("GET", f"/fhir/r4/{operation.type}/{main.values['id']}/_history", before=(erasing,))).data)["entry"]
        deleted = next(e["response"]["etag"] for e in versions if e["request"]["method"] == "DELETE")
        return replace(main, values={**main.values, "version": deleted[3:-1]}, before=(erasing,))

    def _412(self, _operation: Operation, main: Request) -> Request:
        return replace(main, headers={"If-Match": '"99"'})

    def _413(self, _operation: Operation, main: Request) -> Request:
        return replace(main, body=b" " * TOO_MUCH)

    def _415(self, _operation: Operation, main: Request) -> Request:
        return replace(main, type="text/plain")

    def _422(self, operation: Operation, main: Request) -> Request:
        if operation.name == "notification":
            return replace(main, body={"entry": []})
        if operation.method == "DELETE":
            return self._needed(operation, main)
        required = [name for name in main.body if name != "id"][-1]
        return replace(main, body={**{name: value for name, value in main.body.items() if name != required}, required: {"of": "no use"}, "shoeSize": 39})

    def _429(self, _operation: Operation, main: Request) -> Request:
        return replace(main, before=(), service="taking one request a second")

    def _503(self, _operation: Operation, main: Request) -> Request:
        return replace(main, service="of an older schema")

    def _needed(self, operation: Operation, main: Request) -> Request:
        """An item that another of the record refers to; or any, once the item of another record to which this one refers is gone."""
        entity = self.entities[operation.kind.plural]
        if within(operation):
            return replace(main, values={**main.values, "item": entity[operation.list.json][0]["id"]}, before=())
        _, to, key = next(r for r in references_of(load(operation.kind, entity)) if r[1].via is not None)
        whose = self.entities[KINDS[to.kind].plural]["id"]
        return replace(main, before=(Request("DELETE", f"/api/v1/{KINDS[to.kind].plural}/{whose}/{to.items}/{key}"),))

    # --- what is there

    def _got(self, method: str, path: str, body: Any = None) -> Any:
        answer = call(self.world, Request(method, path, body=body, type=JSON if body is not None else ""))
        assert answer.status_code == 200, (path, answer.text)
        return read(answer.data)

    def _found(self, type_: str) -> str:
        return str(self._got("GET", f"/fhir/r4/{type_}?_count=1")["entry"][0]["resource"]["id"])

    def _deliveries(self) -> dict[str, int]:
        found = {state: self._got("GET", f"/api/v1/deliveries?ehr=sandbox-epic&state={state}&limit=1") for state in ("delivered", "unsupported")}
        return {state: page["items"][0]["id"] for state, page in found.items()}

    def _of_the_ehr(self) -> dict[str, str]:
        return {notifications.HEADER: notifications.token(self.world.service.tenant, "sandbox-plain")}

    def _lines(self) -> str:
        """The patient, and a screening with two faults."""
        wrong = {"id": "bea-screening", "patientId": "bea", "shoeSize": 39}
        lines = [{"kind": "patient", "entity": self.entities["patients"]}, {"kind": "screening", "entity": wrong}]
        return "".join(json.dumps(line, default=float) + "\n" for line in lines)

    def _form(self) -> dict[str, str]:
        at = int(NOW.timestamp())
        who = CALLERS["ehr"].id
        claims = {"iss": who, "sub": who, "aud": "http://127.0.0.1:8000/oauth/token", "exp": at + 240, "jti": "example-1"}
        assertion = jwt.encode({"alg": "RS384", "kid": "demo-1", "typ": "JWT"}, claims, KEY, algorithms=["RS384"])
        return {"grant_type": "client_credentials", "client_assertion_type": ASSERTION, "client_assertion": assertion, "scope": "system/*.rs"}


def within(operation: Operation) -> bool:
    """Whether something in the record refers to the items of the list."""
    return any(to.via is None and to.items == operation.list.name for to in referring(operation.kind.entity))
