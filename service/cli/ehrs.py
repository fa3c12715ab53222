"""EHRs: which there are, what they take, and whether they let us in."""

import dataclasses
from typing import Any

import click

from mappings.disclosure import Level
from service import operating
from service.cli import show, watching
from service.cli.wired import now, wired
from service.security.secrets import seal
from service.store import targets
from service.store.targets import Target
from service.sync import ehrs
from service.sync.deliver import Abilities, abilities
from service.sync.transport import Interrupted, NotReached
from service.wiring import Service

PEOPLE = ("Patient", "Practitioner", "PractitionerRole", "Organization", "Location", "RelatedPerson")


@click.group()
def ehr() -> None:
    """External EHRs."""


@ehr.command()
@click.argument("name")
@click.argument("base_url")
@click.option("--level", type=click.Choice(["C0", "C1", "C2"]), default="C1", show_default=True, help="What it is sent where no consent says otherwise.")
@click.option("--organisation", help="Its organisation, as consents name recipients.")
@click.option("--role", help="Its role, as consents name recipients.")
@click.option("--token", help="A static bearer token. It is kept encrypted.")
@click.option("--types", help="The resource types that it is sent, comma-separated; all when not given.")
@click.option("--create-people", is_flag=True, help="Create patients, practitioners and organisations there: for demos; a real EHR has its own.")
@click.option("--private", is_flag=True, help="It may be at a private or loopback address, and without https.")
@click.option("--only-changes", is_flag=True, help="Owe it what changes from now on, and not what is there already.")
@click.option("--max-in-flight", type=click.IntRange(1, 64), default=4, show_default=True, help="Streams sent to it at the same time.")
def add(name: str, base_url: str, level: str, types: str | None, token: str | None, **given: Any) -> None:
    """Register an EHR. Nothing is sent before its CapabilityStatement was read."""
    settings = {"create_people": given["create_people"], "private": given["private"], "types": types.split(",") if types else None}
    found = Target(name, base_url.rstrip("/"), "4.0.1", int(Level[level]), given["organisation"], given["role"], False, given["max_in_flight"], 0, 0,
                   settings={k: v for k, v in settings.items() if v})
    operating.check_ehr(found)
    with wired() as service:
        auth = {"auth": {"type": "bearer", "token": seal(service.tenant, token, name)}} if token else {}
        trial = dataclasses.replace(found, settings={**found.settings, **auth})
        able = _asked(service, trial)
        service.database.write(lambda tx: operating.add_ehr(service.tenant, tx, found, token, now(service), from_now=given["only_changes"]))
    show.done(f"EHR {name} is registered at level {level}. {_summary(able)}", ehr=name)


def _asked(service: Service, target: Target) -> Abilities:
    talk, line = ehrs.rest(service, target)
    try:
        return abilities(talk.statement())
    except (NotReached, Interrupted, ValueError) as error:
        raise show.Failure(f"{target.base_url}/metadata cannot be read: {error}") from None
    finally:
        line.close()


def _summary(able: Abilities) -> str:
    taken = sorted(t for t in able.interactions if able.can(t, "create"))
    return f"It takes {', '.join(taken)}." if taken else "It takes nothing: everything will be unsupported."


@ehr.command("list")
@watching.watch
def list_(watch: bool) -> None:
    """Show all EHRs with their backlog and how they are faring."""
    with wired() as service:
        watching.shown(lambda: _list(service), again=watch)


def _list(service: Service) -> None:
    with service.database.reading() as connection:
        found = operating.ehrs(connection, now(service))
    show.rows(found, {"id level baseUrl": "EHR", "state": "State", "breaker": "Breaker", "deliveries": "Deliveries", "lastMinute": "Last minute",
                      "oldestWaitingSeconds": "Oldest (s)", "catchingUp": "Catching up"})


@ehr.command()
@click.argument("name")
def test(name: str) -> None:
    """Ask an EHR what it takes, and show it type by type."""
    from mappings.search import PARAMETERS

    with wired() as service:
        with service.database.glance() as connection:
            target = targets.get(connection, name)
        if target is None:
            raise show.Failure(f"There is no EHR {name}", show.NOT_FOUND)
        able = _asked(service, target)
        talk, line = ehrs.rest(service, target)
        kept = ehrs.essential(talk.statement())
        line.close()
        service.database.write(lambda tx: targets.change(tx, name, capability=kept, capability_at=now(service)))
    found = [
        {"type": t, "create": able.can(t, "create"), "update": able.can(t, "update"), "delete": able.can(t, "delete"),
         "once": "conditional create" if t in able.conditional_create else "search, then create" if able.searches(t, "identifier") else "cannot be asked",
         "sent": target.takes(t)}
        for t in sorted(PARAMETERS)
    ]  # fmt: skip
    show.rows(found, {"type": "Type", "create": "Create", "update": "Update", "delete": "Delete", "once": "Created once by", "sent": "In agreement"})


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


COMMANDS = (ehr,)
