"""`pathway-fhir`: the commands, and the one place where what goes wrong becomes an exit code."""

import os
import sys
from importlib import import_module
from typing import Any

import click

from service.cli.show import FAILED, NOT_FOUND, REFUSED, WRONG_USE, Failure
from service.config import WrongSetting
from service.errors import NotFound, ServiceError, as_service_error

COMMANDS = {  # the module that has a command, and those that add to it; a command loads its own alone
    "serve": ("serving",), "work": ("working",), "sandbox": ("sandbox",), "demo": ("demo",), "migrate": ("data",), "backup": ("data",), "restore": ("data",),
    "map": ("data",), "audit": ("data",), "client": ("clients",), "deliveries": ("deliveries", "planned"), "pull": ("pulls",),
    "conflicts": ("conflicts",), "reconcile": ("reconcile",), "ehr": ("ehrs", "registering", "people", "keys", "planned"),
}  # fmt: skip


class Commands(click.Group):
    """The commands, each loaded when it is asked for."""

    def list_commands(self, _context: click.Context) -> list[str]:
        return sorted(COMMANDS)

    def get_command(self, _context: click.Context, name: str) -> click.Command | None:
        modules = [import_module(f"service.cli.{module}") for module in COMMANDS.get(name, ())]
        found = [one for one in vars(modules[0]).values() if isinstance(one, click.Command) and one.name == name] if modules else []
        return found[0] if found else None


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.option("--json", is_flag=True, help="JSON, a line each, even on a terminal.")
@click.version_option(package_name="pathway-fhir", prog_name="pathway-fhir")
def commands(json: bool) -> None:
    """FHIR interoperability for ketamine-assisted EMDR pathways.

    Settings come from the environment (PATHWAY_FHIR_...), as docs/operating.md lists them. Exit codes: 0 done, 1 failed,
    2 wrong use or a wrong setting, 3 not found, 4 refused, 5 not all is well (reconcile).
    """


def main(args: list[str] | None = None) -> Any:
    os.umask(0o077)  # databases, backups and logs hold records of patients: for their owner alone
    try:
        commands.main(args, prog_name="pathway-fhir", standalone_mode=False)
    except click.exceptions.Abort:
        sys.exit(130)
    except click.ClickException as error:
        error.show()
        sys.exit(error.code if isinstance(error, Failure) else error.exit_code)
    except WrongSetting as error:
        click.echo(f"A setting cannot be used:\n{error}", err=True)
        sys.exit(WRONG_USE)
    except Exception as error:  # the last handler: what a caller can be told is told, all else shows where it came from
        known = as_service_error(error)
        if known is None:
            raise
        click.echo(_told(known), err=True)
        sys.exit(NOT_FOUND if isinstance(known, NotFound) else REFUSED if known.status < 500 else FAILED)


def _told(error: ServiceError) -> str:
    lines = [error.detail or error.title, *(f"  {path or '/'}: {problem}" for path, problem in error.problems)]
    return "\n".join(lines)
