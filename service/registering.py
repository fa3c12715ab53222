"""An EHR's registration changed or ended: where it is, how it lets us in, what it is sent, and what that makes of what it is owed.

| what is changed                                        | what follows                                                      |
| ------------------------------------------------------ | ----------------------------------------------------------------- |
| level raised, types added, people or documents allowed | it is caught up with, and what it did not take is judged anew     |
| organisation, role                                     | consents are applied to it anew, and it is caught up with         |
| types taken out                                        | what is owed of them is cancelled                                 |
| level lowered                                          | nothing is taken back: what it holds above is over-held           |
| base URL, while nothing of ours is there               | all that it is owed is owed to the new one, which is asked anew   |
| base URL, token, client, headers, certificates         | a snooze and a problem by the old ones end                        |
"""

import re
from collections.abc import Collection, Mapping
from dataclasses import replace
from decimal import Decimal
from typing import Any

from sqlalchemy import Connection

from mappings.disclosure import Level
from service import connecting, disclosing, operating
from service.disclosing import Reader
from service.errors import Conflict
from service.store import access, alarms, catching, clock, conflicts, cursors, deliveries, outbox, signing_keys, streams, targets
from service.store.targets import Target
from service.tenant import Tenant

REMOVED = "The EHR was removed"
NOT_SENT = "Of a type that it is sent no more"
COLUMNS = {"base_url": "baseUrl", "level": "level", "organisation": "organisation", "role": "role", "max_in_flight": "maxInFlight"}
SETTINGS = {
    "types": "types", "create_people": "createPeople", "alternate": "documents", "transactions": "transactions", "rate": "rate", "private": "private",
    "auth": "auth", "headers": "headers", "media_type": "mediaType", "prefer": "prefer", "cert": "cert", "key": "key", "ca": "ca",
}  # fmt: skip
COLUMN_OF, SETTING_OF = ({said: name for name, said in one.items()} for one in (COLUMNS, SETTINGS))
SWITCHES = ("createPeople", "documents", "transactions")
PATCHED = ("level", "organisation", "role", "types", "maxInFlight", "rate", *SWITCHES)  # over our API: no way in, and no secret
NAMED = re.compile(r"[^\x00-\x1f\x7f-\x9f\ud800-\udfff]{1,100}")
LEVELS = ("C0", "C1", "C2")
MOST_IN_FLIGHT = 64
RATES = (0.1, 10_000)  # calls a second, the least and the most that can be agreed
DOCUMENT = "DocumentReference"
SECRET = ("auth", "headers", "cert", "key", "ca")
REACHED_BY = frozenset({"baseUrl", "private", "auth", "headers", "mediaType", "prefer", "cert", "key", "ca"})
NAMED_BY = frozenset({"level", "organisation", "role"})  # consents name a recipient by these, and move it from its level


def opened(tenant: Tenant, found: Target) -> Target:
    """An EHR as it is asked for: its headers are (name, template), not sealed."""
    headers = list(connecting.headers(tenant, found).items())
    settings = {name: value for name, value in found.settings.items() if value and name != "headers"}
    return replace(found, settings=settings | ({"headers": headers} if headers else {}))


def changed(before: Target, wanted: Target, token: str | None = None) -> list[str]:
    """The members of a registration that are another in `wanted`; both are opened."""
    columns = [said for name, said in COLUMNS.items() if getattr(before, name) != getattr(wanted, name)]
    settings = [said for name, said in SETTINGS.items() if (before.settings.get(name) or None) != (wanted.settings.get(name) or None)]
    return sorted({*columns, *settings, *(("auth",) if token else ())})


def change(tenant: Tenant, tx: Connection, before: Target, wanted: Target, now: int, *, token: str | None = None, from_now: bool = False) -> list[str]:
    """Makes an EHR that was read as `before` one as is `wanted`, opened; with `from_now` it is owed nothing of what is there already.

    Files of certificates are looked at by who calls it before. Returns the members that changed. Raises NotFound, Unprocessable, and Conflict
    where it was changed meanwhile or cannot move.
    """
    operating.check_ehr(wanted, files=False)
    operating.lock(tx)
    if _as_kept(operating.there(tx, before.id)) != _as_kept(before):
        raise Conflict(f"EHR {before.id} was changed meanwhile: look at it, and say it again")
    was = opened(tenant, before)
    names = changed(was, wanted, token)
    if "baseUrl" in names:
        operating.check_place(tx, wanted)
        _move(tx, before, wanted, now)
    columns = {name: getattr(wanted, name) for name in COLUMNS}
    targets.change(tx, before.id, **columns, settings=connecting.sealed(tenant, wanted, token))
    if REACHED_BY & set(names):
        targets.change(tx, before.id, snoozed_until=0, failures=0)
        access.forget(tx, before.id)
    if names:
        clock.target_added(tx)
        _follow(tx, was, wanted, set(names), now, from_now=from_now)
    return names


def patched(was: Target, told: Mapping[str, Any]) -> Target:
    """An EHR, opened, with the members of a JSON merge patch (RFC 7396): null takes away what it had."""
    columns: dict[str, Any] = {"level": int(Level[told["level"]])} if "level" in told else {}
    columns |= {COLUMN_OF[name]: value for name, value in told.items() if name in ("organisation", "role", "maxInFlight")}
    settings = {**was.settings, **{SETTING_OF[name]: value for name, value in told.items() if name in ("types", "createPeople", "transactions")}}
    if "rate" in told:
        settings["rate"] = None if told["rate"] is None else float(told["rate"])
    if "documents" in told:
        settings["alternate"] = DOCUMENT if told["documents"] else None
    auth = was.settings.get("auth") or {}
    if auth.get("scope") == connecting.everything(was.settings.get("types")):
        settings["auth"] = {**auth, "scope": connecting.everything(settings.get("types"))}
    return replace(was, **columns, settings={name: value for name, value in settings.items() if value})


def wrong_patch(told: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What is wrong with what of an EHR is to be another, as it came."""
    found = [] if told else [("", "should say what is to be another")]
    if "level" in told and told["level"] not in LEVELS:
        found.append(("/level", f"should be {', '.join(LEVELS)}"))
    for name in ("organisation", "role"):
        if (said := told.get(name)) is not None and not (isinstance(said, str) and NAMED.fullmatch(said)):
            found.append((f"/{name}", "should be a text of 1 to 100 characters, or null for none"))
    found += [(f"/{name}", "should be true or false") for name in SWITCHES if name in told and not isinstance(told[name], bool)]
    types, most = told.get("types"), told.get("maxInFlight", 1)
    if types is not None:
        found += operating.wrong_pulls(types, operating.EVERY) or ([] if types else [("/types", "should name a type; null is for all")])
    if not isinstance(most, int) or isinstance(most, bool) or not 1 <= most <= MOST_IN_FLIGHT:
        found.append(("/maxInFlight", f"should be a whole number, from 1 to {MOST_IN_FLIGHT}"))
    rate = told.get("rate")
    rate = float(rate) if isinstance(rate, Decimal) else rate  # sic: 0.1 in JSON is less than 0.1 in binary
    if rate is not None and (isinstance(rate, bool) or not isinstance(rate, int | float) or not RATES[0] <= rate <= RATES[1]):
        found.append(("/rate", f"should be a number of calls a second from {RATES[0]:g} to {RATES[1]:g}, or null for as many as can be"))
    return found


def _as_kept(found: Target) -> tuple[Any, ...]:
    return (*(getattr(found, name) for name in COLUMNS), found.settings)


def _move(tx: Connection, before: Target, wanted: Target, now: int) -> None:
    """Raises Conflict where something of ours is there under the old URL, or may be."""
    many = outbox.brought(tx, before.id)
    if many:
        raise Conflict(f"{many} resources of ours are, or may be, at {before.base_url}, by the ids of that: add {wanted.base_url} under another name")
    targets.change(tx, before.id, capability=None, capability_at=None)
    cursors.start_anew(tx, before.id, now)


def _follow(tx: Connection, was: Target, wanted: Target, names: Collection[str], now: int, *, from_now: bool) -> None:
    """What is owed now is owed, and what is owed no more is cancelled."""
    if NAMED_BY & set(names):
        disclosing.follow_reader(tx, Reader(wanted.reader, wanted.level, wanted.organisation, wanted.role), now)
    if "types" in names and wanted.types is not None:
        deliveries.look_again(tx, wanted.id, outbox.give_up(tx, wanted.id, NOT_SENT, now, but=wanted.types), now)
    if _widened(was, wanted, names) and not from_now:
        people = tuple(operating.LINKED) if "createPeople" in names else ()
        outbox.decide_anew(tx, wanted.id, (NOT_SENT, outbox.WITHHELD), now)
        outbox.owe_refused(tx, wanted.id, "" if "baseUrl" in names else outbox.UNHELD, people, now)
        catching.begin(tx, wanted.id)


def _widened(was: Target, wanted: Target, names: Collection[str]) -> bool:
    """Whether it may be owed something that it was not."""
    more_types = was.types is not None and (wanted.types is None or not wanted.types <= was.types)
    allowed = any(not was.settings.get(name) and wanted.settings.get(name) for name in ("create_people", "alternate"))
    return bool(wanted.level > was.level or more_types or allowed or {"baseUrl", "organisation", "role"} & set(names))


def remove(tx: Connection, name: str, now: int) -> int:
    """Ends an EHR: it is sent and asked nothing more, and what let us in is forgotten. Its name is not used again.

    Returns how many deliveries were given up. Who publishes at this moment sees that it is gone. Raises NotFound.
    """
    operating.lock(tx)
    found = operating.there(tx, name)
    settings = {key: value for key, value in found.settings.items() if key not in SECRET}
    targets.change(tx, name, removed_at=now, settings=settings, catching_up=None)
    clock.target_added(tx)
    access.forget(tx, name)
    cursors.begin(tx, name, (), 0, now)
    alarms.forget(tx, name)
    for key in signing_keys.published(tx):
        if key.target == name:
            signing_keys.retire(tx, key.kid, now)
    conflicts.end(tx, name, now)
    streams.end(tx, name)
    return len(outbox.give_up(tx, name, REMOVED, now))
