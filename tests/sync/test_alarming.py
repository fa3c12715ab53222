"""Somebody is told once that something is wrong at an EHR, by whichever worker is the first, and again only when it was well or it is time."""

import hmac
import json
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from service.config import WrongSetting, load
from service.store import targets
from service.store.alarms import WELL_FOR
from service.sync.alarming import Alarming, look
from service.sync.worker import Worker
from service.wiring import Service
from tests.conftest import SECRET, Clock, Http
from tests.service.records import dosing, people, put
from tests.sync.conftest import Connect, deliveries
from tests.sync.small import Small

Work = Callable[[], int]


@dataclass
class Listener:
    """Who is told. It answers as a test says."""

    url: str = ""
    heard: list[dict[str, Any]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    answer: int = 204


@pytest.fixture
def listener() -> Iterator[Listener]:
    made = Listener()

    class Handler(BaseHTTPRequestHandler):
        disable_nagle_algorithm = True  # sic: head and body go one by one, and the second would wait 40 ms for the first to be heard of
        def log_message(self, *_: Any) -> None:
            pass

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            made.heard.append(json.loads(body))
            made.bodies.append(body)
            made.headers.append(dict(self.headers.items()))
            self.send_response(made.answer)
            self.send_header("Content-Length", "0")
            self.end_headers()

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    made.url = f"http://127.0.0.1:{server.server_port}/hook"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield made
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def told(service: Service, listener: Listener) -> Service:
    """The service, with somebody to tell."""
    more = {"alarm_url": listener.url, "alarm_secret": SECRET, "alarm_repeat_seconds": 7200}
    return replace(service, settings=replace(service.settings, **more))


@pytest.fixture
def parked(clinic: Http, ehr: Small, connect: Connect, work: Work) -> Http:
    """An EHR that refuses every Encounter."""
    connect("their", ehr.base, 1)
    people(clinic)
    put(clinic, "dosing-encounters", dosing())
    ehr.answers = lambda method, path: (422, {}) if (method, path.split("?")[0]) == ("POST", "/Encounter") else None
    work()
    assert deliveries(clinic, state="parked")
    return clinic


def test_what_is_parked_is_told_once_and_signed(told: Service, parked: Http, listener: Listener) -> None:
    assert (look(told), look(told)) == (1, 0)
    [said], [headers], [body] = listener.heard, listener.headers, listener.bodies
    assert (said["ehr"], said["reason"], said["figure"], said["again"]) == ("their", "parked", len(deliveries(parked, state="parked")), False)
    signature = hmac.new(SECRET.encode(), headers["X-Pathway-Timestamp"].encode() + b"." + body, sha256).hexdigest()
    assert headers["X-Pathway-Signature"] == f"sha256={signature}" and headers["Content-Type"] == "application/json"
    assert said.keys() == {"id", "ehr", "reason", "figure", "since", "at", "again"} and b"ann" not in body and b"Encounter" not in body


def test_it_is_told_again_when_it_is_time(told: Service, parked: Http, listener: Listener, clock: Clock) -> None:
    look(told)
    clock.forward(seconds=7100)
    assert look(told) == 0
    clock.forward(seconds=101)
    assert look(told) >= 1
    first, again = (one for one in listener.heard if one["reason"] == "parked")
    assert (again["id"], again["again"], again["since"]) == (first["id"], True, first["since"]) and not first["again"]


def test_it_is_told_anew_when_it_was_well_for_a_while(told: Service, parked: Http, listener: Listener, clock: Clock) -> None:
    def replayed() -> None:
        for one in deliveries(parked, state="parked"):
            parked.post(f"/api/v1/deliveries/{one['id']}/replay")

    look(told)
    replayed()
    assert look(told) == 0
    Worker(told).run(until_idle=True)  # refused again, a moment later
    assert look(told) == 0 and len(listener.heard) == 1
    replayed()
    look(told)
    clock.forward(seconds=WELL_FOR / 1_000_000)
    look(told)
    Worker(told).run(until_idle=True)
    assert look(told) == 1
    assert [one["again"] for one in listener.heard] == [False, False] and len({one["id"] for one in listener.heard}) == 2


def test_what_waits_for_too_long_is_stuck_and_an_ehr_that_fails_is_failing(told: Service, clinic: Http, ehr: Small, connect: Connect, listener: Listener, clock: Clock) -> None:
    connect("their", ehr.base, 1)
    people(clinic)
    told.database.write(lambda tx: targets.change(tx, "their", failures=7))
    clock.forward(seconds=899)
    look(told)
    clock.forward(seconds=2)
    look(told)
    assert [(one["reason"], one["figure"]) for one in listener.heard] == [("failing", 7), ("stuck", 901)]


@pytest.mark.parametrize("answer", [500, 302, 404])
def test_who_does_not_hear_is_told_again_later(told: Service, parked: Http, listener: Listener, clock: Clock, answer: int) -> None:
    listener.answer = answer
    assert (look(told), look(told)) == (0, 0) and len(listener.heard) == 1
    clock.forward(seconds=31)
    look(told)
    clock.forward(seconds=31)
    look(told)
    assert len(listener.heard) == 2  # twice as late each time
    listener.answer = 200
    clock.forward(seconds=30)
    assert look(told) == 1 and [one["again"] for one in listener.heard] == [False] * 3


def test_a_worker_that_is_killed_while_it_tells_leaves_it_to_another(told: Service, parked: Http, listener: Listener, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    def killed(*_: Any) -> str:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr("service.sync.alarming._called", killed)
        look(told)
    assert look(told) == 0
    clock.forward(seconds=61)
    assert look(told) == 1


def test_several_workers_tell_it_once(told: Service, parked: Http, listener: Listener) -> None:
    with ThreadPoolExecutor(6) as pool:
        assert sum(pool.map(lambda _: look(told), range(6))) == 1
    assert len(listener.heard) == 1


def test_a_worker_looks_by_itself(told: Service, parked: Http, listener: Listener) -> None:
    Worker(told).run(until_idle=True)
    assert [one["reason"] for one in listener.heard] == ["parked"]


def test_nobody_is_told_where_nobody_is_named_or_nothing_is_wrong(told: Service, service: Service, clinic: Http, listener: Listener) -> None:
    assert look(told) == 0 and listener.heard == []
    alarming = Alarming(service)
    alarming.begin()
    assert alarming._at == 0.0  # it never looked


def test_metrics_say_what_is_wrong_now(parked: Http, clock: Clock) -> None:
    many = len(deliveries(parked, state="parked"))
    assert f'pathway_fhir_alarm{{ehr="their",state="parked"}} {many}.0' in parked.get("/metrics").body.decode()


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"alarm_url": "https://alarms.example.org"}, "ALARM_SECRET: is needed"),
        ({"alarm_url": "http://alarms.example.org", "alarm_secret": SECRET}, "ALARM_URL: should begin with https"),
        ({"alarm_secret": "short"}, "at least 32"),
    ],
)
def test_alarms_are_encrypted_and_signed(given: dict[str, str], said: str) -> None:
    with pytest.raises(WrongSetting, match=said):
        load(**given)
