"""What a command names, found; or said not to be there."""

import click
from sqlalchemy import Connection

from service.cli import show
from service.store import entities, targets
from service.store.entities import Stored
from service.store.targets import Target

NUMBER = click.IntRange(1, 2**63 - 1)  # of a delivery or a conflict


def ehr(connection: Connection, name: str) -> Target:
    """An EHR by its name. Raises Failure."""
    found = targets.get(connection, name)
    if found is None:
        raise show.Failure(f"There is no EHR {name}", show.NOT_FOUND)
    return found


def an_ehr(connection: Connection, name: str | None) -> str | None:
    """The name of an EHR, which may be removed by now; None where none is named. Raises Failure."""
    if name is not None and not targets.named(connection, name):
        raise show.Failure(f"There is no EHR {name}", show.NOT_FOUND)
    return name


def patient(connection: Connection, key: str) -> Stored:
    """A patient by the clinic's own key. Raises Failure."""
    found = entities.get(connection, "patient", key)
    if found is None:
        raise show.Failure(f"There is no patient {key}", show.NOT_FOUND)
    return found
