"""Writers at the same time: nobody's write is lost, nothing is half another's, and who was too late is told."""

from collections import Counter
from functools import partial
from typing import Any

import pytest

from service.store.database import Database
from tests.conftest import Http
from tests.service.at_once import another, at_once
from tests.service.records import clinic, consent, dosing, example, patient, people, practitioner, provision, put
from tests.service.tables import dicts

ROUNDS = 12


def test_of_two_that_change_the_same_version_one_is_told_that_it_has_changed(clinic: Http) -> None:
    people(clinic)
    for n in range(ROUNDS):
        version = clinic.get("/api/v1/patients/ann").headers["ETag"]
        replies = at_once([
            partial(another(clinic).put, "/api/v1/patients/ann", patient(name=[{"family": f"{who}-{n}"}]), If_Match=version) for who in ("one", "two")
        ])  # fmt: skip
        assert sorted(reply.status for reply in replies) == [200, 412], replies
        [kept] = [reply.json["entity"] for reply in replies if reply.status == 200]
        assert clinic.get("/api/v1/patients/ann").json["entity"] == kept


def test_of_two_without_a_condition_the_last_wins_and_both_versions_are_kept(clinic: Http, database: Database) -> None:
    people(clinic)
    for n in range(ROUNDS):
        bodies = [patient(name=[{"family": f"{who}-{n}"}], telecom=[{"system": "email", "value": f"{who}@example.org"}]) for who in ("one", "two")]
        replies = at_once([partial(another(clinic).put, "/api/v1/patients/ann", body) for body in bodies])
        assert [reply.status for reply in replies] == [200, 200], replies
        versions = sorted(reply.json["version"] for reply in replies)
        assert versions == [2 * n + 2, 2 * n + 3]
        last = max(replies, key=lambda reply: reply.json["version"]).json["entity"]
        assert clinic.get("/api/v1/patients/ann").json["entity"] == last
        [seen] = clinic.found("/fhir/r4/Patient")
        assert (seen["name"][0]["family"], seen["telecom"][0]["value"]) == (last["name"][0]["family"], last["telecom"][0]["value"])
    number = next(row["num"] for row in dicts(database, "entity") if row["id"] == "ann")
    assert sorted(row["version"] for row in dicts(database, "entity_version") if row["entity"] == number) == list(range(1, 2 * ROUNDS + 2))


NEW = [
    ("practitioners", lambda n, who: practitioner(f"p{n}", name=[{"family": who}])),
    ("clinics", lambda n, who: clinic(f"c{n}", name=who)),
    ("patients", lambda n, who: patient(f"x{n}", name=[{"family": who}])),
    ("dosing-encounters", lambda n, who: dosing(f"d{n}", controlledDrugRegisterRef=who)),
    ("consents", lambda n, who: consent(f"k{n}", provisions=[provision("deny", "C2", role="gp", organisation=who)])),
]


@pytest.mark.parametrize(("plural", "made"), NEW, ids=[plural for plural, _ in NEW])
def test_of_two_that_make_the_same_new_record_one_makes_it_and_one_changes_it(plural: str, made: Any, clinic: Http) -> None:
    people(clinic)
    for n in range(ROUNDS):
        bodies = [made(n, who) for who in ("one", "two", "three")]
        replies = at_once([partial(another(clinic).put, f"/api/v1/{plural}/{bodies[0]['id']}", body) for body in bodies])
        assert sorted(reply.status for reply in replies) == [200, 200, 201], replies
        assert sorted(reply.json["version"] for reply in replies) == [1, 2, 3]


@pytest.mark.parametrize(("plural", "made"), NEW, ids=[plural for plural, _ in NEW])
def test_of_two_that_create_the_same_key_one_is_told_that_it_is_taken(plural: str, made: Any, clinic: Http) -> None:
    people(clinic)
    for n in range(ROUNDS):
        replies = at_once([partial(another(clinic).post, f"/api/v1/{plural}", made(n, who)) for who in ("one", "two", "three")])
        assert sorted(reply.status for reply in replies) == [201, 409, 409], replies


def test_a_dosing_day_that_is_charted_from_many_sides_has_every_item(clinic: Http) -> None:
    people(clinic)
    put(clinic, "dosing-encounters", dosing())
    path = "/api/v1/dosing-encounters/dose/observations"

    def chart(nurse: int) -> list[int]:
        mine = another(clinic)
        return [
            mine.put(f"{path}/n{nurse}-{n}", {"at": f"2026-03-02T1{nurse % 3}:{n:02}:00+00:00", "hr": 60 + nurse}).status for n in range(6)
        ]  # fmt: skip

    answers = at_once([partial(chart, nurse) for nurse in range(8)])
    assert Counter(status for one in answers for status in one) == {200: 48}
    found = clinic.get("/api/v1/dosing-encounters/dose").json
    assert {item["id"] for item in found["entity"]["observations"]} == {f"n{nurse}-{n}" for nurse in range(8) for n in range(6)}
    assert found["version"] == 49
    assert len(clinic.found("/fhir/r4/Observation?code=8867-4&_count=500")) == 48


def test_one_takes_an_item_away_while_another_adds_one(pathway: Http) -> None:
    for n in range(ROUNDS):
        pathway.put("/api/v1/dosing-encounters/ann-dose-2/observations/old", {"at": "2026-03-09T10:00:00+00:00", "hr": 60})
        replies = at_once([
            partial(another(pathway).delete, "/api/v1/dosing-encounters/ann-dose-2/observations/old"),
            partial(another(pathway).put, f"/api/v1/dosing-encounters/ann-dose-2/observations/new{n}", {"at": "2026-03-09T10:01:00+00:00", "hr": 61}),
        ])  # fmt: skip
        assert [reply.status for reply in replies] == [200, 200]
    items = pathway.get("/api/v1/dosing-encounters/ann-dose-2").json["entity"]["observations"]
    assert [item["id"] for item in items] == [f"new{n}" for n in range(ROUNDS)]


def test_records_that_look_at_each_other_and_change_at_once_end_judged_as_they_are(clinic: Http) -> None:
    """A finding is not missed because the record that it is about, and the one that it comes from, were written by two at once."""
    people(clinic)
    for n in range(ROUNDS):
        put(clinic, "consents", consent(f"t{n}", kind="treatment"))
        put(clinic, "dosing-encounters", dosing(f"d{n}", status="planned", end=None))
        withdrawn = consent(f"t{n}", kind="treatment", status="inactive", withdrawnAt="2026-03-01T13:00:00+00:00")
        replies = at_once([
            partial(another(clinic).put, f"/api/v1/consents/t{n}", withdrawn),
            partial(another(clinic).put, f"/api/v1/dosing-encounters/d{n}", dosing(f"d{n}", status="planned", end=None, consentId=f"t{n}")),
        ])  # fmt: skip
        assert [reply.status for reply in replies] == [200, 200]
        assert "R62" in {finding["rule"] for finding in clinic.get(f"/api/v1/dosing-encounters/d{n}").json["findings"]}


def test_writes_of_many_patients_and_of_what_they_share_do_not_stand_in_each_others_way(clinic: Http) -> None:
    names = [f"p{n}" for n in range(6)]
    people(clinic, *names)

    def write(who: str) -> list[int]:
        mine, statuses = another(clinic), []
        for n in range(5):
            statuses.append(mine.put(f"/api/v1/dosing-encounters/{who}-{n}", dosing(f"{who}-{n}", who)).status)
            statuses.append(mine.put(f"/api/v1/patients/{who}", patient(who, gender=("male", "female")[n % 2])).status)
            statuses.append(mine.put("/api/v1/practitioners/dr-shah", practitioner(name=[{"family": f"Shah-{who}-{n}"}])).status)
        return statuses

    statuses = Counter(status for one in at_once([partial(write, who) for who in names]) for status in one)
    assert set(statuses) == {200, 201} and statuses[201] == 30
    assert clinic.get("/fhir/r4/Encounter?_summary=count").json["total"] == 30
    assert clinic.get("/api/v1/practitioners/dr-shah").json["version"] == 31


def test_an_import_beside_writes_by_hand_loses_none(pathway: Http) -> None:
    from service.wire import encode

    dose = example("dosing-encounters", "ann-dose-1")
    lines = b"\n".join(encode({"kind": "dosing-encounter", "entity": {**dose, "id": f"imported-{n}"}}) for n in range(8))
    replies = at_once([
        partial(another(pathway).post, "/api/v1/import", lines, Content_Type="application/x-ndjson"),
        *(partial(another(pathway).put, f"/api/v1/dosing-encounters/by-hand-{n}", {**dose, "id": f"by-hand-{n}"}) for n in range(4)),
    ])  # fmt: skip
    assert {reply.status for reply in replies} == {200, 201}
    assert b'"status":4' not in replies[0].body and b'"status":5' not in replies[0].body
    items = pathway.get("/api/v1/dosing-encounters?limit=100").json["items"]
    assert len(items) == 14


def test_the_commit_clock_has_one_seq_for_each_commit_and_no_hole(clinic: Http, database: Database) -> None:
    people(clinic, *(f"p{n}" for n in range(4)))
    at_once([
        lambda who=who: [another(clinic).put(f"/api/v1/dosing-encounters/{who}-{n}", dosing(f"{who}-{n}", who)) for n in range(8)]
        for who in ("p0", "p1", "p2", "p3")
    ])  # fmt: skip
    [clock] = dicts(database, "clock")
    seqs = {row["from_seq"] for row in dicts(database, "rendering")}
    assert seqs == set(range(1, clock["seq"] + 1))
    moments = sorted((row["from_seq"], row["at"]) for row in dicts(database, "rendering"))
    assert [at for _, at in moments] == sorted(at for _, at in moments)
