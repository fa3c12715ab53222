"""A publish that is killed at any step of its transaction has not happened: nothing is half there, for whoever opens the database next."""

import os
import signal
import warnings
from collections.abc import Callable
from typing import Any

import psycopg
import pytest
from sqlalchemy import Connection, event

from mappings import KINDS
from mappings.kind import Kind
from mappings.schema import load
from service import exchange
from service.store.database import Database
from service.store.prepared import Prepared
from service.store.sql import run
from service.store.tables import metadata
from service.wire import decode, encode
from service.wiring import Service
from tests.conftest import Clock, Http
from tests.service.records import changed, consent, example, provision
from tests.service.tables import NOT_DATA, state
from tests.sync.conftest import Connect, connect  # noqa: F401 (a fixture)

pytestmark = pytest.mark.slow
MOST = 400


def entity(kind: str, body: dict[str, Any]) -> tuple[Kind, Any]:
    return KINDS[kind], load(KINDS[kind], decode(encode(body)))


WRITES: dict[str, Callable[[], tuple[Kind, Any]]] = {
    "a new record": lambda: entity("dosing-encounter", {**example("dosing-encounters", "ann-dose-1"), "id": "another"}),
    "a change": lambda: entity("dosing-encounter", changed(example("dosing-encounters", "ann-dose-1"), "observations.0", None)),
    "a consent": lambda: entity("consent", consent("new", provisions=[provision("deny", "C2", role="ehr")])),
    "an erasure": lambda: (KINDS["screening"], None),
}


@pytest.mark.parametrize("what", WRITES)
def test_a_publish_that_is_killed_at_any_statement_leaves_everything_as_it_was(
    what: str, pathway: Http, service: Service, database: Database, clock: Clock, connect: Connect  # noqa: F811
) -> None:
    connect("one", "http://127.0.0.1:1/fhir", 2)
    connect("two", "http://127.0.0.1:2/fhir", 1)
    kind, one = WRITES[what]()
    act = exchange.Act
    clock.forward(seconds=60)

    def work(tx: Connection) -> None:
        if one is None:
            exchange.erase(act(service.tenant, tx, "killed"), kind, "ann-screening")
        else:
            exchange.publish(act(service.tenant, tx, "killed"), kind, one)

    before, rows, killed = state(database), _rows(database), 0
    while _killed(database, work, at=killed):
        assert _rows(database) == rows, f"killed before statement {killed}"
        killed += 1
        assert killed < MOST
    after = state(database)
    assert killed > 12, "the statements were not counted"
    assert after["entity_version"] != before["entity_version"] and after["rendering"] != before["rendering"]
    assert len(after["delivery"]) > len(before["delivery"])


def test_a_publish_that_is_killed_just_after_it_committed_is_there_as_a_whole(pathway: Http, service: Service, database: Database, clock: Clock) -> None:
    kind, one = WRITES["a change"]()
    clock.forward(seconds=60)
    before = state(database)
    assert _killed(database, lambda tx: exchange.publish(exchange.Act(service.tenant, tx, "killed"), kind, one), at=None)
    after = state(database)
    assert after != before
    database.write(lambda tx: exchange.publish(exchange.Act(service.tenant, tx, "killed"), kind, one))
    assert state(database) == after  # the same again changes nothing: it was all there


def _rows(database: Database) -> dict[str, list[Any]]:
    """As `state`, but in the order in which the database has them, which nothing may have moved either: quicker, by far."""
    with database.reading() as connection:
        return {name: run(connection, f"SELECT * FROM {name}") for name in metadata.tables if name not in NOT_DATA}


def _killed(database: Database, work: Callable[[Connection], Any], *, at: int | None) -> bool:
    """Runs a write in a process of its own, which is killed before its statement of that number; None: as soon as it has committed.

    Returns False where there was no such statement, so that the write was done. Nobody else has the database open meanwhile.
    """
    database.close()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # that of forking beside threads: the child uses none of theirs
        child = os.fork()
    if child == 0:
        try:
            _die(database, at)
            database.write(work)
            if at is None:
                os.kill(os.getpid(), signal.SIGKILL)
            os._exit(0)
        finally:
            os._exit(1)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0, "the write failed"
    return os.WIFSIGNALED(status)


def _die(database: Database, at: int | None) -> None:
    """Counts what the driver is asked to do, BEGIN and COMMIT among it, and ends this process before the given one."""
    count = 0

    def step(*_: Any) -> None:
        nonlocal count
        if count == at:
            os.kill(os.getpid(), signal.SIGKILL)
        count += 1

    if database.sqlite:
        event.listen(database.engine, "checkout", lambda connection, *_: connection.set_trace_callback(step))
        return
    for owner, name in ((psycopg.Cursor, "execute"), (psycopg.Cursor, "executemany"), (Prepared, "run")):
        _counted(owner, name, step)


def _counted(owner: type, name: str, step: Callable[..., None]) -> None:
    done = getattr(owner, name)

    def counted(itself: Any, *given: Any, **more: Any) -> Any:
        step()
        return done(itself, *given, **more)

    setattr(owner, name, counted)
