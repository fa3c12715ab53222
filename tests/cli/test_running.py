"""Processes as an operator starts and stops them, and settings that cannot be used."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests
from gunicorn.config import Config
from gunicorn.workers.gthread import TConn

from service.cli.serving import Threads
from service.config import load, settings_table
from service.store.database import sqlite_driver
from tests.cli.conftest import Said
from tests.pools import ends_while_its_pool_is_locked

ROOT = Path(__file__).parent.parent.parent


def environment(tmp_path: Path, **more: str) -> dict[str, str]:
    own = {"DATABASE_URL": f"sqlite:///{tmp_path}/pathway.db", "SECRET_FILE": str(tmp_path / "secret"), "LOG_LEVEL": "ERROR", "WEB_WORKERS": "1"}
    return {**os.environ, **{f"PATHWAY_FHIR_{name}": value for name, value in {**own, **more}.items()}}


def free_port() -> int:
    with socket.socket() as tried:
        tried.bind(("127.0.0.1", 0))
        return int(tried.getsockname()[1])


@contextmanager
def running(tmp_path: Path, *words: str) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    port = free_port()
    process = subprocess.Popen([sys.executable, "-m", "service.cli.run", *words], cwd=ROOT, env=environment(tmp_path, PORT=str(port)))
    try:
        yield process, f"http://127.0.0.1:{port}"
    finally:
        process.kill()
        process.wait()


def wait_until_ready(url: str) -> None:
    for _ in range(200):
        try:
            if requests.get(f"{url}/health/ready", timeout=5).status_code == 200:
                return
        except requests.RequestException:
            time.sleep(0.1)
    raise AssertionError(f"{url} is not ready")


def descendants(pid: int) -> set[int]:
    children = {int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()}
    return children.union(*(descendants(child) for child in children))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_service_ends_when_it_is_told_to(tmp_path: Path, number: signal.Signals) -> None:
    with running(tmp_path, "serve") as (process, url):
        wait_until_ready(url)
        process.send_signal(number)
        assert process.wait(25) == 0


def test_a_web_process_that_is_told_to_end_waits_for_no_lock_that_it_may_have_itself() -> None:
    assert ends_while_its_pool_is_locked(Threads)


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="children are found by /proc")
def test_a_web_process_keeps_its_file_also_when_the_first_process_is_killed(tmp_path: Path) -> None:
    """Whoever opened and closed the database then took its WAL away, under a process that still answered."""
    with running(tmp_path, "serve") as (process, url):
        wait_until_ready(url)
        left = descendants(process.pid)
        process.kill()
        process.wait(5)
        newcomer = sqlite_driver().connect(tmp_path / "pathway.db")
        newcomer.execute("SELECT seq FROM clock").fetchall()
        newcomer.close()
        assert (tmp_path / "pathway.db-wal").exists() or not any(Path(f"/proc/{pid}").exists() for pid in left)
        deadline = time.monotonic() + 25
        while any(Path(f"/proc/{pid}").exists() for pid in left):
            assert time.monotonic() < deadline, "the web process does not end"
            time.sleep(0.05)


@pytest.mark.parametrize("has", [0, 1])
def test_a_web_process_that_has_connections_leaves_the_next_to_one_that_takes_it_meanwhile(has: int, monkeypatch: pytest.MonkeyPatch) -> None:
    worker, taken = object.__new__(Threads), list[TConn]()
    worker.cfg, worker.nr_conns = Config(), has
    monkeypatch.setattr(worker, "enqueue_req", taken.append, raising=False)
    with socket.create_server(("127.0.0.1", 0)) as listener, socket.create_connection(listener.getsockname()):
        def another() -> None:
            listener.accept()[0].close()

        listener.setblocking(False)
        monkeypatch.setattr(os, "sched_yield", another)  # what happens while we give way
        worker.accept(listener)
    for one in taken:
        one.close()
    assert (len(taken), worker.nr_conns) == (1 - has, 1)


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="children are found by /proc")
def test_the_service_and_its_worker_end_together_when_told_to(tmp_path: Path) -> None:
    with running(tmp_path, "serve", "--with-worker") as (process, url):
        wait_until_ready(url)
        below = descendants(process.pid)
        assert len(below) >= 3  # gunicorn, its web process, the worker
        process.send_signal(signal.SIGTERM)
        assert process.wait(25) == 0
        assert not [pid for pid in below if Path(f"/proc/{pid}").exists()]


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="children are found by /proc")
def test_the_service_ends_with_an_error_when_its_worker_dies(tmp_path: Path) -> None:
    with running(tmp_path, "serve", "--with-worker") as (process, url):
        wait_until_ready(url)
        worker = next(pid for pid in descendants(process.pid) if Path(f"/proc/{pid}/cmdline").read_bytes().endswith(b"\0work\0"))
        os.kill(worker, signal.SIGKILL)
        assert process.wait(25) == 1
        with pytest.raises(requests.ConnectionError):
            requests.get(f"{url}/health/live", timeout=5)


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="children are found by /proc")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_web_process_that_ends_is_replaced_by_one_that_answers(tmp_path: Path, number: signal.Signals) -> None:
    with running(tmp_path, "serve") as (process, url):
        wait_until_ready(url)
        [web] = descendants(process.pid)
        os.kill(web, number)
        until = time.monotonic() + 20
        while descendants(process.pid) in ({web}, set()):
            assert time.monotonic() < until
            time.sleep(0.05)
        wait_until_ready(url)
        assert requests.get(f"{url}/metrics", timeout=5).status_code == 200
        process.send_signal(signal.SIGTERM)
        assert process.wait(25) == 0


def until(found: Callable[[], bool]) -> None:
    ends = time.monotonic() + 20
    while not found():
        assert time.monotonic() < ends
        time.sleep(0.02)


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="children are found by /proc")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL], ids=["told", "killed"])
def test_of_several_workers_one_that_dies_is_replaced_and_all_end_with_the_first_process(tmp_path: Path, number: signal.Signals) -> None:
    with running(tmp_path, "work", "--processes", "2") as (process, _):
        until(lambda: len(descendants(process.pid)) == 2)
        before = descendants(process.pid)
        os.kill(min(before), signal.SIGKILL)
        until(lambda: len(descendants(process.pid) - {min(before)}) == 2)
        below = descendants(process.pid)
        process.send_signal(number)
        assert process.wait(25) == (0 if number == signal.SIGTERM else -number)
        until(lambda: not [pid for pid in below if Path(f"/proc/{pid}").exists()])


def test_several_workers_end_when_nothing_is_due_any_more(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-m", "service.cli.run", "work", "--processes", "2", "--until-idle"], cwd=ROOT, env=environment(tmp_path), check=True, timeout=60)


def test_what_it_writes_is_for_its_owner_alone(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-m", "service.cli.run", "backup", str(tmp_path / "copy.db")], cwd=ROOT, env=environment(tmp_path), check=True)
    made = {path.name: path.stat().st_mode & 0o077 for path in tmp_path.iterdir()}
    assert {"pathway.db", "copy.db"} <= made.keys() and not any(made.values()), made


def test_the_secret_is_made_once_and_for_its_owner_alone(tmp_path: Path) -> None:
    for _ in range(2):
        subprocess.run([sys.executable, "-m", "service.cli.run", "work", "--until-idle"], cwd=ROOT, env=environment(tmp_path), check=True)
        found = (tmp_path / "secret").read_text()
        assert len(found) > 32 and (tmp_path / "secret").stat().st_mode & 0o077 == 0
        assert found == (tmp_path / "secret").read_text()


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("DATABASE_URL", "mysql://db/pathway", "PATHWAY_FHIR_DATABASE_URL: should begin with"),
        ("PORT", "70000", "PATHWAY_FHIR_PORT: "),
        ("SECRET", "short", "PATHWAY_FHIR_SECRET: should have at least 32"),
        ("LOG_LEVEL", "loud", "PATHWAY_FHIR_LOG_LEVEL: "),
        ("THRESHOLDS", '{"bp_waning_sys": 150}', "PATHWAY_FHIR_THRESHOLDS: no threshold of this name: bp_waning_sys"),
        ("THRESHOLDS", '{"bp_warning_sys": NaN}', "PATHWAY_FHIR_THRESHOLDS: bp_warning_sys should be a number"),
        ("THRESHOLDS", '{"esketamine_nasal_mg": 28}', "PATHWAY_FHIR_THRESHOLDS: esketamine_nasal_mg should be a list of numbers"),
        ("ALARM_URL", "file:///etc/passwd", "PATHWAY_FHIR_ALARM_URL: should be an http or https URL"),
        ("PUBLIC_URL", "https://fhir.example.org:99999", "PATHWAY_FHIR_PUBLIC_URL: should be"),
        ("PUBLIC_URL", "https://%zz", "PATHWAY_FHIR_PUBLIC_URL: should be"),
        ("PUBLIC_URL", "https://:443", "PATHWAY_FHIR_PUBLIC_URL: should be"),
        ("PUBLIC_URL", "https://[::1", "PATHWAY_FHIR_PUBLIC_URL: should be"),
        ("PUBLIC_URL", "https://fhir.example.org/a b", "PATHWAY_FHIR_PUBLIC_URL: should be"),
        ("METRICS", "perhaps", "PATHWAY_FHIR_METRICS: "),
        ("SEND_SECONDS", "nan", "PATHWAY_FHIR_SEND_SECONDS: "),
        ("THRESHOLDS", "{", "PATHWAY_FHIR_THRESHOLDS: should be JSON"),
        ("PUBLIC_URL", "fhir.example.org", "PATHWAY_FHIR_PUBLIC_URL: "),
    ],
)
def test_a_setting_that_cannot_be_used_is_refused_by_its_name(run: Callable[..., Said], monkeypatch: pytest.MonkeyPatch, name: str, value: str, said: str) -> None:
    monkeypatch.setenv(f"PATHWAY_FHIR_{name}", value)
    for command in (("client", "list"), ("serve",), ("migrate",)):
        refused = run(*command)
        assert refused.code == 2 and said in refused.err, refused


def test_two_settings_that_cannot_be_used_are_named_at_once(run: Callable[..., Said], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATHWAY_FHIR_PORT", "x")
    monkeypatch.setenv("PATHWAY_FHIR_WEB_THREADS", "0")
    refused = run("client", "list")
    assert "PATHWAY_FHIR_PORT" in refused.err and "PATHWAY_FHIR_WEB_THREADS" in refused.err


@pytest.mark.parametrize(
    ("given", "base"),
    [
        ("HTTPS://FHIR.Clinic.org:443/", "https://fhir.clinic.org"),
        (" https://münchen.example:8443/fhir/ ", "https://xn--mnchen-3ya.example:8443/fhir"),
        ("http://pathway_fhir:8000", "http://pathway_fhir:8000"),
        ("http://[::1]:80", "http://[::1]"),
    ],
)
def test_however_our_url_is_written_it_is_told_in_one_form(given: str, base: str) -> None:
    assert load(public_url=given).base == base


def test_a_setting_is_known_in_small_letters_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("pathway_fhir_port", "9001")
    assert load().port == 9001
    monkeypatch.setenv("PATHWAY_FHIR_PORT", "9002")
    assert load().port == 9002


def test_what_the_settings_say_never_shows_a_secret() -> None:
    shown = repr(load(secret="s" * 40, database_url="postgresql://pathway:hunter2@db/pathway", alarm_secret="a" * 40))
    assert "s" * 40 not in shown and "hunter2" not in shown and "a" * 40 not in shown


def test_a_busy_port_is_named(run: Callable[..., Said], tmp_path: Path) -> None:
    with socket.socket() as busy:
        busy.bind(("127.0.0.1", 0))
        busy.listen()
        port = busy.getsockname()[1]
        said = run("demo", "--port", str(port), "--directory", str(tmp_path / "demo"))
        assert said.code == 1 and f"Port {port} is in use" in said.err and "PORT=" in said.err, said


def test_every_command_says_what_it_does(run: Callable[..., Said]) -> None:
    listed = run("--help").out
    for command in ("serve", "work", "demo", "migrate", "backup", "restore", "map", "ehr", "deliveries", "client", "audit", "sandbox"):
        assert f"  {command} " in listed
        assert run(command, "--help").code == 0


def test_the_docs_list_every_setting() -> None:
    assert settings_table() in (ROOT / "docs" / "operating.md").read_text()
