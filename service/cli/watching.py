"""Looking again and again: a table that changes in its place on a terminal, and elsewhere what there is each time, line by line."""

import errno
import os
import sys
import time
from collections.abc import Callable

import click
from rich.live import Live

from service.cli import show

EVERY = 2.0  # seconds
CLOSED = (errno.EIO, errno.EPIPE)  # the terminal, or the program that reads it
watch = click.option("--watch", is_flag=True, help="Look again every two seconds, until Ctrl-C.")


def shown(look: Callable[[], None], *, again: bool) -> None:
    """Shows what there is once, or again until somebody ends it."""
    if not again:
        look()
        return
    try:
        if show.as_json():
            _repeated(look)
        with Live(console=show.console, auto_refresh=False, screen=True) as live, show.drawn_by(lambda table: live.update(table, refresh=True)):
            _repeated(look)
    except KeyboardInterrupt:
        return  # that is how it ends
    except OSError as error:
        if error.errno not in CLOSED:
            raise
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # nobody is left to read what still stands in its buffer


def _repeated(look: Callable[[], None]) -> None:
    while True:
        look()
        time.sleep(EVERY)
