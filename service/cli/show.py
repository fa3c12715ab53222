"""How commands show what they found: tables and words on a terminal, a JSON object a line everywhere else and with --json."""

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import click
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from service.wire import encode

OK, FAILED, WRONG_USE, NOT_FOUND, REFUSED, NOT_WELL = 0, 1, 2, 3, 4, 5  # exit codes
SHORT = 16  # characters: the longest state, the name of an EHR as a rule
console = Console(highlight=False)
_draw: ContextVar[Callable[[Table], None]] = ContextVar("draw", default=console.print)


class Failure(click.ClickException):
    """A command that did not do what it was asked, with an exit code that scripts can use."""

    def __init__(self, message: str, code: int = FAILED):
        super().__init__(message)
        self.code = code


def as_json() -> bool:
    context = click.get_current_context(silent=True)
    asked = bool(context and context.find_root().params.get("json"))
    return asked or not sys.stdout.isatty()


@contextmanager
def drawn_by(draw: Callable[[Table], None]) -> Iterator[None]:
    """Has tables drawn in another way than one below the other."""
    before = _draw.set(draw)
    try:
        yield
    finally:
        _draw.reset(before)


def rows(found: Iterable[Mapping[str, Any]], columns: Mapping[str, str], title: str | None = None) -> None:
    """A table with these columns (keys -> heading), or every row whole as a line of JSON. What is short is not broken into lines."""
    if as_json():
        for row in found:
            click.echo(encode(dict(row)))
    else:
        table(list(found), columns, title)


def table(found: Sequence[Mapping[str, Any]], columns: Mapping[str, str], title: str | None = None) -> None:
    """A table as such. What is shown came from elsewhere as a rule: it is text, and neither colours nor moves anything on a terminal."""
    shown = Table(title=title, title_justify="left", header_style="bold", box=None, pad_edge=False)
    cells = [[" ".join(_shown(_at(row, key)) for key in keys.split()) for keys in columns] for row in found]
    for n, heading in enumerate(columns.values()):
        shown.add_column(heading, overflow="fold", no_wrap=all(len(row[n]) <= SHORT for row in cells))
    for texts in cells:
        shown.add_row(*map(escape, texts))
    _draw.get()(shown)


def one(found: Mapping[str, Any]) -> None:
    if as_json():
        click.echo(encode(dict(found)))
        return
    table = Table.grid(padding=(0, 2))
    for name, value in found.items():
        table.add_row(f"[bold]{name}[/bold]", escape(_shown(value)))
    console.print(table)


def text(said: str) -> None:
    """Words that came from elsewhere, as they are."""
    click.echo(_shown(said))


def done(said: str, **what: Any) -> None:
    """What was done, in words; as JSON, what it was done to."""
    click.echo(encode({"done": said, **what}) if as_json() else said)


def _at(row: Mapping[str, Any], key: str) -> Any:
    value: Any = row
    for name in key.split("."):
        value = value.get(name) if isinstance(value, Mapping) else None
    return value


def _shown(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {_shown(v)}" for name, v in value.items())
    if isinstance(value, list | tuple):
        return "\n".join(map(_shown, value))
    return "".join(c for c in str(value) if c.isprintable() or c == "\n")
