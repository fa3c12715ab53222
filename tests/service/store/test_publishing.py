"""What a write stores: once what is alike, nothing where nothing is new, and for each view its own version, time and history."""

from typing import Any

import pytest

from service.store.database import Database
from tests.conftest import Clock, Http, examples
from tests.service.records import changed, dosing, emdr, example, of_type, patient, people, put, yielded
from tests.service.tables import dicts, state

LEVELS = (0, 1, 2, 3)


def test_a_whole_pathway_that_is_pushed_again_changes_no_row_anywhere(pathway: Http, database: Database, clock: Clock) -> None:
    before = state(database)
    clock.forward(hours=1)
    for plural, _, entity in examples():
        reply = put(pathway, plural, entity)
        assert (reply.json["changed"], reply.json["version"], reply.headers["ETag"]) == (False, 1, '"1"')
    assert state(database) == before


def test_it_does_not_matter_how_the_members_of_a_body_are_ordered(pathway: Http) -> None:
    for plural, _, entity in examples():
        assert put(pathway, plural, dict(reversed(entity.items()))).json["changed"] is False


def test_every_change_is_the_next_version_and_every_version_is_kept(clinic: Http, database: Database) -> None:
    people(clinic)
    for n, family in enumerate(("Example", "Sample", "Example", "Specimen")):
        reply = put(clinic, "patients", patient(name=[{"family": family, "given": ["Ann"]}]))
        assert (reply.json["version"], reply.headers["ETag"]) == (n + 1, f'"{n + 1}"')
    number = next(row["num"] for row in dicts(database, "entity") if row["id"] == "ann")
    kept = [row for row in dicts(database, "entity_version") if row["entity"] == number]
    assert [row["version"] for row in kept] == [1, 2, 3, 4]
    assert [b"Sample" in row["document"] for row in kept] == [False, True, False, False]


def test_numbers_are_kept_and_served_with_the_digits_that_were_sent(clinic: Http) -> None:
    people(clinic)
    order = b'{"drug": "ketamine", "route": "IV", "doseMg": 36.50, "weightKg": 72.40, "weightMeasuredAt": "2026-03-02T09:38:00+00:00"}'
    from service.wire import encode

    body = encode(dosing())[:-1] + b', "prescription": ' + order + b"}"
    clinic.put("/api/v1/dosing-encounters/dose", body)
    assert b'"doseMg":36.50' in clinic.get("/api/v1/dosing-encounters/dose").body
    assert b'"value":36.50' in clinic.get("/fhir/r4/MedicationRequest").body
    assert clinic.put("/api/v1/dosing-encounters/dose", body).json["changed"] is False


# --- views


def renderings(database: Database, name: str) -> list[tuple[int, int]]:
    """The ranges of levels of a resource's current renderings."""
    uuid = bytes.fromhex(name.partition("/")[2].replace("-", ""))
    number = next(row["num"] for row in dicts(database, "resource") if bytes(row["uuid"]) == uuid)
    return sorted((row["lo"], row["hi"]) for row in dicts(database, "rendering") if row["resource"] == number and row["to_seq"] == 2**62)


def test_views_that_are_alike_are_stored_once_and_split_when_one_changes(clinic: Http, database: Database, reader: Any) -> None:
    people(clinic)
    name = of_type(put(clinic, "patients", patient()), "Patient")
    assert renderings(database, name) == [(0, 3)]
    put(clinic, "patients", patient(sexRegistered="female"))
    assert renderings(database, name) == [(0, 0), (1, 3)]
    put(clinic, "patients", patient(gender="other"))
    assert renderings(database, name) == [(0, 0), (1, 3)]
    visit = of_type(put(clinic, "dosing-encounters", dosing()), "Encounter")
    assert renderings(database, visit) == [(0, 0), (1, 3)]


def test_a_change_above_a_view_leaves_its_version_its_time_and_its_history_alone(clinic: Http, reader: Any, clock: Clock) -> None:
    people(clinic)
    session = emdr(focus="stabilisation", sudsBefore=6, narrative="Said at first", therapist="dr-shah")
    names = yielded(put(clinic, "emdr-procedures", session))
    readers = [reader(level) for level in LEVELS]

    def seen() -> list[dict[str, tuple[Any, ...]]]:
        found = []
        for one in readers:
            replies = {name: one.get(f"/fhir/r4/{name}") for name in names}
            histories = {name: one.get(f"/fhir/r4/{name}/_history") for name in names}
            found.append({
                name: (reply.status, reply.headers.get("ETag"), reply.headers.get("Last-Modified"), reply.body, histories[name].body)
                for name, reply in replies.items()
            })  # fmt: skip
        return found

    # The Bundle of a history says when it was made: the clock has to stand still while the two are compared.
    for changes, moved in (
        ({"narrative": "Said again"}, {3}), ({"sudsBefore": 7}, {2, 3}), ({"setsCount": 12}, {2, 3}), ({"therapist": None}, {1, 2, 3}),
        ({"status": "stopped"}, {1, 2, 3}), ({"start": "2026-03-12T14:01:00+00:00"}, {0, 1, 2, 3}),
    ):  # fmt: skip
        clock.forward(minutes=5)
        before = seen()
        session = {name: value for name, value in (session | changes).items() if value is not None}
        put(clinic, "emdr-procedures", session)
        after = seen()
        assert {level for level in LEVELS if before[level] != after[level]} == moved, changes


def test_a_view_that_changes_gets_a_new_version_that_comes_first_in_its_history(clinic: Http, reader: Any, clock: Clock) -> None:
    people(clinic)
    plan = {"id": "plan", "patientId": "ann", "recordedAt": "2026-03-01T12:00:00+00:00", "recordedBy": "dr-shah", "status": "active", "title": "Plan"}
    tags, name = [], ""
    for text in ("one", "two", "three"):
        clock.forward(minutes=1)
        goals = [{"id": "g", "category": "sleep", "text": text, "lifecycle": "active"}]
        name = of_type(put(clinic, "integration-care-plans", {**plan, "goals": goals}), "Goal")
        tags.append(clinic.get(f"/fhir/r4/{name}").headers["ETag"])
    history = clinic.get(f"/fhir/r4/{name}/_history").json
    assert [entry["response"]["etag"] for entry in history["entry"]] == tags[::-1]
    assert [entry["request"]["method"] for entry in history["entry"]] == ["PUT", "PUT", "POST"]
    assert [entry["response"]["lastModified"] for entry in history["entry"]] == [
        "2026-04-01T09:03:00.000+00:00", "2026-04-01T09:02:00.000+00:00", "2026-04-01T09:01:00.000+00:00",
    ]  # fmt: skip
    assert (reader(2).get(f"/fhir/r4/{name}/_history").json["total"], reader(1).get(f"/fhir/r4/{name}/_history").json["total"]) == (3, 1)


def test_every_version_of_every_view_can_be_read_again_byte_for_byte(pathway: Http, reader: Any, clock: Clock) -> None:
    seen: dict[tuple[int, str, str], bytes] = {}
    readers = [reader(level) for level in LEVELS]
    plan = example("integration-care-plans", "ann-plan")
    steps = [
        plan, changed(plan, "whatShifted", "Another thing"), changed(plan, "goals.0.text", "Sleep"), changed(plan, "title", "Plan"),
        changed(plan, "sessions.0.end", "2026-03-20T15:05:00+00:00"), changed(plan, "goals.1.lifecycle", "completed"), plan,
    ]  # fmt: skip
    for step in steps:
        clock.forward(minutes=1)
        names = yielded(put(pathway, "integration-care-plans", step))
        for level, one in zip(LEVELS, readers, strict=True):
            for name in names:
                reply = one.get(f"/fhir/r4/{name}")
                if reply.status == 200:
                    seen[level, name, reply.json["meta"]["versionId"]] = reply.body
    assert len({version for _, _, version in seen}) > 30
    for (level, name, version), body in seen.items():
        assert readers[level].get(f"/fhir/r4/{name}/_history/{version}").body == body
        others = [one for other, one in zip(LEVELS, readers, strict=True) if (other, name, version) not in seen]
        assert {one.get(f"/fhir/r4/{name}/_history/{version}").status for one in others} <= {404}


def test_going_back_to_what_was_there_before_is_a_new_version(clinic: Http) -> None:
    people(clinic)
    versions = []
    for family in ("Example", "Sample", "Example"):
        name = of_type(put(clinic, "patients", patient(name=[{"family": family}])), "Patient")
        versions.append(clinic.get(f"/fhir/r4/{name}").json["meta"]["versionId"])
    assert len(set(versions)) == 3


def test_ids_follow_from_the_clinics_keys_and_are_the_same_after_any_change(clinic: Http) -> None:
    people(clinic)
    readings = [{"id": f"r{n}", "at": f"2026-03-02T10:0{n}:00+00:00", "hr": 60 + n} for n in range(4)]
    before = yielded(put(clinic, "dosing-encounters", dosing(observations=readings)))
    after = yielded(put(clinic, "dosing-encounters", dosing(observations=[*readings[2:], {**readings[0], "id": "r9"}, *readings[:2]])))
    assert set(before) < set(after)


# --- time


def test_time_never_goes_back_even_when_the_clock_does(clinic: Http, clock: Clock) -> None:
    people(clinic)
    before = clinic.found("/fhir/r4/Patient")[0]["meta"]["lastUpdated"]
    clock.forward(hours=-3)
    put(clinic, "patients", patient(gender="other"))
    assert clinic.found("/fhir/r4/Patient")[0]["meta"]["lastUpdated"] == before


@pytest.mark.parametrize("level", LEVELS)
def test_what_a_search_finds_after_a_change_is_what_is_there_now(level: int, clinic: Http, reader: Any) -> None:
    people(clinic)
    put(clinic, "emdr-procedures", emdr(status="preparation"))
    put(clinic, "emdr-procedures", emdr(status="completed"))
    one = reader(level)
    status = [r["status"] for r in one.found("/fhir/r4/Encounter")]
    assert status == ["finished"]
    assert one.found("/fhir/r4/Encounter?status=planned") == []
    assert len(one.found("/fhir/r4/Encounter?status=finished")) == 1
