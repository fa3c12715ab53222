"""A load of HTTP requests over kept-alive connections, from a process of its own, with as little work a request as can be.

Requests are sent as they are, byte for byte, each as soon as the answer before it on its connection is there. So what is
measured is the server; the generator itself is good for about 25,000 requests a second.
"""

import multiprocessing
import selectors
import socket
import time
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Load:
    """What came of a load: answers a second, those that were no 2xx, and how long answers took (in ms)."""

    per_second: float
    failed: int
    p50: float
    p95: float
    p99: float


class _Connection:
    def __init__(self, port: int):
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.received, self.wanted, self.began = b"", 0, 0.0

    def send(self, request: bytes) -> None:
        self.received, self.wanted, self.began = b"", 0, time.perf_counter()
        self.socket.sendall(request)

    def answered(self) -> bool:
        """Reads what is there; whether the answer is whole."""
        self.received += self.socket.recv(1 << 18)
        if not self.wanted:
            head = self.received.find(b"\r\n\r\n")
            if head < 0:
                return False
            at = self.received[:head].lower().find(b"content-length:")
            self.wanted = head + 4 + (int(self.received[at + 15 : self.received.find(b"\r", at)]) if at >= 0 else 0)
        return len(self.received) >= self.wanted


def _run(port: int, requests: Sequence[bytes], seconds: float, connections: int, out: "multiprocessing.Queue[Load]", each_once: bool) -> None:
    chosen, waiting = selectors.DefaultSelector(), iter(requests if each_once else _over_and_over(requests))
    took: list[float] = []
    failed, began = 0, time.perf_counter()
    for _ in range(connections):
        made = _Connection(port)
        request = next(waiting, None)
        if request is not None:
            chosen.register(made.socket, selectors.EVENT_READ, made)
            made.send(request)
    while chosen.get_map() and time.perf_counter() - began < seconds:
        for found, _ in chosen.select(0.2):
            connection: _Connection = found.data
            if not connection.answered():
                continue
            took.append(time.perf_counter() - connection.began)
            failed += not connection.received.startswith(b"HTTP/1.1 2")
            request = next(waiting, None)
            if request is None:
                chosen.unregister(connection.socket)
            else:
                connection.send(request)
    passed = time.perf_counter() - began
    took.sort()
    out.put(Load(len(took) / passed, failed, *(took[len(took) * percent // 100] * 1000 if took else 0.0 for percent in (50, 95, 99))))


def _over_and_over(requests: Sequence[bytes]):  # type: ignore[no-untyped-def]
    while True:
        yield from requests


def load(port: int, requests: Sequence[bytes], *, seconds: float = 600, connections: int = 16, each_once: bool = False) -> Load:
    """Sends requests for some seconds over and over, or each once."""
    out: multiprocessing.Queue[Load] = multiprocessing.Queue()
    process = multiprocessing.Process(target=_run, args=(port, requests, seconds, connections, out, each_once))
    process.start()
    found = out.get()
    process.join()
    return found


def request(method: str, path: str, token: str, body: bytes = b"") -> bytes:
    head = f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {token}\r\nAccept: application/fhir+json, application/json\r\n"
    if body:
        head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
    return head.encode() + b"\r\n" + body
