"""Backup and restore by the database's own means, and what a restore has to assume about EHRs."""

import os
import subprocess
from pathlib import Path

from sqlalchemy import Connection, delete, select, update

from service.store.database import Database, sqlite_driver
from service.store.outbox import SENDING, WAITING
from service.store.sql import run
from service.store.tables import clock, copy, delivery, entity, stream, token

BEYOND = 10_000  # more versions than any entity gets between two backups


def backup(database: Database, path: Path) -> None:
    """A consistent copy while others write. Raises OSError and CalledProcessError."""
    if not database.sqlite:
        _postgres("pg_dump", database, ["--format=custom", f"--file={path}"])
        return
    driver = sqlite_driver()
    source, made = driver.connect(str(database.url.database)), driver.connect(str(path))
    try:
        source.backup(made)
    finally:
        made.close()
        source.close()
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def restore(database: Database, path: Path) -> None:
    """Replaces everything in the database by a backup. Raises ValueError for a file that is none."""
    if not database.sqlite:
        _postgres("pg_restore", database, ["--clean", "--if-exists", "--no-owner", "--single-transaction", str(path)])
        return
    if path.read_bytes()[:16] != b"SQLite format 3\0":
        raise ValueError(f"{path} is no backup of a SQLite database")
    driver = sqlite_driver()
    Path(str(database.url.database)).parent.mkdir(parents=True, exist_ok=True)
    source, made = driver.connect(str(path)), driver.connect(str(database.url.database))
    try:
        source.backup(made)
    finally:
        made.close()
        source.close()


def _postgres(program: str, database: Database, arguments: list[str]) -> None:
    url = database.url.set(drivername="postgresql")
    password = {"PGPASSWORD": url.password} if url.password else {}
    shown = url.set(password=None).render_as_string(hide_password=False)
    option = f"--dbname={shown}"
    subprocess.run([program, option, *arguments], check=True, capture_output=True, env={**os.environ, **password})  # noqa: S603


def holds_something(database: Database) -> bool:
    if database.sqlite and not Path(str(database.url.database)).exists():
        return False
    try:
        with database.glance() as connection:
            return bool(run(connection, "SELECT 1 FROM entity LIMIT 1"))
    except Exception as error:  # noqa: BLE001 (a database without our tables holds nothing of ours)
        return "entity" not in str(error)


def make_unsure(tx: Connection) -> int:
    """After a restore nobody knows what EHRs were sent since: what is open is looked at first, and versions are not trusted.

    No version is given twice: those of entities go on far above, and those of resources are made anew. Tokens that were given
    out before are no longer good. Returns how many copies there are.
    """
    tx.execute(update(clock).values(restores=clock.c.restores + 1))
    tx.execute(update(entity).values(version=entity.c.version + BEYOND))
    tx.execute(update(copy).values(remote_version=None, sent_hash=b"", seen_hash=None))
    tx.execute(update(delivery).where(delivery.c.state.in_((WAITING, SENDING))).values(unsure=True, state=WAITING))
    tx.execute(update(stream).values(lease_until=0, worker=None, epoch=stream.c.epoch + 1))
    tx.execute(delete(token))
    return len(tx.execute(select(copy.c.resource)).all())


