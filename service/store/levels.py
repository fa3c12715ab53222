"""What level a reader has for a patient: its default, moved by consent for as long as the consent says."""

from collections.abc import Iterable

from sqlalchemy import Connection, Select, delete, insert, select

from service.store.sql import chunks, run
from service.store.tables import FOREVER, disclosure, timer

# What consent says of a reader and a patient, as a value; null where it says nothing. `asked` gives its parameters.
LEVEL = "(SELECT level FROM disclosure WHERE reader = : AND patient = : AND since <= : AND until > :)"
NOBODY = 0


def asked(reader: str, patient: int | None, now: int) -> tuple[str, int, int, int]:
    return reader, patient or NOBODY, now, now


def level(connection: Connection, reader: str, patient: int | None, default: int, now: int) -> int:
    """The level of a reader for a patient at a moment; what has no patient is at the reader's default."""
    if patient is None:
        return default
    [(found,)] = run(connection, f"SELECT {LEVEL}", asked(reader, patient, now))
    return default if found is None else int(found)


def below(reader: str, least: int, now: int) -> Select[tuple[int]]:
    """The patients for whom consent leaves a reader below a level."""
    d = disclosure.c
    return select(d.patient).where(d.reader == reader, d.level < least, d.since <= now, d.until > now)


def set_for_patient(tx: Connection, patient: int, rows: Iterable[tuple[str, int, int, int]], now: int, *, reader: str | None = None) -> None:
    """Replaces what consent says of a patient, for all readers or for one: (reader, since, until, level).

    A timer is for what is yet to come: what has begun already was seen to, or its timer is still there.
    """
    gone = delete(disclosure).where(disclosure.c.patient == patient)
    tx.execute(gone if reader is None else gone.where(disclosure.c.reader == reader))
    values = [{"reader": r, "patient": patient, "since": since, "until": until, "level": lvl} for r, since, until, lvl in rows]
    for chunk in chunks(values):
        tx.execute(insert(disclosure), chunk)
    moments = {m for v in values for m in (v["since"], v["until"]) if now < int(str(m)) < FOREVER}
    if reader is None:
        tx.execute(delete(timer).where(timer.c.patient == patient, timer.c.at > now))
    known = set(tx.execute(select(timer.c.at).where(timer.c.patient == patient)).scalars())
    if moments - known:
        tx.execute(insert(timer), [{"at": at, "patient": patient} for at in moments - known])
