"""What belongs to no interface: the token endpoint, health, metrics, and the page on which the API can be tried."""

import gzip
import time
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from flask_swagger_ui import __file__ as swagger_package
from sqlalchemy import Connection
from werkzeug.wrappers import Request

from service import metrics, notifications
from service.api.problems import Problems
from service.errors import Malformed, NotFound, ServiceError
from service.fhir.answers import Outcomes
from service.fhir.routes import BASE as FHIR_BASE
from service.routing import App
from service.security import assertions, clients, keys
from service.security.assertions import InvalidClient
from service.security.scopes import parse, within
from service.store import alarms, audit, migrate, outbox, reconciliation, targets
from service.web import Answer, Call, Flavour, Handler, Sent, public, unrouted
from service.wire import encode
from service.wiring import Service

LONGEST_FORM = 100_000
ASSERTION = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
POLICY = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; connect-src 'self'; frame-ancestors 'none'"
ASSETS = {
    "swagger-ui.css": "text/css",
    "swagger-ui-bundle.js": "text/javascript",
    "swagger-ui-standalone-preset.js": "text/javascript",
    "favicon-32x32.png": "image/png",
}


class TokenErrors:
    """Errors of a token endpoint (RFC 6749, 5.2)."""

    def error(self, error: ServiceError, _call: Call) -> Answer:
        code = error.detail if error.detail in ("invalid_scope", "unsupported_grant_type") else "invalid_request"
        if isinstance(error, InvalidClient):
            code = "invalid_client"
        said = {"error": code, "error_description": error.title if error.detail == code else error.detail}
        status = error.status if error.status in (401, 413, 415, 429, 500) else 400
        return Answer(status, encode(said), headers={"Cache-Control": "no-store", "Pragma": "no-cache", **error.headers})


def token(call: Call) -> Answer:
    """POST /oauth/token: client_credentials with private_key_jwt (SMART App Launch 2.0, section 4.0.5)"""
    fields = call.form(LONGEST_FORM)
    form = dict(fields)
    twice = {name for n, (name, _) in enumerate(fields) if any(name == other for other, _ in fields[:n])}
    if twice:
        raise Malformed(f"given more than once: {', '.join(sorted(twice))}")
    if form.get("grant_type") != "client_credentials":
        raise Malformed("unsupported_grant_type")
    if form.get("client_assertion_type") != ASSERTION or not form.get("client_assertion"):
        raise Malformed("client_assertion_type and client_assertion are needed")
    try:
        asked = parse(form.get("scope", ""))
    except ValueError:
        raise Malformed("invalid_scope") from None
    service, given = call.service, form["client_assertion"]
    _, claimed = assertions.claimed(given)
    with service.database.glance() as connection:
        client = clients.get(connection, claimed) if claimed.isprintable() else None
    if client is None or client.revoked_at is not None:
        raise InvalidClient("The client is not known")
    endpoint = f"{service.settings.base}/oauth/token"
    found = assertions.verified(given, client, endpoint, service.keys, service.tenant.now().timestamp())
    scopes = within(asked, client.scopes)
    if not scopes.granted and not scopes.operates:
        raise Malformed("invalid_scope")
    seconds = service.settings.token_seconds

    def work(tx: Connection) -> str:
        if not clients.use_once(tx, client.id, found.jti, (found.expires_at + assertions.LEEWAY) * 1_000_000):
            raise InvalidClient("The assertion was used before")
        audit.record(tx, [audit.Event(call.now, client.id, "token", "/oauth/token", 200, call.id, detail=str(scopes)[:500])])
        return clients.issue(tx, client, scopes, seconds, call.now)

    made = service.database.write(work)
    said = {"access_token": made, "token_type": "bearer", "expires_in": seconds, "scope": str(scopes)}
    return Answer(200, encode(said), headers={"Cache-Control": "no-store", "Pragma": "no-cache"})


def jwks(call: Call) -> Answer:
    """GET /.well-known/jwks.json: the public parts of the keys with which we ask EHRs for tokens"""
    with call.service.database.reading() as connection:
        found = keys.key_set(connection)
    return Answer(200, encode(found), headers={"Cache-Control": f"public, max-age={keys.PUBLISHED_FOR}"})


def live(_call: Call) -> Answer:
    """GET /health/live: the process answers"""
    return Answer(200, encode({"status": "live"}))


def ready(call: Call) -> Answer:
    """GET /health/ready: the database answers and has the schema of this release"""
    began = time.perf_counter()
    try:
        with call.service.database.glance() as connection:
            current = migrate.is_current(connection)
    except Exception as error:  # noqa: BLE001 (whatever keeps the database from answering, we are not ready)
        return Answer(503, encode({"status": "not ready", "database": type(error).__name__}))
    took = round((time.perf_counter() - began) * 1000, 1)
    if not current:
        return Answer(503, encode({"status": "not ready", "database": "its schema is not the one of this release: run pathway-fhir migrate"}))
    return Answer(200, encode({"status": "ready", "databaseMs": took}))


def metrics_(call: Call) -> Answer:
    """GET /metrics: Prometheus' text format"""
    if not call.service.settings.metrics:
        raise NotFound
    with call.service.database.reading() as connection:
        there = {one.id for one in targets.all_targets(connection)}
        gauges = {("pathway_fhir_deliveries", ehr, state): float(n) for (ehr, state), n in outbox.counts(connection).items() if ehr in there}
        waiting = outbox.oldest_waiting(connection, call.now)
        gauges |= {("pathway_fhir_oldest_waiting_seconds", ehr, "waiting"): age for ehr, age in waiting.items() if ehr in there}
        reports = reconciliation.reports(connection)
        wrong = alarms.conditions(connection, call.now, call.service.settings.alarm_stuck_seconds * alarms.SECOND)
        gauges |= {("pathway_fhir_alarm", one.target, one.reason): float(one.figure) for one in wrong}
        gauges |= {("pathway_fhir_reconciliation", one.target, verdict): float(n) for one in reports for verdict, n in one.counts.items()}
    return Answer(200, metrics.exposition(gauges), "text/plain; version=0.0.4; charset=utf-8")


@cache
def openapi_text() -> bytes:
    """openapi.yaml, to which the file beside this one is a link in a checkout, and which it is where the package is installed."""
    return Path(__file__).with_name("openapi.yaml").read_bytes()


def openapi(_call: Call) -> Answer:
    """GET /openapi.yaml"""
    return Answer(200, openapi_text(), "application/yaml", {"Cache-Control": "public, max-age=300"})


@cache
def page_document() -> bytes:
    """What openapi.yaml says, in the form that the page reads quickly (service/openapi/page.py)."""
    return gzip.decompress(Path(__file__).with_name("docs.json.gz").read_bytes())


PAGE = """<!doctype html><html lang="en"><head><meta charset="utf-8"><title>pathway-fhir: try it</title>
<link rel="stylesheet" href="/docs/swagger-ui.css"><link rel="icon" href="/docs/favicon-32x32.png"></head>
<body><div id="swagger-ui"></div><script src="/docs/swagger-ui-bundle.js"></script><script src="/docs/start.js"></script></body></html>"""
START = """SwaggerUIBundle({url: "/docs/openapi.json", dom_id: "#swagger-ui", deepLinking: true, persistAuthorization: false,
  presets: [SwaggerUIBundle.presets.apis], layout: "BaseLayout", docExpansion: "none", defaultModelsExpandDepth: 0, filter: true,
  syntaxHighlight: false, displayRequestDuration: true, tryItOutEnabled: true, validatorUrl: null});"""


def docs(_call: Call) -> Answer:
    """GET /docs: the API, with a form for every operation"""
    return Answer(200, PAGE.encode(), "text/html; charset=utf-8", {"Content-Security-Policy": POLICY, "Referrer-Policy": "no-referrer"})


def asset(call: Call) -> Answer:
    """GET /docs/{name}"""
    name = call.args["name"]
    if name == "start.js":
        return Answer(200, START.encode(), "text/javascript", {"Content-Security-Policy": POLICY})
    if name == "openapi.json":
        return Answer(200, page_document(), "application/json", {"Cache-Control": "public, max-age=300"})
    if name not in ASSETS:
        raise NotFound
    body = (Path(swagger_package).parent / "dist" / name).read_bytes()
    return Answer(200, body, ASSETS[name], {"Cache-Control": "public, max-age=86400"})


@dataclass(frozen=True)
class Route:
    method: str
    rule: str
    name: str
    handler: Handler
    flavour: Flavour


PROBLEMS = Problems()
ROUTES = (
    Route("POST", "/oauth/token", "token", token, TokenErrors()),
    Route("GET", "/.well-known/jwks.json", "jwks", jwks, PROBLEMS),
    Route("POST", f"{notifications.PATH}/<name>", "notification", notifications.heard, PROBLEMS),
    Route("GET", "/health/live", "health/live", live, PROBLEMS),
    Route("GET", "/health/ready", "health/ready", ready, PROBLEMS),
    Route("GET", "/metrics", "metrics", metrics_, PROBLEMS),
    Route("GET", "/openapi.yaml", "openapi.yaml", openapi, PROBLEMS),
    Route("GET", "/docs", "docs", docs, PROBLEMS),
    Route("GET", "/docs/<name>", "docs", asset, PROBLEMS),
)


def add_routes(app: App, service: Service) -> None:
    for route in ROUTES:
        app.add_url_rule(route.rule, f"site {route.rule}", public(service, route.flavour, route.name, route.handler), methods=[route.method])
    outcomes = Outcomes()

    def otherwise(asked: Request, error: Exception) -> Sent:
        return unrouted(app, service, outcomes if asked.path.startswith(FHIR_BASE) else PROBLEMS, asked, error)

    app.otherwise = otherwise
