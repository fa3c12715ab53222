"""Our own keys on the command line: made, rotated and retired."""

from collections.abc import Callable
from pathlib import Path

from tests.cli.conftest import Said

Run = Callable[..., Said]


def states(run: Run) -> list[tuple[str, str]]:
    return sorted((row["alg"], row["state"]) for row in run("ehr", "keys", "list").rows)


def test_a_key_is_made_rotated_and_retired(run: Run) -> None:
    (made,) = run("ehr", "keys", "generate").rows
    assert "/.well-known/jwks.json" in made["done"] and states(run) == [("ES384", "signing")]
    (rotated,) = run("ehr", "keys", "rotate").rows
    assert states(run) == [("ES384", "next"), ("ES384", "signing")]
    run("ehr", "keys", "rotate", "--overlap", "0")
    assert states(run) == [("ES384", "next"), ("ES384", "published"), ("ES384", "signing")]
    assert run("ehr", "keys", "retire", made["keys"][0]).code == 0
    assert states(run) == [("ES384", "next"), ("ES384", "retired"), ("ES384", "signing")]
    assert rotated["keys"][0] in {row["kid"] for row in run("ehr", "keys", "list").rows}


def test_a_rotation_is_of_every_algorithm_or_of_one(run: Run) -> None:
    run("ehr", "keys", "generate", "--alg", "RS384")
    run("ehr", "keys", "generate", "--alg", "ES384")
    run("ehr", "keys", "rotate", "--alg", "ES384")
    assert states(run) == [("ES384", "next"), ("ES384", "signing"), ("RS384", "signing")]
    run("ehr", "keys", "rotate")
    assert states(run).count(("RS384", "next")) == 1 and states(run).count(("ES384", "next")) == 2


def test_what_is_not_there_is_neither_rotated_nor_retired_nor_made_for(run: Run) -> None:
    assert run("ehr", "keys", "rotate").code == 3
    assert run("ehr", "keys", "retire", "nothing").code == 3
    assert run("ehr", "keys", "rotate", "--ehr", "nobody").code == 3
    assert run("ehr", "keys", "generate", "--ehr", "No Name!").code == 2
    assert run("ehr", "keys", "list").rows == []


def test_what_signs_is_neither_shown_nor_kept_as_it_is(run: Run, tmp_path: Path) -> None:
    said = [run("ehr", "keys", "generate"), run("ehr", "keys", "list")]
    assert not any(word in one.out + one.err for one in said for word in ('"d"', "private", "PRIVATE"))
    assert not [path for path in tmp_path.iterdir() if path.is_file() and b'"d":' in path.read_bytes()]


def test_what_was_done_with_keys_is_in_the_audit_trail(run: Run) -> None:
    from service.config import load
    from service.store.sql import run as sql
    from service.wiring import wire

    run("ehr", "keys", "generate")
    run("ehr", "keys", "rotate", "--overlap", "0")
    (first,) = [row["kid"] for row in run("ehr", "keys", "list").rows if row["state"] == "published"]
    run("ehr", "keys", "retire", first)
    service = wire(load())
    with service.database.glance() as connection:
        found = [row[0] for row in sql(connection, "SELECT action FROM audit ORDER BY num")]
    service.close()
    assert found == ["key generate", "key rotate", "key retire"]
