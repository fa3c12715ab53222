"""`pathway-fhir demo`, which `make run` calls: the service, a worker and a sandbox EHR, and an example pathway through all of them."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click
import requests
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.table import Table

from mappings import KINDS
from mappings.disclosure import Level
from service.cli import demo_setup
from service.cli.demo_setup import EHRS, Demo
from service.cli.show import Failure, console

START_SECONDS = 30
DELIVER_SECONDS = 120


@click.command()
@click.option("--directory", type=click.Path(path_type=Path), default=Path("var/demo"), show_default=True, help="Where its data is kept.")
@click.option("--port", type=int, default=8000, show_default=True, help="The port of the service.")
@click.option("--sandbox-port", type=int, default=8001, show_default=True, help="The port of the sandbox EHR.")
@click.option("--examples", type=click.Path(exists=True, path_type=Path), default=Path("examples/pathway"), show_default=True, help="What is pushed.")
@click.option("--once", is_flag=True, help="End when everything has arrived: exit code 1 if the EHRs do not hold what they should.")
def demo(directory: Path, port: int, sandbox_port: int, examples: Path, once: bool) -> None:
    """Start everything and send an example through it. It keeps running for you to explore."""
    for number, name in ((port, "PORT"), (sandbox_port, "SANDBOX_PORT")):
        if not _free(number):
            raise Failure(f"Port {number} is in use. Choose another: {name}={number + 100} make run")
    made = Demo(directory.resolve(), port, sandbox_port)
    signal.signal(signal.SIGTERM, lambda *_: _interrupt())
    try:
        with _processes(made) as started:
            try:
                arrived = _go_through(made, examples, started)
            except requests.RequestException as error:
                _all_run(made, started)
                raise Failure(f"The service does not answer ({type(error).__name__}): see {_log(made, 'service')}") from None
            if once:
                sys.exit(0 if arrived else 1)
            _clients(made)
            while True:
                _all_run(made, started)
                time.sleep(0.5)
    except KeyboardInterrupt:
        console.print("Stopped. Everything that was sent is kept: run it again, and nothing is sent twice.")


def _interrupt() -> None:
    raise KeyboardInterrupt


def _free(port: int) -> bool:
    with socket.socket() as tried:
        tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            tried.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


# --- processes


Started = list[tuple[str, subprocess.Popen[bytes]]]


@contextmanager
def _processes(made: Demo) -> Iterator[Started]:
    """The three processes, each with its log; stopped together, the worker first, so that it can settle what it sends."""
    demo_setup.begin(made)
    command = [sys.executable, "-m", "service.cli.run"]
    started: Started = []
    try:
        for name, args, ready in (
            ("sandbox", ["sandbox", "--port", str(made.sandbox_port), "--directory", str(made.directory / "sandbox")], f"{made.sandbox}/_sandbox/counts"),
            ("service", ["serve"], f"{made.base}/health/ready"),
            ("worker", ["work"], None),
        ):
            log = _log(made, name).open("ab")
            process = subprocess.Popen([*command, *args], env={**os.environ, **made.environment}, stdout=log, stderr=log, start_new_session=True)  # noqa: S603
            log.close()
            started.append((name, process))
            if ready is not None:
                _wait_for(name, process, ready, _log(made, name))
        yield started
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)  # a second Ctrl-C would leave behind what is not stopped yet
        console.print("\nStopping ...")
        for _, process in reversed(started):
            _stop(process)


def _all_run(made: Demo, started: Started) -> None:
    """Raises Failure where one of the processes has ended by itself: without it the rest only seems to work."""
    for name, process in started:
        if process.poll() is not None:
            raise Failure(f"The {name} has ended ({_how(process.returncode)}). The end of its log:\n{_tail(_log(made, name))}")


def _how(code: int) -> str:
    return f"exit code {code}" if code >= 0 else f"by {signal.Signals(-code).name}"


def _log(made: Demo, name: str) -> Path:
    return made.directory / f"{name}.log"


def _tail(log: Path) -> str:
    return log.read_text(errors="replace")[-2000:]


def _wait_for(name: str, process: subprocess.Popen[bytes], url: str, log: Path) -> None:
    until = time.monotonic() + START_SECONDS
    while time.monotonic() < until:
        if process.poll() is not None:
            raise Failure(f"The {name} did not start. It said:\n{_tail(log)}")
        try:
            if requests.get(url, timeout=2).status_code == 200:
                return
        except requests.RequestException:
            time.sleep(0.1)
    raise Failure(f"The {name} is not ready after {START_SECONDS} s; see {log}")


def _stop(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


# --- an example pathway, from JSON to EHR


def _go_through(made: Demo, examples: Path, started: Started) -> bool:
    console.print(f"[bold]pathway-fhir[/bold] is at {made.base}, the sandbox EHR at {made.sandbox}.\n")
    demo_setup.prepare(made)
    new = _push(made, examples)
    _wait_until_delivered(made, started)
    return _table(made, examples, new)


def _push(made: Demo, examples: Path) -> int:
    """Pushes every example through the API. Returns how many were new or changed."""
    session = made.session("clinic")
    files = [(kind, path) for kind in KINDS.values() for path in sorted((examples / kind.plural).glob("*.json"))]
    changed = 0
    with Progress(TextColumn("{task.description:<34}"), BarColumn(), MofNCompleteColumn(), console=console) as progress:
        task = progress.add_task("Pushing the example pathway", total=len(files))
        for kind, path in files:
            url = f"{made.base}/api/v1/{kind.plural}/{path.stem}"
            answer = session.put(url, data=path.read_bytes(), headers={"Content-Type": "application/json"}, timeout=30)
            if answer.status_code not in (200, 201):
                raise Failure(f"{path} was refused ({answer.status_code}): {answer.text[:1000]}")
            changed += answer.json()["changed"]
            progress.advance(task)
    return changed


def _wait_until_delivered(made: Demo, started: Started) -> None:
    session = made.session("engineer")
    until = time.monotonic() + DELIVER_SECONDS
    with Progress(TextColumn("{task.description:<34}"), BarColumn(), MofNCompleteColumn(), console=console) as progress:
        task = progress.add_task("Delivering to the EHRs", total=None)
        while time.monotonic() < until:
            counts = Counter[str]()
            for ehr in session.get(f"{made.base}/api/v1/ehrs", timeout=10).json()["items"]:
                counts.update(ehr["deliveries"])
            left = counts["waiting"] + counts["sending"]
            over = sum(counts.values()) - left - counts["superseded"]
            progress.update(task, total=over + left, completed=over)
            if not left:
                return
            _all_run(made, started)
            time.sleep(0.2)
    raise Failure(f"Not everything was delivered within {DELIVER_SECONDS} s: see `pathway-fhir deliveries list`")


def _table(made: Demo, examples: Path, new: int) -> bool:
    """What each EHR should hold, by our own Bundles, beside what it says that it holds."""
    held = requests.get(f"{made.sandbox}/_sandbox/counts", timeout=10).json()
    expected = {ehr.name: _expected(made, examples, ehr.level) for ehr in EHRS}
    unsupported = {ehr.name: _states(made, ehr.name, "unsupported") for ehr in EHRS}
    columns = [f"{ehr.name} ({ehr.level.name})" for ehr in EHRS]
    table = Table("FHIR resource", *columns, title=f"\nWhat arrived ({f'{new} new or changed' if new else 'nothing new'})", title_justify="left", box=None)
    right = True
    for type_ in sorted({t for counts in expected.values() for t in counts}):
        cells = []
        for ehr in EHRS:
            there = held.get(ehr.persona, {}).get(type_, {}).get("current", 0)
            owed, not_taken = expected[ehr.name][type_], unsupported[ehr.name][type_]
            right = right and there + not_taken == owed
            note = f"[yellow]{not_taken} not taken[/yellow]" if not_taken else "[green]all there[/green]" if there == owed else "[red]differs[/red]"
            cells.append(f"{there:>3} of {owed:<3} {note}" if owed else "")
        table.add_row(type_, *cells)
    console.print(table)
    console.print("\nEvery EHR holds what it should." if right else "\n[red]An EHR does not hold what it should.[/red]")
    if any(sum(counts.values()) for counts in unsupported.values()):
        console.print("A strict EHR does not take every type: [bold]deliveries list --state unsupported[/bold], below, says what and why.")
    return right


def _expected(made: Demo, examples: Path, level: Level) -> Counter[str]:
    session, found = made.session("clinic"), Counter[str]()
    for kind in KINDS.values():
        for path in (examples / kind.plural).glob("*.json"):
            bundle = session.get(f"{made.base}/api/v1/{kind.plural}/{path.stem}/fhir?view={level.name}", timeout=10).json()
            found.update(entry["resource"]["resourceType"] for entry in bundle.get("entry", []))
    return found


def _states(made: Demo, ehr: str, state: str) -> Counter[str]:
    session, found = made.session("engineer"), Counter[str]()
    url: str | None = f"{made.base}/api/v1/deliveries?ehr={ehr}&state={state}&limit=500"
    while url:
        answer = session.get(url, timeout=10)
        found.update(item["resource"]["type"] for item in answer.json()["items"])
        url = answer.links.get("next", {}).get("url")
    return found


# --- for you


def _clients(made: Demo) -> None:
    """Three ready clients, each with commands to copy."""
    base, python = made.base, Path(sys.executable)
    settings = " ".join(f"{name}={value}" for name, value in made.environment.items() if name in ("PATHWAY_FHIR_DATABASE_URL", "PATHWAY_FHIR_SECRET_FILE"))

    def curl(caller: str, *rest: str) -> str:
        return " ".join(("curl -s", f'-H "Authorization: Bearer $(cat {made.token(caller)})"', *rest))

    dose = "dosing-encounters/ann-dose-1"
    said = {
        "1. An EHR that pulls (level C1)": [
            f"{python} examples/clients/ehr.py --base {base} --client demo-ehr --key {made.key} --nhs-number 9434765919",
            curl("ehr", f'"{base}/fhir/r4/Encounter?_sort=-date&_count=5&_pretty=true"'),
        ],
        "2. The clinic's software (level C3)": [
            curl("clinic", f'-X PUT -H "Content-Type: application/json" --data @examples/pathway/{dose}.json', f"{base}/api/v1/{dose}"),
            curl("clinic", f"{base}/api/v1/{dose}/deliveries"),
        ],
        "3. An integration engineer": [
            f"open {base}/docs and give it the token in {made.token('engineer')}",
            curl("engineer", f'"{base}/api/v1/deliveries?state=unsupported&limit=5"'),
            f"{settings} {python.parent / 'pathway-fhir'} deliveries list --state unsupported",
            f"open {made.sandbox}/ to see what the EHRs hold",
        ],
    }
    for title, commands in said.items():
        console.print(f"\n[bold]{title}[/bold]")
        for command in commands:
            console.print(f"  {command}", soft_wrap=True)
    console.print(f"\nLogs are in {made.directory}. Ctrl-C stops everything.", soft_wrap=True)
