"""The page at /docs: every request beside FHIR with a form to send it, and what can go wrong with an example each.

Its document is written from what `besides.py` and the faults say of themselves; its assets come from this server.
"""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from sandbox.besides import BESIDES_FHIR
from sandbox.faults import KINDS
from sandbox.options import Option

Json = dict[str, Any]
ASSETS = {"swagger-ui.css": "text/css", "swagger-ui-bundle.js": "text/javascript", "favicon-32x32.png": "image/png"}
POLICY = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; connect-src 'self'; frame-ancestors 'none'"
PAGE = """<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Sandbox EHRs: try it</title>
<link rel="stylesheet" href="/docs/swagger-ui.css"><link rel="icon" href="/docs/favicon-32x32.png"></head>
<body><div id="swagger-ui"></div><script src="/docs/swagger-ui-bundle.js"></script><script src="/docs/start.js"></script></body></html>"""
START = """SwaggerUIBundle({url: "/docs/openapi.json", dom_id: "#swagger-ui", presets: [SwaggerUIBundle.presets.apis], layout: "BaseLayout",
  defaultModelsExpandDepth: 0, displayRequestDuration: true, tryItOutEnabled: true, validatorUrl: null});"""

ADA = {"resourceType": "Patient", "id": "ada", "birthDate": "1980-05-01", "name": [{"family": "Example"}]}
NEEDED = {"seconds": 2, "status": 503, "origin": "http://127.0.0.1:9"}
"""An example of each option that a fault cannot do without."""
BODIES: dict[tuple[str, str], Any] = {
    ("POST", "/_sandbox/{ehr}/seed"): ADA,
    ("POST", "/_sandbox/records/{ehr}/{type}"): ADA,
    ("PUT", "/_sandbox/records/{ehr}/{type}/{id}"): ADA,
    ("PATCH", "/_sandbox/records/{ehr}/{type}/{id}"): {"birthDate": "1981-05-01"},
    ("PUT", "/_sandbox/{ehr}/versions"): [
        {"type": "Patient", "id": "ada", "number": 1, "sequence": 1, "updated": "2026-01-05T09:30:00Z", "resource": ADA}
    ],
    ("PUT", "/_sandbox/{ehr}/settings"): {"requiredHeaders": ["X-Request-ID"], "readOnly": False},
    ("PUT", "/_sandbox/{ehr}/smart"): {"clients": [{"id": "me", "jwksUrl": "http://127.0.0.1:8000/.well-known/jwks.json"}], "expiresIn": 60},
    ("PATCH", "/_sandbox/{ehr}/smart"): {"expiresIn": 0},
}
EXAMPLES = {"type": "Patient", "id": "ada"}
ANSWERS = {"default": {"description": "Done, or an OperationOutcome that names every problem"}}
OF_ONE, OF_ALL = ("GET", "PUT", "PATCH", "DELETE"), ("GET", "POST")


def asset(name: str) -> tuple[bytes, str] | None:
    """(content, media type) of what the page loads beside its document; None for what it does not."""
    if name == "start.js":
        return START.encode(), "text/javascript"
    if name not in ASSETS:
        return None
    from flask_swagger_ui import __file__ as swagger_package  # sic: it imports Flask, which nothing else here needs

    return (Path(swagger_package).parent / "dist" / name).read_bytes(), ASSETS[name]


def document(personas: Iterable[str], about: Mapping[str, Option]) -> Json:
    """OpenAPI 3.0, which the page reads faster than 3.1. `about` is what every fault may say beside its own options."""
    paths: dict[str, Json] = {}
    names = list(personas)
    for method, path, words in _operations():
        url, _, query = path.partition("?")
        said: Json = {"summary": words, "tags": [_tag(url)], "responses": ANSWERS}
        if parameters := [*_in_path(url, names), *_in_query(query)]:
            said["parameters"] = parameters
        if method in ("POST", "PUT", "PATCH"):
            content = _faults(about) if url == "/_sandbox/faults" else {"schema": {}, "example": BODIES[method, url]}
            said["requestBody"] = {"required": True, "content": {"application/json": content}}
        paths.setdefault(url, {})[method.lower()] = said
    info = {"title": "Sandbox EHRs", "version": "1", "description": "What there is beside FHIR. Loopback only, made-up records only."}
    return {"openapi": "3.0.3", "info": info, "paths": paths}


def _operations() -> Iterator[tuple[str, str, str]]:
    for methods, written, words in BESIDES_FHIR:
        if not written.startswith("/_sandbox"):
            continue
        path = written.replace("TYPE", "{type}").replace("EHR", "{ehr}").replace("ID", "{id}")
        for method in methods.split():
            if method in OF_ALL or "[" not in path:
                yield method, path.partition("[")[0], words
            if method in OF_ONE and "[" in path:
                yield method, path.replace("[", "").replace("]", ""), words


def _tag(url: str) -> str:
    """What it is about: faults, records, one EHR, or all that a sandbox keeps."""
    first = url.split("/")[2:3]
    return {"faults": "Faults", "records": "Records", "{ehr}": "An EHR"}.get(first[0] if first else "", "The sandbox")


def _in_path(url: str, personas: list[str]) -> Iterator[Json]:
    for name in (part[1:-1] for part in url.split("/") if part.startswith("{")):
        schema = {"enum": personas} if name == "ehr" else {"example": EXAMPLES.get(name) if "{type}" in url else "1"}
        yield {"name": name, "in": "path", "required": True, "schema": {"type": "string", **schema}}


def _in_query(query: str) -> Iterator[Json]:
    if query:
        name, _, value = query.partition("=")
        yield {"name": name, "in": "query", "schema": {"type": "integer", "default": int(value)}}


def _faults(about: Mapping[str, Option]) -> Json:
    """What `POST /_sandbox/faults` takes: an example of each that works as it stands."""
    own = {name: option for kind in KINDS.values() for name, option in kind.options.items()}
    properties = {name: {"description": f"has to be {option.words}"} for name, option in {**about, **own}.items()}
    return {
        "schema": {"type": "object", "required": ["fault"], "properties": {**properties, "fault": {"type": "string", "enum": list(KINDS)}}},
        "examples": {name: {"summary": f"{name}: {kind.words}", "value": example(name)} for name, kind in KINDS.items()},
    }


def example(name: str) -> Json:
    """A fault as it may be set: of each option that it needs an example, three times."""
    return {"fault": name, **{option: NEEDED[option] for option, it in KINDS[name].options.items() if it.needed}, "times": 3}
