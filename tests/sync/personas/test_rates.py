"""An EHR that asks for patience, in whatever words: it is left alone, as a whole, and nothing counts as an attempt (R1 to R5)."""

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest

from service.security import keys
from service.store import signing_keys, targets
from service.store.clock import micros
from service.sync import ehrs
from service.sync.looking import Looking
from service.sync.outcomes import Reply, Retry, judged
from service.wiring import Service
from tests.conftest import Clock, Http
from tests.service.records import patient, put
from tests.sync.conftest import Connect, Sandbox, deliveries, states
from tests.sync.personas.conftest import Work

Json = dict[str, Any]
RATES = [
    ('"requests";r=0;t=30, "fhirInteractions";r=900;t=60', "30"), ('"requests";r=0;t=30, "fhirInteractions";r=0;t=45', "45"),
    ('"requests";r=12;t=30', None), ('"requests"', None), ("limit=100, remaining=0, reset=30", None), ("", None), ('"a";r=0', None), ('"a";t=5', None),
]  # fmt: skip


@pytest.fixture
def plain(visit: Http, connect: Connect, sandbox: Sandbox, work: Work) -> Http:
    """The visit, at an EHR, with a change that is owed to it."""
    connect("plain", sandbox.url("plain"))
    work()
    put(visit, "patients", patient(gender="other"))
    return visit


def is_left_alone(clinic: Http, sandbox: Sandbox, work: Work, clock: Clock, seconds: float) -> bool:
    """Whether the EHR is asked nothing for so long, and then everything is sent at the first attempt."""
    work()
    many = len(sandbox.log("plain"))
    assert {one["attempts"] for one in deliveries(clinic, state="waiting")} == {0}
    clock.forward(seconds=seconds - 0.05)
    work()
    assert len(sandbox.log("plain")) == many
    clock.forward(seconds=0.1)
    work()
    return states(clinic)["waiting"] == 0 and [one["gender"] for one in sandbox.all("plain", "Patient")] == ["other"]


@pytest.mark.parametrize(("header", "seconds"), RATES)
def test_a_rate_of_which_nothing_is_left_says_when_to_come_again(header: str, seconds: str | None) -> None:
    """R1: Medplum tells by `RateLimit` what is left (r) and until when (t): read where it refuses, and where Retry-After does not say."""
    assert judged(Reply(429, {"RateLimit": header}, b""), updating=True) == Retry("transient", "The EHR asks us to wait", 429, seconds, snoozes=True)
    both = judged(Reply(429, {"RateLimit": header, "Retry-After": "7"}, b""), updating=True)
    assert isinstance(both, Retry) and both.retry_after == "7"


def test_a_rate_is_obeyed_when_it_is_used_up(plain: Http, sandbox: Sandbox, work: Work, clock: Clock) -> None:
    """R1: until then it is no reason to wait: whoever sends as fast as is allowed is told so in time."""
    sandbox.fault("plain", "status", status=429, headers={"RateLimit": '"requests";r=0;t=25'}, times=1)
    assert is_left_alone(plain, sandbox, work, clock, 25)


@pytest.mark.parametrize(("said", "seconds"), [("7", 7), ("2.5", 2.5), ("date", 40), ("a past date", 1), ("18000", 300), ("soon", 10)])
def test_retry_after_is_seconds_parts_of_them_or_a_date(plain: Http, sandbox: Sandbox, work: Work, clock: Clock, said: str, seconds: float) -> None:
    """R2: within a second and five minutes, whatever it says."""
    dates = {"date": 40, "a past date": -400}
    asks = format_datetime(clock() + timedelta(seconds=dates[said]), usegmt=True) if said in dates else said
    sandbox.fault("plain", "status", status=429, retryAfter=asks, times=1)
    assert is_left_alone(plain, sandbox, work, clock, seconds)


def test_a_429_without_a_header_is_ten_seconds(plain: Http, sandbox: Sandbox, work: Work, clock: Clock) -> None:
    """R3: as long as the breaker first stays open."""
    sandbox.fault("plain", "status", status=429, times=1)
    assert is_left_alone(plain, sandbox, work, clock, 10)


@pytest.mark.parametrize(("header", "seconds"), [("3", 3), (None, 10)])
def test_a_503_is_a_429(plain: Http, sandbox: Sandbox, work: Work, clock: Clock, header: str | None, seconds: float) -> None:
    """R4: an EHR that is not available asks for patience too."""
    sandbox.fault("plain", "status", status=503, times=1, **({"retryAfter": header} if header else {}))
    assert is_left_alone(plain, sandbox, work, clock, seconds)


def test_whoever_reads_waits_too_and_has_the_workers_wait(plain: Http, sandbox: Sandbox, service: Service, clock: Clock) -> None:
    """R2, R3: what is asked of a reconciliation or a pull holds for everybody."""
    waited: list[float] = []

    def rest(seconds: float) -> None:
        waited.append(round(seconds, 1))
        clock.forward(seconds=seconds)

    with service.database.glance() as connection:
        target = targets.get(connection, "plain")
    assert target is not None
    talk, line = ehrs.rest(service, target)
    sandbox.fault("plain", "status", status=429, retryAfter="30", times=1)
    sandbox.fault("plain", "status", status=429, times=1)
    assert Looking(service, target, talk, rest=rest).get("/Patient").status == 200
    line.close()
    with service.database.glance() as connection:
        now = targets.get(connection, "plain")
    assert now is not None and waited == [30.0, 20.0] and now.snoozed_until == micros(clock())


@pytest.mark.parametrize(("status", "header", "seconds"), [(429, "40", 40), (429, None, 10), (503, "40", 40)])
def test_a_token_endpoint_asks_for_patience_too(
    visit: Http, connect: Connect, sandbox: Sandbox, service: Service, work: Work, clock: Clock, status: int, header: str | None, seconds: int
) -> None:
    """R5: the EHR is left alone as its token endpoint asks."""
    clock.at = datetime.now(UTC) - timedelta(seconds=60)
    made, base = keys.made(service.tenant, "ES384", None, micros(clock())), sandbox.url("plain")
    service.database.write(lambda tx: signing_keys.add(tx, made))
    sandbox.smart("plain", clients=[{"id": "pathway", "jwks": {"keys": [made.public]}}])
    sandbox.fault("plain", "status", status=status, path="auth/token", times=1, **({"retryAfter": header} if header else {}))
    connect("plain", base, auth={"type": "smart", "client_id": "pathway", "token_url": f"{base}/auth/token", "origin": sandbox.origin, "discovered": True,
                                 "alg": "ES384", "scope": "system/*.cruds"})  # fmt: skip
    work()
    many = len(sandbox.log("plain"))
    clock.forward(seconds=seconds - 0.05)
    assert work() == 0 and len(sandbox.log("plain")) == many
    clock.forward(seconds=0.1)
    work()
    assert set(states(visit)) <= {"delivered", "superseded"} and {one["attempts"] for one in deliveries(visit, state="delivered")} == {1}
