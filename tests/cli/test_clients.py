"""Callers: registered, given tokens, revoked."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from joserfc.jwk import ECKey, KeySet

from service.app import create_app
from service.config import Settings
from service.wiring import wire
from tests.cli.conftest import Said
from tests.conftest import Http

Run = Callable[..., Said]
GP = ("client", "add", "gp", "--level", "C1", "--scopes", "system/*.rs", "--role", "gp", "--organisation", "A83001")


def keys(path: Path, *, private: bool) -> Path:
    key = ECKey.generate_key("P-384", {"kid": "one", "alg": "ES384"}, private=True)
    path.write_text(json.dumps(KeySet([key]).as_dict(private=private)))
    return path


def test_a_caller_is_registered_with_its_keys_and_shown(run: Run, tmp_path: Path) -> None:
    added = run(*GP, "--jwks", str(keys(tmp_path / "public.json", private=False)))
    assert added.code == 0 and added.rows[0]["client"] == "gp", added
    shown = run("client", "list").rows
    assert shown == [{"id": "gp", "name": "gp", "level": "C1", "scopes": "system/*.rs", "organisation": "A83001", "role": "gp", "keys": "file", "revokedAt": None}]


def test_a_second_caller_of_the_same_id_is_refused_and_changes_nothing(run: Run) -> None:
    run(*GP)
    again = run("client", "add", "gp", "--level", "C3", "--scopes", "system/*.cruds")
    assert again.code == 4 and "already" in again.err, again
    assert [row["level"] for row in run("client", "list").rows] == ["C1"]


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (("gp!", "--level", "C1", "--scopes", "system/*.rs"), "ID"),
        (("gp", "--level", "C4", "--scopes", "system/*.rs"), "--level"),
        (("gp", "--level", "C1", "--scopes", "user/*.read"), "--scopes"),
        (("gp", "--level", "C1", "--scopes", "system/*.rs", "--jwks-url", "http://example.org/keys"), "--jwks-url"),
        (("gp", "--level", "C1"), "--scopes"),
    ],
)
def test_what_cannot_be_registered_is_said_by_its_name(run: Run, words: tuple[str, ...], named: str) -> None:
    said = run("client", "add", *words)
    assert said.code == 2 and named in said.err, said
    assert run("client", "list").rows == []


def test_a_private_key_is_refused(run: Run, tmp_path: Path) -> None:
    said = run(*GP, "--jwks", str(keys(tmp_path / "private.json", private=True)))
    assert said.code == 2 and "private key" in said.err, said
    assert run("client", "list").rows == []


def test_a_token_lets_its_caller_in_until_it_is_revoked(run: Run, given: Settings) -> None:
    run(*GP)
    token = run("client", "token", "gp", "--minutes", "5").out.strip()

    def asked() -> Any:
        service = wire(given)
        try:
            return Http(create_app(service=service).test_client(), token).get("/fhir/r4/Patient").status
        finally:
            service.close()

    assert asked() == 200
    assert run("client", "revoke", "gp").code == 0
    assert asked() == 401
    assert run("client", "token", "gp").code == 3
    assert run("client", "revoke", "gp").code == 3
    assert run("client", "list").rows[0]["revokedAt"] is not None


def test_the_database_never_holds_a_token(run: Run, given: Settings, tmp_path: Path) -> None:
    run(*GP)
    token = run("client", "token", "gp").out.strip()
    assert token and not [path for path in tmp_path.iterdir() if token.encode() in path.read_bytes()]
