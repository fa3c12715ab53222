"""Deliveries as an operator chooses, sees and changes them, against a sandbox that is reached over HTTP."""

import os
import pty
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from service.cli import show, watching
from tests.cli.conftest import Said
from tests.conftest import Http

Run = Callable[..., Said]
Json = dict[str, Any]
ROOT = Path(__file__).parent.parent.parent


@pytest.fixture
def refused(run: Run, pushed: Http, sandbox: str) -> Iterator[Http]:
    """An EHR that took all but what is of two types."""
    for type_ in ("Goal", "Consent"):
        fault = {"fault": "status", "status": 422, "method": "POST", "type": type_, "headers": {"X-Request-ID": "theirs-1"}}
        requests.post(f"{sandbox}/_sandbox/faults", json=fault, timeout=10)
    run("ehr", "add", "trust", f"{sandbox}/fhir/r4", "--create-people", "--private")
    run("work", "--until-idle")
    yield pushed
    requests.delete(f"{sandbox}/_sandbox/faults", timeout=10)


def numbers(said: Said) -> list[int]:
    return [row["id"] for row in said.rows]


def test_what_was_said_is_shown_call_by_call_and_bodies_on_request(run: Run, refused: Http) -> None:
    number = numbers(run("deliveries", "list", "--state", "parked", "--type", "Goal"))[0]
    [shown] = run("deliveries", "show", str(number)).rows
    [attempt] = shown["log"]
    [call] = attempt["calls"]
    assert (attempt["number"], call["method"], call["path"], call["status"]) == (1, "POST", "/Goal", 422)
    assert call["requestHeaders"]["If-None-Exist"] == "identifier=" and call["responseHeaders"]["X-Request-ID"] == "theirs-1" and "requestBody" not in call
    [told] = run("deliveries", "show", str(number), "--attempt", "1").rows
    assert '"resourceType":"Goal"' in told["calls"][0]["requestBody"] and "OperationOutcome" in told["calls"][0]["responseBody"]
    assert run("deliveries", "show", str(number), "--attempt", "2").code == 3
    delivered = numbers(run("deliveries", "list", "--state", "delivered", "--type", "CarePlan"))[0]
    assert "requestBody" not in run("deliveries", "show", str(delivered), "--attempt", "1").out


def test_on_a_terminal_an_attempt_reads_as_it_went_over_the_line(run: Run, refused: Http, monkeypatch: pytest.MonkeyPatch) -> None:
    number = numbers(run("deliveries", "list", "--state", "parked", "--type", "Goal"))[0]
    monkeypatch.setattr(show, "as_json", lambda: False)
    assert "POST /Goal: 422" in run("deliveries", "show", str(number)).out
    said = run("deliveries", "show", str(number), "--attempt", "1").out
    sent, _, answered = said.partition("\n422\n")
    assert "POST /Goal\nAccept: application/fhir+json\n" in sent and '{"resourceType":"Goal"' in sent and "X-Request-ID: theirs-1\n" in answered


def test_deliveries_are_chosen_by_what_they_are_and_how_old_they_are(run: Run, refused: Http) -> None:
    goals, consents = (numbers(run("deliveries", "list", "--state", "parked", "--type", type_)) for type_ in ("Goal", "Consent"))
    assert goals and consents
    assert run("deliveries", "list", "--state", "parked", "--older-than", "1h").rows == []
    assert set(numbers(run("deliveries", "list", "--state", "parked", "--older-than", "0s"))) == {*goals, *consents}
    assert run("deliveries", "list", "--older-than", "soon").code == 2
    assert run("deliveries", "cancel", "--older-than", "1h").rows[0]["numbers"] == []
    assert run("deliveries", "cancel", "--type", "Consent", "--patient", "ann").rows[0]["numbers"] == sorted(consents)
    assert run("deliveries", "replay", "--ehr", "trust", "--reason", "422").rows[0]["numbers"] == sorted(goals)
    waiting = run("deliveries", "list", "--state", "waiting").rows
    assert {row["replays"] for row in waiting} == set(goals)
    assert run("deliveries", "replay", "--state", "cancelled").rows[0]["numbers"] == sorted(consents)
    assert run("deliveries", "replay", "--patient", "nobody").code == 3 and run("deliveries", "cancel").code == 2


def test_how_an_ehr_fares_is_shown_with_what_it_took_of_late(run: Run, refused: Http) -> None:
    [row] = run("ehr", "list").rows
    parked = row["deliveries"]["parked"]
    assert row["lastMinute"]["failed"] == parked and row["lastMinute"]["delivered"] > 50 and row["breaker"] == "closed"


def test_who_watches_sees_it_again_and_again_until_they_have_seen_enough(run: Run, refused: Http, monkeypatch: pytest.MonkeyPatch) -> None:
    looks = iter((0.0, 0.0))

    def rest(_seconds: float) -> None:
        if next(looks, None) is None:
            raise KeyboardInterrupt

    monkeypatch.setattr(watching.time, "sleep", rest)
    assert [row["id"] for row in run("ehr", "list", "--watch").rows] == ["trust"] * 3
    looks = iter((0.0,))
    assert run("deliveries", "list", "--summary", "--watch").code == 0


def test_a_reader_who_hangs_up_ends_it_without_a_word(run: Run, refused: Http) -> None:
    command = [sys.executable, "-m", "service.cli.run", "ehr", "list", "--watch"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None and process.stderr is not None
        assert b"trust" in process.stdout.readline()
        process.stdout.close()
        assert (process.wait(20), process.stderr.read()) == (0, b"")


def watched() -> tuple["subprocess.Popen[bytes]", int, bytes]:
    """A list that is watched on a terminal: the process, our side of the terminal, and what it showed until the EHR was there."""
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "service.cli.run", "ehr", "list", "--watch"]
    process = subprocess.Popen(command, cwd=ROOT, stdin=theirs, stdout=theirs, stderr=subprocess.PIPE, env={**os.environ, "TERM": "xterm"})
    os.close(theirs)
    seen, until = b"", time.monotonic() + 30
    while b"trust" not in seen and time.monotonic() < until:
        seen += os.read(ours, 65_536)
    return process, ours, seen


@pytest.mark.skipif(not hasattr(os, "openpty"), reason="a terminal is made by a pty")
def test_a_terminal_that_closes_ends_it_without_a_word(run: Run, refused: Http) -> None:
    process, ours, _ = watched()
    os.close(ours)
    _, said = process.communicate(timeout=20)
    assert (process.returncode, said) == (0, b"")


@pytest.mark.skipif(not hasattr(os, "openpty"), reason="a terminal is made by a pty")
def test_on_a_terminal_a_table_changes_in_its_place_and_ctrl_c_ends_it(run: Run, refused: Http) -> None:
    process, ours, seen = watched()
    process.send_signal(signal.SIGINT)
    reading = True
    while reading:
        try:
            reading = bool(os.read(ours, 65_536))
        except OSError:  # the other side is gone
            reading = False
    _, said = process.communicate(timeout=20)
    os.close(ours)
    assert process.returncode == 0 and b"\x1b[?1049h" in seen and said == b"", (process.returncode, seen[-500:], said)
