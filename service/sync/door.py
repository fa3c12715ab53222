"""The way in to one EHR, for one thread: what lets us in, how it wants to be called, and what was said of late.

It takes paths under the EHR's base and nothing else, so that no answer can lead what lets us in to another server.
"""

from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, Protocol
from urllib.parse import unquote, urljoin

from service.manners import Manner
from service.sync.exchanges import CALLS, WITHHELD, Exchange, exchange, secrets
from service.sync.outcomes import Reply
from service.sync.transport import Interrupted, NotReached
from service.wire import encode


class LetsIn(Protocol):
    """The headers that let us in, and what becomes of them when an EHR has answered. Both raise NotLetIn."""

    def headers(self) -> Mapping[str, str]: ...
    def answered(self, headers: Mapping[str, str], status: int, *, again: bool = True) -> Mapping[str, str] | None: ...


class Carries(Protocol):
    """A line on which calls go out. Raises NotReached and Interrupted."""

    def call(self, method: str, url: str, headers: dict[str, str], body: bytes | None = None) -> Reply: ...


class Always:
    """Headers that let us in, or do not; there are no others."""

    def __init__(self, headers: Mapping[str, str] | None = None):
        self._headers = headers or {}

    def headers(self) -> Mapping[str, str]:
        return self._headers

    def answered(self, _headers: Mapping[str, str], _status: int, *, again: bool = True) -> None:
        return None


class Door:
    """`pace` waits until one more call may be made."""

    def __init__(
        self, base_url: str, line: Carries, lets_in: LetsIn | None = None, manner: Manner | None = None, pace: Callable[[], object] = lambda: None
    ):
        self._pace = pace
        self.base, self._line, self._lets_in, self._manner = base_url.rstrip("/"), line, lets_in or Always(), manner or Manner()
        self.heard: deque[Exchange] = deque(maxlen=CALLS)  # the last calls and what came of them; whoever begins an attempt clears it

    def call(self, method: str, path: str, body: Mapping[str, Any] | None = None, headers: Mapping[str, str] | None = None, delivery: int = 0) -> Reply:
        """One call, and once more where what let us in until now was refused and another may be taken. Raises NotReached and Interrupted."""
        sent, given = encode(body) if body is not None else None, headers or {}
        said = {**self._manner.headers(method, path, sent, given, delivery), **given}
        lets_in = self._lets_in.headers()
        reply = self._called(method, path, {**lets_in, **said}, sent)
        another = self._lets_in.answered(lets_in, reply.status)
        if another is not None:
            reply = self._called(method, path, {**another, **said}, sent)
            self._lets_in.answered(another, reply.status, again=False)
        return reply

    def openly(self, path: str) -> Reply:
        """Reads what an EHR tells everybody; with what lets us in where it does not. Raises NotReached and Interrupted."""
        reply = self._called("GET", path, self._manner.headers("GET", path, None, {}, 0), None)
        return self.call("GET", path) if reply.status in (401, 403) else reply

    def _called(self, method: str, path: str, headers: Mapping[str, str], body: bytes | None) -> Reply:
        self._pace()
        try:
            reply = self._line.call(method, f"{self.base}{path}", dict(headers), body)
        except (NotReached, Interrupted) as error:
            self.heard.append(exchange(method, path, headers, body, str(error)))
            raise
        reply = _unechoed(reply, headers)
        self.heard.append(exchange(method, path, headers, body, reply))
        return reply


def _unechoed(reply: Reply, headers: Mapping[str, str]) -> Reply:
    """An answer that something failed, without what let us in, which some say back: it would be kept and shown as words of theirs."""
    if reply.status < 400:
        return reply
    ours, said = secrets(headers), [reply.body, *(value.encode("utf-8", "replace") for value in reply.headers.values())]
    if not any(one.encode() in text for one in ours for text in said):
        return reply
    body, kept = reply.body, dict(reply.headers)
    for one in ours:
        body = body.replace(one.encode(), WITHHELD.encode())
        kept = {name: value.replace(one, WITHHELD) for name, value in kept.items()}
    return Reply(reply.status, kept, body)


def within(base: str, path: str, link: str) -> str | None:
    """A link of a page as a path below the base, None where it leads anywhere else: our token is for the base alone."""
    url = urljoin(base + path, link)
    rest = url.removeprefix(base)
    parts = unquote(rest.partition("?")[0]).replace("\\", "/").split("/")
    return rest if url.startswith(base) and rest[:1] in ("/", "?") and not {".", ".."} & set(parts) and url.isascii() and url.isprintable() else None
