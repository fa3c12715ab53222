"""Every route asks who calls, but for the few that are for everybody."""

import re
from typing import Any

from service.fhir.routes import ROUTES as FHIR
from tests.conftest import Http

PUBLIC = {
    "/oauth/token", "/.well-known/jwks.json", "/health/live", "/health/ready", "/metrics", "/openapi.yaml", "/docs", "/docs/<name>", "/fhir/r4/metadata",
    "/fhir/r4/.well-known/smart-configuration", "/notifications/<name>",  # the last is for EHRs, which say who they are by a header of its own
}  # fmt: skip


def test_every_route_asks_for_a_token_but_those_that_are_for_everybody(web: Any) -> None:
    app = web.application
    guards = {str(rule.rule): getattr(app.view_functions[rule.endpoint], "guard", None) for rule in app.url_map.iter_rules()}
    assert set(guards.values()) == {"token", "public"}
    assert {rule for rule, guard in guards.items() if guard == "public"} == PUBLIC


def test_without_a_token_every_other_route_is_401_whatever_else_is_wrong(web: Any) -> None:
    nobody, called = Http(web, None), 0
    for rule in web.application.url_map.iter_rules():
        path = re.sub(r"<(?:path:)?(\w+)>", lambda found: {"kind": "patients", "type": "Patient"}.get(found[1], "x"), str(rule.rule))
        if str(rule.rule) not in PUBLIC:
            for method in sorted((rule.methods or set()) - {"HEAD"}):
                reply = nobody(method, path, b"{ not json", Content_Type="application/json")
                assert reply.status == 401 and "WWW-Authenticate" in reply.headers, (method, path, reply)
                called += 1
    assert called > 40


def test_a_caller_without_any_scope_of_use_reads_and_writes_nothing(pathway: Http, reader: Any) -> None:
    narrow = reader(3, "system/Basic.cruds")
    for plural in ("patients", "dosing-encounters", "consents"):
        for method, path in (("GET", f"/api/v1/{plural}"), ("GET", f"/api/v1/{plural}/x"), ("DELETE", f"/api/v1/{plural}/x"), ("PUT", f"/api/v1/{plural}/x")):
            assert narrow(method, path, {}).status == 403, (method, path)
    for route in FHIR:
        path = route.rule.replace("<type>", "Patient").replace("<id>", "00000000-0000-5000-8000-000000000000").replace("<version>", "x")
        assert narrow(route.method, f"/fhir/r4{path}", b"", Content_Type="application/x-www-form-urlencoded").status == 403, path
    for path in ("/api/v1/deliveries", "/api/v1/ehrs"):
        assert narrow.get(path).status == 403


def test_our_api_is_for_clients_of_the_highest_level_whatever_their_scopes(pathway: Http, reader: Any) -> None:
    for level in (0, 1, 2):
        reply = reader(level, "system/*.cruds").get("/api/v1/patients/ann")
        assert (reply.status, reply.json["title"]) == (403, "The token's scopes do not allow this")


def test_reading_does_not_let_one_write_nor_writing_read(pathway: Http, reader: Any) -> None:
    entity = pathway.get("/api/v1/patients/ann").json["entity"]
    reads, writes, creates = (reader(3, f"system/Patient.{letters}") for letters in ("rs", "ud", "c"))
    assert reads.get("/api/v1/patients/ann").status == 200 and reads.put("/api/v1/patients/ann", entity).status == 403
    assert reads.delete("/api/v1/patients/ann").status == 403 and reads.get("/api/v1/screenings").status == 403
    assert writes.get("/api/v1/patients/ann").status == 403 and writes.get("/api/v1/patients").status == 403
    assert creates.post("/api/v1/patients", {**entity, "id": "bob"}).status == 201 and creates.put("/api/v1/patients/bob", {**entity, "id": "bob"}).status == 403
