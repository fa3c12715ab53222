"""What lets us in at an EHR, for all threads of a process: one token at a time, and one way to take being kept out.

    401 to a token that it had taken        one new token, and the call once more
    401 to a new token, or to a static one  the EHR is left alone, longer each time it happens: accounts are locked for less
    anything else                           we were let in, and what kept us out is forgotten

While it is left alone nobody asks again, in this process or another: the snooze is on the EHR's own row. What keeps us out is shown
with the EHR.
"""

import threading
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Protocol

from sqlalchemy import Connection

from service.security.secrets import open_sealed
from service.store import access, targets
from service.store.alarms import KEPT_OUT
from service.store.clock import micros
from service.store.targets import Target
from service.sync.auth import SECOND, Token, Tokens
from service.sync.retry import snooze_until
from service.sync.transport import NotLetIn
from service.wiring import Service

SLOWLY = (60, 120, 300, 600, 900)  # seconds for which an EHR that does not let us in is left alone, by how often that was so in a row


class Source(Protocol):
    """Where tokens come from. `renews`: whether a new one is another."""

    renews: bool

    def new(self) -> Token: ...


class Given:
    """A token that somebody gave us, or none."""

    renews = False

    def __init__(self, open_: Callable[[], str] | None):
        self._open = open_

    def new(self) -> Token:
        return Token({"Authorization": f"Bearer {self._open()}"}) if self._open is not None else Token()


def source(service: Service, target: Target) -> Source:
    auth = target.settings.get("auth") or {}
    if auth.get("type") == "smart":
        return Tokens(service, target)
    return Given((lambda: open_sealed(service.tenant, auth["token"], target.id)) if auth.get("type") == "bearer" else None)


class Access:
    """What lets us in at one EHR. One that is not `kept` is of an EHR that is only being added."""

    def __init__(self, service: Service, target: Target, *, kept: bool = True):
        self._service, self._id, self._kept, self._source = service, target.id, kept, source(service, target)
        self._lock = threading.Lock()
        self._token: Token | None = None
        self._taken = False  # the EHR has taken it
        self._out: NotLetIn | None = None

    def headers(self) -> Mapping[str, str]:
        """The headers that let us in. Raises NotLetIn."""
        with self._lock:
            return self._current().headers

    def answered(self, headers: Mapping[str, str], status: int, *, again: bool = True) -> Mapping[str, str] | None:
        """Takes note of what was answered to a call with these headers. Returns those with which to try `again`, once. Raises NotLetIn."""
        if status != 401:
            self._let_in(headers)
            return None
        with self._lock:
            if self._token is None and self._out is not None:  # another thread was kept out
                raise self._out.again()
            if self._token is not None and self._token.headers != headers:  # another thread has a new one
                return self._token.headers if again else None
            if self._taken and not again:
                return None  # others are let in with it: it is what was called
            taken, self._token, self._taken = self._taken, None, False
            if taken and self._source.renews:
                return self._current().headers
            self._kept_out(NotLetIn("It does not accept our token (401)", 401))
            return None

    def _current(self) -> Token:
        now = self._now()
        if self._token is None or now >= self._token.until:
            self._stay_out(now)
            try:
                self._token, self._taken = self._source.new(), False
            except NotLetIn as error:
                self._keep_out(error)
                raise
            if self._source.renews:
                self._note(lambda before: replace(before, granted=self._token.granted if self._token else None))
        return self._token

    def _let_in(self, headers: Mapping[str, str]) -> None:
        if self._taken or self._token is None or self._token.headers != headers:
            return
        with self._lock:
            self._taken = True
            self._note(lambda before: replace(before, problem=None, failures=0))

    def _kept_out(self, error: NotLetIn) -> None:
        """The first time in a row it may be what was called, and counts as an attempt of that; from then on it is the EHR that keeps us out."""
        if self._keep_out(error) > 1:
            raise error

    def _keep_out(self, error: NotLetIn) -> int:
        """Leaves the EHR alone for a while. Returns how often in a row that is so."""
        self._out, now = error, self._now()
        if not self._kept:
            return 1

        def work(tx: Connection) -> int:
            before = access.get(tx, self._id)
            access.note(tx, self._id, replace(before, problem=error.words, failures=before.failures + 1), now)
            targets.fared(tx, self._id, snoozed_until=_until(error, now, before.failures))
            return before.failures + 1

        failures = self._service.database.write(work)
        log = self._service.log.error if failures >= KEPT_OUT else self._service.log.warning
        log("not_let_in", ehr=self._id, status=error.status, failures=failures)
        return failures

    def _stay_out(self, now: int) -> None:
        """Raises NotLetIn while the EHR is left alone; an operator may end that before its time."""
        if self._out is None:
            return
        with self._service.database.glance() as connection:
            found = targets.get(connection, self._id)
        if found is not None and found.snoozed_until > now:
            raise self._out.again()
        self._out = None

    def _note(self, change: Callable[[access.Access], access.Access]) -> None:
        if not self._kept:
            return
        with self._service.database.glance() as connection:
            before = access.get(connection, self._id)
        if change(before) != before:
            now = self._now()
            self._service.database.write(lambda tx: access.note(tx, self._id, change(access.get(tx, self._id)), now))

    def _now(self) -> int:
        return micros(self._service.tenant.now())


def _until(error: NotLetIn, now: int, failures: int) -> int:
    if error.asked:
        return snooze_until(now, error.retry_after, 0)
    if error.soon:
        return snooze_until(now, None, failures)
    return now + SLOWLY[min(failures, len(SLOWLY) - 1)] * SECOND


class Accesses:
    """What lets us in at each EHR, for all threads of a process."""

    def __init__(self, service: Service):
        self._service, self._lock = service, threading.Lock()
        self._kept: dict[tuple[str, str, str], Access] = {}

    def of(self, target: Target) -> Access:
        key = (target.id, target.base_url, str(target.settings))
        with self._lock:
            if key not in self._kept:
                self._kept[key] = Access(self._service, target)
            return self._kept[key]
