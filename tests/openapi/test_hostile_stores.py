"""What SQLite takes and PostgreSQL does not: a NUL in a path, a query or a token's claims is no text there, and no error here."""

import json
from base64 import urlsafe_b64encode

import pytest
from sqlalchemy import func, select

from service.store.tables import audit
from tests.conftest import database_url  # noqa: F401 (in the place of the one that is SQLite alone)

PATHS = [
    "/api/v1/patients/a%00b", "/api/v1/%00", "/api/v1/patients/ann/%00", "/api/v1/patients/%00/fhir", "/api/v1/patients/%00/deliveries", "/api/v1/ehrs/%00",
    "/api/v1/deliveries/%00", "/fhir/r4/Patient/%00", "/fhir/r4/%00", "/fhir/r4/Patient/dd40f13a-dfeb-59cc-aa89-b13913c66072/_history/%00",
    "/api/v1/patients?patient=%00", "/api/v1/patients?after=%00", "/api/v1/deliveries?ehr=%00", "/api/v1/deliveries?type=%00", "/api/v1/deliveries?reason=%00",
    "/api/v1/deliveries?patient=%00", "/api/v1/deliveries?state=%00", "/fhir/r4/Patient?family=%00", "/fhir/r4/Patient?family:contains=a%00",
    "/fhir/r4/Patient?identifier=%00", "/fhir/r4/Patient?identifier=a|%00", "/fhir/r4/Observation?subject=%00", "/fhir/r4/Observation?value-quantity=5||%00",
    "/fhir/r4/Observation?subject.family=%00", "/fhir/r4/Patient?_id=%00", "/fhir/r4/Patient?name:exact=%00", "/fhir/r4/Patient?%00=x", "/nothing/%00",
]  # fmt: skip


@pytest.mark.parametrize("path", PATHS)
def test_a_nul_finds_nothing_and_is_audited(clinic, service, path: str) -> None:
    reply = clinic.get(path)
    assert reply.status == (400 if "?" in path else 404), reply
    service.trail.flush()
    with service.database.reading() as connection:
        rows = connection.execute(select(func.count()).select_from(audit)).scalar_one()
    assert rows == (0 if path.startswith("/nothing") else 1)


def test_a_nul_in_what_is_written_stores_nothing(clinic, service) -> None:
    for method, path in (("PUT", "/api/v1/patients/%00"), ("DELETE", "/api/v1/patients/%00"), ("PUT", "/api/v1/clinics/%00/rooms/%00"), ("POST", "/api/v1/ehrs/%00/pause")):
        assert clinic(method, path, b"{}").status in (404, 422), path


def test_a_nul_in_an_assertion_is_an_invalid_client(web) -> None:
    def part(said: object) -> str:
        return urlsafe_b64encode(json.dumps(said).encode()).decode().rstrip("=")

    for claims in ({"iss": "\0", "sub": "\0"}, {"iss": "\ud800", "sub": "\ud800"}, {"iss": "x" * 30_000, "sub": "x" * 30_000}):
        form = {
            "grant_type": "client_credentials", "client_assertion": f"{part({'alg': 'RS384'})}.{part(claims)}.c2ln",
            "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
        }  # fmt: skip
        reply = web.post("/oauth/token", data=form)
        assert (reply.status_code, reply.json["error"]) == (401, "invalid_client"), reply.data
