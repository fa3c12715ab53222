"""Our own keys: what EHRs know us by when we ask them for tokens."""

from typing import Any

import click
from sqlalchemy import Connection

from service.cli import show
from service.cli.ehrs import ehr
from service.cli.wired import now, wired
from service.operating import NAME
from service.renderings import instant
from service.security import keys as our_keys
from service.store import audit, signing_keys
from service.store.signing_keys import SigningKey
from service.wiring import Service

ALGORITHM = click.Choice(our_keys.ALGORITHMS)
OVERLAP_MINUTES = 10  # twice as long as our key set may be kept
MINUTE = 60 * 1_000_000
COLUMNS = {"kid": "Key", "alg": "Algorithm", "ehr": "For", "state": "State", "createdAt": "Made", "signsFrom": "Signs from"}


@ehr.group()
def keys() -> None:
    """Our own keys, with which we ask EHRs for tokens. Their public parts are served at /.well-known/jwks.json."""


@keys.command("list")
def list_() -> None:
    """Show all keys: which sign, which are published beside them, which are retired."""
    with wired() as service, service.database.reading() as connection:
        found = [_row(connection, one, now(service)) for one in signing_keys.every(connection)]
    show.rows(found, COLUMNS)


def _row(connection: Connection, one: SigningKey, at: int) -> dict[str, Any]:
    newest = signing_keys.signing(connection, one.alg, one.target or "", at)
    state = "retired" if one.retired_at is not None else "next" if one.signs_from > at else "signing" if newest and newest.kid == one.kid else "published"
    return {"kid": one.kid, "alg": one.alg, "ehr": one.target, "state": state, "createdAt": instant(one.created_at), "signsFrom": instant(one.signs_from),
            "retiredAt": instant(one.retired_at) if one.retired_at is not None else None}  # fmt: skip


@keys.command()
@click.option("--alg", type=ALGORITHM, default="ES384", show_default=True, help="What it signs with. EHRs that take SMART Backend Services take one of both.")
@click.option("--ehr", "name", help="The EHR that it is for alone; all that have none of their own when not given.")
def generate(alg: str, name: str | None) -> None:
    """Make a key that signs at once: the first, or one in the place of a key that others may know. Else rotate."""
    if name is not None and not NAME.fullmatch(name):
        raise click.BadParameter("should be the name of an EHR, which may be added later", param_hint="--ehr")
    with wired() as service:
        made = _added(service, [alg], name, "key generate", overlap=0)
        show.done(f"Key {made[0].kid} signs from now on. {_published(service)}", keys=[one.kid for one in made])


@keys.command()
@click.option("--alg", type=ALGORITHM, help="The algorithm whose key is rotated; every one there is a key for when not given.")
@click.option("--ehr", "name", help="The EHR whose own keys are rotated; those for all when not given.")
@click.option("--overlap", type=click.IntRange(0, 60 * 24 * 30), default=OVERLAP_MINUTES, show_default=True,
              help="Minutes for which the new key is published before it signs: EHRs keep our key set for a while.")  # fmt: skip
def rotate(alg: str | None, name: str | None, overlap: int) -> None:
    """Make a new key in the place of each, published now and signing after the overlap. The old one stays published until it is retired."""
    with wired() as service:
        with service.database.glance() as connection:
            found = [one for one in our_keys.algorithms(connection, name) if alg in (None, one)]
        if not found:
            raise show.Failure("There is no such key to rotate: generate one", show.NOT_FOUND)
        made = _added(service, found, name, "key rotate", overlap=overlap * MINUTE)
        kids = [one.kid for one in made]
        show.done(f"Published: {', '.join(kids)}; signs from {instant(made[0].signs_from)}. {_published(service)}", keys=kids)


def _added(service: Service, algs: list[str], name: str | None, action: str, *, overlap: int) -> list[SigningKey]:
    made = [our_keys.made(service.tenant, alg, name, now(service), overlap=overlap) for alg in algs]

    def work(tx: Connection) -> None:
        for one in made:
            signing_keys.add(tx, one)
        audit.record(tx, [audit.Event(now(service), "command line", action, f"key/{one.kid}", 200, detail=f"{one.alg} {name or ''}".strip()) for one in made])

    service.database.write(work)
    return made


def _published(service: Service) -> str:
    return f"EHRs find it at {service.settings.base}/.well-known/jwks.json."


@keys.command()
@click.argument("kid")
def retire(kid: str) -> None:
    """End a key, given by its id or how that begins: it is published no more, and what could sign with it is forgotten."""
    with wired() as service:

        def work(tx: Connection) -> SigningKey:
            ended = our_keys.retire(tx, kid, now(service))
            audit.record(tx, [audit.Event(now(service), "command line", "key retire", f"key/{ended.kid}", 200, detail=ended.alg)])
            return ended

        ended = service.database.write(work)
    show.done(f"Key {ended.kid} is retired.", keys=[ended.kid])
