"""What a patient's consent makes of the level of each reader, from when and until when.

A permit raises a reader to its class (up to C2; what is C3 is only ever given item by item), a denial lowers it to below its
class, and a denial beats a permit. Without a provision that names it, a reader has its default. The clinic's own software is
meant only by a provision that names it: a record has to stay readable to those who keep it.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from sqlalchemy import Connection, select

from mappings import KINDS, model
from mappings.disclosure import Level
from service.store import clock, copies, entities, levels, outbox, targets
from service.store.clock import micros
from service.store.tables import FOREVER, client
from service.wire import read

ALWAYS = 0
CARE = (None, "TREAT", "CAREMGT", "COC")
CLINIC = "clinic"


@dataclass(frozen=True)
class Reader:
    """A client or a target, as consents speak of it."""

    key: str
    level: int
    organisation: str | None
    role: str | None


@dataclass(frozen=True)
class Term:
    """One provision while it holds: [since, until) in microseconds."""

    since: int
    until: int
    permit: bool
    level: int


def follow_consents(tx: Connection, patient: int, now: int) -> None:
    """Sets the levels of all readers for a patient from the consents that are active, and owes targets what they may now hold."""
    consents = _disclosure_consents(tx, patient)
    everyone = list(readers(tx))
    before = {r.key: levels.level(tx, r.key, patient, r.level, now) for r in everyone}
    rows = [(r.key, since, until, lvl) for r in everyone for since, until, lvl in schedule(consents, r)]
    levels.set_for_patient(tx, patient, rows, now)
    owe_what_is_newly_seen(tx, patient, now, before)


def follow_reader(tx: Connection, reader: Reader, now: int) -> None:
    """Applies the consents that are already there to a reader that is new.

    The commit clock is locked first: a consent that is written meanwhile is seen here, or sees the new reader.
    """
    clock.hold(tx)
    for patient in entities.patients_with(tx, "consent"):
        rows = [(reader.key, since, until, lvl) for since, until, lvl in schedule(_disclosure_consents(tx, patient), reader)]
        levels.set_for_patient(tx, patient, rows, now, reader=reader.key)


def owe_what_is_newly_seen(tx: Connection, patient: int, now: int, before: dict[str, int]) -> None:
    for target in targets.all_targets(tx):
        level = levels.level(tx, target.reader, patient, target.level, now)
        if level > before.get(target.reader, int(Level.NONE)):
            missing = copies.not_held(tx, target.id, patient, level, target.types)
            stream = outbox.touch(tx, target.id, [patient], now)[patient] if missing else 0
            outbox.owe(tx, target.id, dict.fromkeys(missing, stream), now)


def readers(tx: Connection) -> Iterator[Reader]:
    for row in tx.execute(select(client).where(client.c.revoked_at.is_(None))):
        yield Reader(f"client:{row.id}", row.level, row.organisation, row.role)
    for target in targets.all_targets(tx):
        yield Reader(target.reader, target.level, target.organisation, target.role)


def _disclosure_consents(tx: Connection, patient: int) -> list[Any]:
    kind = KINDS["consent"]
    found: list[Any] = [model.revive(kind.entity, read(s.document)) for s in entities.of_patient(tx, patient, ["consent"]) if not s.erased]
    return [consent for consent in found if consent.kind == "disclosure" and consent.status == "active"]


def schedule(consents: Iterable[Any], reader: Reader) -> list[tuple[int, int, int]]:
    """(since, until, level) of a reader over all time, where its level is not its default."""
    terms = [term for consent in consents for provision in consent.provisions if (term := _term(consent, provision, reader)) is not None]
    moments = sorted({ALWAYS, FOREVER, *(t.since for t in terms), *(t.until for t in terms)})
    found: list[tuple[int, int, int]] = []
    for since, until in pairwise(moments):
        level = level_of(reader.level, [t for t in terms if t.since <= since and t.until >= until])
        if level == reader.level:
            continue
        if found and found[-1][1:] == (since, level):
            found[-1] = (found[-1][0], until, level)
        else:
            found.append((since, until, level))
    return found


def level_of(default: int, terms: Iterable[Term]) -> int:
    terms = list(terms)
    permitted = max((min(t.level, int(Level.C2)) for t in terms if t.permit), default=default)
    denied = min((t.level - 1 for t in terms if not t.permit), default=int(Level.C3))
    return min(max(default, permitted), denied)


def _term(consent: Any, provision: Any, reader: Reader) -> Term | None:
    """A provision as far as it is about this reader and ever holds."""
    permit = provision.decision == "permit"
    if not _names(provision.recipient, reader) or (permit and not _for_care(provision.purpose, reader)):
        return None
    period = provision.period
    since = max([ALWAYS, *(micros(m) for m in (consent.valid_from, period and period.start) if m)])
    until = min([FOREVER, *(micros(m) for m in (consent.valid_to, consent.withdrawn_at, period and period.end) if m)])
    return Term(since, until, permit, int(Level[provision.data_class])) if since < until else None


def _names(recipient: Any, reader: Reader) -> bool:
    if recipient is None or (recipient.organisation is None and recipient.role is None):
        return reader.role != CLINIC
    organisation = recipient.organisation in (None, reader.organisation)
    return organisation and recipient.role in (None, reader.role)


def _for_care(purpose: str | None, reader: Reader) -> bool:
    return purpose in CARE or (purpose == "HRESCH" and reader.role == "researcher")
