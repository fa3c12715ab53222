"""Backup and restore by the database's own means, and what a restore has to assume about EHRs."""

import os
import subprocess
from pathlib import Path

from sqlalchemy import BigInteger, Connection, delete, exists, func, insert, literal, select, update

from service.store.copies import RESTORED
from service.store.database import Database, sqlite_driver
from service.store.outbox import OPEN, SENDING, WAITING
from service.store.sql import run
from service.store.tables import clock, copy, delivery, entity, stream, token

BEGUN = 1_577_836_800  # 2020-01-01, in seconds: nothing of ours is older


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
    """Replaces everything in a database that is ours alone by a backup. Raises ValueError for a file that is none."""
    if database.sqlite:
        _restore_file(database, path)
    else:
        _postgres("pg_restore", database, ["--clean", "--if-exists", "--no-owner", "--single-transaction", str(path)])


def _restore_file(database: Database, path: Path) -> None:
    with path.open("rb") as file:
        if file.read(16) != b"SQLite format 3\0":
            raise ValueError(f"{path} is no backup of a SQLite database")
    driver = sqlite_driver()
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


def given_out(database: Database) -> int:
    """The greatest version of a record in the database that a backup is to replace; 0 where it is lost, or is no database of ours."""
    if not holds_something(database):
        return 0
    try:
        with database.glance() as connection:
            return int(max(connection.execute(select(func.max(entity.c.version)).union_all(select(clock.c.restores))).scalars()))
    except Exception:  # noqa: BLE001 (it cannot be read, which may be why it is replaced)
        return 0


def make_unsure(tx: Connection, given: int, now: int) -> int:
    """After a restore nobody knows what EHRs were sent since: what is open is looked at first, and versions are not trusted.

    No version is given twice, however often the same backup is restored: each restore has a number above every version that the
    replaced database gave, and above the seconds since BEGUN, in case that is lost, for no record is written once a second for
    years. Versions of records go on from there, those of records that come back too; those of resources are made with the number.
    Tokens that were given out before are no longer good. Returns how many copies there are. What is open and has none is given an
    empty one, and no attempts of it count any more: what the EHR turns out to hold is from before the restore until we have tried.
    """
    greatest = func.max if tx.dialect.name == "sqlite" else func.greatest
    given = max(given, now // 1_000_000 - BEGUN)
    number = tx.execute(update(clock).values(restores=greatest(clock.c.restores, given) + 1).returning(clock.c.restores)).scalar_one()
    tx.execute(update(entity).values(version=greatest(entity.c.version + 1, number)))
    copies = tx.execute(update(copy).values(remote_version=None, sent_hash=b"", seen_hash=RESTORED, made=None).returning(copy.c.resource)).all()
    without = ~exists().where(copy.c.target == delivery.c.target, copy.c.resource == delivery.c.resource)
    tx.execute(update(delivery).where(without).values(attempts=0))
    empty = select(delivery.c.target, delivery.c.resource).distinct().where(delivery.c.state.in_(OPEN), without)
    values = empty.add_columns(literal(""), literal(0), literal(b""), literal(RESTORED), literal(now, BigInteger))
    tx.execute(insert(copy).from_select(["target", "resource", "version", "level", "sent_hash", "seen_hash", "at"], values))
    tx.execute(update(delivery).where(delivery.c.state.in_((WAITING, SENDING))).values(unsure=True, state=WAITING))
    tx.execute(update(stream).values(lease_until=0, worker=None, epoch=stream.c.epoch + 1))
    tx.execute(delete(token))
    return len(copies)
