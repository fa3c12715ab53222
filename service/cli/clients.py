"""Callers: who may ask for tokens, with which keys, scopes and level."""

import json
import re
from pathlib import Path
from typing import Any

import click
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from mappings.disclosure import Level
from service import disclosing
from service.cli import show
from service.cli.wired import now, wired
from service.disclosing import Reader
from service.renderings import instant
from service.security import clients
from service.security.clients import Client
from service.security.scopes import parse
from service.store import audit

LEVELS = click.Choice(["C0", "C1", "C2", "C3"])


@click.group()
def client() -> None:
    """Callers and their tokens."""


@client.command()
@click.argument("id")
@click.option("--name", help="What people call it.")
@click.option("--level", type=LEVELS, required=True, help="What it sees where no consent says otherwise. C3 is for the clinic's own software.")
@click.option("--scopes", required=True, help='Space-separated, such as "system/*.rs"; pathway/operate for deliveries and EHRs.')
@click.option("--jwks", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="Its public keys, a JWK Set in a file.")
@click.option("--jwks-url", help="Where its public keys are, over https.")
@click.option("--organisation", help="Its organisation, as consents name recipients.")
@click.option("--role", help='Its role, as consents name recipients; "clinic" for the clinic\'s own.')
def add(id: str, name: str | None, level: str, scopes: str, jwks: Path | None, jwks_url: str | None, organisation: str | None, role: str | None) -> None:
    """Register a caller."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", id):
        raise click.BadParameter("should be 1 to 64 letters, digits and . _ -", param_hint="ID")
    try:
        parsed = parse(scopes)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--scopes") from None
    if jwks_url and not jwks_url.startswith("https://"):
        raise click.BadParameter("should begin with https://", param_hint="--jwks-url")
    made = Client(id, name or id, int(Level[level]), parsed, organisation, role, jwks=_keys(jwks) if jwks else None, jwks_url=jwks_url)
    with wired() as service:
        def work(tx: Any) -> None:
            if clients.get(tx, id) is not None:
                raise show.Failure(f"There is a client {id} already", show.REFUSED)
            clients.add(tx, made, now(service))
            disclosing.follow_reader(tx, Reader(made.reader, made.level, organisation, role), now(service))
            audit.record(tx, [audit.Event(now(service), "command line", "client add", f"client/{id}", 200, detail=f"{level} {parsed}"[:500])])

        service.database.write(work)
    show.done(f"Client {id} is registered at level {level}.", client=id)


def _keys(path: Path) -> dict[str, Any]:
    """A JWK Set of public keys. A private one is refused: it has no business here."""
    try:
        found = json.loads(path.read_bytes())
        keys = KeySet.import_key_set(found)
    except (ValueError, JoseError, KeyError, TypeError) as error:
        raise click.BadParameter(f"{path} holds no JWK Set: {error}", param_hint="--jwks") from None
    if any(key.is_private for key in keys.keys):
        raise click.BadParameter(f"{path} holds a private key; register the public one only", param_hint="--jwks")
    return dict(found)


@client.command("list")
def list_() -> None:
    """Show all callers."""
    with wired() as service, service.database.glance() as connection:
        found = [
            {"id": c.id, "name": c.name, "level": Level(c.level).name, "scopes": str(c.scopes), "organisation": c.organisation, "role": c.role,
             "keys": "url" if c.jwks_url else "file" if c.jwks else "none", "revokedAt": instant(c.revoked_at) if c.revoked_at else None}
            for c in clients.every(connection)
        ]  # fmt: skip
    show.rows(found, {"id": "Client", "name": "Name", "level": "Level", "scopes": "Scopes", "role": "Role", "keys": "Keys", "revokedAt": "Revoked"})


@client.command()
@click.argument("id")
@click.option("--minutes", type=click.IntRange(1, 1440), default=60, show_default=True, help="How long it is good for.")
def token(id: str, minutes: int) -> None:
    """Make an access token by hand, for trying things out. It is shown once."""
    with wired() as service:
        with service.database.glance() as connection:
            found = clients.get(connection, id)
        if found is None or found.revoked_at is not None:
            raise show.Failure(f"There is no client {id}, or it was revoked", show.NOT_FOUND)
        made = service.database.write(lambda tx: clients.issue(tx, found, found.scopes, minutes * 60, now(service)))
    click.echo(made)


@client.command()
@click.argument("id")
def revoke(id: str) -> None:
    """End a caller and all of its tokens. They stop working within five seconds."""
    with wired() as service:
        gone = service.database.write(lambda tx: clients.revoke(tx, id, now(service)))
    if not gone:
        raise show.Failure(f"There is no client {id}, or it was revoked before", show.NOT_FOUND)
    show.done(f"Client {id} is revoked.", client=id)
