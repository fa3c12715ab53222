"""The sandbox EHRs as an operator starts them."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests
from click.testing import CliRunner

from sandbox.faults import KINDS
from sandbox.personas import PERSONAS
from service.cli.sandbox import sandbox

ROOT = Path(__file__).parent.parent.parent


@contextmanager
def running(*words: str) -> Iterator[str]:
    command = [sys.executable, "-m", "service.cli.run", "sandbox", "--port", "0", *words]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield process.stdout.readline().strip().removeprefix("sandbox: ")
        finally:
            process.terminate()
            process.wait(20)


def status(url: str, **headers: str) -> int:
    return requests.get(url, headers={"Connection": "close", **headers}, timeout=10).status_code


def test_its_help_tells_all_that_can_be_tried() -> None:
    told = CliRunner().invoke(sandbox, ["--help"]).output
    assert "[default: plain, epic]" in told and "--smart" in told and "--token" in told
    assert all(one in told for one in (*PERSONAS, *KINDS))


def test_it_stands_for_two_ehrs_where_none_is_named() -> None:
    with running() as origin:
        found = {name: status(f"{origin}{one.path}/metadata") for name, one in PERSONAS.items()}
    assert found == {"plain": 200, "epic": 200, "oracle": 404, "nhs": 404}


def test_it_stands_for_those_that_are_named_and_asks_for_a_token() -> None:
    with running("--persona", "oracle", "--persona", "nhs", "--token", "oracle=theirs") as origin:
        base = origin + PERSONAS["oracle"].path
        assert (status(f"{base}/Patient"), status(f"{base}/Patient", Authorization="Bearer theirs")) == (401, 200)
        assert (status(f"{origin}{PERSONAS['nhs'].path}/metadata"), status(f"{origin}/fhir/r4/metadata")) == (200, 404)


@pytest.mark.parametrize(("words", "said"), [(["--persona", "mine"], "'mine' is not one of"), (["--smart", "epic=a"], "PERSONA=CLIENT=JWKS_URL")])
def test_what_it_cannot_do_is_one_sentence(words: list[str], said: str) -> None:
    done = CliRunner().invoke(sandbox, words)
    assert done.exit_code != 0 and said in " ".join(done.output.split())
