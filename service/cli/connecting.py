"""How an EHR that is added lets us in and wants to be called: the options of `ehr add`, and what the EHR itself says of it."""

from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import click

from service import connecting
from service.cli import show
from service.cli.wired import now
from service.errors import Unprocessable
from service.manners import ANSWERS
from service.security.keys import ALGORITHMS
from service.store import signing_keys
from service.store.targets import Target
from service.sync.auth import Found, discovered, line_to
from service.sync.transport import Interrupted, NotReached
from service.wiring import Service

Command = TypeVar("Command", bound=Callable[..., Any])
SMART = "private_key_jwt"
FILE = click.Path(path_type=Path)
OPTIONS = (
    click.option("--client-id", help="The id under which it knows us: it gives us tokens by SMART Backend Services."),
    click.option("--token-url", help="Where it gives tokens, when it does not say so itself."),
    click.option("--alg", type=click.Choice(ALGORITHMS), help="What we sign with; when not given, what it takes and there is a key for."),
    click.option("--scope", help='The scopes that it is asked for; when not given, "system/TYPE.cruds" of its types, or of all.'),
    click.option("--header", "headers", multiple=True, metavar="NAME=TEMPLATE", help="A header of every call. {request_id} is kept for all attempts of a "
                 "delivery, {correlation_id} is another in each call, {organisation} is its own. Kept encrypted."),
    click.option("--media-type", help="The media type that it speaks, when it is not application/fhir+json."),
    click.option("--prefer", type=click.Choice(ANSWERS), help="What it is asked to answer to a write: representation when not given."),
    click.option("--cert", type=FILE, help="Our certificate for TLS, a PEM file. It is read where it is, whenever a connection is made."),
    click.option("--key", type=FILE, help="The certificate's key, a PEM file, when it is not in the same."),
    click.option("--ca", type=FILE, help="A PEM file of those who may sign its certificate, in place of those whom everybody trusts."),
)  # fmt: skip


def options(command: Command) -> Command:
    for option in reversed(OPTIONS):
        command = option(command)
    return command


def settings(given: Mapping[str, Any], types: str | None) -> dict[str, Any]:
    """The settings that the options make, not yet checked, and nothing where none was given."""
    asked = {"client_id": given["client_id"], "token_url": given["token_url"], "alg": given["alg"], "scope": given["scope"]}
    files = {name: str(given[name].absolute()) if given[name] else None for name in ("cert", "key", "ca")}
    found = {"headers": _headers(given["headers"]), "media_type": given["media_type"], "prefer": given["prefer"], **files}
    if any(asked.values()):
        everything = " ".join(f"system/{one}.cruds" for one in types.split(",")) if types else "system/*.cruds"
        found["auth"] = {"type": "smart", **asked, "scope": asked["scope"] if asked["scope"] is not None else everything}
    return {name: value for name, value in found.items() if value}


def _headers(given: tuple[str, ...]) -> list[tuple[str, str]]:
    for one in given:
        if "=" not in one:
            raise click.BadParameter(f"{one} should be NAME=TEMPLATE", param_hint="--header")
    return [(name.strip(), template.strip(" ")) for name, _, template in (one.partition("=") for one in given)]


def registered(service: Service, found: Target) -> Target:
    """The EHR with what it says itself of how it gives tokens: their endpoint's origin is pinned. Raises Unprocessable."""
    auth = found.settings.get("auth") or {}
    if auth.get("type") != "smart":
        return found
    said = Found(auth["token_url"]) if auth["token_url"] else _discovered(service, found)
    problems = []
    if not connecting.fits(said.token_url, private=bool(found.settings.get("private"))):
        problems.append(("/tokenUrl", f"is {said.token_url[:200]}, as the EHR says, and should be an https URL without credentials or fragment"))
    if said.methods and SMART not in said.methods:
        problems.append(("/clientId", f"is of no use: the EHR takes {', '.join(said.methods)[:200]}, and not {SMART}"))
    alg, wrong = _algorithm(service, found.id, said, auth["alg"])
    problems += wrong
    if problems:
        raise Unprocessable("The EHR cannot be added", problems)
    made = {**auth, "token_url": said.token_url, "origin": connecting.origin(said.token_url), "discovered": not auth["token_url"], "alg": alg}
    return replace(found, settings={**found.settings, "auth": made})


def _discovered(service: Service, found: Target) -> Found:
    with closing(line_to(service.settings, found)) as line:
        try:
            return discovered(line, found.base_url)
        except (NotReached, Interrupted, ValueError) as error:
            raise show.Failure(f"{found.base_url} does not say where it gives tokens: {error}. Where it says so to nobody, --token-url does") from None


def _algorithm(service: Service, name: str, said: Found, wanted: str | None) -> tuple[str, list[tuple[str, str]]]:
    """What we sign with: what the EHR takes and there is a key for; and what keeps us from that."""
    taken = [one for one in ((wanted,) if wanted else ALGORITHMS) if said.takes(one)]
    if not taken:
        return "", [("/alg", f"should be one that the EHR takes: {', '.join(said.algorithms)[:200]}")]
    with service.database.glance() as connection:
        ready = [one for one in taken if signing_keys.signing(connection, one, name, now(service)) is not None]
    if not ready:
        return "", [("/alg", f"needs a key of ours that signs: pathway-fhir ehr keys generate --alg {taken[0]}, then let the EHR have it")]
    return ready[0], []
