"""history and vread (R4 3.1.0.2, 3.1.0.9): what each view has been, and nothing of what other views have been."""

from typing import Any

import pytest

from tests.conftest import Clock, Http
from tests.service.records import dosing, of_type, people, put


@pytest.fixture
def visit(clinic: Http, clock: Clock) -> str:
    """A visit of three versions: at C0 its status and its end changed; in between, the room, which is C1."""
    people(clinic)
    visit = of_type(put(clinic, "dosing-encounters", dosing(status="in-progress", end=None)), "Encounter")
    clock.forward(minutes=10)
    put(clinic, "dosing-encounters", dosing(status="in-progress", end=None, room="blue"))
    clock.forward(minutes=10)
    put(clinic, "dosing-encounters", dosing(room="blue"))
    return visit


def versions(one: Http, visit: str) -> list[dict[str, Any]]:
    return [entry["resource"] for entry in one.get(f"/fhir/r4/{visit}/_history").json["entry"]]


def test_a_history_has_every_version_the_newest_first_and_how_it_came(clinic: Http, visit: str) -> None:
    reply = clinic.get(f"/fhir/r4/{visit}/_history")
    bundle = reply.json
    assert (reply.status, bundle["type"], bundle["total"], bundle["link"]) == (
        200, "history", 3, [{"relation": "self", "url": f"http://127.0.0.1:8000/fhir/r4/{visit}/_history"}],
    )  # fmt: skip
    assert [(e["request"]["method"], e["request"]["url"], e["response"]["status"]) for e in bundle["entry"]] == [
        ("PUT", visit, "200"), ("PUT", visit, "200"), ("POST", "Encounter", "201"),
    ]  # fmt: skip
    assert [e["resource"]["status"] for e in bundle["entry"]] == ["finished", "in-progress", "in-progress"]
    assert [e["response"]["lastModified"][11:16] for e in bundle["entry"]] == ["09:20", "09:10", "09:00"]
    assert [e["response"]["etag"] for e in bundle["entry"]] == [f'W/"{e["resource"]["meta"]["versionId"]}"' for e in bundle["entry"]]


def test_a_view_has_a_history_of_its_own(visit: str, reader: Any) -> None:
    below, above = versions(reader(0), visit), versions(reader(1), visit)
    assert ([v["status"] for v in below], [v["status"] for v in above]) == (["finished", "in-progress"], ["finished", "in-progress", "in-progress"])
    assert [v["meta"]["lastUpdated"][11:16] for v in below] == ["09:20", "09:00"]


def test_every_version_can_be_read_by_itself(clinic: Http, visit: str) -> None:
    for version in versions(clinic, visit):
        reply = clinic.get(f"/fhir/r4/{visit}/_history/{version['meta']['versionId']}")
        assert (reply.status, reply.json, reply.headers["ETag"]) == (200, version, f'W/"{version["meta"]["versionId"]}"')


def test_a_version_of_another_view_is_not_there(visit: str, reader: Any) -> None:
    mine, theirs = ({v["meta"]["versionId"] for v in versions(reader(level), visit)} for level in (0, 1))
    for version in theirs - mine:
        reply = reader(0).get(f"/fhir/r4/{visit}/_history/{version}")
        assert (reply.status, reply.json["issue"][0]["code"]) == (404, "not-found")


def test_a_history_goes_page_by_page_and_stays_as_the_first_page_saw_it(clinic: Http, clock: Clock, visit: str) -> None:
    first = clinic.get(f"/fhir/r4/{visit}/_history?_count=2").json
    put(clinic, "dosing-encounters", dosing(room="blue", end="2026-03-02T13:30:00+00:00"))
    path = next(link["url"] for link in first["link"] if link["relation"] == "next").removeprefix("http://127.0.0.1:8000")
    second = clinic.get(path).json
    assert [len(page["entry"]) for page in (first, second)] == [2, 1] and first["total"] == second["total"] == 3
    assert [link["relation"] for link in second["link"]] == ["self"]
    assert second["entry"][0]["request"]["method"] == "POST"


def test_a_history_since_a_moment_leaves_out_what_was_before(clinic: Http, visit: str) -> None:
    bundle = clinic.get(f"/fhir/r4/{visit}/_history?_since=2026-04-01T09:10:00Z").json
    assert [e["response"]["lastModified"][11:16] for e in bundle["entry"]] == ["09:20", "09:10"]
    assert clinic.get(f"/fhir/r4/{visit}/_history?_since=2027").json["total"] == 0


def test_what_a_history_is_not_asked_by_is_refused_all_at_once(clinic: Http, visit: str) -> None:
    reply = clinic.get(f"/fhir/r4/{visit}/_history?_at=2026&_count=x&_since=yesterday")
    assert reply.status == 400 and {path for path, _ in reply.problems} == {"http._at", "http._count", "http._since"}


def test_a_resource_that_was_deleted_has_a_history_that_ends_so(pathway: Http) -> None:
    event = pathway.get("/fhir/r4/AdverseEvent").json["entry"][0]["resource"]
    [key] = [item["entity"]["id"] for item in pathway.get("/api/v1/adverse-events").json["items"]]
    pathway.delete(f"/api/v1/adverse-events/{key}")
    last, *_, first = pathway.get(f"/fhir/r4/AdverseEvent/{event['id']}/_history").json["entry"]
    assert (last["request"]["method"], last["response"]["status"], "resource" in last) == ("DELETE", "204", False)
    assert first["resource"] == event
    gone = pathway.get(f"/fhir/r4/AdverseEvent/{event['id']}/_history/{last['response']['etag'][3:-1]}")
    assert gone.status == 410
    assert pathway.get(f"/fhir/r4/AdverseEvent/{event['id']}/_history/{event['meta']['versionId']}").json == event


def test_the_history_of_what_is_not_there_is_404(clinic: Http, reader: Any, visit: str) -> None:
    assert clinic.get("/fhir/r4/Encounter/00000000-0000-5000-8000-000000000000/_history").status == 404
    assert reader(3, "system/Patient.r").get(f"/fhir/r4/{visit}/_history").status == 403
    assert clinic.get(f"/fhir/r4/{visit}/_history/nothing").status == 404
