"""The data: its schema, its backup, one entity mapped, the audit trail verified."""

import subprocess
from contextlib import closing
from pathlib import Path
from typing import IO

import click
from sqlalchemy.exc import SQLAlchemyError

from mappings import KINDS
from mappings.disclosure import Level, withhold
from mappings.findings import Finding
from mappings.ids import Ids
from mappings.rules import Thresholds, findings
from mappings.rules.rule import Around
from mappings.schema import load as load_entity
from service.cli import show
from service.cli.wired import wired
from service.config import load
from service.store import audit as trail
from service.store import migrate as schema
from service.store import recovery
from service.store.clock import micros, now_of
from service.store.database import Database, InUse
from service.tenant import derived
from service.wire import decode, encode_pretty
from service.wiring import index_parameters


@click.command()
def migrate() -> None:
    """Bring the database's schema to this release. Every process does this when it starts; alone, it can be done before."""
    with closing(Database(load().database_url)) as database:
        schema.upgrade(database, index_parameters())
    show.done("The schema is up to date.")


@click.command()
@click.argument("path", type=click.Path(path_type=Path))
def backup(path: Path) -> None:
    """Write a backup to PATH, while the service runs. It is the database's own (SQLite's backup, pg_dump). Keep the secret with it, elsewhere."""
    if path.exists():
        raise show.Failure(f"{path} is there already", show.REFUSED)
    try:
        with closing(Database(load().database_url)) as database:
            recovery.backup(database, path)
    except (OSError, subprocess.CalledProcessError) as error:
        path.unlink(missing_ok=True)
        raise show.Failure(f"The backup failed: {error}") from None
    show.done(f"The backup is {path}, {path.stat().st_size} bytes. It is of no use without the secret: keep a copy of that too.", path=str(path))


@click.command()
@click.argument("path", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--yes", is_flag=True, help="Replace what is in the database now.")
def restore(path: Path, yes: bool) -> None:
    """Restore a backup from PATH. Stop the service and the workers first: while they run it is refused.

    What EHRs were sent after the backup is not in it: every copy is looked at before anything is sent again.
    """
    with closing(Database(load().database_url)) as database:
        if not yes and recovery.holds_something(database):
            raise show.Failure("There is data in the database; say --yes to replace it", show.REFUSED)
        given = recovery.given_out(database)
        try:
            with database.alone():  # until nothing can be taken for what it was before: who starts meanwhile would
                recovery.restore(database, path)
                schema.upgrade(database, index_parameters())
                unsure = database.write(lambda tx: recovery.make_unsure(tx, given, micros(now_of(database)())))
        except InUse:
            raise show.Failure("The service, a worker or another command has the database open: stop it first. Nothing was changed.", show.REFUSED) from None
        except SQLAlchemyError as error:
            raise show.Failure(f"The restore failed: {type(error).__name__}. Run it again before anything is started.") from None
        except (OSError, ValueError, subprocess.CalledProcessError) as error:
            raise show.Failure(f"The restore failed: {error}") from None
    show.done(f"Restored. {unsure} copies at EHRs will be looked at before they are written.", copies=unsure)


@click.command("map")
@click.argument("file", type=click.File("rb"))
@click.option("--kind", "kind_name", type=click.Choice(list(KINDS)), required=True, help="What the file holds.")
@click.option("--view", type=click.Choice(["C0", "C1", "C2", "C3"]), default="C3", show_default=True, help="As a reader of which level sees it.")
@click.option("--check/--no-check", default=True, help="Check the resources' shapes and bindings too.")
def map_(file: IO[bytes], kind_name: str, view: str, check: bool) -> None:
    """Map one entity to a FHIR Bundle. FILE is our JSON, - standard input; no database is needed.

    Ids are not those of a deployment, and findings that look at other records are not made.
    """
    from uuid import UUID

    kind = KINDS[kind_name]
    entity = load_entity(kind, decode(file.read()))
    found: tuple[Finding, ...] = findings(kind, entity, Around(), Thresholds(), KINDS) if kind_name != "dosing-encounter" else ()
    resources = kind.to_fhir(withhold(entity, Level[view]), Ids(UUID(int=0)), Level[view], found)
    if check:
        from mappings.validation import problems

        wrong = [f"{r['resourceType']}/{r['id']} {path}: {problem}" for r in resources for path, problem in problems(r)]
        if wrong:
            raise show.Failure("\n".join(wrong), show.REFUSED)
    entries = [{"fullUrl": f"urn:uuid:{r['id']}", "resource": r} for r in resources]
    bundle = {"resourceType": "Bundle", "type": "collection", **({"entry": entries} if entries else {})}
    click.echo(encode_pretty(bundle))


@click.group()
def audit() -> None:
    """The audit trail."""


@audit.command()
def verify() -> None:
    """Check the chain of the audit trail. A row that was changed or taken out shows."""
    with wired() as service, service.database.reading() as connection:
        broken, count = [], 0
        for number, holds in trail.verify(connection, derived(service.tenant.secret, "audit")):
            count += 1
            if not holds:
                broken.append(number)
    if broken:
        raise show.Failure(f"{len(broken)} of {count} rows do not hold; the first is {broken[0]}", show.FAILED)
    show.done(f"All {count} sealed rows hold.", rows=count)
