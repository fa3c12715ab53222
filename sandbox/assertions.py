"""Client assertions of SMART Backend Services (App Launch 2.0, section 4.0.5), verified as strictly as the EHR that is strictest."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from threading import Lock
from typing import Any
from urllib.error import URLError
from urllib.request import OpenerDirector, ProxyHandler, build_opener

from joserfc import jws, jwt
from joserfc.errors import JoseError
from joserfc.jwk import Key, KeySet

ALGORITHMS = ("RS384", "ES384")
LONGEST_S, SKEW_S = 300, 10
FETCH_S, JWKS_BYTES = 5, 100_000


class Rejected(Exception):
    """An assertion that does not show who asks, with the reason: a sandbox tells what an EHR keeps to itself."""


@dataclass
class Client:
    """A registered client, with the keys that it gave or where they are."""

    id: str
    jwks: dict[str, Any] | None = None
    jwks_url: str | None = None
    scope: list[str] | None = None
    """What it is allowed at most; None for everything."""
    fetches: int = 0
    used: dict[str, float] = field(default_factory=dict)
    """jti of every assertion that is not over, with its exp."""
    lock: Lock = field(default_factory=Lock)

    def key(self, kid: str) -> Key:
        """Raises Rejected. Keys at a URL are fetched again when there is none of that id among those that are known."""
        with self.lock:
            if self.jwks_url is not None and _with_id(self.jwks, kid) is None:
                self.fetches += 1
                self.jwks = _fetched(self.jwks_url)
            found = _with_id(self.jwks, kid)
        if found is None:
            raise Rejected(f"the client has no key with the kid {kid}")
        return found

    def use(self, jti: str, exp: float, now: float) -> None:
        """Raises Rejected for an assertion that was used already."""
        with self.lock:
            self.used = {one: until for one, until in self.used.items() if until > now - SKEW_S}
            if jti in self.used:
                raise Rejected(f"the jti {jti} was used before")
            self.used[jti] = exp


def _with_id(jwks: dict[str, Any] | None, kid: str) -> Key | None:
    if jwks is None:
        return None
    try:
        return next((key for key in KeySet.import_key_set(jwks).keys if key.kid == kid), None)  # type: ignore[arg-type]
    except (JoseError, ValueError, TypeError, KeyError) as reason:
        raise Rejected(f"the client's keys are no JWKS: {reason}") from None


def _fetched(url: str) -> dict[str, Any]:
    opener: OpenerDirector = build_opener(ProxyHandler({}))  # whoever is asked is on this machine or beside it
    try:
        with opener.open(url, timeout=FETCH_S) as answer:
            found = json.loads(answer.read(JWKS_BYTES))
    except (URLError, OSError, ValueError) as reason:
        raise Rejected(f"the client's keys cannot be had at {url}: {reason}") from None
    if not isinstance(found, dict):
        raise Rejected(f"there is no JWKS at {url}")
    return found


def verified(assertion: str, find: Callable[[str], Client | None], token_url: str, now: float) -> Client:
    """The client that an assertion is of, which then cannot be used again. Raises Rejected."""
    header, claims = _read(assertion)
    client = find(claims["iss"]) if isinstance(claims.get("iss"), str) else None
    if client is None:
        raise Rejected("iss is no registered client")
    wrong = {
        "typ is not JWT": header.get("typ") != "JWT",
        f"alg is not one of {', '.join(ALGORITHMS)}": header.get("alg") not in ALGORITHMS,
        "kid is missing": not isinstance(header.get("kid"), str),
        "jku is not the registered one": header.get("jku", client.jwks_url) != client.jwks_url,
        "sub is not iss": claims.get("sub") != claims["iss"],
        f"aud is not {token_url}": claims.get("aud") not in (token_url, [token_url]),
        "jti is missing": not isinstance(claims.get("jti"), str) or not claims["jti"],
        f"exp is not within the next {LONGEST_S} seconds": not _is_between(claims.get("exp"), now - SKEW_S, now + LONGEST_S + SKEW_S),
        "iat is in the future": "iat" in claims and not _is_between(claims["iat"], 0, now + SKEW_S),
        "nbf is in the future": "nbf" in claims and not _is_between(claims["nbf"], 0, now + SKEW_S),
    }
    if reasons := [words for words, holds in wrong.items() if holds]:
        raise Rejected("; ".join(reasons))
    try:
        jwt.decode(assertion, client.key(header["kid"]), algorithms=[header["alg"]])
    except (JoseError, ValueError, TypeError):
        raise Rejected("the signature does not hold") from None
    client.use(claims["jti"], claims["exp"], now)
    return client


def _read(assertion: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Header and claims, before anything of them is believed."""
    try:
        compact = jws.extract_compact(assertion.encode())
        header, claims = compact.headers(), json.loads(compact.payload)
    except (JoseError, ValueError, UnicodeError):
        raise Rejected("client_assertion is no signed JWT") from None
    if not isinstance(claims, dict):
        raise Rejected("client_assertion has no claims")
    return header, claims


def _is_between(moment: Any, low: float, high: float) -> bool:
    return isinstance(moment, int | float) and not isinstance(moment, bool) and low < moment <= high
