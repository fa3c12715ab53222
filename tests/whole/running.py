"""The demo, started as a user starts it, in a directory that holds what a checkout holds and nothing else."""

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parent.parent.parent
STARTED = "Ctrl-C stops everything"
STOPPING = "Stopping"


class Demo(NamedTuple):
    directory: Path
    port: int
    sandbox_port: int
    said: Path
    process: subprocess.Popen[bytes]

    def end(self, *, twice: bool = False) -> str:
        """Ctrl-C, as a terminal sends it: to the whole group. Returns all that was said."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGINT)
            until = time.monotonic() + 60
            while twice and STOPPING not in self.said.read_text():
                assert time.monotonic() < until
                time.sleep(0.05)
            if twice:
                os.killpg(self.process.pid, signal.SIGINT)
            self.process.wait(60)
        return self.said.read_text()


def checkout(into: Path) -> Path:
    """A copy of the files that are, or are about to be, in the repository."""
    listed = subprocess.run(["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"], cwd=ROOT, check=True, capture_output=True).stdout
    for name in listed.decode().split("\0"):
        if name and (ROOT / name).exists():
            (into / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, into / name, follow_symlinks=False)
    return into


def free_ports(count: int) -> list[int]:
    held = [socket.socket() for _ in range(count)]
    try:
        for one in held:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in held]
    finally:
        for one in held:
            one.close()


def is_free(port: int) -> bool:
    with socket.socket() as tried:
        tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            tried.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


@contextmanager
def demo(directory: Path, command: Sequence[str], ports: Sequence[int], environment: Mapping[str, str], within: float) -> Iterator[Demo]:
    """Runs a command that ends in the demo, until it says that everything is up. Kills what is left of it afterwards."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as a shell starts what goes on behind it: whatever we start would ignore it too
        signal.signal(signal.SIGINT, signal.default_int_handler)
    said = directory / f"said-{time.monotonic_ns()}.txt"
    with said.open("wb") as out:
        process = subprocess.Popen(command, cwd=directory, env=dict(environment), stdout=out, stderr=subprocess.STDOUT, start_new_session=True)
    until = time.monotonic() + within
    try:
        while STARTED not in said.read_text(errors="replace"):
            assert process.poll() is None, f"it ended by itself: {said.read_text(errors='replace')}"
            assert time.monotonic() < until, f"it took more than {within} s: {said.read_text(errors='replace')}"
            time.sleep(0.2)
        yield Demo(directory, ports[0], ports[1], said, process)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGINT)
            try:
                process.wait(60)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
