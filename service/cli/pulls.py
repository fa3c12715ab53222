"""Pulls: which changes of an EHR come in, how far they have come, and having them come in now."""

from typing import Any

import click

from service import notifications, operating
from service.cli import named, show
from service.cli.wired import now, wired
from service.store import cursors, targets
from service.sync import pulling

COLUMNS = {"ehr": "EHR", "type": "Type", "every": "Every (s)", "state": "State", "at": "Come to", "pulledAt": "Last", "held": "Held, because"}
DONE = {"ehr": "EHR", "type": "Type", "taken": "Taken", "same": "Nothing new", "contested": "In conflict", "unfit": "Not to be taken", "vanished": "Removed",
        "held": "Held, because"}  # fmt: skip


@click.group()
def pull() -> None:
    """What EHRs change in what they hold of ours."""


@pull.command("set")
@click.argument("ehr")
@click.argument("types", nargs=-1)
@click.option("--every", type=click.IntRange(*operating.EVERY_BETWEEN), default=operating.EVERY, show_default=True, help="Seconds from one pull to the next.")
def set_(ehr: str, types: tuple[str, ...], every: int) -> None:
    """Have changes of these resource types come in from an EHR from now on, and of no others. Without types, of none."""
    with wired() as service:
        service.database.write(lambda tx: operating.set_pulls(tx, ehr, types, every, now(service)))
    show.done(f"From {ehr} come changes of {', '.join(types) or 'nothing'}.", ehr=ehr, types=list(types), every=every)


@pull.command("list")
@click.option("--ehr", help="From one EHR.")
def list_(ehr: str | None) -> None:
    """Show how far each pull has come, and why one does not go on."""
    with wired() as service, service.database.reading() as connection:
        names = [named.ehr(connection, ehr).id] if ehr is not None else [one.id for one in targets.all_targets(connection)]
        found = [one for name in names for one in operating.pulls(connection, name)]
    show.rows(found, COLUMNS)


@pull.command("now")
@click.argument("ehr")
@click.argument("types", nargs=-1)
def now_(ehr: str, types: tuple[str, ...]) -> None:
    """Pull at once, and say what came of it. Without types, all that are pulled from this EHR."""
    with wired() as service:
        with service.database.glance() as connection:
            target = named.ehr(connection, ehr)
            found = [one for one in cursors.of(connection, ehr) if not types or one.type in types]
        if not found:
            raise show.Failure(f"Nothing of this is pulled from {ehr}: pathway-fhir pull set {ehr} TYPE...", show.NOT_FOUND)
        done = [_done(pulling.pull(service, target, one)) for one in found]
    show.rows(done, DONE)
    if any(row["held"] for row in done):
        raise show.Failure("Not everything was seen; what was not is looked at the next time.")


@pull.command("endpoint")
@click.argument("ehr")
def endpoint(ehr: str) -> None:
    """Show where an EHR's Subscription sends its notifications to, and the header with which it says who it is.

    What a notification tells of is pulled at once, and nothing else is taken from it. The header is a secret between the two.
    """
    with wired() as service:
        with service.database.glance() as connection:
            named.ehr(connection, ehr)
        header = f"{notifications.HEADER}: {notifications.token(service.tenant, ehr)}"
        show.one({"ehr": ehr, "endpoint": f"{service.settings.base}{notifications.PATH}/{ehr}", "header": header})


def _done(one: pulling.Pull) -> dict[str, Any]:
    counts = {"taken": one.taken, "same": one.same, "contested": one.contested, "unfit": one.unfit, "vanished": one.vanished}
    return {"ehr": one.target.id, "type": one.cursor.type, **counts, "held": "; ".join(one.problems)}
