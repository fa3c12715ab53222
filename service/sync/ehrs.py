"""EHRs as the worker speaks to them: a line each, what lets us in, and what they say that they can do."""

from collections.abc import Mapping
from typing import Any

from service.config import Settings
from service.security.secrets import open_sealed
from service.store import targets
from service.store.targets import Target
from service.sync.deliver import Abilities, abilities
from service.sync.outcomes import objects
from service.sync.targets.rest import Rest
from service.sync.transport import Interrupted, Line, NotReached
from service.tenant import Tenant
from service.wiring import Service

STATEMENT_GOOD_FOR = 3600 * 1_000_000


def rest(tenant: Tenant, settings: Settings, target: Target) -> tuple[Rest, Line]:
    """A way to an EHR, for one thread."""
    private = settings.outbound_private or bool(target.settings.get("private"))
    line = Line(private=private, seconds=settings.send_seconds)
    return Rest(target.base_url, line, lambda: authorization(tenant, target), restored=tenant.restores > 0), line


def authorization(tenant: Tenant, target: Target) -> Mapping[str, str]:
    """The headers that let us in: none, or the static token of the target, which is sealed where it is kept."""
    auth = target.settings.get("auth") or {}
    if auth.get("type") == "bearer":
        return {"Authorization": f"Bearer {open_sealed(tenant, auth['token'], target.id)}"}
    return {}


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
    software = statement.get("software")
    name = software.get("name") if isinstance(software, dict) else None
    return {"fhirVersion": statement.get("fhirVersion"), "software": name, "rest": [{"interaction": system, "resource": resources}]}
