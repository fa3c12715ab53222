"""Faults of single requests: answers that are late, otherwise, cut, or missing, of what was carried out and of what was not."""

import socket
import time
from collections.abc import Callable
from contextlib import suppress
from email.utils import parsedate_to_datetime
from threading import Thread
from urllib.parse import urlsplit

import pytest
import requests

from tests.sandbox.client import Client, Fhir, issues, name
from tests.sandbox.samples import identify, least

SetFault = Callable[..., str]
PATIENT = {"resourceType": "Patient"}


@pytest.fixture
def observation(about: str) -> Fhir:
    return least("Observation", about)


def there(plain: Client, resource: Fhir) -> int:
    """How many the EHR holds of a resource with an identifier."""
    return len(plain.found("Observation", identifier=resource["identifier"][0]["value"]))


class TestLatency:
    def test_an_answer_comes_later(self, plain: Client, fault: SetFault) -> None:
        fault("latency", seconds=0.3, path="metadata")
        began = time.perf_counter()
        assert plain.get("metadata").status_code == 200
        assert time.perf_counter() - began >= 0.3

    def test_whoever_waits_goes_on_when_the_fault_is_taken_away(self, origin: str, plain: Client, fault: SetFault) -> None:
        one = fault("latency", seconds=30, path="metadata")
        waiting = Thread(target=requests.get, args=(f"{plain.base}/metadata",), kwargs={"timeout": 10})
        waiting.start()
        time.sleep(0.2)
        assert waiting.is_alive()
        requests.delete(f"{origin}/_sandbox/faults/{one}", timeout=5)
        waiting.join(5)
        assert not waiting.is_alive()


class TestStatus:
    @pytest.mark.parametrize(
        ("status", "code"),
        [(401, "login"), (403, "forbidden"), (409, "conflict"), (429, "throttled"), (500, "transient"), (503, "transient"), (599, "transient")],
    )
    def test_any_is_answered_with_an_outcome_and_nothing_is_carried_out(
        self, plain: Client, observation: Fhir, fault: SetFault, status: int, code: str
    ) -> None:
        fault("status", status=status, method="POST")
        answer = plain.post("Observation", observation)
        assert (answer.status_code, issues(answer)) == (status, [(code, None)])
        assert there(plain, observation) == 0

    @pytest.mark.parametrize("retry_after", ["2", "0.5", "Wed, 21 Oct 2015 07:28:00 GMT", "-1", "soon", "999999999", 18000, 0.25])
    def test_retry_after_is_whatever_was_asked_for(self, plain: Client, fault: SetFault, retry_after: str | float) -> None:
        fault("status", status=429, retryAfter=retry_after)
        assert plain.get("metadata").headers["Retry-After"] == str(retry_after)

    def test_without_one_there_is_none(self, plain: Client, fault: SetFault) -> None:
        fault("status", status=429)
        assert "Retry-After" not in plain.get("metadata").headers

    def test_the_body_may_be_no_json_and_other_headers_be_there(self, plain: Client, fault: SetFault) -> None:
        fault("status", status=502, body="<h1>Bad Gateway</h1>", contentType="text/html", headers={"X-Cache": "miss", "Location": "http://other.example/"})
        answer = plain.get("metadata")
        assert (answer.text, answer.headers["Content-Type"], answer.headers["X-Cache"]) == ("<h1>Bad Gateway</h1>", "text/html", "miss")
        fault("status", status=500)

    def test_it_may_be_one_without_a_body_or_a_redirect(self, plain: Client, fault: SetFault) -> None:
        fault("status", status=204, times=1)
        fault("status", status=307, headers={"Location": "http://elsewhere.example/"})
        assert (plain.get("metadata").status_code, plain.session.get(f"{plain.base}/metadata", allow_redirects=False).status_code) == (204, 307)
        answer = plain.session.get(f"{plain.base}/metadata", allow_redirects=False)
        assert (answer.status_code, answer.headers["Location"]) == (307, "http://elsewhere.example/")

    def test_the_body_may_be_some_other_json(self, plain: Client, fault: SetFault) -> None:
        fault("status", status=401, body={"error": "invalid_client"})
        answer = plain.get("metadata")
        assert (answer.json(), answer.headers["Content-Type"]) == ({"error": "invalid_client"}, "application/json")

    def test_after_it_was_carried_out_the_resource_is_there_whatever_the_status_says(self, plain: Client, observation: Fhir, fault: SetFault) -> None:
        fault("status", status=503, after=True, method="POST")
        assert plain.post("Observation", observation).status_code == 503
        assert there(plain, observation) == 1


class TestReset:
    @pytest.mark.parametrize(("when", "held"), [({}, 0), ({"when": "before"}, 0), ({"when": "after"}, 1)])
    def test_ends_the_connection_before_or_after_it_was_carried_out(
        self, plain: Client, observation: Fhir, fault: SetFault, when: dict[str, str], held: int
    ) -> None:
        fault("reset", method="POST", **when)
        with pytest.raises(requests.ConnectionError, match="reset"):
            plain.post("Observation", observation)
        assert there(plain, observation) == held

    def test_is_a_reset_and_not_an_end(self, origin: str, fault: SetFault) -> None:
        fault("reset")
        with socket.create_connection((urlsplit(origin).hostname, urlsplit(origin).port), timeout=5) as line:
            line.sendall(b"GET /fhir/r4/metadata HTTP/1.1\r\nHost: sandbox\r\n\r\n")
            with pytest.raises(ConnectionResetError):
                line.recv(1)

    def test_leaves_the_log_a_request_without_a_status(self, origin: str, plain: Client, fault: SetFault) -> None:
        fault("reset", times=1)
        with pytest.raises(requests.ConnectionError):
            plain.get("metadata")
        [seen] = plain.get(f"{origin}/_sandbox/log?limit=1").json()
        assert (seen["path"], seen["status"], seen["faults"]) == ("/fhir/r4/metadata", None, ["reset"])


class TestHalf:
    def test_an_answer_ends_within_its_body(self, plain: Client, observation: Fhir, fault: SetFault) -> None:
        fault("half", method="POST")
        with pytest.raises(requests.exceptions.ChunkedEncodingError, match="IncompleteRead"):
            plain.post("Observation", observation)
        assert there(plain, observation) == 1

    def test_its_head_is_whole_and_promises_a_whole_body(self, plain: Client, patient: Fhir, fault: SetFault) -> None:
        whole = plain.get(name(patient))
        fault("half")
        cut = plain.session.get(f"{plain.base}/{name(patient)}", stream=True)
        assert cut.headers["Content-Length"] == whole.headers["Content-Length"] == str(len(whole.content))
        assert (cut.status_code, cut.headers["ETag"], cut.headers["Content-Type"]) == (200, whole.headers["ETag"], whole.headers["Content-Type"])
        assert parsedate_to_datetime(cut.headers["Date"])
        assert cut.raw.read1(len(whole.content)) == whole.content[: len(whole.content) // 2]
        cut.close()


class TestDrip:
    @pytest.mark.parametrize("part", ["head", "body"])
    def test_a_read_timeout_never_comes_to_its_end(self, plain: Client, patient: Fhir, fault: SetFault, part: str) -> None:
        fault("drip", seconds=0.001, part=part)
        began = time.perf_counter()
        answer = plain.session.get(f"{plain.base}/{name(patient)}", timeout=0.2)
        assert answer.json() == patient
        assert time.perf_counter() - began > 0.1

    def test_what_is_left_comes_at_once_when_the_fault_is_taken_away(self, origin: str, plain: Client, patient: Fhir, fault: SetFault) -> None:
        one = fault("drip", seconds=30)
        answer = plain.session.get(f"{plain.base}/{name(patient)}", stream=True, timeout=5)
        requests.delete(f"{origin}/_sandbox/faults/{one}", timeout=5)
        assert answer.json() == patient


class TestHang:
    @pytest.mark.parametrize(("when", "held"), [("before", 0), ("after", 1)])
    def test_nothing_is_answered_and_it_was_carried_out_or_not(self, plain: Client, observation: Fhir, fault: SetFault, when: str, held: int) -> None:
        fault("hang", seconds=0.3, when=when, method="POST")
        began = time.perf_counter()
        with pytest.raises(requests.ConnectionError, match="Remote end closed connection without response"):
            plain.post("Observation", observation)
        assert time.perf_counter() - began >= 0.3
        assert there(plain, observation) == held

    def test_others_are_answered_meanwhile_and_the_log_shows_it(self, origin: str, plain: Client, fault: SetFault) -> None:
        fault("hang", seconds=30, path="metadata")
        sockets = [socket.create_connection((urlsplit(origin).hostname, urlsplit(origin).port)) for _ in range(30)]
        for line in sockets:
            line.sendall(b"GET /fhir/r4/metadata HTTP/1.1\r\nHost: sandbox\r\n\r\n")
        assert plain.create(PATIENT)
        for _ in range(100):
            if len(log := [one for one in plain.get(f"{origin}/_sandbox/log").json() if one["faults"] == ["hang"] and one["status"] is None]) >= 30:
                break
            time.sleep(0.05)
        assert len(log) >= 30
        for line in sockets:
            line.close()


class TestEmpty:
    def test_a_write_that_succeeded_has_no_body_and_calls_it_html(self, plain: Client, about: str, observation: Fhir, fault: SetFault) -> None:
        fault("empty")
        answer = plain.post("Observation", observation)
        assert (answer.status_code, answer.content, answer.headers["Content-Type"], answer.headers["Content-Length"]) == (201, b"", "text/html", "0")
        assert answer.headers["Location"]
        assert there(plain, observation) == 1
        refused = plain.post("Observation", {"resourceType": "Observation"})
        assert issues(refused)[0] == ("required", "Observation.status")


class TestStale:
    @pytest.mark.parametrize(("status", "told"), [({}, 412), ({"status": 409}, 409)])
    def test_an_update_is_refused_as_though_it_came_too_late(self, plain: Client, patient: Fhir, fault: SetFault, status: dict[str, int], told: int) -> None:
        fault("stale", **status)
        answer = plain.put(name(patient), {**patient, "active": True}, If_Match='W/"1"')
        assert (answer.status_code, issues(answer)) == (told, [("conflict", None)])
        assert plain.put(name(patient), {**patient, "active": True}).status_code == 200

    def test_it_can_be_true(self, plain: Client, patient: Fhir, fault: SetFault) -> None:
        fault("stale", really=True, change={"gender": "female", "language": None}, times=1)
        answer = plain.put(name(patient), {**patient, "active": True}, If_Match='W/"1"')
        assert (answer.status_code, answer.headers["ETag"]) == (412, 'W/"2"')
        now = plain.get(name(patient)).json()
        assert (now["gender"], now["meta"]["versionId"], "active" in now) == ("female", "2", False)
        assert plain.put(name(patient), now, If_Match='W/"2"').status_code == 200


def test_what_was_set_to_fail_after_it_was_carried_out_is_kept_like_any_other(plain: Client, about: str, fault: SetFault) -> None:
    """The identifier finds it, whatever the sender was told: by a reset, a hang, half of an answer or a status."""
    for one in ({"name": "reset", "when": "after"}, {"name": "half"}, {"name": "status", "status": 500, "after": True}):
        body = {**least("Observation", about), "identifier": [identify()]}
        fault(**one, times=1, method="POST", type="Observation")
        with suppress(requests.RequestException):
            assert plain.post("Observation", body).status_code == 500
        assert there(plain, body) == 1
