"""Statements asked directly are the same on both databases: what goes in comes out, and none are kept without end."""

import threading

import pytest
from sqlalchemy import text

from service.store.database import Database
from service.store.prepared import MOST
from service.store.sql import ROWS, insert_many, marks, padded, run
from service.store.tables import client, jti

VALUES = [0, -1, 2**62, -(2**62), "", "Zoë: 'quoted'", b"", b"\x00\xff", None]


@pytest.mark.parametrize("value", VALUES, ids=repr)
def test_a_value_comes_back_as_it_was_sent(database: Database, value: object) -> None:
    kind = {int: "BIGINT", bytes: "BYTEA" if not database.sqlite else "BLOB"}.get(type(value), "TEXT")
    with database.glance() as connection:
        assert run(connection, f"SELECT CAST(: AS {kind})", (value,)) == [(value,)]


def test_more_statements_than_are_kept_are_all_answered(database: Database) -> None:
    with database.glance() as connection:
        asked = [(n, run(connection, f"SELECT {n} + :", (1,))) for n in [*range(MOST + 20), *range(MOST + 20)]]
    assert all(found == [(n + 1,)] for n, found in asked)


def test_a_statement_that_fails_says_so_and_the_next_is_answered(database: Database) -> None:
    with pytest.raises(Exception, match="nowhere"), database.glance() as connection:
        run(connection, "SELECT x FROM nowhere WHERE x = :", (1,))
    with database.glance() as connection:
        assert run(connection, "SELECT 1 + :", (1,)) == [(2,)]


def test_statements_outlive_rollbacks_and_whatever_else_is_asked_of_the_connection(database: Database) -> None:
    for _ in range(20):
        with database.reading() as connection:
            assert run(connection, "SELECT 2 + :", (1,)) == [(3,)]
            assert connection.execute(text("SELECT 1")).scalar_one() == 1
            assert run(connection, "SELECT 2 + :", (1,)) == [(3,)]


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 500])
def test_values_for_an_in_are_padded_with_what_is_there(database: Database, count: int) -> None:
    values = padded(range(count))
    assert set(values) == set(range(count))
    assert len(values).bit_count() == 1
    with database.glance() as connection:
        assert run(connection, f"SELECT 1 WHERE {count - 1} IN ({marks(values)})", values) == [(1,)]


def test_rows_that_are_stored_at_once_come_back_with_what_they_lack(database: Database) -> None:
    rows = [("a", "clinic", 1, None, "[]", "[]", None, None, 5, None), ("b", "", 0, "An EHR", "[]", "[]", None, "https://b.example", -(2**62), 7)]
    columns = ("id", "name", "level", "organisation", "scopes", "algorithms", "jwks", "jwks_url", "created_at", "revoked_at")
    found = database.write(lambda tx: insert_many(tx, client, columns, rows, f"RETURNING {', '.join(columns)}"))
    assert sorted(found) == rows


def test_more_rows_than_a_statement_takes_are_all_stored(database: Database) -> None:
    count = 2 * ROWS + 1
    database.write(lambda tx: insert_many(tx, jti, ("client", "jti", "expires_at"), [("a", str(n), n) for n in range(count)]))
    with database.glance() as connection:
        assert run(connection, "SELECT COUNT(*), MAX(expires_at) FROM jti WHERE client = :", ("a",)) == [(count, count - 1)]


def test_a_thread_that_ends_leaves_its_connection_to_others(database: Database) -> None:
    def look() -> None:
        with database.glance() as connection:
            run(connection, "SELECT 1 + :", (1,))

    for _ in range(40):  # more than there may be connections
        thread = threading.Thread(target=look)
        thread.start()
        thread.join(10)
        assert not thread.is_alive()
