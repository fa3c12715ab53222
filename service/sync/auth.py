"""SMART Backend Services (App Launch 2.0, section 4): a token that an EHR gives us for a while, because we can sign who we are.

| what its token endpoint says               | what is done                                                                       |
| ------------------------------------------ | ---------------------------------------------------------------------------------- |
| expires_in of 300, 60, ...                 | another one when a tenth of that is left, or half a minute                         |
| expires_in of 0, none, or no number        | kept until the EHR refuses it, for five minutes at most: never a token a call      |
| invalid_client and other refusals          | the EHR is left alone, longer each time: a new key takes a while to be known there |
| 429, 503                                   | the EHR is left alone as it asks                                                   |
| nothing, or that it failed                 | the EHR is left alone as it is when it fails itself                                |
| another origin than when it was added      | nothing is sent there; it is shown                                                 |
"""

import math
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass, field
from decimal import Decimal
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlencode
from uuid import uuid4

from joserfc import jwt

from service.config import Settings
from service.connecting import fits, origin
from service.security import keys
from service.store import signing_keys
from service.store.clock import micros
from service.store.signing_keys import SigningKey
from service.store.tables import FOREVER
from service.store.targets import Target
from service.sync.outcomes import Reply, words_of
from service.sync.transport import Interrupted, Line, NotLetIn, NotReached
from service.tenant import Tenant
from service.wiring import Service

SECOND = 1_000_000
ASSERTED_FOR = 240  # seconds: five minutes are the most, and the EHR's clock may be behind ours
UNSAID, LONGEST = 300, 3600  # seconds that a token is kept: where nothing is said, and whatever is said
FOUND_FOR = 3600 * SECOND
SKEW = 60  # seconds between clocks that are worth a word
ASSERTION = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
FORM = "application/x-www-form-urlencoded"
MEANINGS = {
    "invalid_client": "does not know us by this client id and key, or not yet",
    "invalid_scope": "does not give the scopes that are asked for",
    "unauthorized_client": "does not allow us this way of asking",
    "unsupported_grant_type": "does not know SMART Backend Services",
}


@dataclass(frozen=True)
class Token:
    """What lets us in, until when it is used, and the scopes that came with it."""

    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    until: int = FOREVER
    granted: str | None = None


@dataclass(frozen=True)
class Found:
    """What an EHR says of how it gives tokens."""

    token_url: str
    algorithms: tuple[str, ...] = ()
    methods: tuple[str, ...] = ()

    def takes(self, alg: str) -> bool:
        return not self.algorithms or alg in self.algorithms


def line_to(settings: Settings, target: Target) -> Line:
    """A line to an EHR or its token endpoint, for one thread."""
    s = target.settings
    certificate = (s["cert"], s["key"]) if s.get("cert") and s.get("key") else s.get("cert")
    return Line(private=settings.outbound_private or bool(s.get("private")), seconds=settings.send_seconds, certificate=certificate, trusted=s.get("ca"))


def discovered(line: Line, base_url: str) -> Found:
    """What is found under the EHR's base. Raises NotReached, Interrupted and ValueError."""
    reply = line.call("GET", f"{base_url.rstrip('/')}/.well-known/smart-configuration", {"Accept": "application/json"})
    said = reply.json()
    if reply.status != 200 or said is None or not isinstance(said.get("token_endpoint"), str):
        raise ValueError(f"its smart-configuration is answered with {reply.status} and names no token endpoint")
    lists = (said.get(f"token_endpoint_auth_{name}_supported") for name in ("signing_alg_values", "methods"))
    algorithms, methods = (tuple(one for one in found if isinstance(one, str)) if isinstance(found, list) else () for found in lists)
    return Found(said["token_endpoint"], algorithms, methods)


class Tokens:
    """The tokens of one EHR. Whoever has them sees to it that one thread asks at a time."""

    renews = True

    def __init__(self, service: Service, target: Target):
        self._service, self._target, self._auth = service, target, target.settings["auth"]
        self._url, self._found_at = str(self._auth["token_url"]), -FOUND_FOR

    def new(self) -> Token:
        """Raises NotLetIn."""
        with closing(line_to(self._service.settings, self._target)) as line:
            url = self._endpoint(line)
            key, now = self._key(), micros(self._service.tenant.now())
            form = {"grant_type": "client_credentials", "scope": self._auth["scope"], "client_assertion_type": ASSERTION,
                    "client_assertion": asserted(self._service.tenant, key, self._auth["client_id"], url)}  # fmt: skip
            try:
                reply = line.call("POST", url, {"Accept": "application/json", "Content-Type": FORM}, urlencode(form).encode())
            except Interrupted as error:
                raise NotLetIn(f"Its token endpoint does not answer: {error}", soon=True) from None
            except NotReached as error:
                raise NotLetIn(f"Its token endpoint is not reached: {error}", soon=True) from None
        return given(reply, self._auth["client_id"], key.kid, now)

    def _endpoint(self, line: Line) -> str:
        """The token endpoint as the EHR names it now: at the origin that it had when it was added, or nowhere."""
        now = micros(self._service.tenant.now())
        if self._auth.get("discovered") and now - self._found_at >= FOUND_FOR:
            try:
                url = discovered(line, self._target.base_url).token_url
            except (NotReached, Interrupted, ValueError):
                return self._url  # an old one is better than none
            if not fits(url, private=True) or origin(url) != self._auth["origin"]:
                raise NotLetIn(f"It names a token endpoint at {_shown(url)}, and was added with one at {self._auth['origin']}: nothing is sent there")
            self._url, self._found_at = url, now
        return self._url

    def _key(self) -> SigningKey:
        with self._service.database.glance() as connection:
            found = signing_keys.signing(connection, self._auth["alg"], self._target.id, micros(self._service.tenant.now()))
        if found is None:
            raise NotLetIn(f"There is no key of ours for {self._auth['alg']} that signs yet: pathway-fhir ehr keys generate --alg {self._auth['alg']}")
        return found


def asserted(tenant: Tenant, key: SigningKey, client_id: str, url: str) -> str:
    """Who we are, signed: for one endpoint, a few minutes and one use. It says nothing of when it was made, which a slow clock would take for the future."""
    claims = {"iss": client_id, "sub": client_id, "aud": url, "exp": int(tenant.now().timestamp()) + ASSERTED_FOR, "jti": str(uuid4())}
    return jwt.encode({"typ": "JWT", "alg": key.alg, "kid": key.kid}, claims, keys.opened(tenant, key), algorithms=[key.alg])


def given(reply: Reply, client_id: str, kid: str, now: int) -> Token:
    """The token of an answer that was asked for at `now`. Raises NotLetIn with what was said instead."""
    said = reply.json() or {}
    if reply.status in (429, 503):
        raise NotLetIn("Its token endpoint asks us to wait", reply.status, retry_after=reply.header("Retry-After"), asked=True)
    if reply.status != 200:
        raise NotLetIn(f"Its token endpoint {_why(reply, said)}. We are client {client_id} with key {kid}{_skew(reply, now)}", reply.status,
                       soon=reply.status >= 500)  # fmt: skip
    token, kind = said.get("access_token"), said.get("token_type", "bearer")
    if not isinstance(token, str) or not 0 < len(token) <= 20_000 or not all("!" <= c <= "~" for c in token):
        raise NotLetIn("Its token endpoint answers with no token", 200, soon=True)
    if not isinstance(kind, str) or kind.lower() != "bearer":
        raise NotLetIn("Its token endpoint answers with a token that is no bearer token", 200)
    scope = said.get("scope")
    return Token({"Authorization": f"Bearer {token}"}, now + int(good_for(said.get("expires_in")) * SECOND), scope if isinstance(scope, str) else None)


def good_for(expires_in: Any) -> float:
    """How many seconds a token is used for."""
    try:
        seconds = float(expires_in) if isinstance(expires_in, int | float | Decimal | str) and not isinstance(expires_in, bool) else 0.0
    except (ValueError, OverflowError):
        seconds = 0.0
    if math.isnan(seconds) or seconds <= 0:
        return UNSAID
    return min(seconds, LONGEST) - min(30.0, min(seconds, LONGEST) / 10)


def _why(reply: Reply, said: Mapping[str, Any]) -> str:
    if 300 <= reply.status < 400:
        return f"redirects, which is not followed ({reply.status})"
    code, description = (_shown(said[name]) if isinstance(said.get(name), str) else "" for name in ("error", "error_description"))
    words = ": ".join(one for one in (code, description) if one) or _shown(words_of(reply))
    return f"{MEANINGS.get(code, 'gives no token')} ({reply.status}{' ' if words else ''}{words})"


def _skew(reply: Reply, now: int) -> str:
    """A word about an EHR's clock, where it may be why an assertion does not hold."""
    try:
        ahead = parsedate_to_datetime(reply.header("Date") or "").timestamp() - now / SECOND
    except (ValueError, TypeError, OverflowError):
        return ""
    return f". Its clock is {abs(ahead):.0f} s {'ahead of' if ahead > 0 else 'behind'} ours" if abs(ahead) > SKEW else ""


def _shown(text: str) -> str:
    return "".join(c if c.isprintable() else " " for c in text)[:200].strip()
