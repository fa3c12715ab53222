"""SMART Backend Services on an EHR's side: who may ask for a token, what a token is good for, and for how long.

    curl -X PUT -d '{"clients": [{"id": "pathway", "jwksUrl": "http://127.0.0.1:8000/.well-known/jwks.json"}], "expiresIn": 60}' \\
        localhost:8001/_sandbox/epic/smart
    curl -X PATCH -d '{"expiresIn": "300"}' localhost:8001/_sandbox/epic/smart    # the rest stays as it is
    curl localhost:8001/_sandbox/epic/smart                  # the same, with how many tokens were issued, refused and are good now
    curl -X DELETE localhost:8001/_sandbox/epic/tokens       # all tokens are revoked: the next call is 401
    curl -X DELETE localhost:8001/_sandbox/epic/smart        # off: no token is asked for

The token endpoint is `auth/token` below the FHIR base, and `.well-known/smart-configuration` says so. A client has its keys as `jwks` or at
`jwksUrl`, and may have a `scope`, the most that it is granted. `expiresIn` is told as it is: a number, a text, 0, or null for nothing at
all; a token is good for `livesFor` seconds, else for as long as was told, else for 300. Faults at `"path": "auth/token"` are 429 and the like.
"""

import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl

from sandbox import fhir_json
from sandbox.assertions import ALGORITHMS, Client, Rejected, verified
from sandbox.options import OBJECT, TEXT, Malformed, Option, Problem, is_number, number, problems_in
from sandbox.scopes import granted, parsed
from sandbox.wire import Answer, Request

ASSERTION = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
CONFIGURATION, TOKEN = [".well-known", "smart-configuration"], ["auth", "token"]
LIFE_S = 300
OPTIONS = {
    "clients": Option("a list of clients", lambda value: isinstance(value, list) and bool(value)).always(),
    "expiresIn": Option("a number, a text or null", lambda value: value is None or is_number(value) or isinstance(value, str), default=LIFE_S),
    "livesFor": number("a number of seconds", 0, 86_400),
}
SCOPE = Option("scopes such as system/*.rs, with spaces between them", lambda value: isinstance(value, str) and all(map(parsed, value.split())))
URL = Option("an http URL", lambda value: isinstance(value, str) and value.startswith(("http://", "https://")))
CLIENT = {"id": TEXT.always(), "jwks": OBJECT, "jwksUrl": URL, "scope": SCOPE}


@dataclass(frozen=True, slots=True)
class Grant:
    """What a token lets its bearer do."""

    client: str
    scopes: tuple[str, ...]
    ends: float


class OAuthError(Exception):
    """RFC 6749 5.2."""

    def __init__(self, error: str, words: str, status: int = 400) -> None:
        super().__init__(words)
        self.error, self.words, self.status = error, words, status


class Smart:
    def __init__(self, given: Mapping[str, Any] | None = None) -> None:
        """Off, where nothing is given. Raises Malformed."""
        self._at_start = given
        self._clients: dict[str, Client] = {}
        self._given: dict[str, Any] = {}
        self._tokens: dict[str, Grant] = {}
        self.restart()

    def restart(self) -> None:
        """As it was at the start, with no token issued."""
        self._issued = self._refused = 0
        self.turn_off()
        if self._at_start is not None:
            self.set(self._at_start)

    @property
    def on(self) -> bool:
        return bool(self._clients)

    def set(self, given: Any) -> None:
        """Registers clients in place of those that there were. Raises Malformed, and then changes nothing."""
        if problems := _problems(given):
            raise Malformed(problems)
        self._clients = {one["id"]: self._client(one) for one in given["clients"]}
        self._given = {"expiresIn": LIFE_S, **given}

    def change(self, given: Any) -> None:
        """Sets some of it and leaves the rest as it is. Raises Malformed, and then changes nothing."""
        self.set({**self._given, **given} if isinstance(given, dict) else given)

    def _client(self, one: Mapping[str, Any]) -> Client:
        known = self._clients.get(one["id"])
        scope = one["scope"].split() if "scope" in one else None
        return Client(one["id"], one.get("jwks"), one.get("jwksUrl"), scope, used=dict(known.used) if known else {})

    def turn_off(self) -> None:
        self._clients, self._given = {}, {}
        self.revoke()

    def revoke(self) -> None:
        self._tokens = {}

    def told(self, base: str) -> dict[str, Any]:
        now = time.time()
        counts = {"issued": self._issued, "refused": self._refused, "active": sum(grant.ends > now for grant in list(self._tokens.values()))}
        where = {"tokenEndpoint": token_url(base)} if self.on else {}
        return {"on": self.on, **where, **self._given, **counts, "jwksFetches": sum(client.fetches for client in self._clients.values())}

    def grant(self, token: str) -> Grant | None:
        """What a token is good for now."""
        found = self._tokens.get(token)
        return found if found is not None and found.ends > time.time() else None

    def answer(self, request: Request, parts: list[str], base: str) -> Answer | None:
        """The answer to what is asked before there is a token; None for everything else."""
        if not self.on or parts not in (CONFIGURATION, TOKEN):
            return None
        if request.method != ("GET" if parts == CONFIGURATION else "POST"):
            return Answer(405, headers={"Allow": "GET" if parts == CONFIGURATION else "POST"})
        if parts == CONFIGURATION:
            return _json(200, configuration(base))
        try:
            return _json(200, self._issue(request, token_url(base)))
        except OAuthError as reason:
            self._refused += 1
            return _json(reason.status, {"error": reason.error, "error_description": reason.words})

    def _issue(self, request: Request, url: str) -> dict[str, Any]:
        """A token as it is told. Raises OAuthError."""
        asked = dict(parse_qsl(request.body.decode("utf-8", "replace")))
        if (request.header("Content-Type") or "").partition(";")[0].strip().lower() != "application/x-www-form-urlencoded":
            raise OAuthError("invalid_request", "a token is asked for in application/x-www-form-urlencoded")
        if asked.get("grant_type") != "client_credentials":
            raise OAuthError("unsupported_grant_type", "grant_type is not client_credentials")
        if asked.get("client_assertion_type") != ASSERTION:
            raise OAuthError("invalid_request", f"client_assertion_type is not {ASSERTION}")
        try:
            client = verified(asked.get("client_assertion", ""), self._clients.get, url, time.time())
        except Rejected as reason:
            raise OAuthError("invalid_client", str(reason)) from None
        scopes = granted(asked.get("scope", "").split(), client.scope)
        if not scopes:
            raise OAuthError("invalid_scope", "there is no scope that this client may have")
        token = secrets.token_urlsafe(32)
        self._tokens[token] = Grant(client.id, tuple(scopes), time.time() + self._life_s)
        self._issued += 1
        told = self._given["expiresIn"]
        return {"access_token": token, "token_type": "bearer", "scope": " ".join(scopes)} | ({} if told is None else {"expires_in": told})

    @property
    def _life_s(self) -> float:
        told = self._given["expiresIn"]
        return float(self._given.get("livesFor", told if is_number(told) and told > 0 else LIFE_S))


def token_url(base: str) -> str:
    return "/".join([base, *TOKEN])


def configuration(base: str) -> dict[str, Any]:
    """GET [base]/.well-known/smart-configuration (App Launch 2.0, section 4.0.4)."""
    return {
        "token_endpoint": token_url(base),
        "token_endpoint_auth_methods_supported": ["private_key_jwt"],
        "token_endpoint_auth_signing_alg_values_supported": list(ALGORITHMS),
        "grant_types_supported": ["client_credentials"],
        "scopes_supported": ["system/*.cruds", "system/*.rs"],
        "capabilities": ["client-confidential-asymmetric", "permission-v1", "permission-v2"],
    }


def _problems(given: Any) -> list[Problem]:
    if problems := problems_in(given, OPTIONS):
        return problems
    found = []
    for number_, one in enumerate(given["clients"]):
        at = f"/clients/{number_}"
        wrong = problems_in(one, CLIENT, at)
        found += wrong or ([] if ("jwks" in one) != ("jwksUrl" in one) else [(at, "has to have either jwks or jwksUrl")])
    return found


def _json(status: int, value: Any) -> Answer:
    return Answer(status, fhir_json.write(value), {"Content-Type": "application/json", "Cache-Control": "no-store", "Pragma": "no-cache"})
