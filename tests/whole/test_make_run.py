"""`make run` as a stranger runs it: in a fresh checkout, with an environment that holds nothing, twice."""

import os
import re
import signal
import sys
import time
from pathlib import Path

import pytest
import requests

from tests.whole.running import checkout, demo, free_ports, is_free

pytestmark = pytest.mark.demo
PASSED_ON = re.compile(r"HOME|LANG|PIP_.*|SSL_CERT_.*|(HTTPS?|NO)_PROXY", re.IGNORECASE)  # how the package index is reached


def counts(port: int) -> dict[str, dict[str, int]]:
    """What each EHR of the sandbox holds, type by type, by its own count."""
    held = requests.get(f"http://127.0.0.1:{port}/_sandbox/counts", timeout=10).json()
    return {persona: {type_: n["current"] for type_, n in types.items()} for persona, types in held.items()}


def test_it_sends_an_example_stops_at_ctrl_c_and_sends_nothing_twice(tmp_path: Path) -> None:
    home = checkout(tmp_path)
    environment = {name: value for name, value in os.environ.items() if PASSED_ON.fullmatch(name)}
    environment["PATH"] = f"{Path(sys.base_prefix) / 'bin'}:/usr/local/bin:/usr/bin:/bin"
    ports = free_ports(2)
    command = ["make", "run", f"PORT={ports[0]}", f"SANDBOX_PORT={ports[1]}"]

    began = time.monotonic()
    with demo(home, command, ports, environment, within=175) as first:
        took = time.monotonic() - began
        assert "Every EHR holds what it should" in first.said.read_text()
        held = counts(ports[1])
        said = table(first.said.read_text())
        assert said["plain"] == held["plain"] and said["epic"] == held["epic"]
        assert "Stopped" in first.end(twice=True)
    print(f"first run: {took:.0f} s with the installation")
    assert is_free(ports[0]) and is_free(ports[1])
    assert not still_running(home)

    with demo(home, command, ports, environment, within=60) as second:
        text = second.said.read_text()
        assert "nothing new" in text and "Every EHR holds what it should" in text
        assert counts(ports[1]) == held
        [worker] = [pid for pid, line in still_running(home).items() if line.split()[-1] == "work"]
        os.kill(worker, signal.SIGKILL)
        assert second.process.wait(30) != 0
        assert "The worker has ended (by SIGKILL)" in second.said.read_text()
    assert not still_running(home)


def table(said: str) -> dict[str, dict[str, int]]:
    """The table that the demo shows, as counts of what is there."""
    found: dict[str, dict[str, int]] = {"plain": {}, "epic": {}}
    for line in said.splitlines():
        words = line.split()
        pairs = [int(words[i - 1]) for i, word in enumerate(words) if word == "of" and words[i - 1].isdigit() and words[i + 1].isdigit()]
        for persona, there in zip(found, pairs, strict=False):
            if there:
                found[persona][words[0]] = there
    return found


def still_running(home: Path) -> dict[int, str]:
    """The processes that were started from a directory, with their command lines."""
    found = {}
    for process in Path("/proc").glob("[0-9]*"):
        try:
            line = (process / "cmdline").read_bytes().decode(errors="replace").replace("\0", " ")
        except OSError:
            continue
        if str(home) in line:
            found[int(process.name)] = line
    return found
