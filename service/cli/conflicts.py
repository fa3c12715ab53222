"""Conflicts: what both we and an EHR changed, shown side by side, and settled."""

import click

from service import contending
from service.cli import named, show
from service.cli.wired import now, wired
from service.exchange import Act
from service.store import conflicts as store

COLUMNS = {"id": "No.", "ehr": "EHR", "state": "State", "resource.type entity.kind entity.id": "Resource of record", "said": "Elements"}
SIDES = {"element": "Element", "base": "Agreed last", "ours": "Ours", "theirs": "Theirs"}


@click.group()
def conflicts() -> None:
    """What both we and an EHR changed."""


@conflicts.command("list")
@click.option("--ehr", help="With one EHR.")
@click.option("--patient", help="About one patient, by the clinic's own key.")
@click.option("--type", "type_", help="About one FHIR type.")
@click.option("--all", "every", is_flag=True, help="Those that are settled too.")
@click.option("--limit", type=click.IntRange(1, 10_000), default=100, show_default=True, help="How many at most, the newest first.")
def list_(ehr: str | None, patient: str | None, type_: str | None, every: bool, limit: int) -> None:
    """Show conflicts that wait for a person."""
    with wired() as service, service.database.reading() as connection:
        whose = named.patient(connection, patient).num if patient is not None else None
        found = store.listed(connection, store.Filter(named.an_ehr(connection, ehr), () if every else (store.OPEN,), type_, whose, limit=limit))
    rows = [contending.described(one, words=True) for one in found]
    show.rows([row if show.as_json() else {**row, "said": [one["element"] for one in row["elements"]]} for row in rows], COLUMNS)


@conflicts.command("show")
@click.argument("number", type=named.NUMBER)
def show_(number: int) -> None:
    """Show a conflict: what both last agreed on, what we say, what the EHR says."""
    with wired() as service, service.database.reading() as connection:
        found = store.one(connection, number)
    if found is None:
        raise show.Failure(f"There is no conflict {number}", show.NOT_FOUND)
    said = contending.described(found, words=True)
    if show.as_json():
        show.one(said)
        return
    show.one({name: value for name, value in said.items() if name != "elements"})
    show.table(said["elements"], SIDES)
    if found.state == store.OPEN:
        click.echo(f"To settle it: pathway-fhir conflicts settle {number} --keep ours|theirs")


@conflicts.command()
@click.argument("numbers", type=named.NUMBER, nargs=-1, required=True)
@click.option("--keep", type=click.Choice(contending.KEPT), required=True, help="Whose stands: ours is sent, theirs stays until we change the same again.")
def settle(numbers: tuple[int, ...], keep: str) -> None:
    """Settle conflicts."""
    with wired() as service:
        for number in numbers:
            problems = service.database.write(lambda tx, number=number: contending.settle(Act(service.tenant, tx, "operator"), number, keep, now(service)))  # type: ignore[misc]
            for problem in problems:
                click.echo(f"{number} stands there and is not taken here: {problem.path} {problem.told}", err=True)
    show.done(f"{len(numbers)} settled: {keep} kept.", numbers=list(numbers), keep=keep)
