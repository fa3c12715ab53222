"""The route table of the FHIR REST API. What is not in it is answered 405 or 404 with an OperationOutcome."""

from dataclasses import dataclass

from mappings.search import PARAMETERS
from service.errors import NotFound, NotOffered
from service.fhir import everything, read, searching
from service.fhir.answers import Outcomes
from service.routing import METHODS, App
from service.web import Answer, Call, Handler, guarded, public, refusing
from service.wiring import Service

BASE = "/fhir/r4"


@dataclass(frozen=True)
class Route:
    method: str
    rule: str
    interaction: str
    handler: Handler


ROUTES = (
    Route("GET", "/<type>/<id>", "read", read.read),
    Route("GET", "/<type>/<id>/_history/<version>", "vread", read.vread),
    Route("GET", "/<type>/<id>/_history", "history-instance", read.history),
    Route("GET", "/<type>", "search-type", searching.search),
    Route("POST", "/<type>/_search", "search-type", searching.search),
    Route("GET", "/Patient/<id>/$everything", "$everything", everything.of_patient),
    Route("GET", "/Encounter/<id>/$everything", "$everything", everything.of_encounter),
)
INTERACTIONS = tuple(dict.fromkeys(route.interaction for route in ROUTES if not route.interaction.startswith("$")))
OPERATIONS = (
    ("Patient", "everything", "http://hl7.org/fhir/OperationDefinition/Patient-everything"),
    ("Encounter", "everything", "http://hl7.org/fhir/OperationDefinition/Encounter-everything"),
)


def add_routes(app: App, service: Service) -> None:
    from service.fhir.capability import metadata, smart_configuration

    flavour = Outcomes()
    app.add_url_rule(f"{BASE}/metadata", "fhir metadata", public(service, flavour, "metadata", metadata), methods=["GET"])
    app.add_url_rule(f"{BASE}/.well-known/smart-configuration", "smart", public(service, flavour, "smart", smart_configuration), methods=["GET"])
    for n, route in enumerate(ROUTES):
        view = guarded(service, flavour, f"fhir {route.interaction}", _of_known_type(route.handler))
        app.add_url_rule(f"{BASE}{route.rule}", f"fhir {n} {route.interaction}", view, methods=[route.method])
    app.add_url_rule(f"{BASE}/<path:rest>", "fhir nothing", refusing(app, service, flavour, "fhir not offered"), methods=METHODS)
    app.add_url_rule(BASE, "fhir base", guarded(service, flavour, "fhir not offered", _no_batch), methods=METHODS)


def _of_known_type(handler: Handler) -> Handler:
    def known(call: Call) -> Answer:
        type_ = call.args.get("type")
        if type_ is not None and type_ not in PARAMETERS:
            raise NotFound(f"There are no resources of the type {type_[:64]} here")
        return handler(call)

    return known


def _no_batch(call: Call) -> Answer:
    """The base itself is known to FHIR, for batches and transactions, and takes no method here: an empty Allow says so (RFC 9110, 10.2.1)."""
    raise NotOffered(f"{call.request.method} is not offered here", headers={"Allow": ""})
