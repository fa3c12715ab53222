"""Streams and what is owed in them: leased by one, never by more than an EHR takes, and never sent once it is over."""

from functools import partial
from typing import Any

import pytest

from service.store import deliveries, outbox, streams, targets
from service.store.database import Database, safe_for_wal
from service.store.streams import Lease, LeaseLost, Settled
from service.store.tables import FOREVER
from service.store.targets import Target
from tests.service.at_once import at_once
from tests.service.tables import dicts

NOW = 1_000_000


@pytest.fixture
def owing(database: Database) -> Database:
    """An EHR that takes three streams at a time, and is owed one resource in each of eight."""
    database.write(lambda tx: targets.add(tx, Target("ehr", "https://ehr.test/fhir", "4.0.1", 1, None, None, False, 3, 0, 0), NOW))
    for key in range(1, 9):
        owe(database, key)
    return database


def owe(database: Database, key: int, **more: Any) -> None:
    def work(tx: Any) -> None:
        outbox.owe(tx, "ehr", {key: outbox.touch(tx, "ehr", [key], NOW)[key]}, NOW, **more)

    database.write(work)


def lease(database: Database, limit: int, now: int = NOW, until: int = 2 * NOW) -> list[Lease]:
    return database.write(lambda tx: streams.lease(tx, "worker", now, until, limit))


def begun(database: Database, one: Lease) -> set[int]:
    due = streams_due(database, one)
    return database.write(lambda tx: streams.begin(tx, one, due, NOW))


def streams_due(database: Database, one: Lease) -> list[streams.Due]:
    with database.reading() as connection:
        return streams.due(connection, one, NOW, 25)


def settle(database: Database, one: Lease, num: int, state: str, *, unsure: bool = False) -> None:
    database.write(lambda tx: streams.settle(tx, one, [Settled(num, state, "", NOW, True, unsure)], NOW))


def of(database: Database, key: int) -> list[tuple[str, bool]]:
    return [(row["state"], bool(row["unsure"])) for row in sorted(dicts(database, "delivery"), key=lambda row: row["num"]) if row["resource"] == key]


def test_workers_that_lease_at_once_have_no_more_than_the_ehr_takes_and_none_twice(owing: Database) -> None:
    for n in range(5):
        found = [one for some in at_once([partial(lease, owing, 3, NOW * 9 * n + NOW, NOW * 9 * n + 2 * NOW)] * 4) for one in some]
        assert len({one.stream for one in found}) == len(found) == 3


def test_patients_wait_for_places_that_nobody_has_sent_yet_and_for_each_only_the_first_time(owing: Database) -> None:
    owe(owing, -20)
    owing.write(lambda tx: targets.change(tx, "ehr", max_in_flight=20))
    [place] = lease(owing, 20)
    assert place.key == -20 and lease(owing, 20) == [], "it is under way"
    owing.write(lambda tx: streams.release(tx, place, NOW))
    again = lease(owing, 20)
    assert {one.key for one in again} == {-20, *range(1, 9)}, "it was tried"
    for one in again:
        owing.write(partial(streams.release, one=one, now=NOW))
    assert [one.key for one in lease(owing, 1)] == [1], "from now on in the order in which they are due"


def test_a_place_whose_first_sender_died_holds_nobody_up(owing: Database) -> None:
    owe(owing, -20)
    owing.write(lambda tx: targets.change(tx, "ehr", max_in_flight=20))
    assert [one.key for one in lease(owing, 20)] == [-20]
    assert {one.key for one in lease(owing, 20, now=2 * NOW, until=3 * NOW)} == {-20, *range(1, 9)}


def test_nobody_waits_for_the_places_of_an_ehr_that_fails(owing: Database) -> None:
    owe(owing, -20)
    owing.write(lambda tx: targets.change(tx, "ehr", max_in_flight=20))
    owing.write(lambda tx: targets.fared(tx, "ehr", snoozed_until=0, failed=1))
    assert {one.key for one in lease(owing, 20)} == {-20, *range(1, 9)}


def test_a_place_that_one_ehr_has_not_got_yet_is_nothing_to_another(owing: Database) -> None:
    owing.write(lambda tx: targets.add(tx, Target("other", "https://other.test/fhir", "4.0.1", 1, None, None, False, 9, 0, 0), NOW))
    owing.write(lambda tx: outbox.owe(tx, "other", {-20: outbox.touch(tx, "other", [-20], NOW)[-20]}, NOW))
    assert {(one.target, one.key) for one in lease(owing, 20)} == {("ehr", 1), ("ehr", 2), ("ehr", 3), ("other", -20)}


def test_a_lease_that_was_lost_or_given_back_is_not_renewed_and_writes_nothing(owing: Database) -> None:
    lost, released, _ = lease(owing, 3)
    owing.write(lambda tx: streams.release(tx, released, NOW))
    owing.write(lambda tx: targets.change(tx, "ehr", max_in_flight=8))
    [retaken] = [found for found in lease(owing, 8, 3 * NOW, 9 * NOW) if found.stream == lost.stream]
    assert retaken.epoch == lost.epoch + 1
    for forbidden in (lambda tx: streams.begin(tx, lost, [], NOW), lambda tx: streams.settle(tx, lost, [], NOW)):
        with pytest.raises(LeaseLost):
            owing.write(forbidden)
    assert owing.write(lambda tx: streams.renew(tx, [lost, released, retaken], 9 * NOW)) == {retaken.stream}


def test_what_is_cancelled_before_it_is_sent_is_not_sent(owing: Database) -> None:
    one = lease(owing, 1)[0]
    due = streams_due(owing, one)
    owing.write(lambda tx: deliveries.cancel(tx, [due[0].num], NOW))
    assert owing.write(lambda tx: streams.begin(tx, one, due, NOW)) == set()
    assert of(owing, one.key) == [("cancelled", False)]


def test_what_is_owed_anew_while_it_is_sent_takes_its_place_and_what_it_left_unsure(owing: Database) -> None:
    one = lease(owing, 1)[0]
    [num] = begun(owing, one)
    owe(owing, one.key)
    assert of(owing, one.key) == [("sending", False), ("waiting", False)]
    settle(owing, one, num, "waiting", unsure=True)
    assert of(owing, one.key) == [("superseded", True), ("waiting", True)]


def test_what_a_dead_worker_left_in_the_middle_is_sent_once_and_looked_for_first(owing: Database) -> None:
    one = lease(owing, 1)[0]
    [left] = begun(owing, one)
    owe(owing, one.key)
    [due] = streams_due(owing, one)
    assert due.older == (left,) and due.unsure
    owing.write(lambda tx: streams.begin(tx, one, [due], NOW))
    assert [state for state, _ in of(owing, one.key)] == ["superseded", "sending"]


def test_a_newer_version_looks_first_where_the_one_before_may_be_there_and_a_replay_does_not(owing: Database) -> None:
    one = lease(owing, 1)[0]
    [num] = begun(owing, one)
    settle(owing, one, num, "parked", unsure=True)
    owe(owing, one.key)
    assert of(owing, one.key)[-1] == ("waiting", True)
    owe(owing, one.key, replays={one.key: num})
    assert of(owing, one.key)[-1] == ("waiting", False)


def test_how_an_ehr_fares_is_counted_by_all_that_send_to_it(owing: Database) -> None:
    def fared(**how: Any) -> tuple[int, int]:
        owing.write(lambda tx: targets.fared(tx, "ehr", **how))
        [row] = dicts(owing, "target")
        return row["failures"], row["snoozed_until"]

    assert fared(failed=2) == (2, 0)
    assert fared(failed=1, snoozed_until=900) == (3, 900)
    assert fared(failed=1, snoozed_until=500) == (4, 900)
    assert fared(recovered=True) == (0, 900)
    assert fared(failed=1, recovered=True) == (1, 900)


def test_a_stream_in_which_nothing_is_due_is_leased_when_something_is(owing: Database) -> None:
    one = lease(owing, 1)[0]
    [num] = begun(owing, one)
    owing.write(lambda tx: streams.settle(tx, one, [Settled(num, "waiting", "", 5 * NOW, True, False)], NOW))
    owing.write(lambda tx: streams.release(tx, one, NOW))
    ready = {row["num"]: row["ready_at"] for row in dicts(owing, "stream")}
    assert ready[one.stream] == 5 * NOW
    owing.write(lambda tx: deliveries.cancel(tx, [num], NOW))
    owing.write(lambda tx: targets.change(tx, "ehr", max_in_flight=8))
    assert one.stream not in {found.stream for found in lease(owing, 8, 4 * NOW, 5 * NOW)}
    [again] = [found for found in lease(owing, 8, 6 * NOW, 7 * NOW) if found.stream == one.stream]
    owing.write(lambda tx: streams.release(tx, again, NOW))
    assert {row["num"]: row["ready_at"] for row in dicts(owing, "stream")}[one.stream] == FOREVER


@pytest.mark.parametrize(
    ("version", "safe"),
    [((3, 51, 3), True), ((3, 52, 0), True), ((3, 51, 2), False), ((3, 50, 7), True), ((3, 50, 6), False), ((3, 45, 1), False), ((3, 44, 6), True), ((3, 44, 5), False)],
)
def test_a_sqlite_that_may_lose_commits_keeps_no_wal(version: tuple[int, ...], safe: bool) -> None:
    said: list[str] = []

    class Driver:
        def execute(self, sql: str) -> Any:
            said.append(sql)
            return type("Found", (), {"fetchone": lambda _: (".".join(map(str, version)),)})()

    Database("sqlite:////nowhere.db")._set_up_sqlite(Driver(), None)
    assert safe_for_wal(version) is safe
    assert f"PRAGMA journal_mode={'WAL' if safe else 'TRUNCATE'}" in said and "PRAGMA synchronous=FULL" in said


def test_what_a_dead_worker_was_sending_is_looked_for_when_its_call_can_act_no_more(owing: Database) -> None:
    one = lease(owing, 1)[0]
    [left] = begun(owing, one)
    owe(owing, one.key)
    other = owing.write(lambda tx: outbox.touch(tx, "ehr", [one.key], NOW))[one.key]
    owing.write(lambda tx: outbox.owe(tx, "ehr", {99: other}, NOW))
    [again] = [found for found in relet(owing, 3 * NOW) if found.stream == one.stream]
    with owing.reading() as connection:
        assert [due.resource for due in streams.due(connection, again, 3 * NOW, 25)] == [99]
        [late, _] = streams.due(connection, again, 7 * NOW, 25)
        assert (late.resource, late.older, late.unsure) == (one.key, (left,), True)
    owing.write(lambda tx: deliveries.cancel(tx, numbers(owing, 99), NOW))
    owing.write(lambda tx: streams.release(tx, again, 3 * NOW))
    assert {row["num"]: row["ready_at"] for row in dicts(owing, "stream")}[one.stream] == 7 * NOW


def relet(database: Database, now: int) -> list[Lease]:
    return database.write(lambda tx: streams.lease(tx, "another", now, now + NOW, 8, lingers=5 * NOW))


def numbers(database: Database, resource: int) -> list[int]:
    return [row["num"] for row in dicts(database, "delivery") if row["resource"] == resource]
