"""What an EHR really holds, held against what it should hold; and owing again what is not there as it should be."""

import csv
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, TextIO

import click
from rich.console import Console
from rich.progress import Progress

from service.cli import named, show
from service.cli.wired import now, wired
from service.renderings import uuid_of
from service.store import reconciliation
from service.store.targets import Target
from service.sync import ehrs, reconciling
from service.sync.abilities import Abilities
from service.sync.comparing import SAME, VERDICTS, Difference, Finding
from service.sync.looking import Looking, NotAnswering
from service.sync.reconciling import Reconciling
from service.sync.targets.rest import Rest
from service.sync.transport import Interrupted, NotReached
from service.wire import encode
from service.wiring import Service

COLUMNS = {"verdict": "Verdict", "resource.type entity.kind entity.id": "Resource of record", "remoteIds": "There", "what": "What"}
HEADINGS = ("verdict", "type", "id", "kind", "entity", "remoteIds", "delivery", "words", "path", "ours", "theirs")
SHORTENED = 40  # characters of a value in a table
Show = Callable[[Finding], None]


@click.command()
@click.argument("target")
@click.option("--patient", help="Only what is of one patient, by the clinic's own key.")
@click.option("--repair", is_flag=True, help="Owe again what differs or is missing: it is looked for there first. Nothing is ever deleted.")
@click.option("--format", "format_", type=click.Choice(["table", "json", "csv"]), help="How it is shown; a table on a terminal, JSON lines elsewhere.")
@click.option("--csv", "file", type=click.Path(dir_okay=False, path_type=Path), help="Write every resource to a file of comma-separated values too.")
@click.option("--all", "every", is_flag=True, help="Show in the table what is the same, too.")
@click.option("--accept", multiple=True, type=click.Choice([v for v in VERDICTS if v != SAME]), help="A verdict that is well for you; more than once.")
@click.option("--rate", type=click.FloatRange(min=0, min_open=True), help="Calls a second at most.")
def reconcile(target: str, patient: str | None, format_: str | None, file: Path | None, every: bool, accept: tuple[str, ...], **given: Any) -> None:
    """Read what an EHR really holds and say, resource by resource, whether it is what it should hold.

    What differs is shown with its values, which are a patient's. Exit codes: 0 all is the same or of a verdict that you accept,
    5 it is not or not all could be looked at, 1 the EHR does not answer.
    """
    format_ = format_ or ("json" if show.as_json() else "table")
    with wired() as service, _reconciling(service, target, repair=given["repair"], rate=given["rate"]) as of:
        began = of.now
        with _showing(format_, file, every=every) as shown:
            for finding in _found(service, of, patient):
                shown(finding)
        if patient is None:
            report = reconciling.report(of, began)
            service.database.write(lambda tx: reconciliation.keep(tx, report))
    _told(of, format_, accept)


@contextmanager
def _reconciling(service: Service, name: str, *, repair: bool, rate: float | None) -> Iterator[Reconciling]:
    with service.database.glance() as connection:
        target = named.ehr(connection, name)
    talk, line = ehrs.rest(service, target)
    try:
        yield Reconciling(service, target, Looking(service, target, talk, each=1 / rate if rate else 0.0), _able(service, target, talk), repair)
    except NotAnswering as error:
        raise show.Failure(f"{target.base_url} does not answer: {error}") from None
    finally:
        line.close()


def _able(service: Service, target: Target, talk: Rest) -> Abilities:
    try:
        return ehrs.able(service, target, talk, now(service))
    except (NotReached, Interrupted, ValueError) as error:
        raise NotAnswering(error) from None


def _found(service: Service, of: Reconciling, patient: str | None) -> Iterator[Finding]:
    """What is found, with a bar of the patients on a terminal."""
    with service.database.reading() as connection:
        stored = named.patient(connection, patient) if patient is not None else None
        many = reconciliation.patients(connection) + 1
    if stored is not None:
        yield from of.of_patient(stored.num, uuid_of(service.tenant.ids().id("patient", stored.id, "patient")))
        return
    with Progress(console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty()) as progress:
        bar = progress.add_task(of.target.id, total=many)
        for finding in of.everything():
            progress.update(bar, completed=of.looked_at)
            yield finding


def _opened(file: Path) -> TextIO:
    try:
        return file.open("w", newline="", encoding="utf-8")
    except OSError as error:
        raise show.Failure(f"{file} cannot be written: {error.strerror}") from None


@contextmanager
def _showing(format_: str, file: Path | None, *, every: bool) -> Iterator[Show]:
    """Shows findings as they come; a table when all are there."""
    rows: list[dict[str, Any]] = []
    with ExitStack() as opened:
        files = [opened.enter_context(_opened(file))] if file is not None else []
        writers = [_separated(one) for one in (*files, *([sys.stdout] if format_ == "csv" else []))]

        def shown(finding: Finding) -> None:
            for write in writers:
                write(finding)
            if format_ == "json":
                click.echo(encode(_described(finding)))
            elif format_ == "table" and (every or finding.verdict != SAME):
                rows.append(_row(finding))

        yield shown
    if rows:
        show.table(rows, COLUMNS)


def _described(found: Finding) -> dict[str, Any]:
    said = {
        "verdict": found.verdict, "resource": {"type": found.type, **({"id": found.id} if found.id else {})},
        "entity": {"kind": found.kind, "id": found.entity} if found.kind else None, "remoteIds": list(found.remote_ids), "delivery": found.delivery,
        "words": found.words or None, "differences": [vars(one) for one in found.differences] or None,
    }  # fmt: skip
    return {name: value for name, value in said.items() if value is not None}


def _row(found: Finding) -> dict[str, Any]:
    delivery = [f"delivery {found.delivery}"] if found.delivery is not None else []
    return {**_described(found), "what": [*delivery, *([found.words] if found.words else []), *map(_in_words, found.differences)]}


def _in_words(one: Difference) -> str:
    return f"{one.path}: {_short(one.ours)}, there {_short(one.theirs) if one.theirs is not None else 'nothing'}"


def _short(value: Any) -> str:
    said = encode(value).decode()
    return said if len(said) <= SHORTENED else f"{said[:SHORTENED]}…"


def _separated(file: Any) -> Show:
    """Comma-separated values: a line for each element that differs, else one for the resource."""
    writer = csv.writer(file)
    writer.writerow(HEADINGS)

    def write(found: Finding) -> None:
        of_all = found.verdict, found.type, found.id, found.kind, found.entity, " ".join(found.remote_ids), found.delivery, found.words
        for one in found.differences or [None]:
            values = (one.path, encode(one.ours).decode(), encode(one.theirs).decode()) if one is not None else ("", "", "")
            writer.writerow([_harmless(cell) for cell in (*of_all, *values)])

    return write


def _harmless(cell: Any) -> Any:
    """What a spreadsheet would take for a formula, as text."""
    return f"'{cell}" if isinstance(cell, str) and cell[:1] in ("=", "+", "@", "\t", "\r") else cell


def _told(of: Reconciling, format_: str, accept: tuple[str, ...]) -> None:
    counts = {verdict: of.counts[verdict] for verdict in VERDICTS if of.counts[verdict]}
    said = f"{of.target.id}: {_listed(counts) or 'nothing is there, and nothing should be'}."
    said += f" {of.owed} owed again." if of.repair else ""
    if format_ == "json":
        click.echo(encode({"done": said, "ehr": of.target.id, "counts": counts, "complete": not of.problems, "problems": of.problems, "owed": of.owed}))
    else:
        click.echo("\n".join([said, *of.problems]), err=format_ == "csv")
    wrong = Counter({verdict: n for verdict, n in counts.items() if verdict != SAME and verdict not in accept})
    if wrong or of.problems:
        why = _listed(wrong) or "not all of it could be looked at"
        raise show.Failure(f"Not all is well at {of.target.id}: {why}", show.NOT_WELL)


def _listed(counts: dict[str, int] | Counter[str]) -> str:
    return ", ".join(f"{n} {verdict}" for verdict, n in counts.items())
