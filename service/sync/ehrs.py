"""EHRs as the worker speaks to them: a line each, what lets us in, and what they say that they can do."""

import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any
from uuid import UUID, uuid4

from service import connecting
from service.manners import ANSWERS, FHIR_JSON, Manner
from service.store import targets
from service.store.clock import micros
from service.store.targets import Target
from service.sync.abilities import Abilities, abilities
from service.sync.access import Access
from service.sync.auth import line_to
from service.sync.door import Carries, Door, LetsIn
from service.sync.outcomes import objects
from service.sync.targets.rest import Rest
from service.sync.transport import Interrupted, Line, NotLetIn, NotReached
from service.tenant import derived
from service.wiring import Service

SECOND = 1_000_000
STATEMENT_GOOD_FOR = 3600 * SECOND


def rest(service: Service, target: Target, lets_in: Access | None = None) -> tuple[Rest, Line]:
    """A way to an EHR, for one thread; what lets us in may be shared by several."""
    line = line_to(service.settings, target)
    return over(service, target, line, lets_in or Access(service, target), partial(_pace, service, target)), line


def over(service: Service, target: Target, line: Carries, lets_in: LetsIn | None = None, pace: Callable[[], object] = lambda: None) -> Rest:
    """The EHR at the end of a line, called in the manner that it wants; `pace` waits until one more call may be made."""
    tenant, s = service.tenant, target.settings
    namespace = UUID(bytes=derived(tenant.secret, f"request ids after {tenant.restores} restores")[:16])
    manner = Manner(s.get("media_type", FHIR_JSON), s.get("prefer", ANSWERS[0]), connecting.headers(tenant, target), target.organisation or "", namespace)
    return Rest(Door(target.base_url, line, lets_in, manner, pace), careful=tenant.restores > 0 or bool(s.get("returns")))


def _pace(service: Service, target: Target) -> None:
    """Waits for the turn of one call, where a rate is agreed: all who call this EHR, in whatever process, take turns."""
    rate = target.settings.get("rate")
    if rate:
        now = micros(service.tenant.now())
        at = service.database.write(lambda tx: targets.next_call(tx, target.id, now, int(SECOND / rate)))
        time.sleep(max(0, at - now) / SECOND)


def able(service: Service, target: Target, ehr: Rest, now: int) -> Abilities:
    """What the EHR says that it can do, asked again when that is an hour old. Raises NotReached, Interrupted or ValueError."""
    if target.capability is not None and now - (target.capability_at or 0) < STATEMENT_GOOD_FOR:
        return abilities(target.capability)
    try:
        found = ehr.statement()
    except (NotReached, Interrupted, ValueError):
        if target.capability is not None:
            return abilities(target.capability)  # an old one is better than none
        raise
    kept = essential(found)
    service.database.write(lambda tx: targets.change(tx, target.id, capability=kept, capability_at=now))
    return abilities(kept)


def essential(statement: Mapping[str, Any]) -> dict[str, Any]:
    """The parts of a CapabilityStatement that are used, which are a small part of most."""
    names = ("type", "interaction", "conditionalCreate", "versioning", "searchParam")
    parts = [part for part in objects(statement.get("rest")) if part.get("mode") != "client"]
    resources = [{name: found[name] for name in names if name in found} for part in parts for found in objects(part.get("resource"))]
    system = [one for part in parts for one in objects(part.get("interaction"))]
    common = [one for part in parts for one in objects(part.get("searchParam"))]
    software = statement.get("software")
    name = software.get("name") if isinstance(software, dict) else None
    return {"fhirVersion": statement.get("fhirVersion"), "software": name, "rest": [{"interaction": system, "searchParam": common, "resource": resources}]}


def kept_out(ehr: Rest, able: Abilities, target: Target) -> str | None:
    """What keeps us out of an EHR, in words; None where nothing does. It is found by one search, or read, of what is not there."""
    types, nobody = sorted(target.types or able.interactions), uuid4()
    searched = next((one for one in types if able.searches(one, "identifier")), None)
    read = next((one for one in types if able.can(one, "read")), None)
    if searched is None and read is None:
        return "It says that nothing can be searched or read there, so nothing can be tried"
    way = f"/{searched}?identifier=urn:uuid:{nobody}" if searched else f"/{read}/{nobody}"
    try:
        status = ehr.get(way).status
    except NotLetIn as error:
        return error.words
    except (NotReached, Interrupted) as error:
        return f"It does not answer: {error}"
    if status == 401:
        return "It does not accept our token (401)" if target.settings.get("auth") else "It wants a token, and has given us none (401)"
    if status == 403:
        return f"It does not allow us to {'search' if searched else 'read'} {searched or read} (403)"
    return f"It fails ({status})" if status == 429 or status >= 500 else None
