"""The machine: what may happen to deliveries, and what must hold after each step and when all is quiet."""

import random
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from mappings.element import keeps
from mappings.references import references_in
from service.app import create_app
from service.config import Settings
from service.renderings import text_of
from service.store import deliveries, reading, streams, targets
from service.store.clock import micros
from service.store.copies import held
from service.store.deliveries import Filter
from service.store.outbox import CANCELLED, DELIVERED, PARKED, SENDING, SUPERSEDED, UNSUPPORTED, WAITING
from service.store.streams import Lease
from service.store.tables import FOREVER, THERE
from service.store.targets import Target
from service.sync import ehrs
from service.sync.abilities import abilities
from service.sync.retry import ATTEMPTS
from service.sync.sending import Stream, send_stream
from service.wire import read
from service.wiring import Service, wire
from tests.conftest import SECRET, Clock, Http, token_for
from tests.machine.memory import FAULTS, STATEMENT, TOGETHER, Killed, Memory
from tests.service.records import clinic, dosing, patient, practitioner
from tests.service.tables import dicts

EHR = "ehr"
LEASE, LINGERS = 4_000_000, 20_000_000  # a call ends by itself within the second
STREAMS = 16  # sent at the same time: more than there are
KEYS = st.sampled_from(["a", "b"])
TERMINAL = (DELIVERED, SUPERSEDED, CANCELLED)
FAULT = st.lists(st.sampled_from([*FAULTS, "killed before", "killed after"]), max_size=4)


class Deliveries(RuleBasedStateMachine):
    """One EHR, two clinics and two patients with a visit each."""

    together = False  # whether it takes transactions, and is asked to
    database_url: str | None = None  # SQLite in a directory of its own where none is given

    def __init__(self) -> None:
        super().__init__()
        self._directory = TemporaryDirectory()
        url = self.database_url or f"sqlite:///{self._directory.name}/pathway.db"
        self.clock, self.ehr, self.told = Clock(), Memory(TOGETHER if self.together else STATEMENT), dict[int, str]()
        settings = Settings(database_url=url, secret=SECRET, secret_file=Path(self._directory.name) / "secret", log_level="ERROR", outbound_private=True)
        self.service: Service = wire(settings, now=self.clock)
        self.clinic = Http(create_app(service=self.service).test_client(), token_for(self.service, role="clinic"))
        self.count, self.leases = 0, list[Lease]()
        self.rng = random.Random(0)  # of the jitter: a run that fails does so again

    @initialize()
    def begin(self) -> None:
        found = Target(EHR, "http://ehr.test/fhir", "4.0.1", 2, None, "ehr", False, STREAMS, 0, 0, capability=self.ehr.statement, capability_at=self.now,
                       settings={"create_people": True, "private": True, "transactions": self.together})  # fmt: skip
        self.service.database.write(lambda tx: targets.add(tx, found, self.now))
        self.service.database.write(lambda tx: targets.change(tx, EHR, capability=self.ehr.statement, capability_at=self.now))
        self._put("practitioners", practitioner())
        self._put("clinics", clinic())
        for key in ("a", "b"):
            self._put("clinics", clinic(key))

    @property
    def now(self) -> int:
        return micros(self.clock())

    def _put(self, plural: str, entity: dict[str, Any]) -> None:
        reply = self.clinic.put(f"/api/v1/{plural}/{entity['id']}", entity)
        assert reply.status in (200, 201), reply

    # --- what may happen

    @rule(key=KEYS)
    def rename(self, key: str) -> None:
        self.count += 1
        self._put("clinics", clinic(key, name=f"Clinic {self.count}"))

    @rule(key=KEYS, minutes=st.integers(1, 59))
    def visit(self, key: str, minutes: int) -> None:
        self.count += 1
        self._put("patients", patient(key))
        self._put("dosing-encounters", dosing(f"visit-{key}", key, end=f"2026-03-02T13:{minutes:02}:00+00:00"))

    @rule(key=KEYS)
    def erase(self, key: str) -> None:
        self.clinic.delete(f"/api/v1/dosing-encounters/visit-{key}")

    @rule(faults=FAULT)
    def work(self, faults: list[str]) -> None:
        self._resume()
        self.ehr.faults = faults
        self._pass()
        self.ehr.faults = []

    @rule(faults=FAULT, forward=st.integers(0, 12))
    def work_while_another_does(self, faults: list[str], forward: int) -> None:
        """A worker is stopped in the middle of a call for so long that another has its stream; then it goes on."""
        def another() -> None:
            self.clock.forward(seconds=forward)
            self._pass()

        self._resume()
        self.ehr.meanwhile, self.ehr.faults = another, faults
        self._pass()
        self.ehr.meanwhile, self.ehr.faults = None, []

    @rule(type_=st.sampled_from(["Patient", "Encounter", "Organization"]), how=st.sampled_from(["400", "500", "not reached"]))
    def work_while_a_type_is_refused(self, type_: str, how: str) -> None:
        self._resume()
        self.ehr.refuses = type_, how
        self._pass()
        self.ehr.refuses = None

    @rule(key=KEYS, forward=st.sampled_from([3, 26, 60]))
    def stop_when_a_write_is_done(self, key: str, forward: int) -> None:
        """A worker is stopped between a write and its settlement, while what it wrote changes and another worker goes on; then it goes on too."""
        def another() -> None:
            self.rename(key)
            self.clock.forward(seconds=forward)
            self._pass()

        self.rename(key)
        self._resume()
        self.ehr.afterwards = another
        self._pass()
        self.ehr.afterwards = None

    @rule(seconds=st.sampled_from([1, 3, 6, 30, 400]))
    def wait(self, seconds: int) -> None:
        self.clock.forward(seconds=seconds)

    @rule(paused=st.booleans())
    def pause(self, paused: bool) -> None:
        self.service.database.write(lambda tx: targets.change(tx, EHR, paused=paused))

    @rule()
    def replay(self) -> None:
        self._replay()

    @rule()
    def cancel_what_is_parked(self) -> None:
        found = self._numbers(PARKED)[:1]
        self.service.database.write(lambda tx: deliveries.cancel(tx, found, self.now))

    # --- what a worker does

    def _pass(self) -> None:
        """Leases what is due and sends it, as a worker does; a kill ends it as it would end the process."""
        now = self.now
        leased = self.service.database.write(lambda tx: streams.lease(tx, "worker", now, now + LEASE, STREAMS, lingers=LINGERS))
        with self.service.database.glance() as connection:
            target = targets.get(connection, EHR)
        assert target is not None
        for one in leased:
            until = self.clock() + timedelta(microseconds=LEASE)
            stream = Stream(self.service, one, target, ehrs.over(self.service, target, self.ehr), abilities(self.ehr.statement), rng=self.rng,
                            keeps=lambda until=until: self.clock() < until)  # type: ignore[misc]  # fmt: skip
            try:
                send_stream(stream)
            except Killed:
                return

    def _resume(self) -> None:
        """An operator has it tried at once: an EHR that was not reached is left alone for longer than most of what happens here takes."""
        self.service.database.write(lambda tx: targets.change(tx, EHR, snoozed_until=0))

    def _replay(self) -> None:
        found = self._numbers(PARKED) + self._numbers(UNSUPPORTED)
        self.service.database.write(lambda tx: deliveries.replay(tx, found, self.now))

    def _numbers(self, state: str) -> list[int]:
        with self.service.database.glance() as connection:
            return [one.num for one in deliveries.listed(connection, Filter(EHR, (state,), limit=1000))]

    # --- what holds at every moment

    @invariant()
    def what_is_over_stays_over(self) -> None:
        for row in dicts(self.service.database, "delivery"):
            before = self.told.get(row["num"])
            assert before not in TERMINAL or row["state"] == before, f"delivery {row['num']} was {before} and is {row['state']}"
            self.told[row["num"]] = row["state"]

    @invariant()
    def attempts_keep_to_their_policy(self) -> None:
        assert all(row["attempts"] <= ATTEMPTS for row in dicts(self.service.database, "delivery"))

    @invariant()
    def one_delivery_of_a_resource_waits(self) -> None:
        waiting = [row["resource"] for row in dicts(self.service.database, "delivery") if row["state"] == WAITING]
        assert len(waiting) == len(set(waiting))

    @invariant()
    def nothing_is_there_twice(self) -> None:
        named = [_name(one) for one in self.ehr.kept.values()]
        assert len(named) == len(set(named)), f"there twice: {sorted(n for n in named if named.count(n) > 1)}"

    @invariant()
    def nothing_is_there_before_what_it_makes_no_sense_without(self) -> None:
        for way, said in self.ehr.written:
            for path, reference, strong in references_in(said):
                assert not strong or reference.get("reference") in self.ehr.ever, f"{way}: {path} is {reference}"

    @invariant()
    def nothing_goes_back(self) -> None:
        """What the EHR was brought to say of a resource never returns to what we said before."""
        for name in {name for name, _ in self.ehr.written}:
            said = [_counter(body) for way, body in self.ehr.written if way == name]
            assert said == sorted(said), f"{name} went back: {said}"

    # --- and when all is quiet

    def teardown(self) -> None:
        try:
            self._come_to_rest()
            self._has_all_of_it()
        finally:
            self.service.close()
            self._directory.cleanup()

    def _come_to_rest(self) -> None:
        self.service.database.write(lambda tx: targets.change(tx, EHR, paused=False, snoozed_until=0))
        cancelled = self._numbers(CANCELLED)
        self.service.database.write(lambda tx: deliveries.replay(tx, cancelled, self.now))
        for _ in range(40):
            self.clock.forward(seconds=301)
            self._pass()
            self._replay()
            open_ = [row for row in dicts(self.service.database, "delivery") if row["state"] in (WAITING, SENDING, PARKED)]
            if not open_:
                return
        raise AssertionError(f"does not come to rest: {[(row['state'], row['reason'], row['next_at'] == FOREVER) for row in open_]}")

    def _has_all_of_it(self) -> None:
        with self.service.database.reading() as connection:
            nums = [row["num"] for row in dicts(self.service.database, "resource")]
            seen = reading.renderings(connection, nums, 2)
            there = held(connection, EHR, nums)
        for num, one in seen.items():
            if one.state != THERE:
                continue
            copy = there.get(num)
            assert copy is not None and copy.remote_id is not None, f"{one.type} {text_of(one.uuid)} never came"
            assert copy.version == one.version, f"{one.type} {text_of(one.uuid)}: what is noted of it is not what it is"
            kept, ours = self.ehr.kept[f"{one.type}/{copy.remote_id}"], read(one.body)
            assert copy.remote_version in (None, f'W/"{kept["meta"]["versionId"]}"'), f"{one.type} {text_of(one.uuid)}: its version there is not noted"
            for name in ("status", "name", "period", "birthDate", "identifier"):
                assert keeps(kept.get(name), ours.get(name)), f"{one.type}.{name} is not what we say"


def _name(body: dict[str, Any]) -> str:
    """What a resource is known by: our identifier, or what it is about where it can carry none."""
    found = body.get("identifier")
    one = found[0] if isinstance(found, list) else found
    return f"{body['resourceType']} {one['value'] if one else sorted(str(t) for t in body.get('target', [])) and body.get('entity')}"


def _counter(body: dict[str, Any]) -> int:
    name = body.get("name")
    return int(name.split()[-1]) if isinstance(name, str) and name.split()[-1].isdigit() else 0
