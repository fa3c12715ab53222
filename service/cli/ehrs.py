"""EHRs: which there are, what they take, and whether they let us in."""

import dataclasses
from contextlib import closing
from typing import Any

import click

from mappings.disclosure import Level
from mappings.search import PARAMETERS
from service import operating
from service.cli import connecting, named, show, watching
from service.cli.wired import now, wired
from service.connecting import sealed
from service.security.scopes import letters_lacking
from service.store import access, targets
from service.store.targets import Target
from service.sync import documents, ehrs
from service.sync.access import Access
from service.sync.deliver import Abilities, abilities
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


@ehr.command()
@click.argument("name")
@click.argument("base_url")
@click.option("--level", type=click.Choice(["C0", "C1", "C2"]), default="C1", show_default=True, help="What it is sent where no consent says otherwise.")
@click.option("--organisation", help="Its organisation, as consents name recipients.")
@click.option("--role", help="Its role, as consents name recipients.")
@click.option("--token", help="A static bearer token. It is kept encrypted.")
@click.option("--types", help="The resource types that it is sent, comma-separated; all when not given.")
@click.option("--create-people", is_flag=True, help="Create patients, practitioners and organisations there: for demos; a real EHR has its own.")
@click.option("--documents", is_flag=True, help="What it does not take as such goes to it as a DocumentReference, readable and whole.")
@click.option("--transactions", is_flag=True, help="What is sent of one patient goes in one Bundle, where the EHR advertises transactions.")
@click.option("--private", is_flag=True, help="It may be at a private or loopback address, and without https.")
@click.option("--only-changes", is_flag=True, help="Owe it what changes from now on, and not what is there already.")
@click.option("--max-in-flight", type=click.IntRange(1, 64), default=4, show_default=True, help="Streams sent to it at the same time.")
@connecting.options
def add(name: str, base_url: str, level: str, types: str | None, token: str | None, **given: Any) -> None:
    """Register an EHR. Nothing is sent before its CapabilityStatement was read."""
    if token and given["client_id"]:
        raise click.UsageError("It lets us in by --token or by --client-id, not by both")
    alternate = documents.TYPE if given["documents"] else None
    settings = {name: given[name] for name in ("create_people", "private", "transactions")}
    settings |= {"types": types.split(",") if types else None, "alternate": alternate, **connecting.settings(given, types)}
    settings = {name: value for name, value in settings.items() if value}
    who = (int(Level[level]), given["organisation"], given["role"])
    found = Target(name, base_url.rstrip("/"), "4.0.1", *who, False, given["max_in_flight"], 0, 0, settings=settings)
    operating.check_ehr(found)
    with wired() as service:
        found = connecting.registered(service, found)
        trial = dataclasses.replace(found, settings=sealed(service.tenant, found, token))
        able = _asked(service, trial, Access(service, trial, kept=False))
        service.database.write(lambda tx: operating.add_ehr(service.tenant, tx, found, token, now(service), from_now=given["only_changes"]))
    show.done(f"EHR {name} is registered at level {level}. {_summary(able)}{_singly(found, able)}{_next(found)}", ehr=name)


def _next(found: Target) -> str:
    auth = found.settings.get("auth")
    if not auth:
        return ""
    return f" Its tokens come from {auth['origin']}. Once it knows {auth['client_id']} and our keys: pathway-fhir ehr test {found.id}"


def _asked(service: Service, target: Target, lets_in: Access | None = None) -> Abilities:
    talk, line = ehrs.rest(service, target, lets_in)
    try:
        return abilities(talk.statement())
    except (NotReached, Interrupted, ValueError) as error:
        raise show.Failure(f"{target.base_url}/metadata cannot be read: {error}") from None
    finally:
        line.close()


def _summary(able: Abilities) -> str:
    taken = sorted(t for t in able.interactions if able.can(t, "create"))
    return f"It takes {', '.join(taken)}." if taken else "It takes nothing: everything will be unsupported."


def _singly(target: Target, able: Abilities) -> str:
    asked = target.settings.get("transactions") and TRANSACTION not in able.system
    return " It does not advertise transactions: everything goes singly." if asked else ""


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
    if singly := _singly(target, able):
        click.echo(singly.strip(), err=True)


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
