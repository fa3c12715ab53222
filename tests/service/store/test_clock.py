"""The time that counts is the database's, where machines share one whose own clocks differ."""

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import func, select

from service.store.clock import DatabaseTime, now_of, system_now
from service.store.database import Database


def fast() -> datetime:
    return datetime.now(UTC) + timedelta(hours=7)


def test_machines_whose_clocks_differ_have_the_databases_time(database: Database) -> None:
    if database.sqlite:
        assert now_of(database) is system_now  # there is one machine
        return
    told = DatabaseTime(database, fast)
    with database.reading() as connection:
        before = connection.execute(select(func.clock_timestamp())).scalar_one()
    assert timedelta(0) <= told() - before < timedelta(seconds=5)
    assert timedelta(0) <= told() - before < timedelta(seconds=5)
    assert isinstance(now_of(database), DatabaseTime)


def test_while_the_database_is_away_what_it_said_last_holds(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    if database.sqlite:
        pytest.skip("SQLite is not asked")
    told, gone = DatabaseTime(database, fast), Database("postgresql://127.0.0.1:1/nowhere")
    before = told()
    monkeypatch.setattr(told, "_database", gone)
    monkeypatch.setattr(told, "_ask_at", 0.0)
    assert timedelta(0) <= told() - before < timedelta(seconds=5)
    assert DatabaseTime(gone, fast)() - fast() < timedelta(seconds=5)
    gone.close()
