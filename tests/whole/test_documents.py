"""Every command and every snippet of the documents for users is run, as it stands there, against a running demo."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.whole.running import ROOT, Demo, checkout, demo, free_ports

pytestmark = pytest.mark.demo
BLOCK = re.compile(r"^```(sh|python)\n(.*?)^```", re.MULTILINE | re.DOTALL)
HEADING = re.compile(r"^(#+ .*)$", re.MULTILINE)


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    home = checkout(tmp_path_factory.mktemp("checkout"))
    (home / ".venv").symlink_to(sys.prefix)
    ports = free_ports(2)
    command = [".venv/bin/pathway-fhir", "demo", "--port", str(ports[0]), "--sandbox-port", str(ports[1])]
    with demo(home, command, ports, os.environ, within=120) as found:
        yield found


def blocks(document: str, under: str) -> list[tuple[str, str]]:
    """(language, text) of the fenced blocks below a heading, up to the next of its rank or higher."""
    text = (ROOT / document).read_text()
    start = text.index(f"{under}\n")
    rank = len(under.split(" ", maxsplit=1)[0])
    ends = [m.start() for m in HEADING.finditer(text, start + 1) if len(m[1].split(" ")[0]) <= rank and "\n```" not in text[m.start() : m.start() + 1]]
    return BLOCK.findall(text[start : ends[0] if ends else len(text)])


def shell(running: Demo, commands: str) -> list[str]:
    """What each command said on standard output. Fails on an error of a command and on an error status of HTTP."""
    commands = commands.replace("127.0.0.1:8000", f"127.0.0.1:{running.port}").replace("curl -s", "curl -sS --fail-with-body")
    lines = [line for line in commands.splitlines() if line and not line.startswith("#")]
    script = "set -eo pipefail\n" + "\n".join(f"{line}\nprintf '\\036'" for line in lines)
    done = subprocess.run(["bash", "-c", script], check=False, cwd=running.directory, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, f"{commands}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    return [said for line, said in zip(lines, done.stdout.split("\036"), strict=False) if "curl" in line or "python" in line]


@pytest.mark.parametrize("heading", ["### As an EHR", "### As the clinic's software", "### As an integration engineer"])
def test_the_readmes_commands_do_what_it_says(running: Demo, heading: str) -> None:
    for _, text in blocks("README.md", heading):
        for answer in shell(running, text):
            assert answer.strip()
            if answer.lstrip().startswith("{"):
                said = json.loads(answer)
                assert said.get("entry") or said.get("entity") or said.get("items") or said.get("views") or said.get("resourceType") == "CapabilityStatement", answer


def test_an_ehr_sees_a_visit_with_everything_that_hangs_on_it(running: Demo) -> None:
    (said, *_) = shell(running, blocks("README.md", "### As an EHR")[0][1])
    for word in ("Encounter", "Observation", "MedicationAdministration"):
        assert word in said, said


def test_a_reading_that_was_charted_arrives(running: Demo) -> None:
    deliveries = shell(running, blocks("README.md", "### As the clinic's software")[0][1])[-1]
    assert {item["ehr"] for item in json.loads(deliveries)["items"]} == {"sandbox-plain", "sandbox-epic"}


@pytest.mark.parametrize("library", ["fhirpy", "fhirclient"])
def test_the_snippets_for_fhir_libraries_run(running: Demo, library: str) -> None:
    (snippet,) = [text for language, text in blocks("docs/clients.md", "## FHIR libraries") if language == "python" and library in text]
    snippet = snippet.replace("127.0.0.1:8000", f"127.0.0.1:{running.port}")
    names: dict[str, object] = {"token": (running.directory / "var/demo/ehr.token").read_text().strip()}
    exec(compile(snippet, f"docs/clients.md, {library}", "exec"), names)
    assert names["readings"] if library == "fhirpy" else names["visits"]


def test_the_commands_that_the_demo_prints_run(running: Demo) -> None:
    printed = [line.strip() for line in running.said.read_text().splitlines() if line.startswith("  ") and ("curl" in line or "/bin/" in line)]
    assert len(printed) >= 6
    for command in printed:
        script = command.replace("curl -s", "curl -sS --fail-with-body")
        done = subprocess.run(["bash", "-c", script], check=False, cwd=running.directory, capture_output=True, timeout=60)
        assert done.returncode == 0 and done.stdout, f"{command}\n{done.stdout.decode()}\n{done.stderr.decode()}"


def test_the_requests_that_are_shown_to_ehrs_find_something(running: Demo) -> None:
    import requests

    token = (running.directory / "var/demo/ehr.token").read_text().strip()
    base = f"http://127.0.0.1:{running.port}/fhir/r4"
    session = requests.Session()
    session.headers["Authorization"] = f"Bearer {token}"
    visit = session.get(f"{base}/MedicationAdministration").json()["entry"][0]["resource"]["context"]["reference"].removeprefix("Encounter/")
    text = (ROOT / "docs/clients.md").read_text()
    shown = re.findall(r"^\| [^|]+ \| `([A-Z][^`]+)` \|$", text, re.MULTILINE)
    assert len(shown) >= 5
    for request in shown:
        answer = session.get(f"{base}/{request.replace(chr(92) + '|', '|').replace('{id}', visit)}")
        assert answer.status_code == 200 and answer.json()["entry"], f"{request}: {answer.text[:1000]}"


@pytest.mark.parametrize(("guide", "least"), [("docs/operating.md", 15), ("docs/connecting.md", 6)])
def test_commands_of_the_operators_guides_are_ones_that_there_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, guide: str, least: int) -> None:
    import shlex

    import click

    from service.cli.main import commands

    monkeypatch.chdir(tmp_path)
    for name in ("gp-public.json", "clinic-public.json"):
        (tmp_path / name).write_text("{}")
    texts = [text.replace("\\\n", "") for _, text in BLOCK.findall((ROOT / guide).read_text())]
    shown = [line for text in texts for line in text.splitlines() if line.startswith("pathway-fhir ")]
    assert len(shown) >= least
    for line in shown:
        words = [word.replace("/backups/pathway-2026-04-01.db", "gp-public.json") for word in shlex.split(line, comments=True)[1:]]
        command: click.Command | None = commands
        while isinstance(command, click.Group):
            command, words = command.get_command(click.Context(command), words[0]), words[1:]
        assert command is not None, words
        command.make_context(line, words).close()
