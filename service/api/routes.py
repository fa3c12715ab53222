"""The route table of our own API: one row an operation, for all kinds."""

from dataclasses import dataclass

from flask import Flask

from service.api import describing, entities, importing, operations, previewing
from service.api.problems import Problems
from service.errors import NotFound, NotOffered
from service.web import Answer, Call, Handler, guarded
from service.wiring import Service

BASE = "/api/v1"


@dataclass(frozen=True)
class Route:
    method: str
    rule: str
    name: str
    handler: Handler


ROUTES = (
    Route("GET", "/schemas", "list schemas", describing.schemas),
    Route("GET", "/schemas/<kind>", "get schema", describing.schema),
    Route("GET", "/codes", "list codes", describing.codes),
    Route("GET", "/rules", "list rules", describing.rules),
    Route("POST", "/import", "import", importing.import_),
    Route("GET", "/deliveries", "list deliveries", operations.listed),
    Route("GET", "/deliveries/<number>", "get delivery", operations.one),
    Route("POST", "/deliveries/<number>/replay", "replay delivery", operations.replay),
    Route("POST", "/deliveries/<number>/cancel", "cancel delivery", operations.cancel),
    Route("GET", "/ehrs", "list ehrs", operations.ehrs),
    Route("GET", "/ehrs/<name>", "get ehr", operations.ehr),
    Route("POST", "/ehrs/<name>/pause", "pause ehr", operations.pause),
    Route("POST", "/ehrs/<name>/resume", "resume ehr", operations.resume),
    Route("GET", "/<kind>", "list", entities.listed),
    Route("POST", "/<kind>", "create", entities.create),
    Route("POST", "/<kind>/preview", "preview", previewing.preview),
    Route("GET", "/<kind>/<id>", "get", entities.get),
    Route("PUT", "/<kind>/<id>", "put", entities.replace),
    Route("DELETE", "/<kind>/<id>", "delete", entities.remove),
    Route("GET", "/<kind>/<id>/fhir", "get bundle", previewing.bundle),
    Route("GET", "/<kind>/<id>/deliveries", "get deliveries", operations.of_entity),
    Route("PUT", "/<kind>/<id>/<list>/<item>", "put item", entities.put_item),
    Route("DELETE", "/<kind>/<id>/<list>/<item>", "delete item", entities.delete_item),
)


def add_routes(app: Flask, service: Service) -> None:
    flavour = Problems()
    methods: dict[str, set[str]] = {}
    for route in ROUTES:
        methods.setdefault(route.rule, set()).add(route.method)
        view = guarded(service, flavour, f"api {route.name}", route.handler)
        app.add_url_rule(f"{BASE}{route.rule}", f"api {route.name}", view, methods=[route.method])
    for rule, taken in methods.items():
        allowed = sorted(taken | ({"HEAD"} if "GET" in taken else set()))
        refused = sorted({"GET", "POST", "PUT", "PATCH", "DELETE"} - taken)
        app.add_url_rule(f"{BASE}{rule}", f"api refuse {rule}", guarded(service, flavour, "api not offered", _refusing(allowed)), methods=refused)
    nothing = guarded(service, flavour, "api nothing", _nothing)
    for rule in ("", "/<path:rest>"):
        app.add_url_rule(f"{BASE}{rule}", f"api nothing {rule}", nothing, methods=["GET", "POST", "PUT", "PATCH", "DELETE"])


def _refusing(allowed: list[str]) -> Handler:
    def refuse(call: Call) -> Answer:
        raise NotOffered(f"{call.request.method} is not offered here", headers={"Allow": ", ".join(allowed)})

    return refuse


def _nothing(call: Call) -> Answer:
    raise NotFound(f"There is nothing at {call.request.path[:100]}")
