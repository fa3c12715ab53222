"""What comes one by one and is dealt with together."""

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from service.together import Together

LONG = 3600.0


@contextmanager
def together(deal: Callable[[list[int]], list[int] | None], within: float = LONG) -> Iterator[Together[int]]:
    made = Together(deal, within=within, name="test")
    try:
        yield made
    finally:
        made.close()


def test_what_is_given_is_dealt_with_in_its_order_and_at_once() -> None:
    dealt: list[list[int]] = []
    with together(dealt.append) as given:
        given.add(1)
        given.add(2, 3)
        assert dealt == [] and given.flush() and dealt == [[1, 2, 3]]
        given.flush()
    assert dealt == [[1, 2, 3]]


def test_it_is_dealt_with_by_itself_within_its_time() -> None:
    came = threading.Event()
    with together(lambda _: came.set(), within=0.01) as given:
        given.add(1)
        assert came.wait(10)


def test_what_is_left_comes_before_what_is_given_later() -> None:
    dealt: list[list[int]] = []

    def deal(some: list[int]) -> list[int]:
        dealt.append(some)
        return some[1:]

    with together(deal) as given:
        given.add(1, 2)
        assert not given.flush()
        given.add(3)
        given.flush()
    assert dealt == [[1, 2], [2, 3], [3]]


def test_what_is_left_is_dealt_with_by_itself_too() -> None:
    times, twice = [0], threading.Event()

    def deal(some: list[int]) -> list[int]:
        times[0] += 1
        if times[0] == 2:
            twice.set()
        return some if times[0] == 1 else []

    with together(deal, within=0.01) as given:
        given.add(1)
        assert twice.wait(10)


def test_what_is_failed_at_is_kept_and_what_comes_later_is_dealt_with() -> None:
    dealt: list[int] = []
    failing = [True]

    def deal(some: list[int]) -> None:
        if failing[0]:
            raise BrokenPipeError
        dealt.extend(some)

    with together(deal, within=0.01) as given:
        given.add(1)
        assert not given.flush()
        failing[0] = False
        given.add(2)
    assert dealt == [1, 2]


def test_without_room_for_a_thread_it_is_dealt_with_when_there_is(monkeypatch: pytest.MonkeyPatch) -> None:
    def none(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    came = threading.Event()
    with together(lambda _: came.set(), within=0.01) as given:
        with monkeypatch.context() as full:
            full.setattr(threading.Thread, "start", none)
            given.add(1)
        given.add(2)
        assert came.wait(10)


def test_who_closes_is_told_how_much_could_not_be_dealt_with() -> None:
    given: Together[int] = Together(lambda some: some[1:], within=LONG, name="test")
    given.add(1, 2, 3)
    assert given.close() == 1  # the thread's last turn, and that of closing


def test_many_who_give_at_once_lose_nothing() -> None:
    dealt: list[int] = []
    with together(dealt.extend, within=0.001) as given:
        threads = [threading.Thread(target=lambda n=n: [given.add(n * 1000 + i) for i in range(500)]) for n in range(8)]
        for one in threads:
            one.start()
        for one in threads:
            one.join()
    assert sorted(dealt) == [n * 1000 + i for n in range(8) for i in range(500)]


def test_a_process_that_is_forked_deals_with_its_own_and_leaves_its_parents_to_it() -> None:
    dealt: list[list[int]] = []
    with together(dealt.append) as given:
        given.add(1)
        said, telling = os.pipe()
        child = os.fork()
        if child == 0:
            given.add(2)
            given.flush()
            os.write(telling, repr(dealt).encode())
            os._exit(0)
        os.waitpid(child, 0)
        assert os.read(said, 100) == b"[[2]]"
        os.close(said), os.close(telling)
    assert dealt == [[1]]
