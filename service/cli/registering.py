"""An EHR's registration: made, changed and ended. Nothing of it is kept before the EHR answered with it."""

import dataclasses
from typing import Any

import click
from sqlalchemy import Connection

from mappings.disclosure import Level
from service import operating, registering
from service.cli import connecting, named, show
from service.cli.ehrs import ehr, singly
from service.cli.planned import FORECAST
from service.cli.wired import now, wired
from service.connecting import sealed
from service.store import audit, outbox
from service.store.targets import Target
from service.sync import ehrs, rehearsing
from service.sync.abilities import Abilities, abilities
from service.sync.access import Access
from service.sync.transport import Interrupted, NotReached
from service.wiring import Service

Given = dict[str, Any]


@ehr.command()
@click.argument("name")
@click.argument("base_url")
@click.option("--dry-run", is_flag=True, help="Register nothing: show type by type what it would be sent, and how.")
@connecting.options
def add(name: str, base_url: str, dry_run: bool, **given: Any) -> None:
    """Register an EHR. Nothing is sent before its CapabilityStatement was read."""
    found = connecting.told(Target(name, base_url.rstrip("/"), "4.0.1", int(Level.C1), None, None, False, 4, 0, 0), given)
    operating.check_ehr(found)
    with wired() as service:
        with service.database.glance() as connection:
            operating.check_new(connection, found)
        found, able = _tried(service, found, given["token"])
        lacks = rehearsing.falls_short(found, able)
        said = f"{_summary(able)}{_short(lacks)}{singly(found, able)}"
        if dry_run:
            show.rows(rehearsing.forecast(service, found, able, every=True), FORECAST)
            click.echo(f"{said} Nothing is registered.", err=True)
            return

        def work(tx: Connection) -> None:
            operating.add_ehr(service.tenant, tx, found, given["token"], now(service), from_now=given["only_changes"])
            _record(service, tx, "ehr add", name, Level(found.level).name)

        service.database.write(work)
    show.done(f"EHR {name} is registered at level {Level(found.level).name}. {said}{_next(found)}", ehr=name, **lacks)


def _tried(service: Service, found: Target, token: str | None) -> tuple[Target, Abilities]:
    """The EHR with what it says of how it gives tokens, and what it says that it can do. Raises Failure and Unprocessable."""
    found = connecting.registered(service, found)
    trial = dataclasses.replace(found, settings=sealed(service.tenant, found, token))
    talk, line = ehrs.rest(service, trial, Access(service, trial, kept=False))
    try:
        return found, abilities(talk.statement())
    except (NotReached, Interrupted, ValueError) as error:
        raise show.Failure(f"{found.base_url}/metadata cannot be read: {error}") from None
    finally:
        line.close()


def _record(service: Service, tx: Connection, action: str, name: str, detail: str) -> None:
    audit.record(tx, [audit.Event(now(service), "command line", action, f"ehr/{name}", 200, detail=detail[:500])])


def _summary(able: Abilities) -> str:
    taken = sorted(t for t in able.interactions if able.can(t, "create"))
    return f"It takes {', '.join(taken)}." if taken else "It takes nothing: everything will be unsupported."


def _short(lacks: dict[str, list[str]]) -> str:
    """What of ours does not go there as it is, in words."""
    words = {"unsupported": "It does not take", "onlyCreated": "It takes, and takes no changes of,", "asDocuments": "As documents it gets"}
    return "".join(f" {said} {', '.join(lacks[of])}." for of, said in words.items() if lacks[of])


def _next(found: Target) -> str:
    auth = found.settings.get("auth")
    if not auth:
        return ""
    return f" Its tokens come from {auth['origin']}. Once it knows {auth['client_id']} and our keys: pathway-fhir ehr test {found.id}"


@ehr.command("set")
@click.argument("name")
@click.option("--base-url", help="Where it is: only while nothing of ours is there.")
@click.option("--without", multiple=True, type=click.Choice(sorted(connecting.WITHOUT)), help="What is to be no more of what an option gave; more than once.")
@connecting.options
def set_(name: str, base_url: str | None, without: tuple[str, ...], **given: Any) -> None:
    """Change an EHR's registration: what is given, and nothing else. --header replaces all headers.

    What it is owed from then on it is sent; with --only-changes nothing of what is there already. How it lets us in is read anew
    where that is changed, and nothing is changed before its CapabilityStatement was read with it.
    """
    if not base_url and not without and not any(said is not None and said != () for option, said in given.items() if option != "only_changes"):
        raise click.UsageError("Say what is to be another")
    with wired() as service:
        with service.database.glance() as connection:
            before = named.ehr(connection, name)
        was = registering.opened(service.tenant, before)
        wanted = connecting.told(_elsewhere(was, base_url, given), given, without)
        operating.check_ehr(wanted)
        wanted = _tried(service, wanted, given["token"])[0] if _called_otherwise(was, wanted, given["token"]) else wanted

        def work(tx: Connection) -> list[str]:
            names = registering.change(service.tenant, tx, before, wanted, now(service), token=given["token"], from_now=given["only_changes"])
            _record(service, tx, "ehr set", name, ", ".join(names))
            return names

        names = service.database.write(work)
    show.done(f"EHR {name} is as it was." if not names else f"Of EHR {name} another is now: {', '.join(names)}.", ehr=name, changed=names)


def _elsewhere(was: Target, base_url: str | None, given: Given) -> Target:
    """The EHR at another base URL, where it is asked anew how it gives tokens."""
    if not base_url:
        return was
    auth = was.settings.get("auth") or {}
    if auth.get("type") == "smart" and not given["token"]:
        given["client_id"] = given["client_id"] or auth["client_id"]
    return dataclasses.replace(was, base_url=base_url.rstrip("/"))


def _called_otherwise(was: Target, wanted: Target, token: str | None) -> bool:
    """Whether it is called in another way than before; the scopes of a token alone are none."""
    names = set(registering.changed(was, wanted, token)) & registering.REACHED_BY
    auth = wanted.settings.get("auth") or {}
    return bool(names - {"auth"}) or ("auth" in names and (auth.get("type") != "smart" or "origin" not in auth))


@ehr.command()
@click.argument("name")
@click.option("--yes", is_flag=True, help="Remove it.")
def remove(name: str, yes: bool) -> None:
    """End an EHR: it is sent and asked nothing more, what is open is given up, and what lets us in is forgotten.

    What it holds stays there, and its deliveries can be read. Its name is not used again.
    """
    with wired() as service:
        if not yes:
            with service.database.reading() as connection:
                operating.there(connection, name)
                open_ = sum(n for (_, state), n in outbox.counts(connection, name).items() if state in outbox.OPEN)
            raise show.Failure(f"{open_} deliveries to {name} would be given up, and its name is not used again; say --yes to remove it", show.REFUSED)

        def work(tx: Connection) -> int:
            given_up = registering.remove(tx, name, now(service))
            _record(service, tx, "ehr remove", name, f"{given_up} given up")
            return given_up

        given_up = service.database.write(work)
    show.done(f"EHR {name} is removed; {given_up} deliveries are given up. What it holds stays there.", ehr=name, givenUp=given_up)
