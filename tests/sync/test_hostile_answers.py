"""Whatever an EHR answers, one resource is concerned: it is told of with its reason, and all others go on."""

from collections.abc import Callable

import pytest

from service.store import targets
from service.sync.outcomes import Refused
from service.sync.targets.rest import Rest
from service.wiring import Service
from tests.conftest import Clock, Http
from tests.service.records import clinic as clinic_
from tests.service.records import dosing, patient, practitioner, put
from tests.sync.conftest import Connect, deliveries, states
from tests.sync.personas.conftest import readings
from tests.sync.small import Small
from tests.sync.test_registering import Change, change

__all__ = ["change"]
Work = Callable[[], int]


@pytest.fixture
def owed(clinic: Http, ehr: Small, connect: Connect) -> Http:
    """An EHR that is owed two patients with a visit each."""
    connect("their", ehr.base, 1)
    put(clinic, "practitioners", practitioner())
    put(clinic, "clinics", clinic_())
    for key in ("ann", "ben"):
        put(clinic, "patients", patient(key))
        put(clinic, "dosing-encounters", dosing(f"dose-{key}", key, observations=readings(1)))
    return clinic


def issue(words: bytes) -> bytes:
    return b'{"resourceType":"OperationOutcome","issue":[{"severity":"error","code":"value","diagnostics":"' + words + b'"}]}'


def all_told(clinic: Http) -> bool:
    """Whether nothing is under way, and what waits says for what."""
    return "sending" not in states(clinic) and all(one["reason"].startswith("Waits for") for one in deliveries(clinic, state="waiting"))


HALF = b"cut in half: \\ud83d"  # an emoji, as an EHR cuts it that counts UTF-16


@pytest.mark.parametrize(
    "said",
    [issue(HALF), issue(b"a NUL: \\u0000"), b"a NUL: \0", issue(b"\x1b[2J"), b"[" * 100_000, b'{"a":' * 100 + b"1" + b"}" * 100, b"\xff\xfe", issue(b"\xed\xa0\xbd")],
    ids=["half", "nul", "plain-nul", "escape", "deep", "nested", "utf-16", "raw-half"],
)
def test_whatever_is_said_of_one_is_its_reason_and_the_others_arrive(owed: Http, ehr: Small, work: Work, said: bytes) -> None:
    ehr.answers = lambda method, path: (422, {}, said) if method == "POST" and path == "/Observation" else None
    work()
    parked = deliveries(owed, state="parked")
    assert parked and {one["resource"]["type"] for one in parked} == {"Observation"} and all(one["attempts"] == 1 for one in parked)
    assert len(ehr.of("Encounter")) == 2 and all(one["reason"].isprintable() for one in parked)
    assert all_told(owed)


@pytest.mark.parametrize("said", [
    b'{"resourceType":"Observation","id":"o1","note":[{"text":"' + HALF + b'"}]}',
    b'{"resourceType":"Observation","id":"o1","valueQuantity":{"value":1e99999999}}',
    b'{"resourceType":"Observation","id":"../../evil/x"}',
    b'{"resourceType":"Observation","id":"o1","meta":{"versionId":"\\u2603"}}',
    b'{"resourceType":"Observation","id":"o1","meta":{"versionId":"1\\r\\nX-Admin: yes"}}',
    b'{"resourceType":"Observation","id":"o1","valueInteger":' + b"9" * 400 + b"}",
], ids=["half", "number", "id", "snowman", "line", "integer"])  # fmt: skip
def test_whatever_was_made_of_one_the_others_arrive_and_are_changed_again(owed: Http, ehr: Small, work: Work, said: bytes) -> None:
    ehr.answers = lambda method, path: (201, {}, said) if method == "POST" and path == "/Observation" else None
    work()
    ehr.answers = lambda method, path: None
    put(owed, "dosing-encounters", dosing("dose-ann", "ann", end="2026-03-02T13:20:00+00:00", observations=readings(1, 99)))
    work()
    assert any(one["period"]["end"] == "2026-03-02T13:20:00+00:00" for one in ehr.of("Encounter"))
    assert not [path for _, path, _ in ehr.asked if "evil" in path or ".." in path]
    assert all_told(owed) and owed.get("/api/v1/ehrs/their").json["state"] == "open", "nothing is wrong with the EHR"


def test_what_cannot_be_kept_is_no_reason_to_try_without_end(
    owed: Http, ehr: Small, service: Service, work: Work, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where something that no database holds gets through after all: what was sent is looked for again, and parked at last."""
    deliver = Rest.deliver
    monkeypatch.setattr(Rest, "deliver", lambda self, ready, able: Refused("\ud83d") if ready.owed.type == "Observation" else deliver(self, ready, able))
    for _ in range(30):
        work()
        clock.forward(seconds=301)
    found = deliveries(owed, state="parked")
    assert {one["resource"]["type"] for one in found} >= {"Observation"} and all_told(owed)
    assert any(one["reason"].startswith("What the EHR said cannot be kept") for one in found), found
    assert len(ehr.of("Encounter")) == 2


def test_what_lets_us_in_is_not_kept_where_an_ehr_says_it_back(clinic: Http, ehr: Small, connect: Connect, work: Work, change: Change) -> None:
    connect("their", ehr.base, 1)
    change("their", token="a-very-secret-token", headers=[("apikey", "a-gateways-own-key")])
    put(clinic, "clinics", clinic_())
    said = issue(b"Bearer a-very-secret-token of a-gateways-own-key may not do this")
    ehr.answers = lambda method, path: (403, {"WWW-Authenticate": 'Bearer token="a-very-secret-token"'}, said) if method == "POST" else None
    work()
    parked = deliveries(clinic, state="parked")[0]
    assert parked["reason"] == "Bearer [withheld] of [withheld] may not do this"
    shown = clinic.get(f"/api/v1/deliveries/{parked['id']}/attempts/1").body
    assert b"a-very-secret-token" in str(ehr.asked).encode() and b"[withheld]" in shown
    assert b"a-very-secret-token" not in shown and b"a-gateways-own-key" not in shown


def test_a_pause_is_obeyed_from_the_next_resource_on(owed: Http, ehr: Small, work: Work) -> None:
    paused = []

    def pause(method: str, path: str) -> None:
        if method == "POST" and not paused:
            paused.append(owed.post("/api/v1/ehrs/their/pause").status)

    ehr.before = pause
    work()
    assert paused == [200] and len(ehr.writes) <= 4, "one for each stream that was under way"
    owed.post("/api/v1/ehrs/their/resume")
    work()
    assert all_told(owed) and len(ehr.of("Observation")) == 4 and "parked" not in states(owed)


def test_a_wait_that_another_worker_was_asked_for_is_obeyed_from_the_next_resource_on(owed: Http, ehr: Small, service: Service, work: Work, clock: Clock) -> None:
    asked = []

    def ask(method: str, path: str) -> None:
        if method == "POST" and not asked:
            asked.append(path)
            service.database.write(lambda tx: targets.fared(tx, "their", snoozed_until=int(clock().timestamp() * 1_000_000) + 60_000_000))

    ehr.before = ask
    work()
    assert len(ehr.writes) <= 4
    clock.forward(seconds=61)
    work()
    assert all_told(owed) and len(ehr.of("Observation")) == 4 and "parked" not in states(owed)
