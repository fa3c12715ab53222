"""Client assertions of SMART Backend Services (App Launch 2.0, section 4.0.5): a signed JWT says who asks for a token.

Only what a client was registered with is trusted: headers that bring or point to a key are refused, the algorithm is one of the
client's own, the audience is our token endpoint, and an assertion is good for five minutes and one use.
"""

import json
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

import requests
from joserfc import jws, jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet
from urllib3.exceptions import HTTPError

from service.errors import ServiceError
from service.security.clients import Client

LONGEST = 300  # seconds that an assertion may be good for
LEEWAY = 30
JWKS_EVERY = 300
JWKS_LIMIT, JWKS_SECONDS = 100_000, 10
BRINGS_A_KEY = ("jku", "x5u", "jwk", "x5c")


class InvalidClient(ServiceError):
    """RFC 6749 5.2 invalid_client: the caller is told no more than that."""

    status, code, title = 401, "login", "invalid_client"


@dataclass(frozen=True)
class Assertion:
    client: str
    jti: str
    expires_at: int  # seconds


@dataclass
class KeySource:
    """The public keys of clients that give a URL for them, fetched at most every five minutes, whatever came of it."""

    now: Callable[[], float] = time.monotonic
    fetch: Callable[[str], dict[str, Any] | None] | None = None  # `fetched`, unless it is given
    _kept: dict[str, tuple[float, dict[str, Any] | None]] = field(default_factory=dict)
    _locks: defaultdict[str, threading.Lock] = field(default_factory=lambda: defaultdict(threading.Lock))

    def keys(self, client: Client) -> dict[str, Any]:
        if client.jwks is not None:
            return client.jwks
        if client.jwks_url is None:
            raise InvalidClient("The client has no keys")
        with self._locks[client.jwks_url]:  # one slow host keeps nobody else's client waiting
            kept = self._kept.get(client.jwks_url)
            if kept is None or self.now() - kept[0] > JWKS_EVERY:
                kept = self._kept[client.jwks_url] = (self.now(), (self.fetch or fetched)(client.jwks_url))
        if kept[1] is None:
            raise InvalidClient("The client's keys cannot be had")
        return kept[1]


def fetched(url: str) -> dict[str, Any] | None:
    """A key set over https, without redirects, credentials of ours or more bytes and time than a key set needs; None where it cannot be had."""
    if not url.startswith("https://"):
        return None
    ends = time.monotonic() + JWKS_SECONDS
    body = b""
    with requests.Session() as session:
        session.trust_env = False
        try:
            with session.get(url, timeout=(3, 5), allow_redirects=False, stream=True, headers={"Accept": "application/json"}) as answer:
                while piece := answer.raw.read1(JWKS_LIMIT + 1 - len(body), decode_content=True):
                    body += piece
                    if len(body) > JWKS_LIMIT or time.monotonic() > ends:
                        return None
                found = json.loads(body) if answer.status_code == HTTPStatus.OK else None
        except (requests.RequestException, HTTPError, ValueError):
            return None
    return found if isinstance(found, dict) else None


def claimed(assertion: str) -> tuple[dict[str, Any], str]:
    """The header of an assertion and the client it claims to be from, before anything is believed."""
    try:
        compact = jws.extract_compact(assertion.encode())
        claims = json.loads(compact.payload)
        header = compact.headers()
    except (JoseError, ValueError, UnicodeError) as error:
        raise InvalidClient("The assertion is no signed JWT") from error
    if not isinstance(claims, dict) or not isinstance(claims.get("iss"), str) or claims.get("iss") != claims.get("sub"):
        raise InvalidClient("iss and sub have to be the client's id")
    return header, claims["iss"]


def verified(assertion: str, client: Client, audience: str, source: KeySource, now: float) -> Assertion:
    """The assertion, once its signature and claims hold. Raises InvalidClient."""
    header, _ = claimed(assertion)
    brought = [name for name in BRINGS_A_KEY if name in header]
    if brought or header.get("alg") not in client.algorithms or header.get("typ", "JWT") != "JWT":
        raise InvalidClient("The assertion's header is not one that this client may use")
    try:
        keys = KeySet.import_key_set(source.keys(client))  # type: ignore[arg-type]
        claims = jwt.decode(assertion, keys, algorithms=list(client.algorithms)).claims
    except (JoseError, ValueError, TypeError) as error:
        raise InvalidClient("The assertion's signature does not hold") from error
    expires, issued, named = claims.get("exp"), claims.get("iat"), claims.get("jti")
    said = claims.get("aud")
    if audience not in (said if isinstance(said, list) else [said]) or not isinstance(named, str) or not named.isprintable() or not 1 <= len(named) <= 200:
        raise InvalidClient("aud has to be the token endpoint, and jti has to be there")
    if isinstance(expires, bool) or not isinstance(expires, int | float) or not now - LEEWAY < expires <= now + LONGEST + LEEWAY:
        raise InvalidClient("exp has to be in the next five minutes")
    if (issued is not None and (not isinstance(issued, int | float) or issued > now + LEEWAY)) or not _begun(claims.get("nbf"), now):
        raise InvalidClient("The assertion is from the future")
    return Assertion(client.id, named, int(expires))


def _begun(not_before: Any, now: float) -> bool:
    return not_before is None or (isinstance(not_before, int | float) and not_before <= now + LEEWAY)
