"""Consents begin and end by date: when one does, what each EHR may hold of a patient is looked at again."""

from sqlalchemy import Connection, delete, select

from service import disclosing
from service.store import entities, levels, targets
from service.store.tables import timer


def follow_timers(tx: Connection, now: int) -> int:
    """Owes what EHRs have newly come to see by the passing of time. Returns how many patients were looked at."""
    due = tx.execute(select(timer.c.at, timer.c.patient).where(timer.c.at <= now).order_by(timer.c.at).limit(200)).all()
    for patient in sorted({patient for _, patient in due}):
        entities.lock(tx, patient)  # what is being published meanwhile is there then, or sees the level as it is now
    for at, patient in due:
        before = {t.reader: levels.level(tx, t.reader, patient, t.level, at - 1) for t in targets.all_targets(tx)}
        disclosing.owe_what_is_newly_seen(tx, patient, now, before)
        tx.execute(delete(timer).where(timer.c.at == at, timer.c.patient == patient))
    return len(due)
