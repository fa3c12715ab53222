"""What a command names, found; or said not to be there."""

from sqlalchemy import Connection

from service.cli import show
from service.store import entities, targets
from service.store.entities import Stored
from service.store.targets import Target


def ehr(connection: Connection, name: str) -> Target:
    """An EHR by its name. Raises Failure."""
    found = targets.get(connection, name)
    if found is None:
        raise show.Failure(f"There is no EHR {name}", show.NOT_FOUND)
    return found


def patient(connection: Connection, key: str) -> Stored:
    """A patient by the clinic's own key. Raises Failure."""
    found = entities.get(connection, "patient", key)
    if found is None:
        raise show.Failure(f"There is no patient {key}", show.NOT_FOUND)
    return found
