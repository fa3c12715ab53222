"""Deliveries: what arrived, what waits, what was refused and why; and putting it right."""

from typing import Any

import click

from service import operating
from service.cli import show
from service.cli.wired import now, wired
from service.store import deliveries as store
from service.store import entities, outbox
from service.store.deliveries import Filter

COLUMNS = {
    "id": "No.", "ehr": "EHR", "state": "State", "resource.type entity.kind entity.id": "Resource of record", "attempts": "Tries", "reason": "Reason",
}  # fmt: skip


@click.group()
def deliveries() -> None:
    """What EHRs were sent and are owed."""


@deliveries.command("list")
@click.option("--ehr", help="Of one EHR.")
@click.option("--state", "states", multiple=True, type=click.Choice(outbox.STATES), help="In this state; can be given more than once.")
@click.option("--type", "type_", help="Of one resource type.")
@click.option("--patient", help="Of one patient, by the clinic's own key.")
@click.option("--reason", help="With these words in the reason.")
@click.option("--limit", type=click.IntRange(1, 10_000), default=50, show_default=True, help="How many at most, the newest first.")
@click.option("--summary", is_flag=True, help="How many there are in each state, EHR by EHR.")
def list_(ehr: str | None, states: tuple[str, ...], type_: str | None, patient: str | None, reason: str | None, limit: int, summary: bool) -> None:
    """Show deliveries."""
    with wired() as service, service.database.reading() as connection:
        if summary:
            counts = outbox.counts(connection, ehr)
            show.rows([{"ehr": e, "state": s, "count": n} for (e, s), n in sorted(counts.items())], {"ehr": "EHR", "state": "State", "count": "Count"})
            return
        number = None
        if patient is not None:
            found = entities.get(connection, "patient", patient)
            if found is None:
                raise show.Failure(f"There is no patient {patient}", show.NOT_FOUND)
            number = found.num
        wanted = store.listed(connection, Filter(ehr, states, type_, number, None, reason, None, limit))
    show.rows([operating.described(d, words=True) for d in wanted], COLUMNS)


@deliveries.command("show")
@click.argument("number", type=int)
def show_(number: int) -> None:
    """Show one delivery with the log of its attempts."""
    with wired() as service, service.database.reading() as connection:
        found = store.one(connection, number)
    if found is None:
        raise show.Failure(f"There is no delivery {number}", show.NOT_FOUND)
    show.one(operating.described(found, words=True))


@deliveries.command()
@click.argument("numbers", type=int, nargs=-1)
@click.option("--ehr", help="All of one EHR that are parked or unsupported.")
@click.option("--reason", help="Only those with these words in the reason.")
def replay(numbers: tuple[int, ...], ehr: str | None, reason: str | None) -> None:
    """Owe again. The current content is sent, in a new delivery that names the old one."""
    _change(store.replay, numbers, ehr, reason, "owed again")


@deliveries.command()
@click.argument("numbers", type=int, nargs=-1)
@click.option("--ehr", help="All of one EHR that are parked or unsupported.")
@click.option("--reason", help="Only those with these words in the reason.")
def cancel(numbers: tuple[int, ...], ehr: str | None, reason: str | None) -> None:
    """Give up. It is owed again only when its content changes or it is replayed."""
    _change(store.cancel, numbers, ehr, reason, "cancelled")


def _change(change: Any, numbers: tuple[int, ...], ehr: str | None, reason: str | None, said: str) -> None:
    if not numbers and ehr is None:
        raise click.UsageError("Give numbers of deliveries, or --ehr.")
    with wired() as service:
        wanted = list(numbers)
        if ehr is not None:
            with service.database.reading() as connection:
                found = store.listed(connection, Filter(ehr, (outbox.PARKED, outbox.UNSUPPORTED), reason=reason, limit=100_000))
            wanted += [d.num for d in found]
        done = service.database.write(lambda tx: change(tx, wanted, now(service)))
    if len(done) < len(set(wanted)):
        missing = sorted(set(wanted) - set(done))
        show.done(f"{len(done)} {said}.", numbers=done)
        raise show.Failure(f"Not {said}, for their state does not allow it or they are not there: {', '.join(map(str, missing[:20]))}", show.REFUSED)
    show.done(f"{len(done)} {said}.", numbers=done)


COMMANDS = (deliveries,)
