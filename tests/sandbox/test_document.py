"""The guide to the sandbox: every request that it shows is answered, every persona and fault is in it, every command of ours is one."""

import re
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from sandbox.faults import KINDS
from sandbox.personas import PERSONAS
from sandbox.process import started

GUIDE = (Path(__file__).parent.parent.parent / "docs" / "sandbox.md").read_text()
LINES = [line for block in re.findall(r"^```sh\n(.*?)^```", GUIDE, re.MULTILINE | re.DOTALL) for line in block.splitlines()]


@pytest.fixture
def origin() -> Iterator[str]:
    """EHRs of its own: the guide ends the first fault by its number."""
    with started(tuple(PERSONAS)) as where:
        yield where


def test_every_request_of_the_guide_does_what_it_says(origin: str, tmp_path: Path) -> None:
    shown = [line for line in LINES if line.startswith("curl ")]
    assert len(shown) >= 20
    for line in shown:
        words = shlex.split(line.replace("curl -s", "curl -sS --fail-with-body").replace("http://127.0.0.1:8001", origin), comments=True)
        done = subprocess.run(words, check=False, capture_output=True, text=True, timeout=30, cwd=tmp_path)
        assert done.returncode == 0, f"{line}\n{done.stdout}\n{done.stderr}"
        assert "1981-05-01" in done.stdout or not line.endswith("r4/Patient/ada")


def test_every_persona_and_every_fault_is_in_the_guide() -> None:
    assert [one for one in KINDS if f"`{one}`" not in GUIDE] == []
    assert [one.name for one in PERSONAS.values() if f"| `{one.name}` | `{one.path}` |" not in GUIDE] == []


def test_every_command_of_the_guide_is_one() -> None:
    from service.cli.main import commands

    shown = [shlex.split(line, comments=True)[1:] for line in LINES if line.startswith("pathway-fhir ")]
    assert len(shown) >= 8
    for words in shown:
        command: click.Command | None = commands
        while isinstance(command, click.Group):
            command, words = command.get_command(click.Context(command), words[0]), words[1:]  # noqa: PLW2901
        assert command is not None, words
        command.make_context("shown", words).close()
