"""One way in and out for every route: who calls, what is answered, what is said of it in the log, the audit and the metrics.

A handler is a small function of a `Call`; it returns an `Answer` or raises what `errors.py` knows. Everything else (tokens,
request ids, media types, compression, conditional answers, the form of an error) is done here, once.
"""

import gzip
import itertools
import os
import re
import secrets
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import cache, lru_cache
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import parse_qsl

from werkzeug.datastructures import Accept
from werkzeug.exceptions import ClientDisconnected, HTTPException
from werkzeug.http import parse_accept_header
from werkzeug.wrappers import Request

from service.errors import Malformed, NotFound, NotOffered, ServiceError, TooLarge, WrongMediaType, as_service_error
from service.routing import App
from service.security.clients import Caller
from service.store.audit import Event
from service.store.clock import micros
from service.trail import Answered
from service.wire import decode
from service.wiring import Service

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
FORM = "application/x-www-form-urlencoded"
MOST_FIELDS = 1000
WORTH_COMPRESSING = 1400
BODILESS = (204, 304)
NOBODY = "-"
WENT_WRONG = "The request could not be carried out. Nothing was stored."
_process, _numbers = secrets.token_hex(6), itertools.count(1)  # request ids: who made it, and which of its
os.register_at_fork(after_in_child=lambda: globals().__setitem__("_process", secrets.token_hex(6)))


@dataclass
class Answer:
    status: int
    body: bytes = b""
    type: str = "application/json"
    headers: dict[str, str] = field(default_factory=dict)


class Sent:
    """An answer as a WSGI server takes it (PEP 3333). What werkzeug's responses can do besides took as long as a look-up (measured)."""

    def __init__(self, status: int, headers: list[tuple[str, str]], body: bytes):
        self.status, self.headers, self.body = status, headers, body

    def __call__(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        start_response(_line(self.status), self.headers)
        return () if environ["REQUEST_METHOD"] == "HEAD" or self.status in BODILESS else [self.body]


@cache
def _line(status: int) -> str:
    return f"{status} {HTTPStatus(status).phrase}"


@dataclass
class Call:
    """One request. `patient`, `level` and `detail` are for the audit, and set by the handler.

    `now` is when it came, in microseconds: one moment for all that is looked at. `path` is what was asked for, as it is told: without its
    query, and no longer than anybody reads.
    """

    service: Service
    request: Request
    id: str
    now: int
    path: str
    caller: Caller | None = None
    args: dict[str, str] = field(default_factory=dict)
    patient: int | None = None
    level: int | None = None
    detail: str = ""
    audited: bool = False  # a write has its row in its own transaction

    @property
    def who(self) -> Caller:
        assert self.caller is not None, "the route asks for a token"
        return self.caller

    def header(self, name: str) -> str | None:
        """What a header of the request says, Content-Type and Content-Length apart. werkzeug's own way raises and catches where it is not there."""
        found: str | None = self.request.environ.get(_variable(name))
        return found

    def json(self, *types: str) -> Any:
        """The body as JSON. Raises WrongMediaType, TooLarge and Malformed."""
        given = (self.request.mimetype or "").lower()
        if given not in types:
            raise WrongMediaType(f"The body has to be {' or '.join(types)}")
        return decode(self.body())

    def form(self, limit: int | None = None) -> list[tuple[str, str]]:
        """The body as the fields of a form, in their order. Raises WrongMediaType, TooLarge and Malformed."""
        if (self.request.mimetype or "").lower() != FORM:
            raise WrongMediaType(f"The body has to be {FORM}")
        text = self.body(limit).decode("utf-8", "replace")
        try:
            found = parse_qsl(text, keep_blank_values=True, max_num_fields=MOST_FIELDS)
        except ValueError:
            raise Malformed(f"A form may have {MOST_FIELDS} fields") from None
        if any("\0" in name or "\0" in value for name, value in found):
            raise Malformed("The form has a NUL")
        return found

    def body(self, limit: int | None = None) -> bytes:
        """The whole body. Raises WrongMediaType, TooLarge, and Malformed where its sender hung up."""
        limit = limit or self.service.settings.body_limit
        if (self.header("Content-Encoding") or "identity").lower() != "identity":
            raise WrongMediaType("The body has to come without a Content-Encoding")
        length = self.request.content_length
        if (length or 0) > limit:
            raise TooLarge(f"A body may have {limit} bytes")
        found = b""
        try:
            while len(found) <= limit and (piece := self.request.stream.read(limit + 1 - len(found))):
                found += piece
        except (OSError, ClientDisconnected):
            raise Malformed("The body ended before it was all there") from None
        if len(found) > limit:
            raise TooLarge(f"A body may have {limit} bytes")
        if length is not None and len(found) < length:
            raise Malformed("The body ended before its Content-Length")
        return found

    def event(self, action: str, status: int) -> Event:
        client = self.caller.client if self.caller else NOBODY
        return Event(self.now, client, action, self.path, status, self.id, self.patient, self.level, self.detail)


@cache
def _variable(name: str) -> str:
    """Where WSGI has a header (PEP 3333)."""
    return f"HTTP_{name.upper().replace('-', '_')}"


class Flavour(Protocol):
    """How an interface tells of errors."""

    def error(self, error: ServiceError, call: Call) -> Answer: ...


Handler = Callable[[Call], Answer]
View = Callable[..., Sent]


def guarded(service: Service, flavour: Flavour, action: str, handler: Handler) -> View:
    """A view that asks for a token before anything else."""
    return _view(service, flavour, action, handler, public=False)


def public(service: Service, flavour: Flavour, action: str, handler: Handler) -> View:
    """A view that anybody may call: what it tells is no secret."""
    return _view(service, flavour, action, handler, public=True)


def refusing(app: App, service: Service, flavour: Flavour, action: str) -> View:
    """A view for what is not offered: 405 where the path is known with another method, else 404."""
    def refuse(call: Call) -> Answer:
        raise _not_offered(app, call)

    view = _view(service, flavour, action, refuse, public=False)
    view.refuses = True  # type: ignore[attr-defined]
    return view


def _not_offered(app: App, call: Call) -> ServiceError:
    allowed = app.offered(call.request.path)
    if not allowed:
        return NotFound(f"There is nothing at {call.request.path[:100]}")
    return NotOffered(f"{call.request.method[:20]} is not offered here", headers={"Allow": ", ".join(allowed)})


def _view(service: Service, flavour: Flavour, action: str, handler: Handler, *, public: bool) -> View:
    def view(asked: Request, /, **args: str) -> Sent:
        began = time.perf_counter()
        call = _call(service, asked, args)
        try:
            if not public:
                call.caller = service.gate.caller(call.header("Authorization"))
            _storable(asked)
            answer = handler(call)
        except Exception as error:  # noqa: BLE001 (the last handler: whatever went wrong is told in the interface's own form)
            answer = _failed(call, flavour, action, error)
        return _finished(call, action, answer, began, audited=public or call.audited)

    view.guard = "public" if public else "token"  # type: ignore[attr-defined]
    return view


def _call(service: Service, asked: Request, args: dict[str, str]) -> Call:
    given = asked.environ.get("HTTP_X_REQUEST_ID", "")
    known = given if REQUEST_ID.fullmatch(given) else f"{_process}{next(_numbers):x}"
    return Call(service, asked, known, micros(service.tenant.now()), asked.path[:500].replace("\0", "\ufffd"), args=args)


def _storable(asked: Request) -> None:
    """A NUL is in nobody's name, and PostgreSQL has no text with one: neither what is asked for nor the trail of who asked."""
    if "\0" in asked.path:
        raise NotFound("There is nothing at a path with a NUL")
    if "%00" in asked.environ.get("QUERY_STRING", ""):
        raise Malformed("The query has a NUL")


def unrouted(app: App, service: Service, flavour: Flavour, asked: Request, error: Exception) -> Sent:
    """The answer to what no route takes: a path that leads nowhere, or a method that nobody here has heard of; and where a view failed to answer."""
    call = _call(service, asked, {})
    known = _not_offered(app, call) if isinstance(error, HTTPException) else _unknown(call, "nothing", error)
    return _finished(call, "nothing", flavour.error(known, call), time.perf_counter(), audited=True)


def _failed(call: Call, flavour: Flavour, action: str, error: Exception) -> Answer:
    return flavour.error(as_service_error(error) or _unknown(call, action, error), call)


def _unknown(call: Call, action: str, error: Exception) -> ServiceError:
    call.service.log.error("failed", action=action, request=call.id, error=type(error).__name__, where=_where(error))
    return ServiceError(WENT_WRONG)


def whole(text: str, least: int, most: int) -> int | None:
    """The whole number that a parameter gives, None where it is none or out of its bounds."""
    found = int(text) if text.isascii() and text.isdecimal() and len(text) < 20 else -1
    return found if least <= found <= most else None


def _where(error: Exception) -> str:
    """File and line of our own code, and no values: a message may hold what a patient said."""
    trace, found = error.__traceback__, ""
    while trace is not None:
        code = trace.tb_frame.f_code
        found = f"{code.co_filename.rsplit('/', 1)[-1]}:{trace.tb_lineno}"
        trace = trace.tb_next
    return found


@lru_cache(maxsize=100)
def _takes_gzip(accepted: str) -> bool:
    """Whether a caller takes gzip: `gzip;q=0` says that it does not (RFC 9110, 12.5.3)."""
    return parse_accept_header(accepted, Accept)["gzip"] > 0


def _finished(call: Call, action: str, answer: Answer, began: float, *, audited: bool) -> Sent:
    """The answer as it is sent, and what is said of it. `audited` is what has a row on the trail, or needs none."""
    body = answer.body
    headers = [("Content-Type", answer.type)] if body or answer.status == 200 else []
    headers += [("X-Content-Type-Options", "nosniff"), *answer.headers.items()]
    if "Cache-Control" not in answer.headers:
        headers.append(("Cache-Control", "no-store"))
    headers.append(("X-Request-ID", call.id))
    if len(body) > WORTH_COMPRESSING:
        headers.append(("Vary", "Accept-Encoding"))
        if _takes_gzip(call.header("Accept-Encoding") or ""):
            body = gzip.compress(body, 1, mtime=0)
            headers.append(("Content-Encoding", "gzip"))
    if answer.status not in BODILESS:
        headers.append(("Content-Length", str(len(body))))
    event = None if audited else call.event(action, answer.status)
    seconds, client = time.perf_counter() - began, call.caller.client if call.caller else NOBODY
    call.service.trail.note(Answered(time.time(), client, action, call.request.method, call.path, answer.status, seconds, call.id, event))
    return Sent(answer.status, headers, body)
