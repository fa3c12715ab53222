"""After a restore: what an EHR was sent since the backup is not known here, and never taken for what the EHR changed against us."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from sqlalchemy import Connection

from service.app import create_app
from service.config import Settings
from service.store import outbox, recovery
from service.store.clock import micros
from service.store.sql import run
from service.wiring import Service, wire
from tests.conftest import Clock, Http, token_for
from tests.service.records import clinic as clinic_
from tests.service.records import put
from tests.sync.conftest import Sandbox, deliveries, register, send_all
from tests.sync.test_conflicts import change_there, open_conflicts, settle
from tests.sync.test_reconciling import reconciled


@dataclass
class Life:
    """The deployment between two restores."""

    service: Service
    clinic: Http

    def put(self, name: str) -> None:
        put(self.clinic, "clinics", clinic_(name=name))

    def work(self) -> None:
        send_all(self.service)

    def is_at_rest(self) -> bool:
        return not open_conflicts(self.service) and {one["state"] for one in deliveries(self.clinic)} <= {"delivered", "superseded"}


class Lives:
    """A deployment that is backed up once and restored to that."""

    def __init__(self, settings: Settings, clock: Clock, path: Path):
        self._settings, self._clock, self._path = settings, clock, path
        self.now = self._wired()

    def _wired(self) -> Life:
        service = wire(self._settings, self._clock)
        return Life(service, Http(create_app(service=service).test_client(), token_for(service, role="clinic")))

    def back_up(self) -> None:
        recovery.backup(self.now.service.database, self._path)

    def restore(self) -> Life:
        database = self.now.service.database
        given = recovery.given_out(database)
        self.now.service.close()
        recovery.restore(database, self._path)
        database.write(lambda tx: recovery.make_unsure(tx, given, micros(self._clock())))
        database.close()
        self.now = self._wired()
        return self.now


@pytest.fixture
def lives(settings: Settings, clock: Clock, sandbox: Sandbox, tmp_path: Path, postgres_tools: None) -> Iterator[Lives]:
    """With an EHR to which nothing was sent yet."""
    made = Lives(settings, clock, tmp_path / "backup")
    register(made.now.service, "one", sandbox.url("plain"))
    made.now.work()
    yield made
    made.now.service.close()


def name_there(sandbox: Sandbox) -> str:
    [held] = sandbox.all("plain", "Organization")
    return str(held["name"])


def rename_there(sandbox: Sandbox, name: str) -> None:
    """What the EHR's own users do."""
    [held] = sandbox.all("plain", "Organization")
    change_there(f"{sandbox.url('plain')}/Organization/{held['id']}", name=name)


def loses_the_answer(sandbox: Sandbox, method: str, when: str) -> None:
    sandbox.fault("plain", "reset", when=when, method=method, type="Organization", times=1)


def owe_again(service: Service, ehr: str, type_: str) -> None:
    """As it is, in the version that was sent."""
    def again(tx: Connection) -> None:
        for num, stream in run(tx, "SELECT r.num, d.stream FROM resource r JOIN delivery d ON d.resource = r.num WHERE d.target = : AND r.type = :", (ehr, type_)):
            outbox.touch(tx, ehr, [-num], micros(service.tenant.now()))
            outbox.owe(tx, ehr, {num: stream}, micros(service.tenant.now()))

    service.database.write(again)


def lost(lives: Lives, *names: str) -> Life:
    """What the clinic sends after the backup, and the EHR is sent, before the backup is restored."""
    for name in names:
        lives.now.put(name)
        lives.now.work()
    return lives.restore()


@pytest.mark.parametrize("sent", ["before the backup", "since the backup"])
@pytest.mark.parametrize("first", [True, False], ids=["then the clinic", "the clinic first"])
def test_what_the_clinic_sends_again_arrives_whatever_the_ehr_was_sent_since_the_backup(lives: Lives, sandbox: Sandbox, sent: str, first: bool) -> None:
    lives.now.put("of the backup")
    if sent == "before the backup":
        lives.now.work()
    lives.back_up()
    lives.now.work()
    now = lost(lives, "lost", "lost too")
    if first:
        now.work()
    for name in ("again", "and again"):
        now.put(name)
        now.work()
        assert name_there(sandbox) == name
    assert now.is_at_rest()


def test_what_the_clinic_makes_again_arrives_in_all_its_versions_though_the_backup_knew_nothing_of_it(lives: Lives, sandbox: Sandbox) -> None:
    lives.back_up()
    now = lost(lives, "lost")
    now.put("again")
    now.put("and again")
    now.work()
    assert name_there(sandbox) == "and again" and now.is_at_rest()


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("versions", [1, 2])
def test_what_the_clinic_makes_again_arrives_though_a_first_answer_is_lost(lives: Lives, sandbox: Sandbox, clock: Clock, when: str, versions: int) -> None:
    lives.back_up()
    now = lost(lives, "lost")
    loses_the_answer(sandbox, "PUT", when)
    for n in range(versions):
        now.put(f"again {n}")
    now.work()
    clock.forward(seconds=60)
    now.work()
    assert name_there(sandbox) == f"again {versions - 1}" and now.is_at_rest()


def test_what_was_to_be_sent_once_more_at_the_backup_gives_way_to_what_the_clinic_sends_again(lives: Lives, sandbox: Sandbox) -> None:
    lives.now.put("of the backup")
    lives.now.work()
    owe_again(lives.now.service, "one", "Organization")
    lives.back_up()
    now = lost(lives, "lost")
    now.work()
    now.put("again")
    now.work()
    assert name_there(sandbox) == "again" and now.is_at_rest()


@pytest.mark.parametrize(("method", "when"), [("GET", "before"), ("POST", "before"), ("POST", "after")])
@pytest.mark.parametrize("versions", [1, 2])
def test_what_may_be_lost_or_a_change_of_theirs_since_is_shown_as_a_conflict(
    lives: Lives, sandbox: Sandbox, clock: Clock, method: str, when: str, versions: int
) -> None:
    """An attempt was interrupted: nobody can tell whether what is there is from before the restore or what the EHR made of what we tried."""
    lives.back_up()
    now = lost(lives, "lost")
    loses_the_answer(sandbox, method, when)
    for n in range(versions):
        now.put(f"again {n}")
    now.work()
    clock.forward(seconds=60)
    now.work()
    [found] = open_conflicts(now.service)
    [element] = found["elements"]
    assert name_there(sandbox) == "lost" and (element["ours"], element["theirs"]) == (f"again {versions - 1}", "lost")
    settle(now.service, found["id"], "ours")
    now.work()
    assert name_there(sandbox) == f"again {versions - 1}" and open_conflicts(now.service) == []


@pytest.mark.parametrize("known", ["parked", "waiting", "unknown"])
def test_what_is_deleted_after_a_restore_is_told_to_an_ehr_that_may_have_been_sent_it_since_the_backup(
    lives: Lives, sandbox: Sandbox, clock: Clock, known: str
) -> None:
    if known == "parked":
        sandbox.fault("plain", "status", status=422, method="POST", type="Organization")
    if known != "unknown":
        lives.now.put("of the backup")
    if known == "parked":
        lives.now.work()
        sandbox.mend()
    lives.back_up()
    now = lost(lives, "lost")
    if known == "unknown":
        now.put("again")
    assert now.clinic.delete("/api/v1/clinics/riverside").status == 200
    now.work()
    [held] = sandbox.all("plain", "Organization")
    assert held["active"] is False and {one["state"] for one in deliveries(now.clinic, type="Organization")} <= {"delivered", "superseded"}


def test_what_was_made_and_deleted_after_a_restore_is_looked_for_and_not_told_of(lives: Lives, sandbox: Sandbox) -> None:
    lives.back_up()
    now = lives.restore()
    now.put("Riverside")
    assert now.clinic.delete("/api/v1/clinics/riverside").status == 200
    now.work()
    assert any(asked.startswith("GET /Organization") for asked in sandbox.asked("plain"))
    assert sandbox.all("plain", "Organization") == [] and {one["state"] for one in deliveries(now.clinic)} <= {"cancelled", "superseded", "delivered"}


@pytest.mark.parametrize("waited", [False, True], ids=["made since the restore", "waited at the backup"])
def test_what_an_ehr_changes_of_what_it_was_first_sent_since_the_restore_is_its_own(lives: Lives, sandbox: Sandbox, clock: Clock, waited: bool) -> None:
    if waited:
        sandbox.fault("plain", "status", status=503, method="POST", type="Organization")
        lives.now.put("Riverside")
        lives.now.work()
    lives.back_up()
    now = lives.restore()
    sandbox.mend()
    loses_the_answer(sandbox, "POST", "after")
    if not waited:
        now.put("Riverside")
    clock.forward(seconds=600)
    now.work()
    rename_there(sandbox, "The River Clinic")
    now.put("Riverside East")
    clock.forward(seconds=600)
    now.work()
    assert name_there(sandbox) == "The River Clinic" and len(open_conflicts(now.service)) == 1


def test_what_is_replayed_after_its_attempts_are_used_up_goes_over_no_change_of_theirs(lives: Lives, sandbox: Sandbox, clock: Clock) -> None:
    lives.back_up()
    now = lives.restore()
    loses_the_answer(sandbox, "POST", "after")
    now.put("Riverside")
    now.work()
    sandbox.fault("plain", "reset", when="before", type="Organization")
    now.put("Riverside East")
    for _ in range(60):
        clock.forward(seconds=20_000)
        now.work()
    sandbox.mend()
    rename_there(sandbox, "The River Clinic")
    [parked] = deliveries(now.clinic, state="parked")
    assert now.clinic.post(f"/api/v1/deliveries/{parked['id']}/replay").status == 200
    clock.forward(seconds=20_000)
    now.work()
    assert name_there(sandbox) == "The River Clinic" and len(open_conflicts(now.service)) == 1


def test_what_an_ehr_changed_is_not_undone_by_a_repair_and_what_it_changes_next_is_its_own_too(lives: Lives, sandbox: Sandbox) -> None:
    lives.now.put("Riverside")
    lives.now.work()
    lives.back_up()
    now = lives.restore()
    rename_there(sandbox, "The River Clinic")
    put(now.clinic, "clinics", clinic_(name="Riverside", address=[{"city": "Oulu"}]))
    now.work()
    _, found = reconciled(now.service, "one", repair=True)
    now.work()
    assert {one.verdict for one in found} == {"same"} and name_there(sandbox) == "The River Clinic"
    rename_there(sandbox, "The Clinic by the River")
    put(now.clinic, "clinics", clinic_(name="Riverside East", address=[{"city": "Oulu"}]))
    now.work()
    assert name_there(sandbox) == "The Clinic by the River" and len(open_conflicts(now.service)) == 1
