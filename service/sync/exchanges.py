"""What was said in an attempt: heads of requests and answers, without anything secret and without values that were searched for. Pure.

Bodies are kept of a failed attempt alone; they say what a resource says, and are sealed by whoever stores them.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from service.sync.outcomes import Reply
from service.wire import encode

CALLS = 8  # of one attempt
MOST_BYTES = 65_536  # of a body
MOST_TEXT = 500  # of a header
# Named one by one: a header that is not named may let somebody in.
SAID = ("Accept", "Content-Type", "Prefer", "Cache-Control", "If-Match", "If-None-Exist", "X-Request-ID", "X-Correlation-ID")
HEARD = (
    "Content-Type", "Content-Length", "ETag", "Location", "Content-Location", "Retry-After", "WWW-Authenticate", "X-Request-ID", "X-Correlation-ID",
    "RateLimit", "RateLimit-Limit", "RateLimit-Remaining", "RateLimit-Reset", "X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset",
)  # fmt: skip
SHORTEST = 8  # what is shorter is no secret, and is in words by chance
WITHHELD = "[withheld]"
VALUE = re.compile(r"=[^&]*")


@dataclass(frozen=True)
class Exchange:
    """One call and its answer, or why there was none."""

    method: str
    path: str
    said: Mapping[str, str]
    status: int | None = None
    heard: Mapping[str, str] = field(default_factory=dict)
    problem: str = ""
    sent: bytes = b""
    received: bytes = b""


def exchange(method: str, path: str, headers: Mapping[str, str], body: bytes | None, answer: Reply | str) -> Exchange:
    """A call as it is kept; `answer` in words is why there was none."""
    said, sent = _kept(headers, SAID), (body or b"")[: MOST_BYTES + 1]
    if isinstance(answer, str):
        return Exchange(method, _unvalued(path), said, problem=answer, sent=sent)
    heard = {name: value.split("?")[0] if "Location" in name else value for name, value in _kept(answer.headers, HEARD).items()}
    return Exchange(method, _unvalued(path), said, answer.status, heard, sent=sent, received=answer.body[: MOST_BYTES + 1])


def _kept(headers: Mapping[str, str], named: Iterable[str]) -> dict[str, str]:
    given = {name.lower(): value for name, value in headers.items()}
    found = {name: given[name.lower()][:MOST_TEXT] for name in named if name.lower() in given}
    return {name: VALUE.sub("=", value) if name == "If-None-Exist" else value for name, value in found.items()}


def secrets(headers: Mapping[str, str]) -> set[str]:
    """What of a request's headers may let somebody in: the words of all that are not named here as harmless."""
    harmless = {name.lower() for name in SAID}
    return {word for name, value in headers.items() if name.lower() not in harmless for word in value.split() if len(word) >= SHORTEST}


def _unvalued(path: str) -> str:
    """A path with the names of its parameters and without their values, which may be a person's."""
    way, mark, query = path.partition("?")
    return (way or "/") + mark + VALUE.sub("=", query)


def heads(found: Iterable[Exchange]) -> str:
    """What is kept of every attempt, as JSON."""
    return encode([_head(one) for one in found]).decode()


def _head(one: Exchange) -> dict[str, Any]:
    head = {"method": one.method, "path": one.path, "request": one.said, "status": one.status, "response": one.heard, "problem": one.problem}
    return {name: value for name, value in head.items() if value or name == "request"}


def bodies(found: Iterable[Exchange]) -> str:
    """What is kept besides of a failed attempt, as JSON: bodies as text, up to a limit, in the order of the heads."""
    return encode([{"request": _text(one.sent), "response": _text(one.received)} for one in found]).decode()


def _text(body: bytes) -> str:
    return body[:MOST_BYTES].decode("utf-8", "replace") + (" [cut off]" if len(body) > MOST_BYTES else "")
