"""One fault as it was set: which requests it meets, how often it still happens, and how often it has."""

import random
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from threading import Event, Lock
from typing import Any

from sandbox.ehr import Ehr
from sandbox.options import Option
from sandbox.wire import Answer, Request


@dataclass(frozen=True, slots=True)
class Asked:
    """A request to an EHR while it is being answered."""

    ehr: Ehr
    request: Request
    parts: list[str]
    """Of its path, below the FHIR base."""
    struck: list[str] = field(default_factory=list)
    """The names of the faults that it met."""

    @property
    def type(self) -> str | None:
        return self.parts[0] if self.parts else None

    @property
    def later_page(self) -> bool:
        """Whether it is for a page of a search that is not the first."""
        return any(name == self.ehr.persona.page_parameter for name, _ in self.request.query)


@dataclass(frozen=True, slots=True)
class Kind:
    words: str
    """What it does, for whoever chooses one."""
    happens: "Happens"
    options: Mapping[str, Option] = field(default_factory=dict)


class Fault:
    def __init__(self, number: int, kind: Kind, given: Mapping[str, Any]) -> None:
        """Of what was given everything has been checked."""
        self.id, self.kind = str(number), kind
        self.happened = 0
        self._given = given
        self._path = re.compile(given.get("path", ""))
        self._chance = random.Random(given.get("seed"))  # noqa: S311 - which requests fail is no secret
        self._lock, self._over = Lock(), Event()

    def __getitem__(self, option: str) -> Any:
        return self._given.get(option, self.kind.options[option].default)

    @property
    def name(self) -> str:
        return str(self._given["fault"])

    def meets(self, asked: Asked) -> bool:
        """Whether a request is one of those that it is about."""
        actual = {"persona": asked.ehr.persona.name, "method": asked.request.method, "type": asked.type}
        return all(self._given.get(name, value) == value for name, value in actual.items()) and bool(self._path.search(asked.request.target))

    def strikes(self, asked: Asked) -> bool:
        """Whether it happens now, to this request that it could disturb; then it has."""
        with self._lock:
            if self._over.is_set() or self.left == 0 or self._chance.random() >= self._given.get("share", 1):
                return False
            self.happened += 1
        asked.struck.append(self.name)
        return True

    @property
    def left(self) -> int | None:
        """How often it will still happen; None for always."""
        return self._given["times"] - self.happened if "times" in self._given else None

    def wait(self, seconds: float) -> None:
        """That long, or until the fault is taken away."""
        self._over.wait(float(seconds))

    def end(self) -> None:
        self._over.set()

    def told(self) -> dict[str, Any]:
        return {"id": self.id, **self._given, "happened": self.happened, **({} if self.left is None else {"left": self.left})}


Happens = Callable[[Fault, Asked, Callable[[], Answer]], Answer]
"""Answers a request that a fault meets; the last argument answers it as if the fault were not there."""
