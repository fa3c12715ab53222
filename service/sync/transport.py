"""Calls to EHRs: no credentials but ours, no redirects, no more bytes than a resource has, and a deadline that closes the socket.

A read timeout alone does not end a call: an EHR that drips one header a second held a "one second" request for ten (measured).
So a watchdog shuts the connection's socket when the total time is up. Until there is a connection, every step is given no more
than what is left: looking up the name, each of its addresses, and the whole of the handshake.
"""

import ipaddress
import os
import queue
import socket
import ssl
import threading
import time
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import requests
import urllib3
from requests.adapters import HTTPAdapter
from requests.cookies import RequestsCookieJar, extract_cookies_to_jar
from requests.utils import default_headers
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import NewConnectionError

from service.sync.deadlines import Watchdog
from service.sync.outcomes import Reply

MOST_BYTES = 10_000_000
AT_ONCE = 65_536  # bytes of a body that are sent with its head
CONNECTING = 5.0  # seconds for one address of a name
Address = tuple[socket.AddressFamily, socket.SocketKind, int, str, Any]
_calling = threading.local()


class NotReached(Exception):
    """The call ended before the EHR can have acted on it."""


class NotLetIn(NotReached):
    """Nothing was sent, for want of what lets us in. It is tried again slowly, `soon` as where an EHR fails, or as is `asked` of us."""

    def __init__(self, words: str, status: int | None = None, *, retry_after: str | None = None, soon: bool = False, asked: bool = False):
        super().__init__(words)
        self.words, self.status, self.retry_after, self.soon, self.asked = words, status, retry_after, soon, asked

    def again(self) -> "NotLetIn":
        return NotLetIn(self.words, self.status, retry_after=self.retry_after, soon=self.soon, asked=self.asked)


class Interrupted(Exception):
    """The call was sent and its answer lost: the EHR may have acted on it."""


class NotPublic(OSError):
    """The EHR's address is a private one, and this target is not allowed that."""


class NoName(OSError):
    """The EHR's name has no address."""


class Late(OSError):
    """The total time was up before the answer was."""


def _connected(connection: Any) -> socket.socket:
    """A connection to the first address of a name that answers. Raises NotPublic before a private one is told anything at all."""
    failed = OSError("the name has no address")
    for family, kind, protocol, _, address in _addresses(connection._dns_host, connection.port):
        _judge(address[0])
        made = socket.socket(family, kind, protocol)
        try:
            made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            made.settimeout(min(CONNECTING, _left()))
            made.connect(address)
            made.settimeout(_left())  # for the whole of a handshake, however it drips
            return made
        except OSError as error:
            made.close()
            failed = error
    raise NewConnectionError(connection, "no address of the name answers") from failed  # sic: urllib3 goes on after a reset of its own, without a socket


def _judge(said: str) -> None:
    """Refuses an address that the target may not have: it is the one that is connected to, so no name can lie."""
    address = ipaddress.ip_address(said.partition("%")[0])
    if not getattr(_calling, "private", False) and not address.is_global:
        raise NotPublic(f"{address} is no public address")


def _addresses(host: str, port: int) -> Sequence[Address]:
    """The addresses of a name. A look-up cannot be called off, so it has a thread of its own, which is left to itself when the time is up."""
    found: queue.SimpleQueue[Sequence[Address] | Exception] = queue.SimpleQueue()

    def look() -> None:
        try:
            found.put(socket.getaddrinfo(host.strip("[]"), port, type=socket.SOCK_STREAM))
        except (OSError, UnicodeError) as error:
            found.put(error)

    threading.Thread(target=look, name="look-up", daemon=True).start()
    try:
        said = found.get(timeout=_left())
    except queue.Empty:
        raise Late from None
    if isinstance(said, Exception):
        raise NoName from said
    return said


def _left() -> float:
    """What is left of the call's time, in seconds. Raises Late where nothing is."""
    left: float = _calling.ends - time.monotonic()
    if left <= 0:
        raise Late
    return left


def _sending(connection: Any) -> None:
    _calling.sent = True
    _calling.socket = connection.sock  # sic: a connection lets go of its socket when the answer has no length, and the answer goes on


class _Calling(HTTPConnection):
    """A connection that notes when a call begins to be sent, and sends head and body at once: an EHR that is woken once answers sooner."""

    _new_conn = _connected
    _head: bytes | None = None  # waits for its body, and is empty until it is there; None where it goes out by itself

    def request(self, method: str, url: str, body: Any = None, *args: Any, **kwargs: Any) -> None:
        self._head = b"" if isinstance(body, bytes) and 0 < len(body) <= AT_ONCE else None
        super().request(method, url, body, *args, **kwargs)

    def endheaders(self, *args: Any, **kwargs: Any) -> None:
        if self.sock is None:
            self.connect()
        _sending(self)
        super().endheaders(*args, **kwargs)

    def send(self, data: Any) -> None:
        if self._head == b"":
            self._head = data
            return
        sent, self._head = data if self._head is None else self._head + data, None
        super().send(sent)


class _Https(_Calling, HTTPSConnection):
    pass


class _HttpPool(HTTPConnectionPool):
    ConnectionCls = _Calling


class _HttpsPool(HTTPSConnectionPool):
    ConnectionCls = _Https


class _Adapter(HTTPAdapter):
    """Works out once what is the same in every call to one host (measured, with what a `Line` leaves out: 280 us a call, and 370 without)."""

    _last: tuple[str, Any] = ("", None)  # one alone: the pool of another host takes the place of the one before

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = {"http": _HttpPool, "https": _HttpsPool}

    def get_connection_with_tls_context(self, request: requests.PreparedRequest, *args: Any, **kwargs: Any) -> Any:
        origin = _origin(request)
        if self._last[0] != origin:
            self._last = origin, super().get_connection_with_tls_context(request, *args, **kwargs)
        return self._last[1]

    def request_url(self, request: requests.PreparedRequest, proxies: Any) -> str:
        return str(request.url)[len(_origin(request)) :].partition("#")[0]


def _origin(request: requests.PreparedRequest) -> str:
    url = str(request.url)
    return url[: url.index("/", len("https://"))]


@lru_cache(maxsize=256)
def _written(url: str) -> str:
    """A URL as requests writes it."""
    asked = requests.PreparedRequest()
    asked.prepare_url(url, None)
    return str(asked.url)


_watchdog = Watchdog()


class Line:
    """A line to one EHR for one thread: its connections are kept and used again."""

    def __init__(self, *, private: bool, seconds: float, certificate: tuple[str, str] | str | None = None, trusted: str | None = None):
        """`certificate` is ours, a file or one with its key's; `trusted` is a file of who may sign the EHR's, in place of those whom all trust."""
        self._private, self._seconds, self._certificate, self._trusted = private, seconds, certificate, trusted or True
        self._headers = {**default_headers(), "Accept": "application/fhir+json", "User-Agent": "pathway-fhir"}
        self._cookies = RequestsCookieJar()
        self._files = [file for file in (*(certificate if isinstance(certificate, tuple) else (certificate,)), trusted) if file]
        self._adapter = _Adapter(pool_connections=1, pool_maxsize=1, max_retries=0)

    def call(self, method: str, url: str, headers: dict[str, str], body: bytes | None = None) -> Reply:
        """One HTTP call. Raises NotReached or Interrupted, which make the difference between trying again and looking first."""
        if not all(os.access(file, os.R_OK) for file in self._files):
            raise NotReached("our certificate, its key, or those whom we trust cannot be read from their files")
        _calling.private, _calling.sent, _calling.socket, _calling.ends = self._private, False, None, time.monotonic() + self._seconds
        number = _watchdog.arm(self._seconds, _calling.__dict__)
        try:
            with self._sent(self._asked(method, url, headers, body)) as answer:
                content = self._content(answer)
            if not _watchdog.disarm(number):  # sic: half of the headers, or of a body without a length, looks like all of it
                raise Late
            return Reply(answer.status_code, dict(answer.headers), content)
        except (requests.RequestException, urllib3.exceptions.HTTPError, OSError, ValueError) as error:
            cause = _cause(error)
            late = not _watchdog.disarm(number) or isinstance(cause, Late) or isinstance(error, requests.ReadTimeout)
            said = f"no answer within {self._seconds:g} s" if late else _said(cause)
            raise (Interrupted if _calling.sent and not _no_certificate(cause) else NotReached)(said) from None
        finally:
            _watchdog.disarm(number)

    def _asked(self, method: str, url: str, headers: Mapping[str, str], body: bytes | None) -> requests.PreparedRequest:
        asked = requests.PreparedRequest()
        asked.method, asked.url, asked.body = method, _written(url), body or None
        asked.prepare_headers({**self._headers, **headers})
        asked.prepare_content_length(body)
        if len(self._cookies):
            asked.prepare_cookies(self._cookies)
        return asked

    def _sent(self, asked: requests.PreparedRequest) -> requests.Response:
        """By the adapter itself: a session reads the machine's settings, follows what it is led to, and puts a .netrc's password for our token."""
        answer = self._adapter.send(asked, stream=True, timeout=self._seconds, verify=self._trusted, cert=self._certificate)
        if "Set-Cookie" in answer.headers:  # what tells a gateway which of several it led us to
            extract_cookies_to_jar(self._cookies, asked, answer.raw)  # type: ignore[no-untyped-call]
        return answer

    @staticmethod
    def _content(answer: requests.Response) -> bytes:
        """The body, up to a limit that counts what comes out of its compression."""
        found = bytearray()
        for chunk in answer.iter_content(65_536):
            found += chunk
            if len(found) > MOST_BYTES:
                raise ValueError("the answer is too large")
        return bytes(found)

    def close(self) -> None:
        self._adapter.close()


TELLING = (NotPublic, Late, NoName, ssl.SSLError, ConnectionRefusedError, TimeoutError)


def _cause(error: BaseException) -> BaseException:
    """The error behind an error that says most of what went wrong; else itself."""
    seen: BaseException | None = error
    while seen is not None:
        for found in (seen, *seen.args):
            if isinstance(found, TELLING) and not isinstance(found, requests.RequestException):
                return found
        seen = seen.__cause__ or seen.__context__
    return error


def _said(cause: BaseException) -> str:
    """What went wrong, without URLs: in words where there are any, else by its kind."""
    match cause:
        case NotPublic():
            return str(cause)
        case NoName():
            return "its name is not known"
        case ConnectionRefusedError():
            return "the connection is refused"
        case TimeoutError():
            return "no connection is made"
        case ssl.SSLCertVerificationError():
            return f"its certificate does not hold: {cause.verify_message}"
        case ssl.SSLError():
            return f"TLS fails: {(cause.reason or 'the connection was closed').replace('_', ' ').lower()}"
    return type(cause).__name__


def _no_certificate(cause: BaseException) -> bool:
    """Whether the EHR wants a certificate of ours: TLS 1.3 says so only when we have begun to send, and nobody has read it."""
    return isinstance(cause, ssl.SSLError) and "ALERT" in (cause.reason or "") and "CERTIFICATE" in (cause.reason or "")
