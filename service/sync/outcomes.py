"""What can come of a send, as types: `match` on them. How an HTTP answer becomes one is decided in one table."""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from service.errors import Malformed
from service.store.copies import REMOTE_ID
from service.wire import heard

PASSING = frozenset({408, 423, 425})  # 4xx that are no judgement of what was sent: timed out, locked, too early
NOT_THERE = frozenset({404, 410})
LOST = frozenset({502, 504})  # a gateway's: what stands behind it may have acted
FAULTS_OF_OURS = frozenset({
    "structure", "required", "value", "invariant", "not-supported", "business-rule", "code-invalid", "extension", "too-long",
})  # issues that no second attempt mends; Oracle Health says `required` by a 500
VERSION = re.compile(r"[\x21-\x7e](?:[\x20-\x7e]{0,254}[\x21-\x7e])?")  # what a header can say
PAIR = re.compile(r";\s*([rt])=(\d{1,9})\b")
WORDS_LIMIT = 2000


@dataclass(frozen=True)
class Delivered:
    """The EHR has it. `remote_version` is its ETag as it came; `seen` what it holds now, where it showed that.

    `made` is what it made of elements that it does not hold as they were sent: its own, or None for what it left out.
    """

    remote_id: str | None
    remote_version: str | None
    status: int
    seen: dict[str, Any] | None = None
    made: dict[str, Any] = field(default_factory=dict)
    merged: bool = False  # with something of the EHR's own: it holds more than what we said, or other than that
    kept: tuple[str, ...] = ()  # the elements in which it holds other than that


@dataclass(frozen=True)
class Held:
    """Nothing was sent: the EHR holds just this already."""


@dataclass(frozen=True)
class Matched:
    """Nothing was sent: it is a person or place of the EHR's own, which we refer to and never write. `remote_id` where it was found only now."""

    remote_id: str | None = None


@dataclass(frozen=True, kw_only=True)
class Found:
    """What may say where the EHR has an earlier state of it, found only now."""

    remote_id: str | None = None
    remote_version: str | None = None


@dataclass(frozen=True)
class Retry(Found):
    """Not now. `kind` names the policy; `retry_after` is the header as it came, and means the whole target.

    `unsure` says that it may have been done all the same, and is looked for before it is sent again.
    """

    kind: str
    words: str
    status: int | None = None
    retry_after: str | None = None
    snoozes: bool = False
    unsure: bool = False


@dataclass(frozen=True)
class Refused(Found):
    """Not this: permanent, with the EHR's words."""

    words: str
    status: int | None = None


@dataclass(frozen=True)
class Contested:
    """We and the EHR changed the same elements since both last agreed. `remote_id` and `version` are what the EHR holds."""

    remote_id: str
    elements: tuple[str, ...]
    base: dict[str, Any]
    ours: dict[str, Any]
    theirs: dict[str, Any]
    version: str | None
    status: int | None = None

    @property
    def words(self) -> str:
        return f"Changed here and at the EHR since both last agreed: {', '.join(self.elements)}"


@dataclass(frozen=True)
class Unsure(Found):
    """Nobody knows whether the EHR has it: look before anything is sent again."""

    words: str
    status: int | None = None


@dataclass(frozen=True)
class Waits:
    """It makes no sense at the EHR before something else is there."""

    wants: tuple[int, ...]
    words: str


@dataclass(frozen=True)
class Moot:
    """There is nothing to tell this EHR any more: withheld since it was owed, or gone before it was ever sent."""

    words: str


@dataclass(frozen=True)
class Unsupported(Found):
    """The EHR says itself that it does not take this."""

    words: str


Outcome = Delivered | Held | Matched | Retry | Refused | Contested | Unsure | Waits | Moot | Unsupported
SENT = (Delivered, Retry, Refused, Contested, Unsure)


@dataclass(frozen=True)
class Reply:
    """An HTTP answer of an EHR."""

    status: int
    headers: dict[str, str]
    body: bytes

    def header(self, name: str) -> str | None:
        return next((value for key, value in self.headers.items() if key.lower() == name.lower()), None)

    def json(self) -> dict[str, Any] | None:
        """The body where it is a JSON object that can be kept, its numbers as they were written; EHRs answer with empty bodies and with text/html too."""
        return self._json

    @cached_property
    def _json(self) -> dict[str, Any] | None:
        try:
            found = heard(self.body)
        except Malformed:
            return None
        return found if isinstance(found, dict) else None


def judged(reply: Reply, *, updating: bool) -> Outcome:
    """What an answer to a create or an update means."""
    status = reply.status
    if status in (200, 201, 202, 204):
        return _succeeded(reply)
    words = words_of(reply)
    if 300 <= status < 400:
        return Refused(f"The EHR redirects writes, which are not followed ({status})", status)
    if status == 401:
        return Retry("auth", words or "The EHR does not accept our token", status)
    if status in (429, 503):
        return Retry("transient", words or "The EHR asks us to wait", status, _asks_to_wait(reply), snoozes=True)
    if status in (409, 412):
        # Oracle answers 409 where others answer 412 to a version that is not the newest.
        return Retry("conflict", words or "The EHR holds another version", status) if updating else Refused(words or "Several match our identifier", status)
    if status in LOST:
        return Unsure(words or f"A gateway lost the answer ({status})", status)
    if status not in PASSING and (status < 500 or _is_ours(reply)):
        return Refused(words or f"The EHR refuses it ({status})", status)
    return Retry("transient", words or f"The EHR failed ({status})", status)


def _is_ours(reply: Reply) -> bool:
    """Whether an EHR that failed says that it will fail again: every error that it tells is in what it was sent."""
    errors = _errors(reply.json() or {})
    return bool(errors) and all(str(issue.get("code")) in FAULTS_OF_OURS for issue in errors)


def is_error(resource: dict[str, Any]) -> bool:
    """Whether it is an OperationOutcome that says that something failed."""
    return bool(_errors(resource))


def _errors(resource: dict[str, Any]) -> list[dict[str, Any]]:
    return issues(resource, ("error", "fatal"))


def issues(resource: Mapping[str, Any], severities: Collection[str]) -> list[dict[str, Any]]:
    """The issues of an OperationOutcome that are as grave as that; none of another resource."""
    said = objects(resource.get("issue")) if resource.get("resourceType") == "OperationOutcome" else []
    return [issue for issue in said if issue.get("severity") in severities]


def _asks_to_wait(reply: Reply) -> str | None:
    """For how long, as `Retry-After` says it; else until the last limit of which nothing is left begins anew (`RateLimit: "requests";r=0;t=30`)."""
    limits = [dict(PAIR.findall(one)) for one in (reply.header("RateLimit") or "").split(",")]
    seconds = [float(one["t"]) for one in limits if "t" in one and float(one.get("r", 1)) <= 0]
    return reply.header("Retry-After") or (f"{max(seconds):g}" if seconds else None)


def _succeeded(reply: Reply) -> Outcome:
    found = reply.json() or {}
    if found.get("resourceType") == "OperationOutcome":
        if is_error(found):
            return Refused(words_of(reply), reply.status)
        found = {}
    remote_id = id_in(reply.header("Location") or reply.header("Content-Location")) or id_of(found)
    return Delivered(remote_id, version_of(reply), reply.status, found or None)


def objects(value: Any) -> list[dict[str, Any]]:
    """The objects of what should be a list of them; EHRs send other things too."""
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def id_of(resource: Mapping[str, Any]) -> str | None:
    """The id that a resource says it has, where it can be asked for by that."""
    found = resource.get("id")
    return found if isinstance(found, str) and REMOTE_ID.fullmatch(found) else None


def version_of(reply: Reply) -> str | None:
    """The version to name in If-Match: the ETag just as it came, else the one in the body. None where no header can say it."""
    tag = reply.header("ETag")
    return tag if tag and VERSION.fullmatch(tag) else version_in(reply.json() or {})


def version_in(body: Mapping[str, Any]) -> str | None:
    """The version that a resource says it has, as an ETag."""
    meta = body.get("meta")
    version = meta.get("versionId") if isinstance(meta, dict) else None
    return f'W/"{version}"' if isinstance(version, str) and VERSION.fullmatch(version) else None


def next_link(bundle: Mapping[str, Any]) -> str | None:
    """Where the next page of a Bundle is said to be."""
    return next((str(one.get("url")) for one in objects(bundle.get("link")) if one.get("relation") == "next"), None)


def id_in(location: str | None) -> str | None:
    """The resource id in a Location: absolute or relative, with or without a version at its end."""
    if not location:
        return None
    parts = location.split("?")[0].rstrip("/").split("/")
    if "_history" in parts:
        parts = parts[: parts.index("_history")]
    return parts[-1] if len(parts) > 1 and REMOTE_ID.fullmatch(parts[-1]) else None


def words_of(reply: Reply) -> str:
    """The EHR's own words: the issues of an OperationOutcome, else the beginning of whatever it said."""
    found = reply.json()
    if found is not None and found.get("resourceType") == "OperationOutcome":
        said = []
        for issue in objects(found.get("issue")):
            details = issue.get("details")
            text = issue.get("diagnostics") or (details.get("text") if isinstance(details, dict) else None) or issue.get("code") or ""
            where = issue.get("expression") or issue.get("location")
            at = ", ".join(map(str, where)) if isinstance(where, list) else ""
            said.append(f"{at}: {text}" if at else str(text))
        return _plain("; ".join(said)[:WORDS_LIMIT])
    return _plain(reply.body[:300].decode("utf-8", "replace"))


def _plain(words: str) -> str:
    """Words without what no database, log or terminal is to be given."""
    return (words if words.isprintable() else "".join(one if one.isprintable() else " " for one in words)).strip()
