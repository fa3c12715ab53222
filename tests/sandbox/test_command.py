"""The command: its help tells everything that there is, and everything that it tells is there."""

import json
import subprocess
import sys

import pytest
import requests
from click.testing import CliRunner

from sandbox.__main__ import main
from sandbox.besides import BESIDES_FHIR
from sandbox.faults import KINDS
from sandbox.personas import PERSONAS

REQUESTS = [(method, path) for methods, path, _ in BESIDES_FHIR for method in methods.split()]


def test_its_help_tells_every_ehr_every_fault_and_every_request() -> None:
    told = CliRunner().invoke(main, ["--help"]).output
    for one in (*PERSONAS, *(persona.path for persona in PERSONAS.values()), *KINDS, *(path for _, path, _ in BESIDES_FHIR)):
        assert one in told
    examples = [json.loads(line.split("'")[1]) for line in told.splitlines() if line.strip().startswith("curl")]
    assert [one["fault"] in KINDS for one in examples if "fault" in one] == [True, True]


@pytest.mark.parametrize(("method", "path"), REQUESTS)
def test_every_request_that_it_tells_is_answered(origin: str, session: requests.Session, method: str, path: str) -> None:
    where = path.replace("/EHR/", "/epic/").replace("TYPE[/ID]", "Patient/1").replace("faults/ID", "faults/none")
    answer = session.request(method, origin + where, json={"resourceType": "Patient"})
    assert "there is nothing here" not in answer.text
    assert answer.status_code != 500


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--persona", "mine"], "'mine' is not one of"),
        (["--smart", "mine=a=http://x"], "is not PERSONA=CLIENT=JWKS_URL with one of plain"),
        (["--smart", "epic=a"], "is not PERSONA=CLIENT=JWKS_URL"),
        (["--smart", "epic={"], "is not JSON"),
        (["--smart", "epic=a=file:///etc/hosts"], "/clients/0/jwksUrl has to be an http URL"),
    ],
)
def test_what_it_cannot_do_is_one_sentence(words: list[str], said: str) -> None:
    done = CliRunner().invoke(main, ["--port", "0", *words])
    assert done.exit_code != 0
    assert said in " ".join(done.output.split())


def test_it_registers_a_client_of_smart_by_a_url() -> None:
    command = [sys.executable, "-m", "sandbox", "--port", "0", "--persona", "epic", "--smart", "epic=me=http://127.0.0.1:9/jwks.json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        origin = process.stdout.readline().strip().removeprefix("sandbox: ")
        told = requests.get(f"{origin}/_sandbox/epic/smart", headers={"Connection": "close"}, timeout=10).json()
        process.terminate()
        process.wait(10)
    assert (told["on"], told["clients"]) == (True, [{"id": "me", "jwksUrl": "http://127.0.0.1:9/jwks.json"}])
