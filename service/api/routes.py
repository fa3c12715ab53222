"""The route table of our own API: one row an operation, for all kinds."""

from dataclasses import dataclass

from service.api import contests, describing, ehrs, entities, importing, operations, previewing
from service.api.envelope import JSON
from service.api.problems import Problems
from service.errors import NotAcceptable
from service.routing import METHODS, App
from service.web import Answer, Call, Handler, guarded, refusing
from service.wiring import Service

BASE = "/api/v1"


@dataclass(frozen=True)
class Route:
    method: str
    rule: str
    name: str
    handler: Handler
    produces: str = JSON


ROUTES = (
    Route("GET", "/schemas", "list schemas", describing.schemas),
    Route("GET", "/schemas/<kind>", "get schema", describing.schema, describing.SCHEMA_JSON),
    Route("GET", "/codes", "list codes", describing.codes),
    Route("GET", "/rules", "list rules", describing.rules),
    Route("POST", "/import", "import", importing.import_, importing.NDJSON),
    Route("GET", "/deliveries", "list deliveries", operations.listed),
    Route("GET", "/deliveries/<number>", "get delivery", operations.one),
    Route("GET", "/deliveries/<number>/attempts/<attempt>", "get attempt", operations.attempt),
    Route("POST", "/deliveries/replay", "replay deliveries", operations.replay_all),
    Route("POST", "/deliveries/cancel", "cancel deliveries", operations.cancel_all),
    Route("POST", "/deliveries/<number>/replay", "replay delivery", operations.replay),
    Route("POST", "/deliveries/<number>/cancel", "cancel delivery", operations.cancel),
    Route("GET", "/conflicts", "list conflicts", contests.listed),
    Route("GET", "/conflicts/<number>", "get conflict", contests.one),
    Route("POST", "/conflicts/<number>/settle", "settle conflict", contests.settle),
    Route("GET", "/ehrs", "list ehrs", ehrs.listed),
    Route("GET", "/ehrs/<name>", "get ehr", ehrs.one),
    Route("PATCH", "/ehrs/<name>", "change ehr", ehrs.change),
    Route("DELETE", "/ehrs/<name>", "remove ehr", ehrs.remove),
    Route("GET", "/ehrs/<name>/reconciliation", "get reconciliation", ehrs.reconciliation),
    Route("POST", "/ehrs/<name>/pause", "pause ehr", ehrs.pause),
    Route("POST", "/ehrs/<name>/resume", "resume ehr", ehrs.resume),
    Route("POST", "/ehrs/<name>/catch-up", "catch up ehr", ehrs.catch_up),
    Route("GET", "/ehrs/<name>/pulls", "list pulls", ehrs.pulls),
    Route("PUT", "/ehrs/<name>/pulls", "set pulls", ehrs.set_pulls),
    Route("POST", "/ehrs/<name>/pulls/now", "pull now", ehrs.pull_now),
    Route("PUT", "/ehrs/<name>/links/<type>/<id>", "link", ehrs.link),
    Route("GET", "/<kind>", "list", entities.listed),
    Route("POST", "/<kind>", "create", entities.create),
    Route("POST", "/<kind>/preview", "preview", previewing.preview),
    Route("GET", "/<kind>/<id>", "get", entities.get),
    Route("PUT", "/<kind>/<id>", "put", entities.replace),
    Route("DELETE", "/<kind>/<id>", "delete", entities.remove),
    Route("GET", "/<kind>/<id>/fhir", "get bundle", previewing.bundle, previewing.FHIR_JSON),
    Route("GET", "/<kind>/<id>/deliveries", "get deliveries", operations.of_entity),
    Route("PUT", "/<kind>/<id>/<list>/<item>", "put item", entities.put_item),
    Route("DELETE", "/<kind>/<id>/<list>/<item>", "delete item", entities.delete_item),
)


def add_routes(app: App, service: Service) -> None:
    flavour = Problems()
    methods: dict[str, set[str]] = {}
    for route in ROUTES:
        methods.setdefault(route.rule, set()).add(route.method)
        view = guarded(service, flavour, f"api {route.name}", _acceptable(route))
        app.add_url_rule(f"{BASE}{route.rule}", f"api {route.name}", view, methods=[route.method])
    refuse = refusing(app, service, flavour, "api not offered")
    for rule, taken in methods.items():
        app.add_url_rule(f"{BASE}{rule}", f"api not offered {rule}", refuse, methods=sorted(set(METHODS) - taken))
    for rule in ("", "/<path:rest>"):
        app.add_url_rule(f"{BASE}{rule}", f"api nothing {rule}", refuse, methods=METHODS)


def _acceptable(route: Route) -> Handler:
    """The handler, for callers who take what it produces."""
    def handle(call: Call) -> Answer:
        if call.header("Accept") is not None:
            accepted = call.request.accept_mimetypes
            if not accepted.quality(route.produces) and not accepted.quality(JSON):
                raise NotAcceptable(f"Only {route.produces} is offered")
        return route.handler(call)

    return handle
