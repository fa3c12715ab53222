"""Records as the clinic's software would send them: the least that each kind needs, and the example pathway, changed here and there."""

import copy
from typing import Any

from tests.conftest import Http, Reply, examples

Json = dict[str, Any]
WRITTEN = "2026-03-01T12:00:00+00:00"


def practitioner(id: str = "dr-shah", **more: Any) -> Json:
    return {"id": id, "recordedAt": WRITTEN, "name": [{"family": "Shah", "given": ["Rita"]}], "active": True, **more}


def clinic(id: str = "riverside", **more: Any) -> Json:
    return {"id": id, "recordedAt": WRITTEN, "name": "Riverside Clinic", **more}


def patient(id: str = "ann", **more: Any) -> Json:
    return {"id": id, "recordedAt": WRITTEN, "name": [{"family": "Example", "given": ["Ann"]}], "gender": "female", "birthDate": "1984-05-17", **more}


def of(patient: str, id: str, **more: Any) -> Json:
    return {"id": id, "patientId": patient, "recordedAt": WRITTEN, "recordedBy": "dr-shah", **more}


def dosing(id: str = "dose", patient: str = "ann", **more: Any) -> Json:
    """A dosing encounter; what is C0 of it is its visit alone."""
    return of(patient, id, clinicId="riverside", **{"status": "finished", "start": "2026-03-02T09:30:00+00:00", "end": "2026-03-02T13:10:00+00:00", **more})


def emdr(id: str = "session", patient: str = "ann", **more: Any) -> Json:
    return of(patient, id, clinicId="riverside", **{"status": "completed", "mode": "in-person", "start": "2026-03-12T14:00:00+00:00", **more})


def consent(id: str = "disclosure", patient: str = "ann", provisions: list[Json] | None = None, **more: Any) -> Json:
    said = {"kind": "disclosure", "status": "active", "signedAt": WRITTEN, "validFrom": WRITTEN, "provisions": provisions or []}
    return of(patient, id, clinicId="riverside", **{**said, **more})


def provision(decision: str, data_class: str, *, role: str | None = None, organisation: str | None = None, **more: Any) -> Json:
    recipient = {name: value for name, value in (("role", role), ("organisation", organisation)) if value}
    return {"decision": decision, "dataClass": data_class, **({"recipient": recipient} if recipient else {}), **more}


def example(plural: str, id: str) -> Json:
    return copy.deepcopy(next(entity for kind, key, entity in examples() if (kind, key) == (plural, id)))


def changed(entity: Json, path: str, value: Any) -> Json:
    """The entity with another value at a dotted path of names and indexes; None takes it away."""
    made = copy.deepcopy(entity)
    *way, last = path.split(".")
    at: Any = made
    for name in way:
        at = at[int(name)] if isinstance(at, list) else at[name]
    if isinstance(at, list):
        if value is None:
            del at[int(last)]
        else:
            at[int(last)] = value
    elif value is None:
        at.pop(last, None)
    else:
        at[last] = value
    return made


def put(clinic: Http, plural: str, entity: Json, *, status: tuple[int, ...] = (200, 201)) -> Reply:
    reply = clinic.put(f"/api/v1/{plural}/{entity['id']}", entity)
    assert reply.status in status, reply
    return reply


def people(clinic: Http, *patients: str) -> None:
    """A practitioner, a clinic and patients: what every other record refers to."""
    put(clinic, "practitioners", practitioner())
    put(clinic, "clinics", clinic_())
    for one in patients or ("ann",):
        put(clinic, "patients", patient(one))


def clinic_() -> Json:
    return clinic(rooms=[{"id": "blue", "name": "Blue room"}])


def yielded(reply: Reply) -> list[str]:
    """Type/id of all that a write yields."""
    return [f"{one['type']}/{one['id']}" for one in reply.json["resources"]]


def of_type(reply: Reply, type_: str) -> str:
    [found] = [name for name in yielded(reply) if name.startswith(f"{type_}/")]
    return found
