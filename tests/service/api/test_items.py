"""Items of a record's lists, one by one: who charts one reading does not touch another's."""

from typing import Any

import pytest

from mappings import KINDS
from service.api.entities import kebab
from tests.conftest import Http
from tests.service.records import dosing, people, put, yielded

DOSE = "/api/v1/dosing-encounters/dose"
READING = {"at": "2026-03-02T10:00:00+00:00", "hr": 70}


@pytest.fixture
def charted(clinic: Http) -> Http:
    people(clinic)
    put(clinic, "dosing-encounters", dosing(observations=[{"id": "t0", **READING}]))
    return clinic


def items(one: Http) -> list[Any]:
    return list(one.get(DOSE).json["entity"].get("observations", []))


def test_an_item_is_added_changed_and_taken_away(charted: Http) -> None:
    added = charted.put(f"{DOSE}/observations/t15", {**READING, "hr": 72})
    assert (added.status, added.json["version"], [i["id"] for i in items(charted)]) == (200, 2, ["t0", "t15"])
    changed = charted.put(f"{DOSE}/observations/t15", {"id": "t15", **READING, "hr": 74})
    assert (changed.json["version"], [i["hr"] for i in items(charted)]) == (3, [70, 74])
    same = charted.put(f"{DOSE}/observations/t15", {**READING, "hr": 74})
    assert (same.json["version"], same.json["changed"]) == (3, False)
    assert charted.delete(f"{DOSE}/observations/t0").status == 200
    assert [i["id"] for i in items(charted)] == ["t15"]
    assert charted.delete(f"{DOSE}/observations/t0").status == 404
    assert charted.delete(f"{DOSE}/observations/t15").status == 200 and items(charted) == []


def test_an_item_that_comes_changes_only_its_own_resources(charted: Http) -> None:
    before = {name: charted.get(f"/fhir/r4/{name}").headers["ETag"] for name in yielded(charted.put(DOSE, dosing(observations=[{"id": "t0", **READING}])))}
    charted.put(f"{DOSE}/observations/t15", {**READING, "hr": 72})
    after = {name: charted.get(f"/fhir/r4/{name}").headers["ETag"] for name in before}
    changed = {name.split("/")[0] for name in before if before[name] != after[name]}
    assert changed <= {"Provenance", "DetectedIssue"}


def test_an_item_of_a_version_that_is_past_is_refused(charted: Http) -> None:
    assert charted.put(f"{DOSE}/observations/t1", READING, If_Match='"7"').status == 412
    assert charted.put(f"{DOSE}/observations/t1", READING, If_Match='"1"').status == 200


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        (f"{DOSE}/observations/t1", {"id": "t2", **READING}, 422), (f"{DOSE}/observations/t1", [READING], 422), (f"{DOSE}/colours/t1", READING, 404),
        ("/api/v1/dosing-encounters/other/observations/t1", READING, 404), (f"{DOSE}/observations/t1", {**READING, "spo2": 101}, 422),
        (f"{DOSE}/observations/t1", {**READING, "administrationId": "none"}, 422), (f"{DOSE}/pre-checks/t1", READING, 404),
    ],
)  # fmt: skip
def test_an_item_that_cannot_be_is_refused_and_changes_nothing(charted: Http, path: str, body: Any, status: int) -> None:
    assert charted.put(path, body).status == status
    assert (charted.get(DOSE).json["version"], len(items(charted))) == (1, 1)


def test_items_of_a_record_that_was_entered_in_error_cannot_be_charted(charted: Http) -> None:
    charted.delete(DOSE)
    assert charted.put(f"{DOSE}/observations/t1", READING).status == 404


@pytest.mark.parametrize("kind", [kind for kind in KINDS.values() if kind.lists], ids=lambda kind: kind.name)
def test_every_list_of_items_can_be_charted_item_by_item(pathway: Http, kind: Any) -> None:
    charted = 0
    for record in pathway.get(f"/api/v1/{kind.plural}").json["items"]:
        entity = record["entity"]
        for field in kind.lists:
            for item in entity.get(field.json, []):
                reply = pathway.put(f"/api/v1/{kind.plural}/{entity['id']}/{kebab(field.json)}/{item['id']}", item)
                assert (reply.status, reply.json["changed"]) == (200, False), (kind.name, field.json, reply)
                charted += 1
    assert charted
