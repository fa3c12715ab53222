"""What keeps deliveries right is taken out, one thing at a time, and the machine has to notice."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parent.parent.parent
PARTS = ("service", "mappings", "sandbox", "tests", "pyproject.toml", "examples")
STREAMS, DELIVER = "service/store/streams.py", "service/sync/deliver.py"
SEEDS = 12
MUTANTS = {
    "the epoch fence": [(STREAMS, "[0][0] != one.epoch:", "[0][0] != one.epoch and False:")],
    "the stream lease": [(STREAMS, "SET lease_until = :, worker", "SET lease_until = 0 * :, worker")],
    "the look at what is unsure": [
        (STREAMS, "unsure = bool(was_unsure) or state == SENDING or (before is not None and before.unsure)", "unsure = False"),
        ("service/sync/settling.py", 'again("unsure", unsure=True)', 'again("unsure")'),
    ],
    "the wait for what it makes no sense without": [
        (DELIVER, "elif strong and there.state == OWED:", "elif strong and there.state == OWED and False:"),
        (DELIVER, "        elif strong:\n", "        elif strong and False:\n"),
    ],
}


@pytest.mark.parametrize("taken_out", ["nothing", *MUTANTS])
def test_the_machine_notices_what_is_taken_out(taken_out: str, tmp_path: Path) -> None:
    for part in PARTS:
        source = ROOT / part
        if source.is_dir():
            shutil.copytree(source, tmp_path / part, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, tmp_path / part)
    for file, before, after in MUTANTS.get(taken_out, []):
        text = (tmp_path / file).read_text()
        assert text.count(before) == 1, f"{file} has changed: {before}"
        (tmp_path / file).write_text(text.replace(before, after))
    runs = (_run(tmp_path, seed) for seed in range(SEEDS if taken_out != "nothing" else 1))
    found = next((done for done in runs if done.returncode != 0), None)  # what one seed's runs do not come to another's do
    assert (found is None) == (taken_out == "nothing"), found.stdout[-3000:] if found is not None else "nothing was noticed"
    assert found is None or "Error" in found.stdout


def _run(path: Path, seed: int) -> subprocess.CompletedProcess[str]:
    known = {"PYTHONPATH": str(path), "PATHWAY_FHIR_TEST_EXAMPLES": "40", "PATHWAY_FHIR_TEST_SEED": str(seed), "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-m", "pytest", "-n", "0", "-x", "--tb=short", "-m", "not slow and not postgres", "tests/machine/test_deliveries.py"]
    return subprocess.run(command, check=False, cwd=path, env={**os.environ, **known}, capture_output=True, text=True, timeout=600)
