"""What an operator and an integration engineer see and do, on the command line and over our API: EHRs, deliveries and pulls."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

from sqlalchemy import Connection

from mappings.disclosure import Level
from mappings.search import PARAMETERS
from service import attempts, connecting, disclosing
from service.disclosing import Reader
from service.errors import Conflict, NotFound, Unprocessable
from service.renderings import instant, text_of, uuid_of
from service.security.scopes import lacking
from service.store import access, alarms, catching, copies, cursors, deliveries, outbox, targets
from service.store.access import Access
from service.store.clock import micros
from service.store.copies import REMOTE_ID, Copy
from service.store.cursors import Cursor
from service.store.deliveries import Delivery
from service.store.reading import numbers, stream_keys
from service.store.reconciliation import reports
from service.store.sql import lock_name
from service.store.tables import FOREVER
from service.store.targets import Target
from service.tenant import Tenant

AGE = re.compile(r"([0-9]{1,6})([smhd])", re.ASCII)
SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
LATELY = 60 * 1_000_000
NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,39}")
EVERY = 60  # seconds from one pull to the next, where nothing else is said
EVERY_BETWEEN = (5, 7 * 86_400)


def described(delivery: Delivery, *, words: bool) -> dict[str, Any]:
    """A delivery as JSON. `words` are the EHR's own, which may repeat what a resource said."""
    said: dict[str, Any] = {
        "id": delivery.num, "ehr": delivery.ehr, "state": delivery.state, "attempts": delivery.attempts,
        "resource": {"type": delivery.type, "id": text_of(delivery.uuid)}, "entity": {"kind": delivery.kind, "id": delivery.entity},
        "remoteId": delivery.remote_id, "createdAt": instant(delivery.created_at), "changedAt": instant(delivery.changed_at),
        "nextAt": instant(delivery.next_at) if delivery.state == outbox.WAITING and delivery.next_at < FOREVER else None, "replays": delivery.replays,
        "reason": delivery.reason if words else None,
    }  # fmt: skip
    if delivery.log:
        said["log"] = [attempts.described(n, kept, words=words) for n, kept in enumerate(delivery.log, 1)]
    return {name: value for name, value in said.items() if value is not None}


def reconciliation(connection: Connection, name: str) -> dict[str, Any]:
    """What the last reconciliation of an EHR found, in figures. Raises NotFound."""
    found = reports(connection, name)
    if not found:
        raise NotFound(f"There is no EHR {name[:40]} that was reconciled")
    one = found[0]
    return {"ehr": one.target, "at": instant(one.at), "seconds": one.seconds, "counts": one.counts, "complete": not one.problems, "problems": one.problems}


def age(text: str) -> int | None:
    """A length of time such as 90s, 10m, 2h or 3d in microseconds, None for what is none."""
    found = AGE.fullmatch(text)
    return int(found[1]) * SECONDS[found[2]] * 1_000_000 if found else None


def ehr(target: Target, lets_in: Access, progress: tuple[int, int] | None, now: int) -> dict[str, Any]:
    """An EHR as JSON: what it is, how it is faring, what it does not let us do, and how far it is caught up with."""
    lacks = _lacks(target, lets_in)
    state = "paused" if target.paused else "snoozed" if target.snoozed_until > now else "degraded" if lacks else "open"
    return {
        "id": target.id, "baseUrl": target.base_url, "fhirVersion": target.fhir_version, "level": Level(target.level).name,
        "organisation": target.organisation, "role": target.role, "createPeople": bool(target.settings.get("create_people")),
        "documents": bool(target.settings.get("alternate")), "transactions": bool(target.settings.get("transactions")),
        "maxInFlight": target.max_in_flight, "rate": target.settings.get("rate"), "types": sorted(target.types) if target.types else None, "state": state,
        "snoozedUntil": instant(target.snoozed_until) if target.snoozed_until > now else None, "failures": target.failures,
        "problem": lets_in.problem, "lacking": lacks, "software": (target.capability or {}).get("software"),
        **({} if progress is None else {"catchingUp": {"lookedAt": progress[0], "of": progress[1]}}),
    }  # fmt: skip


def let_in(tx: Connection, target: Target, before: Access) -> list[str]:
    """An EHR lets us in: it is left alone no longer for having kept us out. Returns the scopes that it was asked for and did not grant."""
    if before.problem is not None:
        targets.change(tx, target.id, snoozed_until=0)
    return _lacks(target, access.get(tx, target.id))


def _lacks(target: Target, lets_in: Access) -> list[str]:
    asked = (target.settings.get("auth") or {}).get("scope", "")
    return lacking(asked, lets_in.granted, target.types or PARAMETERS) if lets_in.granted is not None else []


def ehrs(connection: Connection, now: int) -> list[dict[str, Any]]:
    return _described(connection, targets.all_targets(connection, statements=True), now)


def one_ehr(connection: Connection, name: str, now: int) -> dict[str, Any]:
    """Raises NotFound."""
    return _described(connection, [there(connection, name)], now)[0]


def there(connection: Connection, name: str) -> Target:
    """An EHR by its name. Raises NotFound."""
    found = targets.get(connection, name)
    if found is None:
        raise NotFound(f"There is no EHR {name[:40]}")
    return found


def _described(connection: Connection, found: list[Target], now: int) -> list[dict[str, Any]]:
    counts, oldest = outbox.counts(connection, found[0].id if len(found) == 1 else None), outbox.oldest_waiting(connection, now)
    come_to = {t.id: catching.progress(connection, t.catching_up) for t in found if t.catching_up is not None}
    let_in, lately = access.every(connection), outbox.lately(connection, now - LATELY)
    return [
        {**ehr(target, let_in.get(target.id, Access()), come_to.get(target.id), now),
         "deliveries": {name: n for (of, name), n in sorted(counts.items()) if of == target.id},
         "oldestWaitingSeconds": round(oldest[target.id], 1) if target.id in oldest else None,
         "lastMinute": _rate({outcome: n for (of, outcome), n in lately.items() if of == target.id}),
         "breaker": "open" if target.failures >= alarms.FAILURES and target.snoozed_until > now else "closed"}
        for target in found
    ]  # fmt: skip


def _rate(outcomes: Mapping[str, int]) -> dict[str, int]:
    """How many attempts succeeded, and how many did not."""
    delivered = outcomes.get("delivered", 0)
    return {"delivered": delivered, "failed": sum(outcomes.values()) - delivered}


def catch_up(tx: Connection, name: str) -> None:
    """Looks through everything again for what an EHR lacks. Raises NotFound."""
    there(tx, name)
    catching.begin(tx, name)


def add_ehr(tenant: Tenant, tx: Connection, found: Target, token: str | None, now: int, *, from_now: bool = False) -> None:
    """Registers an EHR, which is owed what is there already, or with `from_now` only what changes from now on.

    Consents that are already there apply to it from the start. Raises Unprocessable and Conflict.
    """
    check_ehr(found)
    lock(tx)
    check_new(tx, found)
    returns = connecting.place(found.base_url) in {connecting.place(url) for url in targets.removed_from(tx)}  # what was sent there is there still
    settings = {**connecting.sealed(tenant, found, token), **({"returns": True} if returns else {})}
    made = replace(found, settings=settings, catching_up=None if from_now else catching.START)
    targets.add(tx, made, now)
    disclosing.follow_reader(tx, Reader(made.reader, made.level, made.organisation, made.role), now)


def lock(tx: Connection) -> None:
    """Has registrations made, changed and ended one after another."""
    lock_name(tx, "registrations")


def check_new(connection: Connection, found: Target) -> None:
    """Raises Conflict where the name of an EHR that is to be added, or its base URL, has another."""
    if targets.named(connection, found.id):
        gone = targets.get(connection, found.id) is None
        raise Conflict(f"There was an EHR {found.id}, which was removed: its name is not used again" if gone else f"There is an EHR {found.id} already")
    check_place(connection, found)


def check_place(connection: Connection, found: Target) -> None:
    """Raises Conflict where another EHR is at the same base URL: what has no identifier would be there twice."""
    place = connecting.place(found.base_url)
    there_already = [one.id for one in targets.all_targets(connection) if one.id != found.id and connecting.place(one.base_url) == place]
    if there_already:
        raise Conflict(f"EHR {there_already[0]} is at {found.base_url} already: what is sent by two names would be there twice")


def check_ehr(found: Target, *, files: bool = True) -> None:
    """Raises Unprocessable for an EHR that may not be called, before it is; its files of certificates may be on other machines alone."""
    problems = []
    if not NAME.fullmatch(found.id):
        problems.append(("/id", "should be 1 to 40 lower-case letters, digits and hyphens"))
    if not connecting.fits(found.base_url, private=True) or urlsplit(found.base_url).query:
        problems.append(("/baseUrl", "should be an http or https URL without credentials, query or fragment"))
    elif not connecting.fits(found.base_url, private=bool(found.settings.get("private"))):
        problems.append(("/baseUrl", "should be https: what is sent is a patient's"))
    unknown = sorted((found.types or frozenset()) - PARAMETERS.keys())
    if unknown:
        problems.append(("/types", f"no types that are ever sent: {', '.join(unknown)}"))
    if not Level.C0 <= found.level <= Level.C2:
        problems.append(("/level", "should be C0, C1 or C2: what is C3 is never sent on its own"))
    problems += connecting.problems(found, files=files)
    if problems:
        raise Unprocessable("The EHR cannot be registered", problems)


def pause(tx: Connection, name: str, *, paused: bool) -> None:
    there(tx, name)
    targets.change(tx, name, paused=paused, **({} if paused else {"snoozed_until": 0, "failures": 0}))
    if not paused:
        access.resume(tx, name)


def pulls(connection: Connection, name: str) -> list[dict[str, Any]]:
    """How far the pull of each type from an EHR has come, and why one does not go on. Raises NotFound."""
    there(connection, name)
    return [pull(one) for one in cursors.of(connection, name)]


def pull(one: Cursor) -> dict[str, Any]:
    """A pull as JSON: `new` was never made, `current` saw everything the last time, `held` did not, and begins at the same place again."""
    said = {
        "ehr": one.target, "type": one.type, "every": one.every // 1_000_000, "state": "held" if one.held else "current" if one.pulled_at else "new",
        "at": one.at, "held": one.held, "pulledAt": instant(one.pulled_at) if one.pulled_at else None, "nextAt": instant(one.next_at),
    }  # fmt: skip
    return {name: value for name, value in said.items() if value is not None}


def set_pulls(tx: Connection, name: str, types: Sequence[str], every: int, now: int) -> None:
    """Has changes of these types come in from an EHR, each so many seconds, and of no others. Raises NotFound and Unprocessable."""
    there(tx, name)
    if problems := wrong_pulls(types, every):
        raise Unprocessable("These cannot be pulled", problems)
    cursors.begin(tx, name, types, every * 1_000_000, now)


def wrong_pulls(types: Any, every: Any) -> list[tuple[str, str]]:
    """What is wrong with what is to be pulled, and how often, as it came."""
    problems, (least, most) = [], EVERY_BETWEEN
    if not isinstance(types, list | tuple) or not all(isinstance(one, str) for one in types):
        problems.append(("/types", "should be an array of resource types"))
    else:
        problems += [(f"/types/{n}", "no type that is ever sent") for n, one in enumerate(types) if one not in PARAMETERS]
    if not isinstance(every, int) or isinstance(every, bool) or not least <= every <= most:
        problems.append(("/every", f"should be a whole number of seconds, from {least} to {most}"))
    return problems


def pull_now(tx: Connection, name: str, types: Sequence[str], now: int) -> None:
    """Makes the pulls of an EHR due, or those of these types: a worker does them next. Raises NotFound, and Conflict where there are none."""
    there(tx, name)
    if not cursors.make_due(tx, name, types, now):
        raise Conflict(f"Nothing {'of this ' if types else ''}is pulled from {name}")


LINKED = {"Patient": ("patient", "patient"), "Practitioner": ("practitioner", "practitioner"), "Organization": ("clinic", "clinic")}


def link(tenant: Tenant, tx: Connection, name: str, reference: str, remote_id: str, *, same_person: bool = False) -> None:
    """Says that a person or place of ours is one that the EHR has already: `reference` is Type/kind's key, such as Patient/ann.

    What it was linked to before was another: all that the EHR holds of the patient is looked at again, and sent where it names that;
    what was refused under it, waits, or is being sent at this moment, is owed again.
    Raises NotFound, and Unprocessable, also for what is another patient's there unless both are said to be the same person.
    """
    if problems := wrong_link(remote_id):
        raise Unprocessable(problems=problems)
    num = linked(tenant, tx, name, reference)
    lock_name(tx, f"link {name} {remote_id}")
    if not same_person and any(type_ == "Patient" and held.resource != num for held, type_, *_ in copies.there(tx, name, [remote_id])):
        raise Unprocessable(problems=[("/remoteId", "is another patient of ours there: link that one to its own first, or say that both are the same person")])
    now = micros(tenant.now())
    copies.lock(tx, name, [num])
    [key] = stream_keys(tx, [num]).values()
    before = copies.held(tx, name, [num]).get(num)
    streams = outbox.touch(tx, name, [key], now)
    formerly = sorted({one for one in (before.remote_id, *before.ids_before) if one not in (None, remote_id)}) if before is not None else []
    copies.hold(tx, [Copy(name, num, remote_id, None, "", 0, b"", formerly=" ".join(formerly) or None)], now)
    again = {num}
    if before is not None and before.remote_id not in (None, remote_id):
        again |= {*copies.of_stream(tx, name, key), *outbox.not_over(tx, streams[key])}
    outbox.owe(tx, name, dict.fromkeys(again, streams[key]), now, reason="Linked")
    deliveries.wake(tx, name, [num], now)


def wrong_link(remote_id: Any) -> list[tuple[str, str]]:
    """What is wrong with the EHR's id of a person or place, as it came."""
    fits = isinstance(remote_id, str) and REMOTE_ID.fullmatch(remote_id)
    return [] if fits else [("/remoteId", "should be the id of a resource: 1 to 128 letters, digits and - . _ ~, and not full stops alone")]


def linked(tenant: Tenant, connection: Connection, name: str, reference: str) -> int:
    """The resource that is meant by Type/kind's key. Raises NotFound and Unprocessable."""
    there(connection, name)
    type_, _, key = reference.partition("/")
    if type_ not in LINKED or not key:
        raise Unprocessable(problems=[("/resource", "should be Patient/ID, Practitioner/ID or Organization/ID")])
    kind, role = LINKED[type_]
    uuid = uuid_of(tenant.ids().id(kind, key, role))
    num = numbers(connection, [uuid]).get(uuid)
    if num is None:
        raise NotFound(f"There is no {kind} {key}")
    return num
