"""An EHR behind the NHS API platform, with the manners of the Personal Demographics Service; its records are those of any clinic.

| fact | source | here |
| --- | --- | --- |
| N1: an update needs If-Match, the ETag mirrored exactly as it came; without one, or stale, it is 412 | PDS FHIR API | exact_if_match |
| N2: PATCH has `{"patches": [...]}`; none is 400 | PDS FHIR API | patch |
| N2: a `remove` comes right after a `test` of the same path | PDS FHIR API | patch |
| N2: items are added to a list at its end, by `/-`, also to one that is not there yet | PDS FHIR API | patch |
| N2: an object that has an `id` is replaced by one that has the same | PDS FHIR API | patch |
| N3: X-Request-ID, a UUID, is needed (412 without); what comes again with the same one is not done again | PDS FHIR API | request_id |
| N3: X-Correlation-ID comes back, and X-Request-ID does | PDS FHIR API | echoed |
| N4: an application without a user may not update: 403 | PDS FHIR API, access modes | the setting readOnly |
| N5: throttling is 429 with Retry-After | API platform | the fault `status` |
| N6: NHSD-Session-URID, NHSD-End-User-Organisation-ODS and the like are needed | API platform | the setting requiredHeaders |
| no version reads, no history, no deletes, no conditional create | PDS FHIR API | types |

Not here: X-Sync-Wait and answers by polling.
"""

from typing import Any

from sandbox.elements import Fhir
from sandbox.outcome import Issue, Refused
from sandbox.patches import at_pointer, patched
from sandbox.personas.persona import CLINIC_TYPES, CREATE, PATCH, READ, SEARCH, UPDATE, Persona


def _patched(resource: Fhir, body: Any) -> Fhir:
    patches = body.get("patches") if isinstance(body, dict) else None
    if not isinstance(patches, list) or not patches:
        raise Refused(400, Issue("structure", 'a patch is {"patches": [...]} with one operation at least'))
    before: Any = None
    for one in patches:
        if isinstance(one, dict) and isinstance(one.get("path"), str):
            _mind_manners(resource, one, before)
            if one.get("op") == "add" and one["path"].endswith("/-") and _at(resource, one["path"][:-2]) is None:
                resource = patched(resource, [{"op": "add", "path": one["path"][:-2], "value": []}])
        resource, before = patched(resource, [one]), one
    return resource


def _mind_manners(resource: Fhir, one: dict[str, Any], before: Any) -> None:
    """Raises Refused (400) for an operation that the standard allows and this server does not."""
    path, there, value = one["path"], _at(resource, one["path"]), one.get("value")
    match one.get("op"):
        case "remove" if not isinstance(before, dict) or (before.get("op"), before.get("path")) != ("test", path):
            raise Refused(400, Issue("invalid", f"remove {path} needs a test of the same path right before it"))
        case "add" if path.rpartition("/")[2].isdigit():
            raise Refused(400, Issue("invalid", f"add {path}: items are added at the end of a list, by /-"))
        case "replace" if isinstance(there, dict) and "id" in there and (not isinstance(value, dict) or value.get("id") != there["id"]):
            raise Refused(400, Issue("invalid", f"replace {path} needs the id {there['id']}"))


def _at(resource: Fhir, pointer: str) -> Any:
    try:
        return at_pointer({"": resource}, pointer)
    except (KeyError, IndexError, ValueError, TypeError):
        return None


NHS = Persona(
    name="nhs",
    title="NHS-like EHR",
    path="/nhs/fhir/r4",
    types=dict.fromkeys(CLINIC_TYPES, frozenset({READ, SEARCH, CREATE, UPDATE, PATCH})),
    exact_if_match=True,
    patch=_patched,
    request_id="X-Request-ID",
    echoed=("X-Request-ID", "X-Correlation-ID"),
    last_updated=True,
)
