"""What an EHR has of ours: who waits for it and who brings it there do not miss each other, and nobody waits for nothing."""

import threading
from functools import partial

from sqlalchemy import Connection

from service.store import copies
from service.store.database import Database


def test_those_who_wait_for_one_resource_wait_for_whoever_brings_it_and_not_for_each_other(database: Database) -> None:
    if database.sqlite:
        return  # it has one writer
    order: list[str] = []
    holds, goes_on, second = threading.Event(), threading.Event(), threading.Event()

    def first(tx: Connection) -> None:
        copies.lock(tx, "ehr", [], [1, 2])
        holds.set()
        assert goes_on.wait(30)
        order.append("waits")

    def also(tx: Connection) -> None:
        copies.lock(tx, "ehr", [3], [2, 1])
        order.append("waits too")

    def brings(tx: Connection) -> None:
        second.set()
        copies.lock(tx, "ehr", [2])
        order.append("brings")

    waiting = threading.Thread(target=partial(database.write, first))
    waiting.start()
    assert holds.wait(30)
    database.write(also)
    bringing = threading.Thread(target=partial(database.write, brings))
    bringing.start()
    assert second.wait(30)
    bringing.join(0.2)
    assert bringing.is_alive()
    goes_on.set()
    waiting.join(30)
    bringing.join(30)
    assert order == ["waits too", "waits", "brings"]


def test_two_who_each_bring_what_the_other_waits_for_both_get_there(database: Database) -> None:
    both = threading.Barrier(2)

    def settled(brought: int, wanted: int) -> None:
        both.wait(30)
        for _ in range(50):
            database.write(lambda tx: copies.lock(tx, "ehr", [brought], [wanted]))

    threads = [threading.Thread(target=settled, args=pair) for pair in ((1, 2), (2, 1))]
    for one in threads:
        one.start()
    for one in threads:
        one.join(60)
    assert not any(one.is_alive() for one in threads)
