"""`python -m sandbox --port 8001 --directory DIR --persona plain --persona epic`; `--help` tells everything that can be done with it."""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from sandbox.besides import BESIDES_FHIR
from sandbox.faults import KINDS
from sandbox.journal import InUse
from sandbox.options import Malformed
from sandbox.personas import PERSONAS
from sandbox.serve import THREADS, PortTaken, run

EXAMPLES = """
curl -X POST -d '{"fault": "status", "status": 429, "retryAfter": "2", "type": "Observation", "times": 3}' localhost:8001/_sandbox/faults
curl -X POST -d '{"fault": "reset", "when": "after", "method": "POST", "share": 0.5, "seed": 1}' localhost:8001/_sandbox/faults
curl -X POST -d '{"resourceType": "Patient", "id": "ada", "birthDate": "1980-05-01"}' localhost:8001/_sandbox/epic/seed
curl -X PATCH -d '{"birthDate": "1981-05-01"}' localhost:8001/_sandbox/records/epic/Patient/ada
curl -X PUT -d '{"clients": [{"id": "me", "jwksUrl": "http://127.0.0.1:8000/jwks.json"}], "expiresIn": 60}' localhost:8001/_sandbox/epic/smart
"""


def _told() -> str:
    """What stands below the options."""
    parts: dict[str, Sequence[Sequence[str]]] = {
        "EHRs": [(one.name, one.path, one.title) for one in PERSONAS.values()],
        "Beside FHIR": list(BESIDES_FHIR),
        "Faults, each also with persona, method, type, path (a regular expression), times, share and its seed": [
            (name, kind.words) for name, kind in KINDS.items()
        ],
        "By hand": [(line,) for line in EXAMPLES.strip().splitlines()],
    }
    # \b keeps click from filling these lines.
    return "\n\n".join(f"\b\n{head}:\n{_columns(rows)}" for head, rows in parts.items())


def _columns(rows: Sequence[Sequence[str]]) -> str:
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    return "\n".join("  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows)


def command(default: tuple[str, ...]) -> click.Command:
    """The command that serves a sandbox: of these EHRs where none is named."""
    persona = f"An EHR to stand for; again for several.  [default: {'all' if default == tuple(PERSONAS) else ', '.join(default)}]"

    @click.command("sandbox", epilog=_told(), context_settings={"max_content_width": 120})
    @click.option("--host", default="127.0.0.1", show_default=True)
    @click.option("--port", default=8001, show_default=True, help="0 takes a free one and says which.")
    @click.option("--persona", "personas", multiple=True, type=click.Choice(list(PERSONAS)), help=persona)
    @click.option("--directory", type=click.Path(file_okay=False, path_type=Path), help="Where records are kept; without it they are gone at the end.")
    @click.option("--token", "tokens", multiple=True, metavar="[PERSONA=]TOKEN", help="Ask for this bearer token, in one persona or in all.")
    @click.option("--smart", "smart", multiple=True, metavar="PERSONA=CLIENT=JWKS_URL", help="Issue tokens to this client, by SMART Backend Services.")
    @click.option("--threads", default=THREADS, show_default=True)
    def sandbox(
        *, host: str, port: int, personas: tuple[str, ...], directory: Path | None, tokens: tuple[str, ...], smart: tuple[str, ...], threads: int
    ) -> None:
        """Serve a sandbox EHR: a small true FHIR R4 server with made-up records, for demos and tests."""
        served = personas or default
        try:
            run(host, port, served, directory, threads, tokens=_tokens(tokens, served), smart=_smart(smart, served))
        except (PortTaken, InUse, Malformed) as reason:
            raise click.ClickException(str(reason)) from None

    return sandbox


def _tokens(given: tuple[str, ...], served: tuple[str, ...]) -> dict[str, str]:
    asked: dict[str, str] = {}
    for one in given:
        name, is_one, token = one.partition("=")
        asked |= {name: token} if is_one and name in served else dict.fromkeys(served, one)
    return asked


def _smart(given: tuple[str, ...], served: tuple[str, ...]) -> dict[str, dict[str, Any]]:
    """By persona what `PUT /_sandbox/PERSONA/smart` takes, which may stand after `PERSONA=` as it is."""
    asked: dict[str, dict[str, Any]] = {}
    for one in given:
        name, _, rest = one.partition("=")
        client, _, url = rest.partition("=")
        if name not in served or not (rest.startswith("{") or url):
            raise click.BadParameter(f"{one} is not PERSONA=CLIENT=JWKS_URL with one of {', '.join(served)}", param_hint="--smart")
        if rest.startswith("{"):
            asked[name] = _json(rest)
        else:
            asked.setdefault(name, {"clients": []})["clients"].append({"id": client, "jwksUrl": url})
    return asked


def _json(text: str) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads(text)
    except ValueError as reason:
        raise click.BadParameter(f"{text} is not JSON: {reason}", param_hint="--smart") from None
    return found


main = command(tuple(PERSONAS))

if __name__ == "__main__":
    sys.exit(main())
