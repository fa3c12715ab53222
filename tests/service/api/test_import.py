"""Import: many records at once, in any order, each whole or not at all, with a report for each line."""

from typing import Any

from mappings import KINDS
from service.wire import encode, read
from tests.conftest import Http, Reply, examples
from tests.service.records import dosing, patient, people

PLURALS = {kind.plural: kind.name for kind in KINDS.values()}


def ndjson(*lines: Any) -> bytes:
    return b"\n".join(line if isinstance(line, bytes) else encode(line) for line in lines)


def imported(one: Http, *lines: Any, type_: str = "application/x-ndjson") -> tuple[Reply, list[dict[str, Any]]]:
    reply = one("POST", "/api/v1/import", ndjson(*lines), Content_Type=type_)
    return reply, [read(line) for line in reply.body.splitlines()] if reply.status == 200 else []


def test_a_whole_pathway_comes_in_whatever_the_order_of_its_lines(clinic: Http) -> None:
    lines = [{"kind": PLURALS[plural], "entity": entity} for plural, _, entity in reversed(examples())]
    reply, reports = imported(clinic, *lines)
    assert reply.headers["Content-Type"] == "application/x-ndjson"
    assert [(r["line"], r["status"], r["id"], r["version"], r["changed"]) for r in reports] == [
        (n, 201, line["entity"]["id"], 1, True) for n, line in enumerate(lines, 1)
    ]  # fmt: skip
    _, again = imported(clinic, *lines)
    assert [(r["status"], r["changed"]) for r in again] == [(200, False)] * len(lines)


def test_a_line_that_is_wrong_is_reported_and_keeps_no_other_from_being_stored(clinic: Http) -> None:
    people(clinic)
    _, reports = imported(
        clinic, {"kind": "patient", "entity": patient("bob")}, b"", b"{ not json", {"kind": "spaceship", "entity": {}}, [1],
        {"kind": "dosing-encounter", "entity": dosing("d1", "bob", status="done", end="yesterday")}, {"kind": "dosing-encounter", "entity": dosing("d2", "nobody")},
        {"kind": "dosing-encounter", "entity": dosing("d3", "bob")},
    )  # fmt: skip
    assert [(r["line"], r["status"]) for r in reports] == [(1, 201), (3, 400), (4, 422), (5, 422), (6, 422), (7, 422), (8, 201)]
    assert {e["pointer"] for e in reports[4]["errors"]} == {"/status", "/end"}
    assert [e["pointer"] for e in reports[5]["errors"]] == ["/patientId"]
    assert (clinic.get("/api/v1/dosing-encounters/d3").status, clinic.get("/api/v1/dosing-encounters/d1").status) == (200, 404)


def test_two_lines_of_the_same_record_are_stored_one_after_the_other(clinic: Http) -> None:
    people(clinic)
    _, reports = imported(clinic, {"kind": "patient", "entity": patient("bob")}, {"kind": "patient", "entity": patient("bob", gender="male")})
    assert [(r["status"], r["version"]) for r in reports] == [(201, 1), (200, 2)]
    assert clinic.get("/api/v1/patients/bob").json["entity"]["gender"] == "male"


def test_each_line_needs_the_scope_of_its_kind(clinic: Http, reader: Any) -> None:
    people(clinic)
    _, reports = imported(reader(3, "system/Patient.cu"), {"kind": "patient", "entity": patient("bob")}, {"kind": "dosing-encounter", "entity": dosing("d")})
    assert [r["status"] for r in reports] == [201, 403]


def test_an_import_has_its_media_type_and_its_bounds(clinic: Http) -> None:
    assert imported(clinic, {}, type_="application/json")[0].status == 415
    assert imported(clinic, *([b"{}"] * 5001))[0].status == 400
    assert (imported(clinic)[0].status, imported(clinic)[1]) == (200, [])
