"""The faults that are set now, and where they come between a request and its answer."""

from collections.abc import Callable, Collection
from contextlib import suppress
from functools import partial
from itertools import count
from threading import Lock
from typing import Any

from sandbox.faults import KINDS
from sandbox.faults.fault import Asked, Fault
from sandbox.options import PATTERN, TEXT, Malformed, Option, Problem, number, one_of, problems_in, whole
from sandbox.outcome import Refused
from sandbox.wire import WRITES, Answer


class Faults:
    def __init__(self, personas: Collection[str]) -> None:
        self._set: list[Fault] = []
        self._numbers, self._lock = count(1), Lock()
        self.about: dict[str, Option] = {
            "fault": one_of(*KINDS).always(),
            "persona": one_of(*personas),
            "method": one_of("GET", *sorted(WRITES)),
            "type": Option("a resource type", lambda value: isinstance(value, str) and value[:1].isupper() and value.isalpha()),
            "path": PATTERN,
            "times": whole("a number", 1, 1_000_000),
            "share": number("a part", 0, 1),
            "seed": Option("a number or a text", lambda value: isinstance(value, int) or TEXT.holds(value)),
        }

    def add(self, given: Any) -> list[Fault]:
        """Sets a fault, or all of a list. Raises Malformed, and then sets none."""
        listed = given if isinstance(given, list) else [given]
        problems = [found for number, one in enumerate(listed) for found in self._problems(one, f"/{number}" if isinstance(given, list) else "")]
        if problems or not listed:
            raise Malformed(problems or [("", "has to have a fault in it")])
        with self._lock:
            made = [Fault(next(self._numbers), KINDS[one["fault"]], one) for one in listed]
            self._set = [*self._set, *made]
        return made

    def _problems(self, one: Any, at: str) -> list[Problem]:
        name = one.get("fault") if isinstance(one, dict) else None
        if isinstance(name, str) and name in KINDS:
            return problems_in(one, {**self.about, **KINDS[name].options}, at)
        known = {key: value for key, value in one.items() if key in self.about} if isinstance(one, dict) else one
        return problems_in(known, self.about, at)  # what else it may say is not known before its name is

    def told(self) -> list[dict[str, Any]]:
        return [fault.told() for fault in self._set]

    def take_away(self, fault_id: str | None = None) -> bool:
        """One or all of them; whoever waits because of one goes on at once. False when there is no such fault."""
        with self._lock:
            gone = [fault for fault in self._set if fault_id in (None, fault.id)]
            self._set = [fault for fault in self._set if fault not in gone]
        for fault in gone:
            fault.end()
        return bool(gone)

    def disturbed(self, asked: Asked, answer_it: Callable[[], Answer]) -> Answer:
        """The answer, with every fault that this request meets around it; the first that was set is the outermost."""
        met = [fault for fault in self._set if fault.meets(asked)]
        if met:
            with suppress(Refused):
                asked.request.body  # noqa: B018 - read before anything happens: a reset is to meet a request that was sent
        for fault in reversed(met):
            answer_it = partial(fault.kind.happens, fault, asked, answer_it)
        return answer_it()
