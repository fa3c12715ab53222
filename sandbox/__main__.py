"""`python -m sandbox --port 8001 --directory DIR --persona plain --persona epic`."""

import sys
from pathlib import Path

import click

from sandbox.journal import InUse
from sandbox.personas import PERSONAS
from sandbox.serve import THREADS, PortTaken, run


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--port", default=8001, show_default=True, help="0 takes a free one and says which.")
@click.option("--persona", "personas", multiple=True, type=click.Choice(list(PERSONAS)), help="An EHR to stand for; again for several.  [default: all]")
@click.option("--directory", type=click.Path(file_okay=False, path_type=Path), help="Where records are kept; without it they are gone at the end.")
@click.option("--token", "tokens", multiple=True, metavar="[PERSONA=]TOKEN", help="Ask for this bearer token, in one persona or in all.")
@click.option("--threads", default=THREADS, show_default=True)
def main(*, host: str, port: int, personas: tuple[str, ...], directory: Path | None, tokens: tuple[str, ...], threads: int) -> None:
    """Serve a sandbox EHR: a small true FHIR R4 server with made-up records, for demos and tests."""
    served = personas or tuple(PERSONAS)
    try:
        run(host, port, served, directory, threads, tokens=_tokens(tokens, served))
    except (PortTaken, InUse) as reason:
        raise click.ClickException(str(reason)) from None


def _tokens(given: tuple[str, ...], served: tuple[str, ...]) -> dict[str, str]:
    asked: dict[str, str] = {}
    for one in given:
        name, is_one, token = one.partition("=")
        asked |= {name: token} if is_one and name in served else dict.fromkeys(served, one)
    return asked


if __name__ == "__main__":
    sys.exit(main())
