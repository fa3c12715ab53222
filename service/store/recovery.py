"""Backup and restore by the database's own means, and what a restore has to assume about EHRs."""

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Connection, delete, func, select, update

from service.store.database import Database, sqlite_driver
from service.store.outbox import SENDING, WAITING
from service.store.sql import run
from service.store.tables import clock, copy, delivery, entity, stream, token

BEGUN = 1_577_836_800  # 2020-01-01, in seconds: nothing of ours is older


@dataclass(frozen=True)
class Given:
    """The greatest numbers that a database has given out: of its restores, and of a record's versions."""

    restores: int = 0
    version: int = 0


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


def given_out(database: Database) -> Given:
    """What the database that a backup is to replace has given out; nothing where it is lost, or is no database of ours."""
    if not holds_something(database):
        return Given()
    try:
        with database.glance() as connection:
            return Given(*connection.execute(select(select(clock.c.restores).scalar_subquery(), select(func.max(entity.c.version)).scalar_subquery())).one())
    except Exception:  # noqa: BLE001 (it cannot be read, which may be why it is replaced)
        return Given()


def make_unsure(tx: Connection, given: Given, now: int) -> int:
    """After a restore nobody knows what EHRs were sent since: what is open is looked at first, and versions are not trusted.

    No version is given twice, however often the same backup is restored. Those of records go on above what the replaced database
    gave, and above the seconds since BEGUN, in case that is lost: no record is written once a second for years. Those of resources
    are made with another number of restores. Tokens that were given out before are no longer good. Returns how many copies there are.
    """
    beyond = now // 1_000_000 - BEGUN
    greatest = func.max if tx.dialect.name == "sqlite" else func.greatest
    tx.execute(update(clock).values(restores=greatest(clock.c.restores, given.restores, beyond) + 1))
    tx.execute(update(entity).values(version=greatest(entity.c.version, given.version, beyond) + 1))
    tx.execute(update(copy).values(remote_version=None, sent_hash=b"", seen_hash=None))
    tx.execute(update(delivery).where(delivery.c.state.in_((WAITING, SENDING))).values(unsure=True, state=WAITING))
    tx.execute(update(stream).values(lease_until=0, worker=None, epoch=stream.c.epoch + 1))
    tx.execute(delete(token))
    return len(tx.execute(select(copy.c.resource)).all())
