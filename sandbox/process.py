"""A sandbox in a process of its own, for a demo or a test that needs one for a while."""

import json
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

STOPS_WITHIN_S = 10


@contextmanager
def started(
    personas: Sequence[str] = ("plain", "epic"),
    directory: Path | str | None = None,
    *,
    port: int = 0,
    tokens: Mapping[str, str] | None = None,
    smart: Mapping[str, Mapping[str, Any]] | None = None,
) -> Iterator[str]:
    """Yields its origin, such as http://127.0.0.1:43211; the FHIR bases are below it. Raises RuntimeError when it does not come up."""
    command = [sys.executable, "-m", "sandbox", "--port", str(port)]
    command += [word for name in personas for word in ("--persona", name)]
    command += [word for name, token in (tokens or {}).items() for word in ("--token", f"{name}={token}")]
    command += [word for name, given in (smart or {}).items() for word in ("--smart", f"{name}={json.dumps(given)}")]
    command += ["--directory", str(directory)] if directory is not None else []
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:  # noqa: S603 - our own words
        try:
            assert process.stdout is not None
            said = process.stdout.readline().strip()
            if not said.startswith("sandbox: "):
                raise RuntimeError("the sandbox did not start")
            yield said.removeprefix("sandbox: ")
        finally:
            # SIGINT and not SIGTERM: gunicorn then does not wait for idle connections, and what was answered is kept all the same.
            process.send_signal(signal.SIGINT)
            try:
                process.wait(STOPS_WITHIN_S)
            except subprocess.TimeoutExpired:
                process.kill()
                raise
