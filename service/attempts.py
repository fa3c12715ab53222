"""An attempt to deliver, as people see it: what was asked and answered; the bodies of a failed one for who may see all of the patient."""

import json
from collections.abc import Mapping
from typing import Any

from service.renderings import instant
from service.security.secrets import open_sealed
from service.tenant import Tenant

HEADS = {"method": "method", "path": "path", "request": "requestHeaders", "status": "status", "response": "responseHeaders", "problem": "problem"}


def described(number: int, kept: Mapping[str, Any], *, words: bool) -> dict[str, Any]:
    """The attempt of this number (from 1), without bodies. `words` are the EHR's own, which may repeat what a resource said."""
    return {
        "number": number, "at": instant(kept["at"]), "endedAt": instant(kept["ended_at"]) if kept["ended_at"] else None, "request": kept["request"],
        "outcome": kept["outcome"], "status": kept["status"], "words": kept["words"] if words else None,
        "calls": [{HEADS[name]: value for name, value in head.items()} for head in json.loads(kept["heads"] or "[]")],
    }  # fmt: skip


def with_bodies(tenant: Tenant, delivery: int, number: int, kept: Mapping[str, Any]) -> dict[str, Any]:
    """The same with the bodies of its calls, where they were kept."""
    said = described(number, kept, words=True)
    bodies = json.loads(open_sealed(tenant, kept["bodies"], f"attempt of {delivery}")) if kept["bodies"] else []
    for call, both in zip(said["calls"], bodies, strict=False):
        call |= {f"{name}Body": body for name, body in both.items() if body}
    return said
