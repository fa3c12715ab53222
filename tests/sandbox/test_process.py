"""The process: what is kept between runs, who is let in, and connections that stay open."""

import http.client
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import requests

from sandbox.app import create_app
from sandbox.journal import FILE, InUse, Journal
from sandbox.process import started
from sandbox.serve import _Worker
from tests.pools import ends_while_its_pool_is_locked
from tests.sandbox.client import Client, Fhir, issues, name
from tests.sandbox.samples import condition, least


def test_a_restart_keeps_everything_and_knows_it_again(tmp_path: Path, session: requests.Session) -> None:
    with started(["plain"], tmp_path) as origin:
        plain = Client(session, f"{origin}/fhir/r4")
        about = name(plain.create({"resourceType": "Patient"}))
        body = least("Observation", about)
        kept, gone = plain.create(body), plain.create(least("Observation", about))
        changed = plain.update({**kept, "language": "en"})
        plain.delete(name(gone))
        counts = plain.get(f"{origin}/_sandbox/counts").json()
        session.close()
    with started(["plain"], tmp_path) as origin:
        plain = Client(session, f"{origin}/fhir/r4")
        assert plain.get(f"{origin}/_sandbox/counts").json() == counts
        assert plain.get(name(kept)).json() == changed
        assert plain.get(f"{name(kept)}/_history/1").json() == kept
        assert plain.get(name(gone)).status_code == 410
        assert plain.found("Observation", subject=about) == {kept["id"]}
        assert plain.post("Observation", body, If_None_Exist=condition(body)).status_code == 200
        assert plain.delete(about).status_code == 409
        assert plain.update(changed)["meta"]["versionId"] == "3"
        session.close()


def test_what_was_reset_does_not_come_back(tmp_path: Path, session: requests.Session) -> None:
    with started(["plain"], tmp_path) as origin:
        Client(session, f"{origin}/fhir/r4").create({"resourceType": "Patient"})
        session.delete(f"{origin}/_sandbox")
        session.close()
    journal = Journal(tmp_path)
    assert list(journal.load()) == []
    journal.close()


def test_every_answered_write_is_kept_even_when_it_is_stopped_at_once(tmp_path: Path, session: requests.Session) -> None:
    with started(["plain"], tmp_path) as origin:
        plain = Client(session, f"{origin}/fhir/r4")
        created = [name(plain.create({"resourceType": "Patient"})) for _ in range(50)]
    journal = Journal(tmp_path)
    assert [version.name for _, version in journal.load()] == created
    journal.close()


def test_it_ends_at_once_though_a_fault_lets_someone_wait(session: requests.Session) -> None:
    with started(["plain"]) as origin:
        session.post(f"{origin}/_sandbox/faults", json={"fault": "hang", "seconds": 600})
        with pytest.raises(requests.ReadTimeout):
            session.get(f"{origin}/fhir/r4/metadata", timeout=0.2)
        session.close()
        began = time.perf_counter()
    assert time.perf_counter() - began < 5


def test_one_directory_is_for_one_sandbox(tmp_path: Path) -> None:
    first = create_app(["plain"], tmp_path)
    with pytest.raises(InUse, match=str(tmp_path)):
        create_app(["plain"], tmp_path)
    first.close()
    create_app(["plain"], tmp_path).close()


def test_a_file_that_is_no_journal_is_not_taken_for_one(tmp_path: Path) -> None:
    (tmp_path / FILE).write_bytes(b"something else entirely" * 100)
    with pytest.raises(sqlite3.DatabaseError):
        create_app(["plain"], tmp_path)


def test_a_name_that_is_no_persona_is_refused_with_those_that_are() -> None:
    with pytest.raises(ValueError, match="no such persona: mine; there are plain, epic"):
        create_app(["plain", "mine"])


def test_a_port_that_is_taken_is_named(origin: str) -> None:
    port = str(urlsplit(origin).port)
    done = subprocess.run([sys.executable, "-m", "sandbox", "--port", port], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert f"port {port} of 127.0.0.1 is taken" in done.stderr


@pytest.fixture(scope="module")
def guarded() -> Iterator[str]:
    with started(tokens={"epic": "s3cret"}) as where:
        yield where


class TestToken:
    @pytest.mark.parametrize("authorization", [None, "Bearer wrong", "Basic s3cret", "Bearer", "s3cret"])
    def test_without_the_right_one_it_is_401(self, guarded: str, session: requests.Session, authorization: str | None) -> None:
        answer = session.get(f"{guarded}/epic/fhir/r4/Patient", headers={"Authorization": authorization})
        assert (answer.status_code, issues(answer)) == (401, [("login", None)])
        assert answer.headers["WWW-Authenticate"].startswith("Bearer")

    def test_with_it_everything_is_answered(self, guarded: str, session: requests.Session) -> None:
        epic = Client(session, f"{guarded}/epic/fhir/r4")
        assert epic.post("Patient", {"resourceType": "Patient"}, Authorization="Bearer s3cret").status_code == 201

    def test_it_is_asked_for_before_anything_is_said(self, guarded: str, session: requests.Session) -> None:
        epic = Client(session, f"{guarded}/epic/fhir/r4")
        assert {epic.get(path).status_code for path in ("Patient/1", "Bogus", "Patient?date=x")} == {401}

    def test_the_capability_statement_is_for_everyone_and_says_that_there_is_one(self, guarded: str, session: requests.Session) -> None:
        [rest] = session.get(f"{guarded}/epic/fhir/r4/metadata").json()["rest"]
        assert "bearer" in rest["security"]["description"]

    def test_a_persona_without_one_asks_for_none(self, guarded: str, session: requests.Session) -> None:
        assert session.get(f"{guarded}/fhir/r4/Patient").status_code == 200


class TestConnections:
    @pytest.fixture
    def connection(self, origin: str) -> Iterator[http.client.HTTPConnection]:
        opened = http.client.HTTPConnection(urlsplit(origin).netloc)
        yield opened
        opened.close()

    def ask(self, connection: http.client.HTTPConnection, method: str, path: str, body: str | None = None) -> tuple[int, socket.socket]:
        connection.request(method, path, body, {"Content-Type": "application/fhir+json"})
        answer = connection.getresponse()
        answer.read()
        return answer.status, connection.sock

    def test_one_serves_many_requests_whatever_they_were_answered(self, connection: http.client.HTTPConnection) -> None:
        patient = '{"resourceType": "Patient"}'
        asked = [
            ("GET", "/fhir/r4/metadata", None), ("POST", "/fhir/r4/Patient", patient), ("POST", "/fhir/r4/Bogus", patient), ("PUT", "/nothing", patient),
            ("POST", "/fhir/r4/Patient", "{"), ("DELETE", "/fhir/r4/Patient/never", None), ("PATCH", "/fhir/r4/Patient/1", patient), ("GET", "/", None),
        ]  # fmt: skip
        answers = [self.ask(connection, *one) for one in asked]
        assert [status for status, _ in answers] == [200, 201, 404, 404, 400, 404, 404, 200]
        assert len({id(used) for _, used in answers}) == 1

    def test_an_answer_does_not_wait_for_the_network_to_acknowledge_its_head(self, session: requests.Session) -> None:
        with started(["plain"]) as origin:  # the first connection of all is the one that was slow
            took_s = []
            for _ in range(20):
                began = time.perf_counter()
                session.get(f"{origin}/fhir/r4/Patient")
                took_s.append(time.perf_counter() - began)
            assert sorted(took_s)[5] < 0.030, "a machine that is busy delays some, the network would delay nearly all by 0.040"
            session.close()

    def test_more_may_be_open_than_there_are_threads(self, origin: str) -> None:
        opened = [http.client.HTTPConnection(urlsplit(origin).netloc) for _ in range(40)]
        assert [self.ask(one, "GET", "/fhir/r4/metadata")[0] for _ in range(2) for one in opened] == [200] * 80
        for one in opened:
            one.close()


def test_links_are_those_of_the_name_that_it_was_reached_by(plain: Client, patient: Fhir) -> None:
    bundle = plain.get(f"Patient?_id={patient['id']}", Host="ehr.example:8001").json()
    assert bundle["entry"][0]["fullUrl"] == f"http://ehr.example:8001/fhir/r4/{name(patient)}"


def test_it_waits_for_no_lock_that_it_may_have_itself_when_it_is_told_to_end() -> None:
    assert ends_while_its_pool_is_locked(_Worker)
