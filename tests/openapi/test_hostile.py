"""What hostile and broken callers send: always an answer in the interface's own form, and never anything stored."""

import gzip
import json
import re
import time
from typing import Any

import pytest
from sqlalchemy import text
from werkzeug.test import EnvironBuilder, TestResponse, run_wsgi_app

from mappings import KINDS
from mappings.model import ID
from service.api.routes import ROUTES
from service.wire import encode, read
from tests.openapi.world import EXAMPLES, World, bearer

ENTITY = {kind.plural: sorted((EXAMPLES / kind.plural).glob("*.json"))[0] for kind in KINDS.values()}
JSON, NDJSON, FORM = "application/json", "application/x-ndjson", "application/x-www-form-urlencoded"
ITEMS = {
    ("clinics", "rooms"), ("medical-backgrounds", "conditions"), ("screenings", "instruments"), ("dosing-encounters", "observations"),
    ("integration-care-plans", "small-experiments"),
}  # fmt: skip
ENTITIES = [
    (method, path.format(plural=plural, id=ENTITY[plural].stem), JSON)
    for plural in ENTITY for method, path in (("POST", "/api/v1/{plural}"), ("PUT", "/api/v1/{plural}/{id}"), ("POST", "/api/v1/{plural}/preview"))
]  # fmt: skip
ITEM_ROUTES = [("PUT", f"/api/v1/{plural}/{ENTITY[plural].stem}/{listed}/x1", JSON) for plural, listed in sorted(ITEMS)]
TOLD = [
    ("POST", "/api/v1/conflicts/1/settle", JSON), ("PUT", "/api/v1/ehrs/sandbox-plain/pulls", JSON),
    ("PUT", "/api/v1/ehrs/sandbox-plain/links/Patient/ann", JSON), ("PATCH", "/api/v1/ehrs/sandbox-plain", JSON),
]  # fmt: skip
JSON_ROUTES = [*ENTITIES, *ITEM_ROUTES, *TOLD]
OTHERS = [("POST", "/api/v1/import", NDJSON), ("POST", "/fhir/r4/Observation/_search", FORM), ("POST", "/oauth/token", FORM)]
BODILESS = [
    ("POST", "/api/v1/deliveries/{}/replay"), ("POST", "/api/v1/deliveries/{}/cancel"), ("POST", "/api/v1/ehrs/{}/pause"), ("POST", "/api/v1/ehrs/{}/resume"),
    ("DELETE", "/api/v1/ehrs/{}"),
    ("DELETE", "/api/v1/patients/{}"), ("DELETE", "/api/v1/dosing-encounters/ann-dose-1/observations/{}"), ("DELETE", "/api/v1/clinics/{}/rooms/room-blue"),
]  # fmt: skip
READS = [
    "/api/v1/patients/{}", "/api/v1/{}", "/api/v1/schemas/{}", "/api/v1/deliveries/{}", "/api/v1/ehrs/{}", "/api/v1/patients/{}/fhir",
    "/api/v1/deliveries/{}/attempts/1", "/api/v1/deliveries/1/attempts/{}", "/api/v1/ehrs/{}/reconciliation",
    "/api/v1/patients/{}/deliveries", "/fhir/r4/Patient/{}", "/fhir/r4/{}", "/fhir/r4/Patient/{}/_history", "/fhir/r4/Patient/{}/$everything",
    "/fhir/r4/Patient/dd40f13a-dfeb-59cc-aa89-b13913c66072/_history/{}", "/docs/{}", "/{}",
]  # fmt: skip
LEAKS = (b"Traceback", b'File "', b".py", b"sqlalchemy", b"psycopg", b"marshmallow", b"token-of-the", b"Werkzeug", b"<html", b"<!doctype")
ids = lambda route: f"{route[0]} {route[1]}"  # noqa: E731
shown = lambda value: str(value)[:30].encode("unicode_escape").decode()  # noqa: E731


def call(world: World, method: str, path: str, body: bytes | None = None, type_: str = JSON, **headers: str) -> Any:
    said = {"Authorization": f"Bearer {bearer('clinic')}", **({"Content-Type": type_} if body is not None else {})}
    return world.send(method, path, headers=said | {name.replace("_", "-"): value for name, value in headers.items()}, body=body)


def held(world: World) -> dict[str, Any]:
    """Whatever a write would change."""
    tables = ("entity_version", "rendering", "delivery", "idempotency", "jti", "token", "copy", "cursor")
    with world.service.database.glance() as connection:
        counts = {name: connection.execute(text(f"SELECT count(*) FROM {name}")).scalar_one() for name in tables}
        clock = connection.execute(text("SELECT seq FROM clock")).scalar_one()
        ended = connection.execute(text("SELECT count(*) FROM target WHERE removed_at IS NOT NULL")).scalar_one()
        paused = connection.execute(text("SELECT count(*) FROM target WHERE paused")).scalar_one()
        open_ = connection.execute(text("SELECT count(*) FROM conflict WHERE state = 'open'")).scalar_one()
    return counts | {"clock": clock, "ended": ended, "paused": paused, "open": open_}


def is_refused(reply: Any, *statuses: int) -> None:
    """An error in the form of its interface, which tells nothing of what is inside."""
    assert reply.status_code in statuses, (reply.status_code, reply.data[:500])
    assert not [leak for leak in LEAKS if leak in reply.data], reply.data[:500]
    body = read(reply.data)
    path = reply.request.path
    if path.startswith("/fhir/"):
        assert body["resourceType"] == "OperationOutcome" and body["issue"], body
        assert all(issue["severity"] == "error" and issue["code"] and issue["diagnostics"] for issue in body["issue"])
    elif path.startswith("/oauth/") and reply.status_code != 405:
        assert body["error"] in ("invalid_request", "invalid_client", "invalid_scope", "unsupported_grant_type"), body
    else:
        assert reply.headers["Content-Type"] == "application/problem+json", reply.headers
        assert body["status"] == reply.status_code and body["title"], body


def test_every_route_that_writes_is_attacked_here() -> None:
    written = {(r.method, r.rule) for r in ROUTES if r.method != "GET"}
    attacked = {
        ("POST", "/<kind>"), ("PUT", "/<kind>/<id>"), ("POST", "/<kind>/preview"), ("PUT", "/<kind>/<id>/<list>/<item>"), ("POST", "/import"),
        ("POST", "/deliveries/<number>/replay"), ("POST", "/deliveries/<number>/cancel"), ("POST", "/ehrs/<name>/pause"), ("POST", "/ehrs/<name>/resume"),
        ("POST", "/deliveries/replay"), ("POST", "/deliveries/cancel"), ("POST", "/conflicts/<number>/settle"),
        ("PUT", "/ehrs/<name>/pulls"), ("POST", "/ehrs/<name>/pulls/now"), ("PUT", "/ehrs/<name>/links/<type>/<id>"), ("POST", "/ehrs/<name>/catch-up"),
        ("DELETE", "/<kind>/<id>"), ("DELETE", "/<kind>/<id>/<list>/<item>"), ("PATCH", "/ehrs/<name>"), ("DELETE", "/ehrs/<name>"),
    }  # fmt: skip
    assert written == attacked


BROKEN = {
    "empty": b"", "white space": b" \n ", "truncated": b'{"id": "ann", "name": [{"fam', "an open string": b'{"id": "', "two values": b"{} {}",
    "wrong UTF-8": b'{"id": "\xff\xfe"}', "overlong UTF-8": b'{"id": "\xc0\x80"}', "a surrogate in UTF-8": b'{"id": "\xed\xa0\x80"}',
    "UTF-16": '{"id": "x"}'.encode("utf-16"), "a byte order mark": b'\xef\xbb\xbf{"id": "x"}', "NUL": b'{"id": "x"}\0', "a control character": b'{"id": "\x01"}',
    "nested too deeply": b'{"id": ' + b"[" * 10_000 + b"]" * 10_000 + b"}", "nested objects": b'{"a":' * 10_000 + b"1" + b"}" * 10_000,
    "never closed": b"[" * 100_000, "NaN": b'{"id": NaN}', "Infinity": b'{"id": -Infinity}', "an integer of 10,000 digits": b'{"id": ' + b"9" * 10_000 + b"}",
    "an exponent beyond reason": b'{"id": 1e999999999999999999999}', "a member twice": b'{"id": "a", "id": "b"}',
    "a member twice, below": b'{"name": [{"family": "a", "family": "b"}]}', "single quotes": b"{'id': 'x'}", "a comment": b'{"id": "x" /* y */}',
    "XML": b"<?xml version='1.0'?><!DOCTYPE x [<!ENTITY a SYSTEM 'file:///etc/passwd'>]><x>&a;</x>",
    "a name with a lone surrogate": b'{"\\ud800": 1}', "a name with a lone surrogate, below": b'{"name": [{"\\udfff": 1}]}',
}  # fmt: skip


@pytest.mark.parametrize("route", JSON_ROUTES, ids=ids)
def test_what_is_no_json_is_400(world: World, route: tuple[str, str, str]) -> None:
    before = held(world)
    for name, body in BROKEN.items():
        reply = call(world, route[0], route[1], body)
        is_refused(reply, 400)
        assert read(reply.data)["detail"], name
    assert held(world) == before


WRONG = {
    "an array": b"[]", "text": b'"x"', "a number": b"7", "null": b"null", "true": b"true", "an empty object": b"{}", "an array of objects": b'[{"id": "x"}]',
    "an id that is a number": b'{"id": 5}', "an id that is null": b'{"id": null}', "an id with a slash": b'{"id": "a/b"}', "an id with NUL": b'{"id": "a\\u0000b"}',
    "an id with a lone surrogate": b'{"id": "\\ud800"}', "a number beyond a double": b'{"id": 1e400}', "a long id": b'{"id": "' + b"x" * 10_000 + b'"}',
    "a name as long as a body": b'{"' + b"x" * 100_000 + b'": 1}', "names with everything": '{"a~b/c\u2028 <script>": {"": []}}'.encode(),
    "100,000 elements": b'{"id": [' + b"1," * 99_999 + b"1]}", "unknown members": encode({f"unknown{n}": n for n in range(5000)}),
    "__proto__": b'{"__proto__": {"id": "x"}, "constructor": {}, "__class__": "os.system"}',
}  # fmt: skip


@pytest.mark.parametrize("route", JSON_ROUTES, ids=ids)
def test_what_is_json_and_no_record_is_422_with_every_problem_by_its_path(world: World, route: tuple[str, str, str]) -> None:
    before = held(world)
    for name, body in WRONG.items():
        reply = call(world, route[0], route[1], body)
        is_refused(reply, 422)
        found = read(reply.data)["errors"]
        assert found and all(error["detail"] for error in found), (name, found)
        assert all(error["pointer"] == "" or error["pointer"].startswith("/") for error in found), (name, found)
        assert len(reply.data) < 3_000_000, name
    assert held(world) == before


def leaves(value: Any, pointer: str = "") -> list[str]:
    if isinstance(value, dict):
        return [p for name, inner in value.items() for p in leaves(inner, f"{pointer}/{name}")]
    if isinstance(value, list):
        return [p for n, inner in enumerate(value) for p in leaves(inner, f"{pointer}/{n}")]
    return [pointer]


def put(value: Any, pointer: str, other: Any) -> Any:
    name, _, rest = pointer.removeprefix("/").partition("/")
    if isinstance(value, list):
        return [put(inner, rest, other) if rest and n == int(name) else other if n == int(name) else inner for n, inner in enumerate(value)]
    return {k: (put(v, rest, other) if rest else other) if k == name else v for k, v in value.items()}


@pytest.mark.parametrize("poison", [1e308, 10**4000, -1, "\0", "\ud800", "\uffff", " ", "", [], {}, None, True, "x" * 200_001], ids=shown)
@pytest.mark.parametrize("plural", sorted(ENTITY))
def test_any_value_of_a_record_may_be_poisoned(world: World, plural: str, poison: Any) -> None:
    """Every leaf, one at a time: refused by its path where it cannot be, and never an answer that nobody foresaw."""
    entity = json.loads(ENTITY[plural].read_bytes())
    for pointer in leaves(entity):
        body = json.dumps(put(entity, pointer, poison)).encode()
        reply = call(world, "POST", f"/api/v1/{plural}/preview", body)
        if reply.status_code != 200:
            is_refused(reply, 422)
            assert any(error["pointer"].startswith(pointer) or pointer.startswith(error["pointer"]) for error in read(reply.data)["errors"]), (pointer, reply.data)


def test_six_faults_are_six_problems(world: World) -> None:
    ann = json.loads((EXAMPLES / "patients" / "ann.json").read_bytes())
    body = {**ann, "birthDate": "17/05/1984", "gender": "F", "nhsNumber": "943", "name": [{"family": 7}], "telecom": [{"system": "fax"}], "shoeSize": 39}
    reply = call(world, "PUT", "/api/v1/patients/ann", encode(body))
    is_refused(reply, 422)
    pointers = [error["pointer"] for error in read(reply.data)["errors"]]
    assert pointers == sorted(["/birthDate", "/gender", "/name/0/family", "/nhsNumber", "/shoeSize", "/telecom/0/system", "/telecom/0/value"])


@pytest.mark.parametrize("route", [*JSON_ROUTES, *OTHERS], ids=ids)
def test_a_body_of_another_kind_is_415(world: World, route: tuple[str, str, str]) -> None:
    before = held(world)
    for type_ in ("text/plain", "application/xml", "multipart/form-data; boundary=x", "image/png", "application/jsonp", "json", "", "a" * 5000):
        is_refused(call(world, route[0], route[1], b'{"id": "x"}', type_), 415)
    is_refused(world.send(route[0], route[1], headers={"Authorization": f"Bearer {bearer('clinic')}"}, body=b"{}"), 415)
    for coding in ("gzip", "deflate", "br", "gzip, gzip", "x"):
        is_refused(call(world, route[0], route[1], gzip.compress(b"{}"), route[2], Content_Encoding=coding), 415)
    assert held(world) == before


@pytest.mark.parametrize("route", [*JSON_ROUTES, *OTHERS], ids=ids)
def test_a_body_over_the_limit_is_413_and_is_not_read(world: World, route: tuple[str, str, str]) -> None:
    before, began = held(world), time.perf_counter()
    is_refused(call(world, route[0], route[1], b"a" * 2_000_001, route[2]), 413)
    is_refused(chunked(world, route, [b"a" * 1_000_001] * 2), 413)
    assert time.perf_counter() - began < 5
    assert held(world) == before


class Stream:
    """A body as a server hands it on: in pieces, and perhaps ended by a caller who hung up."""

    def __init__(self, pieces: list[bytes], *, hangs_up: bool = False):
        self._left, self._hangs_up = b"".join(pieces), hangs_up

    def read(self, size: int = -1) -> bytes:
        if self._hangs_up and len(self._left) < size:
            raise OSError("connection reset by peer")
        taken, self._left = (self._left, b"") if size < 0 else (self._left[:size], self._left[size:])
        return taken

    readline = read


def chunked(world: World, route: tuple[str, str, str], pieces: list[bytes], *, length: int | None = None, hangs_up: bool = False) -> Any:
    """A call without Content-Length, as a server passes on what came in chunks; or with one that is not kept."""
    builder = EnvironBuilder(path=route[1], method=route[0], headers={"Authorization": f"Bearer {bearer('clinic')}"})
    environ = builder.get_environ() | {"CONTENT_TYPE": route[2]}
    environ["wsgi.input"], environ["wsgi.input_terminated"] = Stream(pieces, hangs_up=hangs_up), length is None
    environ.pop("CONTENT_LENGTH", None)
    if length is not None:
        environ["CONTENT_LENGTH"] = str(length)
    found, status, headers = run_wsgi_app(world.app, environ)
    return TestResponse(found, status, headers, builder.get_request())


def test_a_body_may_come_in_chunks(world: World) -> None:
    body = (EXAMPLES / "patients" / "ann.json").read_bytes()
    reply = chunked(world, ("PUT", "/api/v1/patients/ann", JSON), [body[:100], body[100:]])
    assert (reply.status_code, read(reply.data)["changed"]) == (200, False)


@pytest.mark.parametrize("route", [*JSON_ROUTES, *OTHERS], ids=ids)
def test_a_caller_who_hangs_up_stores_nothing(world: World, route: tuple[str, str, str]) -> None:
    before = held(world)
    is_refused(chunked(world, route, [b'{"id": "x"'], length=500, hangs_up=True), 400)
    is_refused(chunked(world, route, [b'{"id": "x"'], length=500), 400)
    is_refused(chunked(world, route, [b'{"id": "x"'], hangs_up=True), 400)
    for length in ("-5", "x", "5, 5"):
        reply = world.send(route[0], route[1], headers={"Authorization": f"Bearer {bearer('clinic')}", "Content-Type": route[2], "Content-Length": length}, body=None)
        if route[2] == JSON or reply.status_code != 200:  # an import of no lines is an import, and a search by nothing a search
            is_refused(reply, 400, 422)
    assert held(world) == before


@pytest.mark.parametrize("route", [("POST", "/api/v1/patients", JSON), ("POST", "/fhir/r4/Observation/_search", FORM)], ids=ids)
def test_what_takes_long_to_look_at_does_not_take_long(world: World, route: tuple[str, str, str]) -> None:
    slow = {
        "escapes in a string that never ends": b'"' + b'\\"' * 900_000, "many strings": b'["' + b'","' * 600_000 + b'"]', "many quotes": b'"' * 1_900_000,
        "many brackets": b"[]" * 900_000, "many backslashes": b'"' + b"\\" * 1_900_000, "parameters": b"a=b&" * 400_000, "commas": b"code=" + b"," * 400_000,
        "a chain": b"subject." * 200_000 + b"=x", "dates": b"date=" + b"2" * 400_000, "quantities": b"value-quantity=" + b"9" * 400_000,
    }  # fmt: skip
    for name, body in slow.items():
        began = time.process_time()
        is_refused(call(world, route[0], route[1], body, route[2]), 400, 413, 422)
        assert time.process_time() - began < 2, name


ODD = [
    "%00", "a%00b", "..", "../../etc/passwd", "%2e%2e%2f", "a%2Fb", "a%5Cb", "%FF%FE", "%ED%A0%80", "%E2%80%AE", "\U0001f4a9", "caf\u00e9", "%25", "%", "a b", "+", "*",
    "a;b=c", "a'or'1'='1", '"', "<script>", "%0d%0aX-Injected:%20yes", "x" * 10_000, "%F0%9F%92%A9" * 500, "null", "-1", "1e5", "9" * 400, "0" * 36,
    "00000000-0000-0000-0000-00000000000g", "__class__", "{}", "{{7*7}}", "%s%s%n", "ann%20", "ANN", "ann\u0301", "\uff41nn", "ann%E2%80%8B",
]  # fmt: skip


@pytest.mark.parametrize("odd", ODD, ids=shown)
def test_an_odd_id_in_a_path_leads_nowhere(world: World, odd: str) -> None:
    before = held(world)
    for path in READS:
        if (path, odd) != ("/{}", ".."):
            reply = call(world, "GET", path.replace("{}", odd))
            is_refused(reply, 404, 405)
            assert "X-Injected" not in reply.headers
    for method, path in BODILESS:
        is_refused(call(world, method, path.replace("{}", odd)), 404, 405)
    body = b'{"recordedAt": "2026-02-10T10:00:00+00:00"}'
    if not re.fullmatch(ID.regex, odd):
        is_refused(call(world, "PUT", f"/api/v1/patients/{odd}", body), 404, 405, 422)
    is_refused(call(world, "PUT", f"/api/v1/clinics/riverside/rooms/{odd}", body), 404, 405, 422)
    assert held(world) == before


def test_a_body_s_id_has_to_be_the_path_s(world: World) -> None:
    before = held(world)
    ann = json.loads((EXAMPLES / "patients" / "ann.json").read_bytes())
    is_refused(call(world, "PUT", "/api/v1/patients/bea", encode(ann)), 422)
    is_refused(call(world, "PUT", "/api/v1/clinics/riverside/rooms/room-red", b'{"id": "room-blue", "name": "Red"}'), 422)
    assert held(world) == before


QUERIED = ["/api/v1/patients", "/api/v1/deliveries", "/fhir/r4/Observation", "/fhir/r4/Patient", "/fhir/r4/Patient/dd40f13a-dfeb-59cc-aa89-b13913c66072/$everything"]


@pytest.mark.parametrize("path", QUERIED)
def test_thousands_of_parameters_are_refused_at_once(world: World, path: str) -> None:
    for query in ("&".join(f"p{n}={n}" for n in range(5000)), "&".join(["x=y"] * 5000), "&" * 50_000, "=" * 50_000, "%00=%00", "x=" + "%FF" * 1000):
        began = time.perf_counter()
        reply = call(world, "GET", f"{path}?{query}")
        if reply.status_code != 200:
            is_refused(reply, 400)
        assert time.perf_counter() - began < 2, query[:20]


VALUES = [
    "%00", "%FF", "\U0001f600", "%ED%A0%80", "'", '"', "\\", "%5C", "%25", "|", "||", "|||", ",", ",,", "$", ":", "-", "--", "_", "*", "%0d%0aX-Injected:%20yes", "x" * 5000,
    "9" * 5000, "1e400", "1e-400", "-1", "NaN", "Infinity", "0x10", "\u0661", "\u00b2", "2026-13-45", "0000", "9999-12-31T23:59:60Z", "2026-02-30", "ge", "gegege2026",
    "0001-01-01", "9999-12-31", "9999", "2026-01-01T00:00:00+99:99", "2026-01-01T24:00:00Z", "2026-W01", "2026-01-01T00:00:00.1234567890123Z", "lt9999-12-31T23:59:59-14:00",
    "http://", "http://[", "http://\u2028", "urn:", "Patient/", "/Patient", "Patient/../x", "http://127.0.0.1:8000/fhir/r4/", "null", "{}", "a%2Cb", "sa", "ap2026", "ap0", "5|",
    "5||", "5||mg", "gt5.5|http://unitsofmeasure.org|mg", "1" + "0" * 17, "1." + "0" * 30,
]  # fmt: skip


@pytest.mark.parametrize("value", VALUES, ids=shown)
def test_any_parameter_may_have_any_value(world: World, value: str) -> None:
    from mappings.search import COMMON, PARAMETERS
    from service.fhir.parameters import RESULT

    asked = [("Observation", name) for name in (*PARAMETERS["Observation"], *COMMON, *RESULT)]
    asked += [("Patient", name) for name in ("family", "birthdate", "name:exact", "name:contains", "identifier:not", "gender:missing", "_has", "_id:not")]
    asked += [("Encounter", name) for name in ("patient.identifier", "subject:Patient.name", "patient.patient.patient", "participant:Nothing", "date:missing", "x.y.z", ".", ":", "")]
    for type_, name in asked:
        for path in (f"/fhir/r4/{type_}?{name}={value}", f"/fhir/r4/{type_}?_summary=count&{name}={value}"):
            reply = call(world, "GET", path)
            if reply.status_code != 200:
                is_refused(reply, 400, 406)
            assert "X-Injected" not in reply.headers
    for path, names in (("/api/v1/patients", ("patient", "changedSince", "limit", "after")), ("/api/v1/patients/ann/fhir", ("view",)),
                        ("/api/v1/deliveries", ("ehr", "state", "type", "patient", "reason", "olderThan", "before", "limit"))):  # fmt: skip
        for name in names:
            reply = call(world, "GET", f"{path}?{name}={value}&limit=1" if name != "limit" else f"{path}?limit={value}")
            if reply.status_code != 200:
                is_refused(reply, 400, 404)
            assert "X-Injected" not in reply.headers
    for name in ("ehr", "state", "type", "patient", "reason", "olderThan", "limit"):
        for action in ("replay", "cancel"):
            reply = call(world, "POST", f"/api/v1/deliveries/{action}?{name}={value}&ehr=nowhere" if name != "ehr" else f"/api/v1/deliveries/{action}?ehr={value}")
            if reply.status_code != 200:
                is_refused(reply, 400, 404)
            assert "X-Injected" not in reply.headers
    for name in ("_count", "_since", "_type", "_page", "_format", "_pretty"):
        for path in ("Patient/dd40f13a-dfeb-59cc-aa89-b13913c66072", "Encounter/8f1d0980-3e64-58e9-9b4c-03a8cd3dee68"):
            reply = call(world, "GET", f"/fhir/r4/{path}/$everything?{name}={value}")
            if reply.status_code != 200:
                is_refused(reply, 400, 406)


HEADERS = ["", " ", '"', '"1', 'W/"', '"' + "9" * 100 + '"', '"1", "2"', "*", "\u00e9", "\u00ff" * 5000, "a" * 8000, "x\ty", "=?utf-8?q?x?=", "1", "-1", "bytes=0-1", "\x7f"]


@pytest.mark.parametrize("value", HEADERS, ids=shown)
def test_any_header_may_have_any_value(world: World, value: str) -> None:
    ann = (EXAMPLES / "patients" / "ann.json").read_bytes()
    names = ("If-Match", "If-None-Match", "If-Modified-Since", "Idempotency-Key", "X-Request-ID", "Accept", "Accept-Encoding", "Prefer", "Range", "Host",
             "X-Forwarded-Host", "X-Forwarded-Proto", "X-HTTP-Method-Override", "Origin", "Cookie", "Expect", "Transfer-Encoding", "Forwarded")  # fmt: skip
    calls = (("PUT", "/api/v1/patients/ann", ann), ("POST", "/api/v1/patients", ann), ("GET", "/api/v1/patients/ann", None), ("GET", "/fhir/r4/Patient", None))
    for name in names:
        for method, path, body in calls:
            reply = call(world, method, path, body, **{name: value})
            if reply.status_code not in (200, 304):
                is_refused(reply, 400, 406, 409, 412)
            said = gzip.decompress(reply.data) if reply.headers.get("Content-Encoding") == "gzip" else reply.data  # `*` takes that too
            assert b"evil" not in said and reply.headers["X-Request-ID"].isascii()


@pytest.mark.parametrize("value", ["", "Bearer", "Bearer ", "bearer x", "Basic eDp5", "Bearer " + "x" * 50_000, "Bearer a b", "Bearer \u00e9", "Bearer \xff", "Digest x"], ids=shown)
def test_a_wrong_token_is_401_and_not_repeated(world: World, value: str) -> None:
    for method, path, body in (("GET", "/api/v1/patients", None), ("PUT", "/api/v1/patients/ann", b"{}"), ("GET", "/fhir/r4/Patient", None), ("POST", "/api/v1/import", b"{}")):
        reply = world.send(method, path, headers={"Authorization": value, "Content-Type": JSON}, body=body)
        is_refused(reply, 401)
        assert reply.headers["WWW-Authenticate"].startswith("Bearer realm=")
        assert "x" * 100 not in reply.text


SECRETS = {"client_assertion": "eyJhbGciOiJSUzM4NCJ9.eyJpc3MiOiJ4Iiwic3ViIjoieCJ9.c2lnbmF0dXJl", "client_secret": "hunter2-hunter2"}


@pytest.mark.parametrize(
    "form",
    [
        "", "grant_type=password", "grant_type=client_credentials", "grant_type=client_credentials&grant_type=client_credentials", "grant_type=%00", "&" * 1000,
        "grant_type=client_credentials&client_assertion_type=urn:ietf:params:oauth:client-assertion-type:jwt-bearer&client_assertion=x.y.z",
        "grant_type=client_credentials&client_assertion_type=urn:ietf:params:oauth:client-assertion-type:jwt-bearer&client_assertion=" + "A" * 90_000,
        "grant_type=client_credentials&client_assertion_type=urn:ietf:params:oauth:client-assertion-type:jwt-bearer&client_assertion=%00.%ff.\u00e9",
        "grant_type=client_credentials&client_assertion_type=urn:ietf:params:oauth:client-assertion-type:jwt-bearer&client_assertion=e30.e30.e30",
        "grant_type=client_credentials&client_assertion_type=urn:ietf:params:oauth:client-assertion-type:jwt-bearer&client_assertion=bnVsbA.bnVsbA.bnVsbA",
        "grant_type=client_credentials&client_assertion_type=urn:ietf:params:oauth:client-assertion-type:jwt-bearer&client_assertion=W10.W10.W10",
        "grant_type=client_credentials&client_assertion_type=urn:ietf:params:oauth:client-assertion-type:jwt-bearer&scope=%00&"
        + "&".join(f"{name}={value}" for name, value in SECRETS.items()),
    ],
    ids=shown,
)  # fmt: skip
def test_the_token_endpoint_repeats_no_secret(world: World, form: str) -> None:
    before = held(world)
    reply = world.send("POST", "/oauth/token", headers={"Content-Type": FORM}, body=form.encode())
    is_refused(reply, 400, 401)
    assert (reply.headers["Cache-Control"], reply.headers["Pragma"]) == ("no-store", "no-cache")
    assert not [secret for secret in (*SECRETS.values(), "A" * 100) if secret in reply.text]
    assert held(world) == before


LINES = [*BROKEN.values(), b"[]", b"null", b"{}", b'{"kind": "patient"}', b'{"kind": "x", "entity": {}}', b'{"kind": [], "entity": {}}', b'{"kind": "patient", "entity": []}',
         b'{"kind": "patient", "entity": {"\\ud800": 1}}', b'{"kind": "\\ud800", "entity": {}}', b'{"kind": "patient", "entity": {}, "more": 1}']  # fmt: skip


def test_an_import_reports_each_line_that_is_none(world: World) -> None:
    before = held(world)
    texts = [line.replace(b"\n", b" ") for line in LINES if line.strip() and b"\0" not in line]
    reply = call(world, "POST", "/api/v1/import", b"\n".join(texts), NDJSON)
    assert reply.status_code == 200, reply.data[:300]
    reports = [json.loads(line) for line in reply.data.splitlines()]
    assert [report["line"] for report in reports] == list(range(1, len(texts) + 1))
    assert {report["status"] for report in reports} == {400, 422}
    assert not [leak for leak in LEAKS if leak in reply.data]
    is_refused(call(world, "POST", "/api/v1/import", b"{}\n" * 5001, NDJSON), 400)
    assert held(world) == before
