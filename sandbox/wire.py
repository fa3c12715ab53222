"""One HTTP request and its answer as the sandbox sees them; WSGI is spoken in this module and nowhere else."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from http import HTTPStatus
from io import BytesIO
from socket import socket
from typing import Any
from urllib.parse import parse_qsl

from sandbox import fhir_json
from sandbox.line import Speech
from sandbox.options import Malformed
from sandbox.outcome import Issue, Refused, outcome

BODY_LIMIT = 8 * 1024 * 1024
FHIR_JSON = "application/fhir+json; charset=utf-8"
READABLE = {"*/*", "application/*", "application/fhir+json", "application/json+fhir", "application/json", "text/json"}
WRITES = frozenset({"POST", "PUT", "PATCH", "DELETE"})


class Request:
    def __init__(self, environ: Mapping[str, Any]) -> None:
        self._environ = environ
        self.head = environ["REQUEST_METHOD"] == "HEAD"
        self.method: str = "GET" if self.head else environ["REQUEST_METHOD"]
        self.path: str = environ.get("PATH_INFO", "").encode("latin-1").decode("utf-8", "replace")
        self.query_string: str = environ.get("QUERY_STRING", "")
        self.scopes: tuple[str, ...] | None = None
        """What its bearer may do; None for everything."""

    @property
    def origin(self) -> str:
        """Where the client reached us. A sandbox believes `Host`: its links must work from inside a container and from outside."""
        return f"{self._environ['wsgi.url_scheme']}://{self.header('Host') or 'localhost'}"

    @property
    def target(self) -> str:
        """Path and query, as they stand in the log of an EHR."""
        return f"{self.path}?{self.query_string}" if self.query_string else self.path

    @property
    def line(self) -> socket | None:
        """The connection itself, where gunicorn is the server."""
        return self._environ.get("gunicorn.socket")

    @property
    def writes(self) -> bool:
        return self.method in WRITES and not self.path.endswith("/_search")

    def header(self, name: str) -> str | None:
        key = name.upper().replace("-", "_")
        found: str | None = self._environ.get(key if key == "CONTENT_TYPE" else f"HTTP_{key}")
        return found

    def by_hand(self) -> "Request":
        """The same request where curl says of what somebody typed that it is a form: it is JSON."""
        form = (self.header("Content-Type") or "").startswith("application/x-www-form-urlencoded")
        return Request({**self._environ, "CONTENT_TYPE": "application/json"}) if form and not self.path.endswith("/_search") else self

    @cached_property
    def query(self) -> list[tuple[str, str]]:
        return parse_qsl(self.query_string, keep_blank_values=True)

    @cached_property
    def body(self) -> bytes:
        """Raises Refused (413) for more than the limit."""
        length = int(self._environ.get("CONTENT_LENGTH") or 0)
        chunked = "HTTP_TRANSFER_ENCODING" in self._environ
        body: bytes = self._environ["wsgi.input"].read(BODY_LIMIT + 1 if chunked else min(length, BODY_LIMIT + 1))
        if len(body) > BODY_LIMIT:
            raise Refused(413, Issue("too-long", f"a body may have {BODY_LIMIT} bytes"))
        return body

    def within(self, method: str, path: str, query: str, headers: Mapping[str, str], body: bytes) -> "Request":
        """A request that is part of this one, as an entry of a Bundle is."""
        kept = {name: value for name, value in self._environ.items() if name in ("wsgi.url_scheme", "HTTP_HOST")}
        named = {f"HTTP_{name.upper().replace('-', '_')}": text for name, text in headers.items()}
        where = {"REQUEST_METHOD": method, "PATH_INFO": path.encode().decode("latin-1"), "QUERY_STRING": query}
        part = Request({**kept, **named, **where, "CONTENT_LENGTH": str(len(body)), "wsgi.input": BytesIO(body)})
        part.scopes = self.scopes
        return part

    def prefers(self, name: str) -> str | None:
        """What `Prefer` asks of one thing: `return=minimal`, `handling=strict`."""
        for part in (self.header("Prefer") or "").replace(",", ";").split(";"):
            key, _, value = part.strip().partition("=")
            if key == name:
                return value.strip('"')
        return None

    def must_read_json(self) -> None:
        """Raises Refused (406) when only something else than JSON would be understood."""
        asked = [value for name, value in self.query if name == "_format"] or (self.header("Accept") or "*/*").split(",")
        media = {one.partition(";")[0].strip().lower() for one in asked}
        if not media & {*READABLE, "json", ""}:
            raise Refused(406, Issue("not-supported", f"this server speaks application/fhir+json, not {', '.join(sorted(media))}"))

    @property
    def pretty(self) -> bool:
        return ("_pretty", "true") in self.query


@dataclass(slots=True)
class Answer:
    status: int
    """0 where nothing is answered."""
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    speech: Speech | None = None
    """How it goes over the connection, where it does not go as a whole."""

    @property
    def status_line(self) -> str:
        phrase = "Unassigned"
        with suppress(ValueError):
            phrase = HTTPStatus(self.status).phrase
        return f"{self.status} {phrase}"


def answer(status: int, value: Any, headers: Mapping[str, str] | None = None) -> Answer:
    """A FHIR resource as an answer."""
    return Answer(status, value if isinstance(value, bytes) else fhir_json.write(value), {"Content-Type": FHIR_JSON, **(headers or {})})


def problem(reason: Malformed) -> Answer:
    """What is wrong with JSON that is not FHIR (RFC 9457)."""
    errors = [{"pointer": pointer, "detail": words} for pointer, words in reason.problems]
    value = {"title": "This is not understood, and nothing was done", "status": 422, "errors": errors}
    return Answer(422, fhir_json.write(value, pretty=True), {"Content-Type": "application/problem+json"})


def refusal(reason: Refused) -> Answer:
    said = answer(reason.status, outcome(reason.issues))
    said.headers.update(reason.headers)
    return said
