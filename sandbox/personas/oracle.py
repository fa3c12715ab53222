"""Oracle Health Millennium (Cerner), as its public documentation of the R4 APIs describes it; each site's own CapabilityStatement wins.

| fact | source | here |
| --- | --- | --- |
| C1: a write is answered by an empty text/html; a create by an absolute Location without `_history` | Procedure, Create | silent_writes |
| C2: a stale If-Match is 409 | Overview, client errors | stale_status |
| C3: a required element that is missing is 500, and the issue `fatal`; what is not supported is 422 | Overview, client errors | missing, refused_elements |
| C4: fields of an Observation that are not supported are ignored: read back and compare | Observation, Create | ignored |
| C4: components (of a blood pressure) are not accepted | Observation, Create | refused_elements |
| C4: modifier elements make a write fail | Procedure, Create | takes_modifiers |
| C5: `_lastUpdated` is not searched for together with `date` | Observation, Search | exclusive |
| C5: what was written last comes first | Encounter, Search | newest_first |
| C5: the first page ignores `_count` for social history, and later ones are short | Observation, Search | page_sizes |
| C5: `next` is an opaque -pageContext | Observation, Search | page_parameter |
| C6: 429 has an OperationOutcome `throttled` and no header | Overview, client errors | the fault `status` |
| C7: a tenant that is not here is 403 in plain text, a media type that it has not is an empty 406 | Overview, client errors | realm, tell |
| C7: it answers in application/json+fhir | Overview, Schema | media |
| C8: the tenant is in the path, and ids mean something below it alone | Service Root URL | path |
| C10: JSON Patch, also by POST with X-HTTP-Method-Override | Encounter, Patch | types, method_override |
| it creates, updates and patches the types below, and shows the others | resource pages | types |
| ids are numbers | resource pages | new_id |

Not here: that `_lastUpdated` moves with clinically significant changes alone (C5), that most searches need a patient, that few types
are found by identifier, and that Encounter and others begin at version 0.
"""

import secrets
from collections.abc import Iterable

from sandbox.outcome import Refused
from sandbox.paging import PAGE
from sandbox.personas.persona import CLINIC_TYPES, CREATE, PATCH, READ, SEARCH, UPDATE, Persona, Query
from sandbox.wire import Answer, refusal

TENANT = "tenant-a"
WRITES = {
    CREATE: (
        "AllergyIntolerance", "Communication", "Condition", "DocumentReference", "Encounter", "MedicationRequest", "Observation", "Organization",
        "Patient", "Practitioner", "Procedure", "RelatedPerson",
    ),
    UPDATE: ("AllergyIntolerance", "Condition", "DocumentReference", "Observation"),
    PATCH: ("Communication", "Encounter", "MedicationRequest", "Patient"),
}  # fmt: skip


def _takes(kind: str) -> frozenset[str]:
    return frozenset({READ, SEARCH, *(interaction for interaction, types in WRITES.items() if kind in types)})


def _written() -> Iterable[str]:
    return (kind for types in WRITES.values() for kind in types)


def _tell(reason: Refused) -> Answer:
    """Errors are not always JSON."""
    if reason.status == 406:
        return Answer(406)
    if reason.status == 403:
        return Answer(403, reason.issues[0].words.encode(), {"Content-Type": "text/plain; charset=utf-8"})
    return refusal(reason)


def _page_sizes(kind: str, used: Query, count: int) -> tuple[int, int]:
    social = kind == "Observation" and any(name == "category" and value.endswith("social-history") for name, value in used)
    return PAGE if social and count else count, max(count // 2, 1)


ORACLE = Persona(
    name="oracle",
    title="Oracle-like EHR",
    path=f"/oracle/fhir/r4/{TENANT}",
    types={kind: _takes(kind) for kind in sorted({*CLINIC_TYPES, *_written()})},
    realm="/oracle/fhir/r4",
    media="application/json+fhir; charset=utf-8",
    new_id=lambda: str(10_000_000 + secrets.randbelow(90_000_000)),
    tell=_tell,
    stale_status=409,
    missing=(500, "fatal"),
    ignored={
        "Observation": frozenset({
            "basedOn", "bodySite", "derivedFrom", "device", "focus", "interpretation", "method", "partOf", "referenceRange", "specimen",
        }),
    },
    refused_elements={"Observation": frozenset({"component"}), "Encounter": frozenset({"classHistory", "statusHistory"})},
    takes_modifiers=False,
    silent_writes=True,
    method_override=True,
    last_updated=True,
    exclusive=frozenset({"date", "_lastUpdated"}),
    newest_first=True,
    page_parameter="-pageContext",
    page_sizes=_page_sizes,
)  # fmt: skip
