"""EHRs: which there are, what they take, and whether they let us in."""

from contextlib import closing
from typing import Any

import click

from mappings.search import PARAMETERS
from service import operating
from service.cli import named, show, watching
from service.cli.wired import now, wired
from service.security.scopes import letters_lacking
from service.store import access, targets
from service.store.targets import Target
from service.sync import ehrs
from service.sync.abilities import Abilities, abilities
from service.sync.targets.rest import Rest
from service.sync.transactions import TRANSACTION
from service.sync.transport import Interrupted, NotReached
from service.wiring import Service

INTERACTIONS = {"c": "create", "r": "read", "u": "update", "d": "delete", "s": "search"}
LISTED = {"id level baseUrl": "EHR", "state problem lacking": "State", "breaker": "Breaker", "deliveries": "Deliveries", "lastMinute": "Last minute",
          "oldestWaitingSeconds": "Oldest (s)", "catchingUp": "Catching up"}  # fmt: skip
TESTED = {"type": "Type", "create": "Create", "update": "Update", "delete": "Delete", "once": "Created once by", "sent": "In agreement",
          "lacking": "Not allowed"}  # fmt: skip


@click.group()
def ehr() -> None:
    """External EHRs."""


@ehr.command("list")
@watching.watch
def list_(watch: bool) -> None:
    """Show all EHRs with their backlog and how they are faring."""
    with wired() as service:
        watching.shown(lambda: _list(service), again=watch)


def _list(service: Service) -> None:
    with service.database.reading() as connection:
        found = operating.ehrs(connection, now(service))
    show.rows(found, LISTED)


@ehr.command()
@click.argument("name")
def test(name: str) -> None:
    """Ask an EHR what it takes, and whether it lets us in; show type by type what it takes and does not allow us.

    It is let us in by one search for what is not there. What keeps us out is said in words, and the exit code is 1.
    """
    with wired() as service:
        with service.database.glance() as connection:
            target, before = named.ehr(connection, name), access.get(connection, name)
        talk, line = ehrs.rest(service, target)
        with closing(line):
            able = _stated(service, target, talk)
            problem = ehrs.kept_out(talk, able, target)
        if problem is not None:
            raise show.Failure(f"{name} does not let us in. {problem}")
        lacks = service.database.write(lambda tx: operating.let_in(tx, target, before))
    show.rows([_tested(target, able, one, lacks) for one in sorted(PARAMETERS)], TESTED)
    if not show.as_json():
        click.echo(f"It lets us in{', and does not allow what we asked for: ' + ', '.join(lacks) if lacks else ''}.")
    if said := singly(target, able):
        click.echo(said.strip(), err=True)


def singly(target: Target, able: Abilities) -> str:
    """What is to be said where transactions are asked for that it does not advertise."""
    asked = target.settings.get("transactions") and TRANSACTION not in able.system
    return " It does not advertise transactions: everything goes singly." if asked else ""


def _stated(service: Service, target: Target, talk: Rest) -> Abilities:
    try:
        kept = ehrs.essential(talk.statement())
    except (NotReached, Interrupted, ValueError) as error:
        raise show.Failure(f"{target.base_url}/metadata cannot be read: {error}") from None
    service.database.write(lambda tx: targets.change(tx, target.id, capability=kept, capability_at=now(service)))
    return abilities(kept)


def _tested(target: Target, able: Abilities, type_: str, lacks: list[str]) -> dict[str, Any]:
    once = "conditional create" if type_ in able.conditional_create else "search, then create" if able.searches(type_, "identifier") else "cannot be asked"
    return {"type": type_, "create": able.can(type_, "create"), "update": able.can(type_, "update"), "delete": able.can(type_, "delete"), "once": once,
            "sent": target.takes(type_), "lacking": [INTERACTIONS[letter] for letter in letters_lacking(lacks, type_)]}  # fmt: skip


@ehr.command()
@click.argument("name")
def pause(name: str) -> None:
    """Send an EHR nothing until it is resumed. What it is owed waits."""
    _pause(name, paused=True)


@ehr.command()
@click.argument("name")
def resume(name: str) -> None:
    """Go on sending to an EHR, at once. A snooze and an open breaker are forgotten."""
    _pause(name, paused=False)


def _pause(name: str, *, paused: bool) -> None:
    with wired() as service:
        service.database.write(lambda tx: operating.pause(tx, name, paused=paused))
    show.done(f"EHR {name} is {'paused' if paused else 'resumed'}.", ehr=name)
