"""What goes over a connection in place of a whole answer: gunicorn lends its socket, and whatever is done with it here is the end of it."""

import errno
import os
import socket
import struct
from collections.abc import Callable, Mapping
from email.utils import formatdate
from typing import NoReturn

Speech = Callable[[socket.socket, bytes, bytes], None]
"""Says of an answer, given by its head and its body, as much as it likes."""


def speak(line: socket.socket | None, speech: Speech, head: bytes, body: bytes) -> NoReturn:
    """Raises ConnectionResetError whatever was said, which is how gunicorn is told that the connection is over; without a line it is all."""
    if line is not None:
        speech(line, head, body)
    raise ConnectionResetError(errno.ECONNRESET, "the sandbox hung up")


def head_of(status_line: str, headers: Mapping[str, str], length: int) -> bytes:
    """The bytes that stand before a body of that length, as gunicorn would write them."""
    told = {"Date": formatdate(usegmt=True), "Connection": "close", **headers, "Content-Length": str(length)}
    return "".join([f"HTTP/1.1 {status_line}\r\n", *(f"{name}: {text}\r\n" for name, text in told.items()), "\r\n"]).encode("latin-1")


def reset(line: socket.socket, _head: bytes, _body: bytes) -> None:
    """RST in place of an answer: with no time to linger, the close of the connection is one."""
    line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    with socket.socket() as unconnected:
        # Closes the connection now and leaves gunicorn a descriptor that it may close again: its own close would say FIN first.
        os.dup2(unconnected.fileno(), line.fileno(), inheritable=False)


def half(line: socket.socket, head: bytes, body: bytes) -> None:
    """The whole head, which promises the whole body, and half of that."""
    line.sendall(head + body[: len(body) // 2])
    hang_up(line)


def hang_up(line: socket.socket) -> None:
    """FIN in both directions, so that nothing waits for what the other side still has to say."""
    line.shutdown(socket.SHUT_RDWR)
