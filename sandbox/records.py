"""What one EHR holds: every version of every resource, in memory, found by id, by identifier, by who refers to whom and by when it was recorded.

Whoever checks before it writes (is it there yet? is this still the version?) holds `lock` from the check to the write.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from threading import RLock

from sandbox import dates, fhir_json
from sandbox.elements import Fhir, Walk, at
from sandbox.references import local


@dataclass(frozen=True, slots=True)
class Version:
    """One version of a resource, with the bytes that everyone who reads it gets."""

    type: str
    id: str
    number: int
    sequence: int
    """Its place among all that this EHR ever wrote."""
    updated: str
    body: bytes
    """Empty for a deletion."""

    @property
    def deleted(self) -> bool:
        return not self.body

    @property
    def name(self) -> str:
        return f"{self.type}/{self.id}"

    @property
    def etag(self) -> str:
        return f'W/"{self.number}"'


class Records:
    def __init__(self, keep: Callable[[Version], None]) -> None:
        """`keep` is told of every new version, in order, under the lock."""
        self.lock = RLock()
        self._keep = keep
        self._tentative: list[Version] | None = None
        self.clear()

    def clear(self) -> None:
        with self.lock:
            self._histories: dict[str, dict[str, list[Version]]] = defaultdict(dict)
            self._identifiers: dict[tuple[str, str], set[str]] = defaultdict(set)
            self._referrers: dict[tuple[str, str], set[str]] = defaultdict(set)
            self._recorded: dict[tuple[str, str], set[str]] = defaultdict(set)
            self._sequence, self._updated = 0, ""

    def history(self, kind: str, resource_id: str) -> list[Version]:
        """Its versions, the oldest first; empty when it never was. Never one that a running transaction may still take back."""
        with self.lock:
            return self._histories[kind].get(resource_id, [])[:]

    def versions(self, kind: str | None = None, resource_id: str | None = None) -> list[Version]:
        """Every version of a resource, of a type, or of all of them: the newest first."""
        if kind is not None and resource_id is not None:
            return self.history(kind, resource_id)[::-1]
        with self.lock:
            every = [version for of, histories in self._histories.items() if kind in (None, of) for history in histories.values() for version in history]
            return sorted(every, key=lambda version: version.sequence, reverse=True)

    def named(self, name: str) -> Version | None:
        """The latest version of `Type/id`."""
        return self.latest(*name.split("/", 1)) if "/" in name else None

    def latest(self, kind: str, resource_id: str) -> Version | None:
        history = self.history(kind, resource_id)
        return history[-1] if history else None

    def holds(self, name: str) -> bool:
        """Whether `Type/id` is there and not deleted."""
        kind, _, resource_id = name.partition("/")
        latest = self.latest(kind, resource_id) if kind in self._histories else None
        return latest is not None and not latest.deleted

    def all_of(self, kind: str) -> list[Version]:
        return [history[-1] for history in self._histories[kind].values() if not history[-1].deleted]

    def with_identifier(self, kind: str, value: str) -> set[str]:
        """Ids of the resources of a type that have an identifier of that value, whatever its system."""
        return self._identifiers.get((kind, value), set())

    def referring(self, kind: str, name: str) -> set[str]:
        """Ids of the resources of a type that refer to `Type/id` from anywhere in them."""
        return self._referrers.get((kind, name), set())

    def recorded(self, kind: str, second: str) -> set[str]:
        """Ids of the resources of a type that were recorded within a second, as `dates.second` names it."""
        return self._recorded.get((kind, second), set())

    def referrers(self, name: str) -> list[str]:
        """Everything that refers to `Type/id`, itself apart."""
        return [other for kind in self._histories for found in self.referring(kind, name) if (other := f"{kind}/{found}") != name]

    def write(self, resource: Fhir, resource_id: str) -> Version:
        """The next version of a resource, or its first. Raises ValueError for what JSON cannot hold."""
        kind = resource["resourceType"]
        before = self.latest(kind, resource_id)
        number, updated = (before.number + 1 if before else 1), self._now()
        meta = {**resource.get("meta", {}), "versionId": str(number), "lastUpdated": updated}
        rest = {name: value for name, value in resource.items() if name not in ("resourceType", "id", "meta")}
        body = fhir_json.write({"resourceType": kind, "id": resource_id, "meta": meta, **rest})
        return self._add(Version(kind, resource_id, number, self._sequence + 1, updated, body), resource, before)

    def erase(self, latest: Version) -> Version:
        deletion = Version(latest.type, latest.id, latest.number + 1, self._sequence + 1, self._now(), b"")
        return self._add(deletion, None, latest)

    def _add(self, version: Version, resource: Fhir | None, before: Version | None) -> Version:
        self._place(version, resource, before)
        if self._tentative is None:
            self._keep(version)
        else:
            self._tentative.append(version)
        return version

    @contextmanager
    def all_or_nothing(self) -> Iterator[None]:
        """Whatever is written within is kept when it is left, and was never there when it is left by an exception. Nobody reads meanwhile."""
        with self.lock:
            self._tentative = []
            try:
                yield
            except BaseException:
                for version in reversed(self._tentative):
                    self._take_back(version)
                raise
            else:
                for version in self._tentative:
                    self._keep(version)
            finally:
                self._tentative = None

    def _take_back(self, version: Version) -> None:
        if version.body:
            self._index(version, fhir_json.read(version.body), add=False)
        history = self._histories[version.type][version.id]
        history.pop()
        self._sequence = version.sequence - 1
        if not history:
            del self._histories[version.type][version.id]
        elif history[-1].body:
            self._index(history[-1], fhir_json.read(history[-1].body), add=True)

    def restore(self, version: Version) -> None:
        """Take back a version that was kept, in the order in which they were."""
        self._place(version, fhir_json.read(version.body) if version.body else None, self.latest(version.type, version.id))

    def put_back(self, versions: Iterable[Version]) -> None:
        """These in the place of all that is there, in the order in which they were."""
        with self.lock:
            self.clear()
            for version in versions:
                self.restore(version)
                self._keep(version)

    def _place(self, version: Version, resource: Fhir | None, before: Version | None) -> None:
        if before is not None and before.body:
            self._index(before, fhir_json.read(before.body), add=False)
        if resource is not None:
            self._index(version, resource, add=True)
        self._histories[version.type].setdefault(version.id, []).append(version)
        self._sequence, self._updated = version.sequence, version.updated

    def _index(self, version: Version, resource: Fhir, *, add: bool) -> None:
        identifiers = {value for path in ("identifier.value", "masterIdentifier.value") for value in at(resource, path) if isinstance(value, str)}
        targets = {name for _, element in Walk(resource).references if (name := local(element["reference"])) is not None}
        recorded = {second for value in at(resource, "recorded") if (second := dates.second(value)) is not None}
        for index, keys in ((self._identifiers, identifiers), (self._referrers, targets), (self._recorded, recorded)):
            for key in keys:
                if add:
                    index[version.type, key].add(version.id)
                else:
                    index[version.type, key].discard(version.id)

    def _now(self) -> str:
        """The clock, which never goes back here, so that no later version looks older."""
        now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        return max(now, self._updated)

    def counts(self) -> Mapping[str, Mapping[str, int]]:
        """By type: how many resources there are now, and how many versions of them there ever were."""
        with self.lock:
            return {kind: _count(histories.values()) for kind, histories in sorted(self._histories.items()) if histories}


def _count(histories: Iterable[list[Version]]) -> dict[str, int]:
    return {"current": sum(not history[-1].deleted for history in histories), "versions": sum(map(len, histories))}
