"""Telling somebody, by a webhook, that something is parked, stuck or failing at an EHR, or that it keeps us out: signed, and with nothing of a patient in it.

    POST {"id", "ehr", "reason", "figure", "since", "at", "again"}
    X-Pathway-Timestamp: 1775034000
    X-Pathway-Signature: sha256=HMAC-SHA256(secret, timestamp "." body), in hexadecimal digits

`reason` is parked (`figure` deliveries need a person), stuck (the oldest has waited `figure` seconds), failing (`figure` failures in
a row) or keeps out (`figure` times in a row it did not let us in). An answer of 2xx is a success; all else is told again later. `id`
is the same for an alarm however often it is told.
"""

import hmac
import time
from hashlib import sha256

from sqlalchemy import Connection

from service.config import Settings
from service.renderings import instant
from service.store import alarms
from service.store.alarms import Alarm
from service.store.clock import micros
from service.sync.beside import Beside
from service.sync.transport import Interrupted, Line, NotReached
from service.wire import encode
from service.wiring import Service

EVERY = 10.0  # seconds between looks
SECONDS = 10.0  # for one call


class Alarming:
    """Looks and tells, on a thread of its own: whoever is told may be slow to listen."""

    def __init__(self, service: Service, every: float = EVERY):
        self._service, self._every, self._at = service, every, 0.0
        self._looking = Beside(service, "alarms", lambda: look(service))

    def begin(self) -> None:
        """Looks if it is time to, and nothing is being told."""
        if self._service.settings.alarm_url is not None and time.monotonic() >= self._at and not self._looking.under_way:
            self._at = time.monotonic() + self._every
            self._looking.begin()

    def end(self) -> None:
        self._looking.end()


def look(service: Service) -> int:
    """Sees what is wrong and tells what is to be told. Returns how many alarms were told."""
    settings, now = service.settings, micros(service.tenant.now())
    with service.database.glance() as connection:
        found = alarms.conditions(connection, now, int(settings.alarm_stuck_seconds * alarms.SECOND))
        if not found and not alarms.known(connection):
            return 0

    def begun(tx: Connection) -> list[Alarm]:
        alarms.note(tx, found, now)
        return alarms.take(tx, now, settings.alarm_repeat_seconds * alarms.SECOND)

    due = service.database.write(begun)
    return sum(_tell(service, one, now) for one in due)


def _tell(service: Service, one: Alarm, now: int) -> bool:
    problem = _called(service.settings, one, now)
    if problem:
        service.log.warning("alarm_not_told", ehr=one.target, reason=one.reason, problem=problem)
        service.database.write(lambda tx: alarms.not_told(tx, one, now))
    else:
        service.log.warning("alarm", ehr=one.target, reason=one.reason, figure=one.figure)
        service.database.write(lambda tx: alarms.told(tx, one, now))
    return not problem


def _called(settings: Settings, one: Alarm, now: int) -> str:
    """What kept us from telling; empty where it was heard."""
    line = Line(private=settings.outbound_private, seconds=SECONDS)
    body = said(one, now)
    assert settings.alarm_url is not None and settings.alarm_secret is not None
    headers = {"Content-Type": "application/json", "Accept": "*/*", **signed(settings.alarm_secret, body, now)}
    try:
        status = line.call("POST", settings.alarm_url, headers, body).status
    except (NotReached, Interrupted) as error:
        return str(error)
    finally:
        line.close()
    return "" if 200 <= status < 300 else f"answered with {status}"


def said(one: Alarm, now: int) -> bytes:
    names = f"{one.target}/{one.reason}/{one.since}"
    return encode({
        "id": sha256(names.encode()).hexdigest()[:32], "ehr": one.target, "reason": one.reason, "figure": one.figure,
        "since": instant(one.since), "at": instant(now), "again": one.again,
    })  # fmt: skip


def signed(secret: str, body: bytes, now: int) -> dict[str, str]:
    at = str(now // alarms.SECOND)
    return {"X-Pathway-Timestamp": at, "X-Pathway-Signature": f"sha256={hmac.new(secret.encode(), f'{at}.'.encode() + body, sha256).hexdigest()}"}
