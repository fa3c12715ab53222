"""A line to an EHR, on real sockets: deadlines that end a call, limits that hold, and nothing of ours for anybody else."""

import gzip
import socket
import threading
import time
import tracemalloc
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import pytest

from service.sync.door import Always, Door
from service.sync.targets.rest import Rest
from service.sync.transport import AT_ONCE, MOST_BYTES, Interrupted, Line, NotReached
from tests.sync.certified import Issuer, over_tls
from tests.sync.scripted import drips, resets, says, scripted
from tests.sync.test_rest import NEITHER, Refused, Unsure, copy, ready

OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/fhir+json\r\n"
WHOLE = OK + b"Content-Length: 2\r\nConnection: close\r\n\r\n{}"  # else a call may meet the end of the one before it


def line(seconds: float = 5, *, private: bool = True) -> Line:
    return Line(private=private, seconds=seconds)


def test_an_answer_comes_as_it_was_said() -> None:
    with scripted(says(OK + b'ETag: W/"1"\r\nContent-Length: 2\r\n\r\n{}')) as ehr:
        reply = line().call("PUT", f"{ehr.base}/Task/1", {"Authorization": "Bearer ours"}, b"{}")
    assert (reply.status, reply.header("etag"), reply.body) == (200, 'W/"1"', b"{}")
    assert b"PUT /fhir/Task/1 HTTP/1.1" in ehr.asked[0] and b"Authorization: Bearer ours" in ehr.asked[0] and ehr.asked[0].endswith(b"\r\n\r\n{}")


def test_a_refused_connection_is_not_reached() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
    with pytest.raises(NotReached):
        line().call("GET", f"http://127.0.0.1:{port}/", {})


@pytest.mark.parametrize(
    "answer",
    [b"", b"HTTP/1.1 2", b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n{}", OK + b"Transfer-Encoding: chunked\r\n\r\n5\r\n{}", b"garbage\r\n\r\n",
     OK + b"Content-Encoding: gzip\r\nContent-Length: 4\r\n\r\nnope"],
    ids=["nothing", "half a status", "half a body", "half a chunk", "no HTTP", "no gzip"],
)  # fmt: skip
def test_half_an_answer_leaves_it_unsure_whether_the_ehr_acted(answer: bytes) -> None:
    with scripted(says(answer)) as ehr, pytest.raises(Interrupted):
        line().call("POST", f"{ehr.base}/Task", {}, b"{}")


def test_a_reset_after_the_request_leaves_it_unsure() -> None:
    with scripted(resets) as ehr:
        outcome = Rest(Door(ehr.base, line())).deliver(ready(remote=copy()), NEITHER)
    assert isinstance(outcome, Unsure) and outcome.words.startswith("The answer was lost")


@pytest.mark.parametrize(
    "pieces",
    [(b"",), (b"HTTP/1.1 201 Created\r\n", b"X-Drip: 1\r\n"), (OK + b"Content-Length: 1000\r\n\r\n", b" "), (OK + b"\r\n", b"{"),
     (OK + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\n{\r\n"), (b"HTTP/1.1 100 Continue\r\n\r\n",)],
    ids=["nothing", "headers", "a body", "a body without a length", "chunks", "continue"],
)  # fmt: skip
def test_an_answer_that_drips_ends_at_the_total_deadline(pieces: tuple[bytes, ...]) -> None:
    with scripted(drips(*pieces, every=0.05)) as ehr:
        began = time.monotonic()
        with pytest.raises(Interrupted, match=r"no answer within 0\.5 s"):
            line(0.5).call("POST", f"{ehr.base}/Task", {}, b"{}")
        assert 0.4 < time.monotonic() - began < 2


HANDSHAKE = b"\x16\x03\x03\x40\x00\x02\x00\x3f\xfc\x03\x03"  # the beginning of a TLS record that holds the beginning of a ServerHello


@pytest.mark.parametrize("pieces", [(b"",), (HANDSHAKE, b"x"), (b"\x15\x03\x03\x00\x02\x01\x00",)], ids=["nothing", "a ServerHello", "warnings"])
def test_a_handshake_that_drips_ends_at_the_total_deadline(pieces: tuple[bytes, ...]) -> None:
    with scripted(drips(*pieces, every=0.05), greeted=False) as ehr:
        began = time.monotonic()
        with pytest.raises(NotReached):
            line(0.5).call("POST", f"https://127.0.0.1:{ehr.port}/Task", {}, b"{}")
        assert time.monotonic() - began < 1


def test_a_name_that_is_looked_up_for_long_ends_at_the_total_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    ended = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: ended.wait(10) and [])
    began = time.monotonic()
    with pytest.raises(NotReached, match=r"no answer within 0\.5 s"):
        line(0.5).call("GET", "https://ehr.example.org/fhir", {})
    ended.set()
    assert 0.4 < time.monotonic() - began < 1


def test_the_addresses_of_a_name_are_tried_one_after_another_and_share_the_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    with scripted(says(WHOLE)) as ehr, _full() as full, socket.create_server(("127.0.0.1", 0)) as closed:
        refusing = closed.getsockname()
        closed.close()
        there = {"first": [refusing, ("127.0.0.1", ehr.port)], "never": [full] * 20}
        monkeypatch.setattr(socket, "getaddrinfo", lambda host, *_, **__: [(socket.AF_INET, socket.SOCK_STREAM, 6, "", a) for a in there[host]])
        assert line().call("GET", "http://first/fhir", {}).status == 200
        began = time.monotonic()
        with pytest.raises(NotReached, match=r"no answer within 0\.5 s"):
            line(0.5).call("GET", "http://never/fhir", {})
        assert time.monotonic() - began < 1


@contextmanager
def _full() -> Iterator[tuple[str, int]]:
    """Where nobody answers a connection: a listener whose queue is full."""
    with socket.socket() as listening, ExitStack() as waiting:
        listening.bind(("127.0.0.1", 0))
        listening.listen(0)
        for _ in range(4):
            one = waiting.enter_context(socket.socket())
            one.setblocking(False)
            one.connect_ex(listening.getsockname())
        yield listening.getsockname()


def test_a_name_that_is_not_known_is_said_to_be_not_known() -> None:
    with pytest.raises(NotReached, match="its name is not known"):
        line().call("GET", "http://nobody.invalid/fhir", {})


def test_a_private_address_is_not_even_connected_to(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.settimeout(0.1)
        with pytest.raises(NotReached, match="no public address"):
            line(private=False).call("GET", f"https://127.0.0.1:{listening.getsockname()[1]}/", {})
        with pytest.raises(TimeoutError):
            listening.accept()


def test_a_deadline_of_one_call_ends_no_other() -> None:
    with scripted(drips(b"HTTP/1.1 200 OK\r\n", b"X: 1\r\n", every=0.05)) as slow, scripted(says(WHOLE)) as quick:
        ended: list[str] = []

        def wait() -> None:
            with pytest.raises(Interrupted):
                line(0.4).call("GET", slow.base, {})
            ended.append("slow")

        thread = threading.Thread(target=wait)
        thread.start()
        ours, statuses = line(0.4), []
        while thread.is_alive():
            statuses.append(ours.call("GET", quick.base, {}).status)
        thread.join()
    assert ended == ["slow"] and len(statuses) > 3 and set(statuses) == {200}


def test_an_answer_that_is_too_large_is_not_read_to_its_end() -> None:
    with scripted(says(OK + b"\r\n" + b" " * (MOST_BYTES + 100_000))) as ehr, pytest.raises(Interrupted, match="ValueError"):
        line().call("GET", ehr.base, {})


def test_a_small_answer_that_unpacks_to_a_large_one_is_given_up_early() -> None:
    bomb = gzip.compress(bytes(100_000_000), 9)
    assert len(bomb) < 1_000_000
    with scripted(says(OK + b"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n%b" % (len(bomb), bomb))) as ehr:
        tracemalloc.start()
        with pytest.raises(Interrupted):
            line().call("GET", ehr.base, {})
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert most < 10 * MOST_BYTES


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "127.1", "2130706433"])
def test_a_private_address_is_told_nothing_unless_it_is_allowed(host: str) -> None:
    with scripted(says(WHOLE)) as ehr:
        with pytest.raises(NotReached, match=r"127\.0\.0\.1 is no public address"):
            line(private=False).call("GET", f"http://{host}:{ehr.port}/", {"Authorization": "Bearer ours"})
        assert line().call("GET", f"http://{host}:{ehr.port}/", {}).status == 200
    assert len(ehr.asked) == 1 and b"Bearer" not in ehr.asked[0]


def test_credentials_and_proxies_of_the_machine_are_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login somebody password else\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    with scripted(says(WHOLE)) as ehr, scripted(says(WHOLE)) as proxy:
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
        line().call("GET", ehr.base, {"Authorization": "Bearer ours"})
        line().call("GET", ehr.base, {})
    assert b"Authorization: Bearer ours" in ehr.asked[0] and b"uthorization" not in ehr.asked[1] and not proxy.asked


def test_a_redirect_takes_our_token_nowhere() -> None:
    with scripted(says(WHOLE)) as elsewhere:
        moved = f"HTTP/1.1 307 Moved\r\nLocation: {elsewhere.base}/Observation/o1\r\nContent-Length: 0\r\n\r\n".encode()
        with scripted(says(moved)) as ehr:
            outcome = Rest(Door(ehr.base, line(), Always({"Authorization": "Bearer ours"}))).deliver(ready(remote=copy()), NEITHER)
    assert outcome == Refused("The EHR redirects writes, which are not followed (307)", 307) and not elsewhere.asked


def test_a_connection_is_used_again_and_a_new_one_made_where_the_ehr_has_hung_up() -> None:
    with scripted(says(OK + b"Content-Length: 2\r\n\r\n{}")) as ehr:  # it says that it stays, and hangs up
        ours = line()
        for _ in range(3):
            assert ours.call("GET", ehr.base, {}).status == 200
            _until_hung_up(ours)
    assert len(ehr.asked) == 3


def test_a_line_that_is_led_to_another_host_finds_its_way_back() -> None:
    with scripted(says(WHOLE)) as ehr, scripted(says(WHOLE)) as another:
        ours = line()
        for there in (ehr, another, ehr, another):
            assert ours.call("GET", f"{there.base}/Task?_count=1#part", {}).status == 200
    assert [asked.partition(b"\r\n")[0] for asked in (*ehr.asked, *another.asked)] == [b"GET /fhir/Task?_count=1 HTTP/1.1"] * 4


@pytest.mark.parametrize("size", [1, AT_ONCE, AT_ONCE + 1, 3_000_000])
def test_a_body_of_any_size_arrives_after_its_head(size: int) -> None:
    with scripted(says(WHOLE)) as ehr:
        line().call("POST", f"{ehr.base}/Task", {}, b"x" * size)
    head, _, body = ehr.asked[0].partition(b"\r\n\r\n")
    assert f"Content-Length: {size}".encode() in head and body == b"x" * size


def test_head_and_body_are_sent_at_once() -> None:
    pieces: list[bytes] = []

    def script(connection: socket.socket, asked: bytes) -> None:
        pieces.append(asked)
        connection.sendall(WHOLE)

    with scripted(script, greeted=False) as ehr:
        line().call("POST", f"{ehr.base}/Task", {}, b"{}")
    assert pieces[0].endswith(b"\r\n\r\n{}")


def test_what_a_gateway_asks_to_be_told_again_it_is_told_and_nobody_else() -> None:
    with scripted(says(WHOLE.replace(b"\r\n\r\n", b"\r\nSet-Cookie: route=2; Path=/\r\n\r\n"))) as ehr, scripted(says(WHOLE)) as another:
        ours = line()
        for there in (ehr.base, ehr.base, another.base.replace("127.0.0.1", "localhost")):
            ours.call("GET", there, {})
    assert [b"Cookie: route=2" in asked for asked in (*ehr.asked, *another.asked)] == [False, True, False]


def test_a_connection_that_is_reset_at_whatever_moment_is_a_call_that_failed() -> None:
    """While it is made it is not reached; after that nobody knows."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def reset() -> None:
            with suppress(OSError):
                while True:
                    connection, _ = listening.accept()
                    resets(connection, b"")
                    connection.close()

        thread = threading.Thread(target=reset)
        thread.start()
        try:
            ours = line()
            for _ in range(150):
                with pytest.raises((NotReached, Interrupted)):
                    ours.call("POST", f"http://127.0.0.1:{listening.getsockname()[1]}/fhir/Task", {}, b"{}")
        finally:
            listening.shutdown(socket.SHUT_RDWR)
            thread.join(10)


def _until_hung_up(ours: Line) -> None:
    pool = ours._adapter.poolmanager
    [key] = pool.pools.keys()
    kept = pool.pools[key].pool.queue[-1]
    for _ in range(200):
        if kept is None or kept.sock is None or not kept.is_connected:
            return
        time.sleep(0.01)
    raise AssertionError("the EHR did not hang up")


@pytest.fixture
def trusted(tmp_path: Path) -> Issuer:
    return Issuer(tmp_path, "trusted")


def test_an_ehr_may_ask_for_a_certificate_of_ours(trusted: Issuer) -> None:
    cert, key = trusted.issue("pathway")
    with over_tls(says(WHOLE), *trusted.issue("ehr"), clients=trusted.ca) as ehr:
        ours = Line(private=True, seconds=5, certificate=(str(cert), str(key)), trusted=str(trusted.ca))
        assert ours.call("GET", ehr.base, {}).status == 200
        ours.close()
    assert ehr.known_as == ["pathway"]


def test_a_certificate_that_is_renewed_where_it_is_kept_is_the_one_that_is_shown(trusted: Issuer) -> None:
    cert, key = trusted.issue("pathway")
    with over_tls(says(WHOLE), *trusted.issue("ehr"), clients=trusted.ca) as ehr:
        ours = Line(private=True, seconds=5, certificate=(str(cert), str(key)), trusted=str(trusted.ca))
        assert ours.call("GET", ehr.base, {}).status == 200
        for made, where in zip(trusted.issue("renewed"), (cert, key), strict=True):
            made.replace(where)
        assert ours.call("GET", ehr.base, {}).status == 200
        ours.close()
    assert ehr.known_as == ["pathway", "renewed"]


def test_an_ehr_that_asks_for_a_certificate_and_gets_none_has_acted_on_nothing(trusted: Issuer) -> None:
    with over_tls(says(WHOLE), *trusted.issue("ehr"), clients=trusted.ca) as ehr:
        ours = Line(private=True, seconds=5, trusted=str(trusted.ca))
        with pytest.raises(NotReached, match="certificate required"):
            ours.call("POST", ehr.base, {}, b"{}")
        ours.close()
        assert not ehr.asked


def test_a_certificate_that_nobody_vouches_for_is_told_nothing(trusted: Issuer, tmp_path: Path) -> None:
    with over_tls(says(WHOLE), *Issuer(tmp_path, "unknown").issue("ehr")) as ehr:
        for whom in (str(trusted.ca), None):
            with pytest.raises(NotReached, match="its certificate does not hold: "):
                Line(private=True, seconds=5, trusted=whom).call("POST", ehr.base, {"Authorization": "Bearer ours"}, b"{}")
        assert not ehr.asked


def test_a_certificate_whose_file_is_gone_is_said_to_be_gone(trusted: Issuer) -> None:
    cert, key = trusted.issue("pathway")
    with over_tls(says(WHOLE), *trusted.issue("ehr")) as ehr:
        ours = Line(private=True, seconds=5, certificate=(str(cert), str(key)), trusted=str(trusted.ca))
        cert.unlink()
        with pytest.raises(NotReached, match="cannot be read from their files"):
            ours.call("GET", ehr.base, {})
        assert not ehr.asked
