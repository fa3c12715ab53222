"""An EHR of which every byte is scripted: a socket that says what a test tells it to, and keeps what it was asked."""

import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

Script = Callable[[socket.socket, bytes], None]


@dataclass
class Scripted:
    port: int
    scheme: str = "http"
    asked: list[bytes] = field(default_factory=list)
    known_as: list[str] = field(default_factory=list)  # who the certificates of callers are for

    @property
    def base(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.port}/fhir"


@contextmanager
def scripted(script: Script, *, greeted: bool = True, tls: ssl.SSLContext | None = None) -> Iterator[Scripted]:
    """Answers every request by the script, which is given the connection and what was asked; then hangs up.

    One that is not `greeted` waits for no whole request: the script has the connection once the first bytes are there.
    """
    with socket.create_server(("127.0.0.1", 0)) as listening:
        ehr = Scripted(listening.getsockname()[1], "https" if tls else "http")
        heard = _request if greeted else _first
        thread = threading.Thread(target=_serve, args=(listening, ehr, script, heard, tls))
        thread.start()
        try:
            yield ehr
        finally:
            listening.shutdown(socket.SHUT_RDWR)
            thread.join(10)
    assert not thread.is_alive()


def _serve(listening: socket.socket, ehr: Scripted, script: Script, heard: Callable[[socket.socket], bytes], tls: ssl.SSLContext | None) -> None:
    while True:
        try:
            connection, _ = listening.accept()
        except OSError:  # the test is over
            return
        with connection, suppress(OSError):
            connection.settimeout(5)
            if tls is None:
                _answer(connection, ehr, script, heard)
                continue
            with connection.dup() as raw, tls.wrap_socket(connection, server_side=True, do_handshake_on_connect=False) as secured:
                try:
                    secured.do_handshake()
                except ssl.SSLError:
                    _let_it_be_heard(raw)
                    continue
                ehr.known_as += [value for part in (secured.getpeercert() or {}).get("subject", ()) for _, value in part]
                _answer(secured, ehr, script, heard)


def _let_it_be_heard(raw: socket.socket) -> None:
    """Waits until a caller who was told why there is no handshake has hung up: what it has not read yet would be lost to it."""
    raw.settimeout(5)
    while raw.recv(65_536):
        pass


def _answer(connection: socket.socket, ehr: Scripted, script: Script, heard: Callable[[socket.socket], bytes]) -> None:
    asked = heard(connection)
    if asked:
        ehr.asked.append(asked)
        script(connection, asked)


def _first(connection: socket.socket) -> bytes:
    return connection.recv(65_536)


def _request(connection: socket.socket) -> bytes:
    """The whole of a request, head and body, as far as it came."""
    said = b""
    while b"\r\n\r\n" not in said:
        more = connection.recv(65_536)
        if not more:
            return said
        said += more
    head, _, body = said.partition(b"\r\n\r\n")
    length = next((int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")), 0)
    while len(body) < length:
        body += connection.recv(65_536)
    return head + b"\r\n\r\n" + body


def says(answer: bytes) -> Script:
    return lambda connection, _asked: connection.sendall(answer)


def resets(connection: socket.socket, _asked: bytes) -> None:
    """Closes with a reset instead of an end."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def drips(*pieces: bytes, every: float) -> Script:
    """Says the pieces over and over, one after another, until the other side hangs up."""

    def script(connection: socket.socket, _asked: bytes) -> None:
        connection.settimeout(every)
        for n in range(200):
            connection.sendall(pieces[min(n, len(pieces) - 1)])
            with suppress(TimeoutError):
                if not connection.recv(1):
                    return

    return script
