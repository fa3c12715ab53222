"""What an EHR's registration is made of: the options of `ehr add` and `ehr set`, and what the EHR itself says of how it lets us in."""

from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import click

from mappings.disclosure import Level
from service import connecting
from service.cli import show
from service.cli.wired import now
from service.errors import Unprocessable
from service.manners import ANSWERS
from service.registering import LEVELS, MOST_IN_FLIGHT, RATES
from service.security.keys import ALGORITHMS
from service.store import signing_keys
from service.store.targets import Target
from service.sync import documents
from service.sync.auth import Found, discovered, line_to
from service.sync.transport import Interrupted, NotReached
from service.wiring import Service

Command = TypeVar("Command", bound=Callable[..., Any])
SMART = "private_key_jwt"
FILE = click.Path(path_type=Path)
OF_TOKENS = ("client_id", "token_url", "alg", "scope")
FLAGS = ("create_people", "private", "transactions")
OPTIONS = (
    click.option("--level", type=click.Choice(LEVELS), help="What it is sent where no consent says otherwise; C1 when it is added without."),
    click.option("--organisation", help="Its organisation, as consents name recipients."),
    click.option("--role", help="Its role, as consents name recipients."),
    click.option("--token", help="A static bearer token. It is kept encrypted."),
    click.option("--types", help="The resource types that it is sent, comma-separated; all when not given."),
    click.option("--create-people/--no-create-people", default=None, help="Create patients, practitioners and organisations there: for demos; a real EHR "
                 "has its own."),
    click.option("--documents/--no-documents", default=None, help="What it does not take as such goes to it as a DocumentReference, readable and whole."),
    click.option("--transactions/--no-transactions", default=None, help="What is sent of one patient goes in one Bundle, where it advertises transactions."),
    click.option("--private/--no-private", default=None, help="It may be at a private or loopback address, and without https."),
    click.option("--only-changes", is_flag=True, help="Owe it what changes from now on, and not what is there already."),
    click.option("--max-in-flight", type=click.IntRange(1, MOST_IN_FLIGHT), help="Streams sent to it at the same time; 4 when it is added without."),
    click.option("--rate", type=click.FloatRange(*RATES), help="Calls a second at most, of all workers together; --without rate for as many as can be."),
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
WITHOUT = {  # what an option gave that is to be no more -> the setting that has it
    "token": "auth", "client-id": "auth", "types": "types", "header": "headers", "media-type": "media_type", "prefer": "prefer", "cert": "cert", "key": "key",
    "ca": "ca", "rate": "rate", "organisation": "organisation", "role": "role",
}  # fmt: skip


def options(command: Command) -> Command:
    for option in reversed(OPTIONS):
        command = option(command)
    return command


def told(found: Target, given: Mapping[str, Any], without: tuple[str, ...] = ()) -> Target:
    """An EHR with what the options say of it, not yet checked, and as it was where they say nothing. Its headers are not sealed."""
    if given["token"] and given["client_id"]:
        raise click.UsageError("It lets us in by --token or by --client-id, not by both")
    if clash := [name for name in without if given[name.replace("-", "_") if name != "header" else "headers"]]:
        raise click.UsageError(f"--{clash[0]} is given and taken away")
    gone = {WITHOUT[name] for name in without}
    settings = {name: value for name, value in {**found.settings, **_settings(given)}.items() if value and name not in gone}
    before = settings.pop("auth", None)
    asked = {name: given[name] for name in OF_TOKENS if given[name] is not None}
    scopes = [connecting.everything(one.get("types")) for one in (found.settings, settings)]
    if auth := _auth(None if given["token"] else before, asked, *scopes):
        settings["auth"] = auth
    organisation, role = (None if name in gone else given[name] or getattr(found, name) for name in ("organisation", "role"))
    level = int(Level[given["level"]]) if given["level"] else found.level
    return replace(found, level=level, organisation=organisation, role=role, max_in_flight=given["max_in_flight"] or found.max_in_flight, settings=settings)


def _settings(given: Mapping[str, Any]) -> dict[str, Any]:
    files = {name: str(given[name].absolute()) if given[name] else None for name in ("cert", "key", "ca")}
    said = {**{name: given[name] for name in FLAGS}, **files, "media_type": given["media_type"], "prefer": given["prefer"], "rate": given["rate"]}
    said |= {"types": given["types"].split(",") if given["types"] else None, "headers": _headers(given["headers"]) or None}
    said |= {"alternate": None if given["documents"] is None else documents.TYPE if given["documents"] else ""}
    return {name: value for name, value in said.items() if value is not None}


def _auth(before: dict[str, Any] | None, asked: dict[str, Any], all_before: str, everything: str) -> dict[str, Any] | None:
    """How it gives us tokens: what is asked for beside what was; the scopes follow the types where nobody gave others."""
    smart = before if before and before.get("type") == "smart" else None
    if smart and not asked:
        return {**smart, "scope": everything} if smart["scope"] == all_before else smart
    if not asked:
        return before
    scope = smart["scope"] if smart and smart["scope"] != all_before else everything
    kept = {"client_id": smart["client_id"], "alg": smart["alg"], "token_url": None if smart["discovered"] else smart["token_url"]} if smart else {}
    return {"type": "smart", "client_id": None, "token_url": None, "alg": None, "scope": scope, **kept, **asked}


def _headers(given: tuple[str, ...]) -> list[tuple[str, str]]:
    for one in given:
        if "=" not in one:
            raise click.BadParameter(f"{one} should be NAME=TEMPLATE", param_hint="--header")
    return [(name.strip(), template.strip(" ")) for name, _, template in (one.partition("=") for one in given)]


def registered(service: Service, found: Target) -> Target:
    """The EHR with what it says itself of how it gives tokens, unless it was asked before: their endpoint's origin is pinned. Raises Unprocessable."""
    auth = found.settings.get("auth") or {}
    if auth.get("type") != "smart" or "origin" in auth:
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
        raise Unprocessable("The EHR cannot be registered", problems)
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
