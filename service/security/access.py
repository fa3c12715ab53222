"""Who calls: the bearer token of a request as a caller, remembered for five seconds, and what it may do."""

import threading
import time
from collections import OrderedDict
from collections.abc import Callable

from service.errors import NotAllowed, NotAuthenticated, TooMany
from service.security import clients
from service.security.clients import Caller
from service.store.clock import Now, micros
from service.store.database import Database

REMEMBERED = 5.0  # seconds: a token that is revoked works no longer than this
MOST = 10_000


class Gate:
    """Tokens to callers. One for each process."""

    def __init__(self, database: Database, now: Now, *, rate: int = 0, clock: Callable[[], float] = time.monotonic):
        self._database, self._now, self._rate, self._clock = database, now, rate, clock
        self._known: OrderedDict[bytes, tuple[float, Caller]] = OrderedDict()
        self._spent: dict[str, tuple[float, float]] = {}
        self._lock = threading.Lock()

    def caller(self, authorization: str | None) -> Caller:
        """The caller of a request. Raises NotAuthenticated with the challenge that RFC 6750 asks for."""
        scheme, _, given = (authorization or "").partition(" ")
        if scheme.lower() != "bearer" or not given.strip():
            raise NotAuthenticated("A bearer token is needed", headers={"WWW-Authenticate": 'Bearer realm="pathway-fhir"'})
        key = clients.hashed(given.strip())
        known = self._known.get(key)
        if known is None or known[0] < self._clock():
            known = self._looked_up(key)
        self._throttle(known[1].client)
        return known[1]

    def _looked_up(self, key: bytes) -> tuple[float, Caller]:
        with self._database.glance() as connection:
            found = clients.caller(connection, key, micros(self._now()))
        if found is None:
            with self._lock:
                self._known.pop(key, None)
            challenge = 'Bearer realm="pathway-fhir", error="invalid_token", error_description="The token is unknown, expired or revoked"'
            raise NotAuthenticated("The token is unknown, expired or revoked", headers={"WWW-Authenticate": challenge})
        entry = (self._clock() + REMEMBERED, found)
        with self._lock:
            self._known[key] = entry
            while len(self._known) > MOST:
                self._known.popitem(last=False)
        return entry

    def _throttle(self, client: str) -> None:
        """A bucket of one second's requests for each client, filled as time passes."""
        if not self._rate:
            return
        with self._lock:
            now = self._clock()
            left, at = self._spent.get(client, (float(self._rate), now))
            left = min(float(self._rate), left + (now - at) * self._rate)
            self._spent[client] = (left - 1 if left >= 1 else left, now)
        if left < 1:
            raise TooMany("More requests than this client may make in a second", headers={"Retry-After": "1"})


def require(caller: Caller, type_: str, letters: str) -> None:
    """Raises NotAllowed unless the token's scopes allow every one of the letters (of cruds) on the type."""
    lacking = [letter for letter in letters if not caller.scopes.allow(type_, letter)]
    if lacking:
        challenge = f'Bearer realm="pathway-fhir", error="insufficient_scope", scope="system/{type_}.{letters}"'
        raise NotAllowed(f"The token lacks the scope system/{type_}.{letters}", headers={"WWW-Authenticate": challenge})


def require_operator(caller: Caller) -> None:
    if not caller.scopes.operates:
        raise NotAllowed("The token lacks the scope pathway/operate")
