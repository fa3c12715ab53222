"""Requests that come again: what was done the first time is answered a second time, and not done."""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from threading import Lock

from sandbox.wire import Answer

REMEMBERED = 10_000


@dataclass
class _Attempt:
    lock: Lock = field(default_factory=Lock)
    answer: Answer | None = None


class Once:
    def __init__(self) -> None:
        self._attempts: OrderedDict[str, _Attempt] = OrderedDict()
        self._lock = Lock()

    def answer(self, key: str, answer_it: Callable[[], Answer]) -> Answer:
        """The first answer to this key; who comes at the same time waits for it. What is refused was not done, and may be tried again."""
        with self._lock:
            attempt = self._attempts.setdefault(key, _Attempt())
            while len(self._attempts) > REMEMBERED:
                self._attempts.popitem(last=False)
        with attempt.lock:
            if attempt.answer is None:
                attempt.answer = answer_it()
            return replace(attempt.answer, headers=dict(attempt.answer.headers))

    def clear(self) -> None:
        with self._lock:
            self._attempts.clear()
