"""The operations of no interface: the token endpoint, our public keys, health and metrics. The pages that show this document are not part of it."""

from typing import Any

from service import notifications
from service.openapi.operations import Operation, Reply
from service.openapi.parameters import NAME, in_header
from service.openapi.schemas import ref, text
from service.site import ROUTES
from service.web import FORM

JSON = "application/json"
PAGES = ("/openapi.yaml", "/docs", "/docs/<name>")
SAID: dict[str, dict[str, Any]] = {
    "/oauth/token": {
        "id": "getToken", "interface": "token", "tag": "tokens", "summary": "Get an access token (SMART Backend Services)", "body": {FORM: ref("TokenRequest")},
        "description": "The assertion is a JWT that the client signs with its own key: iss and sub are its id, aud is this endpoint, "
                       "exp is in the next five minutes, and jti is used once.",
        "replies": {200: Reply("A token.", JSON, ref("Token"))}, "errors": (400, 401, 413, 415), "own": (400, 401),
    },
    "/.well-known/jwks.json": {
        "id": "getKeySet", "tag": "tokens", "summary": "Read the public keys with which we ask EHRs for tokens", "errors": (400,),
        "description": "A new key is here before it signs, and an old one until it is retired: read it anew as often as Cache-Control says.",
        "replies": {200: Reply("A JWK Set.", JSON, ref("JwkSet"))},
    },
    f"{notifications.PATH}/<name>": {
        "id": "notify", "tag": "ehrs", "summary": "Tell that something changed (a Subscription of an EHR)", "path": f"{notifications.PATH}/{{name}}",
        "description": "A notification is a hint: what it tells of is pulled next, and what it says of it is not taken from it. The header is the "
                       "one that `pathway-fhir pull endpoint` shows. An empty body is a hint of everything.",
        "parameters": (NAME, in_header(notifications.HEADER, text("What the EHR says who it is with."))),
        "body": {"application/fhir+json": ref("Notification")}, "errors": (400, 401, 413, 415, 422), "own": (401, 413, 415, 422),
        "replies": {200: Reply("What is told of is pulled next.", JSON, {"type": "object", "maxProperties": 0})},
    },
    "/health/live": {"id": "isLive", "summary": "Does the process answer?", "replies": {200: Reply("It does.", JSON, ref("Health"))}, "errors": (400,)},
    "/health/ready": {
        "id": "isReady", "summary": "Can requests be answered?", "errors": (400,),
        "replies": {200: Reply("They can.", JSON, ref("Health")), 503: Reply("They cannot, and why.", JSON, ref("Health"))},
    },
    "/metrics": {
        "id": "getMetrics", "summary": "Read figures for Prometheus", "errors": (400, 404), "own": (404,),
        "replies": {200: Reply("Prometheus' text format.", "text/plain", text("A figure a line."))},
    },
}  # fmt: skip


def operations() -> list[Operation]:
    return [
        Operation(**{"interface": "site", "tag": "health", "name": route.name, "method": route.method, "path": route.rule, "scopes": (), **SAID[route.rule]})
        for route in ROUTES if route.rule not in PAGES
    ]  # fmt: skip
