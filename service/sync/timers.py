"""Consents begin and end by date: when one does, what each EHR may hold of a patient is looked at again."""

from itertools import groupby

from sqlalchemy import Connection, delete, select

from service import disclosing
from service.store import clock, entities, levels, targets
from service.store.tables import timer

MANY = 200


def follow_timers(tx: Connection, now: int) -> int:
    """Owes what EHRs have newly come to see by the passing of time. Returns how many patients were looked at.

    Locks as a publish does: patients in order, streams, the commit clock. What was being published is there then; what is
    published later is dated later, also by a process whose clock is behind, and so sees the level as it is now.
    """
    now = clock.dated(now)
    patients = sorted(set(tx.execute(select(timer.c.patient).where(timer.c.at <= now).order_by(timer.c.at).limit(MANY)).scalars()))
    for patient in patients:
        entities.lock(tx, patient)
    due = (timer.c.at <= now) & timer.c.patient.in_(patients)  # read again: another worker may have been quicker
    rows = tx.execute(select(timer.c.patient, timer.c.at).where(due).order_by(timer.c.patient)).all()
    looked_at = {patient: [row.at for row in found] for patient, found in groupby(rows, lambda row: row.patient)}
    for patient, moments in looked_at.items():
        before = {t.reader: min(levels.level(tx, t.reader, patient, t.level, at - 1) for at in moments) for t in targets.all_targets(tx)}
        disclosing.owe_what_is_newly_seen(tx, patient, now, before)
    if looked_at:
        tx.execute(delete(timer).where(due))
        clock.reach(tx, now)
    return len(looked_at)
