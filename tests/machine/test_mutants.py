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
    environment = {**os.environ, "PYTHONPATH": str(tmp_path), "PATHWAY_FHIR_TEST_EXAMPLES": "40", "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-m", "pytest", "-n", "0", "--tb=short", "-m", "not slow and not postgres", "tests/machine/test_deliveries.py"]
    done = subprocess.run(command, check=False, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=600)
    assert (done.returncode == 0) == (taken_out == "nothing"), done.stdout[-3000:]
    assert taken_out == "nothing" or "Error" in done.stdout
