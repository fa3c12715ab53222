"""The command line on a database of its own, run in this process: what it said, line by line, and its exit code."""

import json
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
import structlog

from service.app import create_app
from service.cli import main
from service.config import Settings, load
from service.wiring import wire
from tests.conftest import SECRET, Http, filled_at


class Said:
    def __init__(self, code: int, out: str, err: str):
        self.code, self.out, self.err = code, out, err

    @property
    def rows(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.out.splitlines()]

    def __repr__(self) -> str:
        return f"exit code {self.code}\n{self.out}\n{self.err}"


@pytest.fixture
def given(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Settings:
    """The settings of the commands, as an environment gives them."""
    url = f"sqlite:///{tmp_path}/pathway.db"
    for name, value in (("DATABASE_URL", url), ("SECRET", SECRET), ("OUTBOUND_PRIVATE", "true"), ("LOG_LEVEL", "ERROR")):
        monkeypatch.setenv(f"PATHWAY_FHIR_{name}", value)
    return load()


@pytest.fixture(autouse=True)
def logs_go_to_stderr() -> None:
    """As every command has it, before anything else that a test starts writes its first line."""
    structlog.configure(logger_factory=structlog.WriteLoggerFactory(file=sys.__stderr__))


@pytest.fixture
def run(given: Settings, capsys: pytest.CaptureFixture[str]) -> Callable[..., Said]:
    def run(*words: str) -> Said:
        capsys.readouterr()
        try:
            main(list(words))
            code: Any = 0
        except SystemExit as ended:
            code = ended.code or 0
        return Said(code, *capsys.readouterr())

    return run


@pytest.fixture
def sandbox(origin: str) -> str:
    """The origin of a sandbox that holds nothing."""
    assert requests.delete(f"{origin}/_sandbox", timeout=10).status_code == 204
    return origin


@pytest.fixture(scope="session")
def filled_lately(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SQLite database with the whole example pathway, pushed through the API at a time of this machine's own clock, as commands have it."""
    return filled_at(tmp_path_factory.mktemp("filled") / "pathway.db")


@pytest.fixture
def pushed(run: Callable[..., Said], given: Settings, filled_lately: Path) -> Iterator[Http]:
    """The clinic's software, registered by the command line, with the example pathway pushed."""
    shutil.copy(filled_lately, given.database_url.removeprefix("sqlite:///"))
    run("client", "add", "clinic", "--level", "C3", "--role", "clinic", "--scopes", "system/*.cruds pathway/operate")
    token = run("client", "token", "clinic").out.strip()
    service = wire(given)
    yield Http(create_app(service=service).test_client(), token)
    service.close()
