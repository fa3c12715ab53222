"""Pull: what an EHR changed in the copies that it holds of ours, read type by type and brought in.

| the EHR                          | how its changes are found                                                        |
| -------------------------------- | -------------------------------------------------------------------------------- |
| searches by `_lastUpdated`       | what changed since its own time of the last change seen, less an overlap         |
| does not                         | every copy is read and compared by its hash                                      |
| tells the history of a type      | what was deleted, from that; else every copy is read once a day                  |

A pull that did not see everything holds its cursor: what it saw is taken, and the next one begins at the same place.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

from sqlalchemy import Connection

from mappings.datatypes import zoned
from service.accepting import Accepted, Clash, Nothing, Taken, Unfit
from service.adopting import Child
from service.exchange import Act
from service.incoming import News, take
from service.store import conflicts, copies, cursors, streams, targets
from service.store.clock import micros, moment
from service.store.conflicts import Problem, Sides
from service.store.copies import VANISHED, Copy
from service.store.cursors import Cursor
from service.store.outbox import SENDING
from service.store.targets import Target
from service.sync import ehrs, made_there
from service.sync.abilities import Abilities
from service.sync.access import Access, Accesses
from service.sync.comparing import Gone, Theirs
from service.sync.looking import Looking, NotAnswering
from service.sync.outcomes import version_in
from service.sync.targets.rest import seen_hash
from service.sync.transport import Interrupted, NotLetIn, NotReached
from service.wiring import Service

OVERLAP = timedelta(minutes=2)
BACK = timedelta(days=1)  # how far before the oldest copy the first pull looks: whose clock is right is not known yet
COMPARE_EVERY = 24 * 3_600_000_000
PAGE, CHUNK = 100, 100
MANY = 10  # of a type, not found at once
CLAIMED = 5 * 60_000_000  # a worker that dies in the middle of a pull is followed by another after this
NEVER, NEVER_AGAIN = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)


@dataclass
class Pull:
    """One pull of one type under way, and what came of it."""

    service: Service
    target: Target
    looking: Looking
    able: Abilities
    cursor: Cursor
    began: int = 0
    at: str | None = None
    taken: int = 0
    same: int = 0
    contested: int = 0
    unfit: int = 0  # changes, and what the EHR made as a part of ours
    vanished: int = 0
    compared: bool = False
    problems: list[str] = field(default_factory=list)
    looked_at: set[tuple[str, bytes]] = field(default_factory=set)  # Type/id and hash of what the EHR made itself

    def run(self) -> None:
        """Pulls, and notes how far it came. Whatever goes wrong holds the cursor."""
        self.began, self.at = micros(self.service.tenant.now()), self.cursor.at
        try:
            if self.able.searches(self.cursor.type, "_lastUpdated"):
                self._changed()
                tells = self.able.can(self.cursor.type, "history-type")
                if tells:
                    self._deleted()
                if (not tells or self.looking.short) and self._is_old(self.cursor.compared_at):
                    self._compared()
            else:
                self._compared()
        except (NotAnswering, NotLetIn) as error:
            self.problems.append(f"The EHR does not answer: {error}")
        now = micros(self.service.tenant.now())
        at, held = (self.cursor.at, "; ".join(self.problems)[:1000]) if self.problems else (self.at, None)
        self.service.database.write(lambda tx: cursors.come_to(tx, self.cursor, at, held, now, compared=self.compared and held is None))
        self.service.log.info(
            "pulled", ehr=self.target.id, type=self.cursor.type, taken=self.taken, same=self.same, contested=self.contested, unfit=self.unfit,
            vanished=self.vanished, held=held is not None,
        )  # fmt: skip

    # --- how changes are found

    def _changed(self) -> None:
        query = f"_lastUpdated=ge{quote(self._since())}&_sort=_lastUpdated&_count={PAGE}"
        latest = None  # sic: what is stamped ahead of the EHR's own clock would hide all that it changes until then
        for page in self.looking.search(self.cursor.type, query, self.problems, heeded="_lastUpdated"):
            self._heard(page)
            latest = latest or min(self.looking.date or NEVER_AGAIN, moment(self.began) + BACK)
            self.at = max([self.at or "", *(stamp for one in page if (stamp := _stamp(one)) is not None and _order(stamp) <= latest)], key=_order) or None

    def _since(self) -> str:
        if self.cursor.at is None:
            with self.service.database.glance() as connection:
                oldest = copies.oldest(connection, self.target.id, self.cursor.type)
            return (moment(min(self.began, oldest or self.began)) - BACK).isoformat(timespec="seconds")
        return (datetime.fromisoformat(self.cursor.at) - OVERLAP).isoformat(timespec="milliseconds")

    def _deleted(self) -> None:
        """What the history of the type says was deleted."""
        path = f"/{self.cursor.type}/_history?_since={quote(self._since())}&_count={PAGE}"
        for page in self.looking.pages(self.cursor.type, path, self.problems):  # who does not heed `_since` tells more, not less
            requests = [request for one in page if isinstance(request := one.get("request"), dict)]
            gone = [str(request.get("url")).rpartition("/")[2] for request in requests if request.get("method") == "DELETE"]
            for copy, at in self._held(gone):  # it may have come back since: what counts is what is there now
                self._compare(copy, at, self.looking.read(self.cursor.type, str(copy.remote_id)))

    def _compared(self) -> None:
        """Every copy, read and compared. Where most seem to be gone, it is the way there that is wrong: none is taken to be removed."""
        after, looked_at, gone = 0, 0, list[Copy]()
        while True:
            with self.service.database.glance() as connection:
                chunk = copies.of_type(connection, self.target.id, self.cursor.type, after, CHUNK)
            if not chunk:
                break
            for copy, at in chunk:
                theirs = self.looking.read(self.cursor.type, str(copy.remote_id))
                if isinstance(theirs, Gone):
                    gone += [] if copy.vanished else [copy]
                else:
                    self._compare(copy, at, theirs)
            looked_at, after = looked_at + len(chunk), chunk[-1][0].resource
        if len(gone) >= MANY and len(gone) * 2 > looked_at:
            self.problems.append(f"{len(gone)} of {looked_at} are not found there all at once: none is taken to be removed")
            return
        for copy in gone:
            self._gone(copy)
        self.compared = True

    def _compare(self, held: Copy, at: int, theirs: Theirs) -> None:
        match theirs:
            case dict():
                with self._going_on(str(held.remote_id)):
                    self._one(held, at, theirs)
            case Gone():
                self._gone(held)
            case _:
                self.problems.append(theirs.words)

    # --- what is done with them

    def _heard(self, page: Iterable[dict[str, Any]]) -> None:
        found = {str(one.get("id")): one for one in page}
        held = self._held(found)
        for copy, at in held:
            with self._going_on(str(copy.remote_id)):
                self._one(copy, at, found[str(copy.remote_id)])
        known = {str(copy.remote_id) for copy, _ in held}
        for child in made_there.referring(self.service, self.target, [one for id_, one in found.items() if id_ not in known]):
            with self._going_on(child.name.partition("/")[2]):
                self._adopt(child)

    @contextmanager
    def _going_on(self, remote_id: str) -> Iterator[None]:
        """Whatever one resource does to us, the others come in; it holds the cursor and is told."""
        try:
            yield
        except (NotAnswering, NotLetIn):
            raise
        except Exception as error:  # noqa: BLE001
            self.service.log.error("pulling_failed", ehr=self.target.id, type=self.cursor.type, error=type(error).__name__)
            self.problems.append(f"{self.cursor.type}/{remote_id} cannot be looked at: {type(error).__name__}")

    def _adopt(self, child: Child) -> bool:
        """Whether it needs not be looked at again: what is listed and refers to us too is taken once."""
        if (child.name, child.news.digest) in self.looked_at:
            return True
        outcome = made_there.take(self.service, child)
        if outcome is not None:
            self.looked_at.add((child.name, child.news.digest))
        if not isinstance(outcome, Nothing):
            self._count(outcome)
        return outcome is not None

    def _held(self, remote_ids: Iterable[str]) -> list[tuple[Copy, int]]:
        """Of these ids, those under which something of ours is, with when that was noted."""
        with self.service.database.glance() as connection:
            return [(copy, at) for copy, type_, _, at in copies.there(connection, self.target.id, remote_ids) if type_ == self.cursor.type]

    def _one(self, held: Copy, at: int, theirs: dict[str, Any]) -> None:
        news = News(theirs, version_in(theirs), seen_hash(theirs))
        if held.matched or held.seen_hash == news.digest or _is_as_written(held, news):
            self.same += 1
        elif at > self.began:
            self.problems.append("What we sent meanwhile is looked at the next time")
        elif (listed := made_there.listed(self.service, self.target, self.looking, held, theirs)) is None:
            self.problems.append("What it lists is not read")
        elif all(self._adopt(child) for child in listed):
            self._count(self.service.database.write(lambda tx: self._take(tx, held, news)))

    def _take(self, tx: Connection, held: Copy, news: News) -> Accepted | None:
        """None where it has changed since it was looked up, or is being sent at this moment."""
        if copies.held(tx, held.target, [held.resource]).get(held.resource) != held:
            return None
        if streams.open_states(tx, held.target, [held.resource]).get(held.resource) == SENDING:
            return None
        act = Act(self.service.tenant, tx, f"target:{self.target.id}")
        return take(act, held, news)

    def _count(self, outcome: Accepted | None) -> None:
        match outcome:
            case Taken():
                self.taken += 1
            case Nothing():
                self.same += 1
            case Clash():
                self.contested += 1
            case Unfit():
                self.unfit += 1
            case None:
                self.problems.append("What is being sent is looked at the next time")

    def _gone(self, held: Copy) -> None:
        """What the EHR removed stays here: a person decides whether it is to be there again."""
        if held.matched or held.vanished:
            return
        now = micros(self.service.tenant.now())
        sides = Sides(held.resource, (), {}, {}, {}, None, problems=(Problem("", "was removed at the EHR"),))

        def work(tx: Connection) -> None:
            if copies.held(tx, held.target, [held.resource]).get(held.resource) == held:
                copies.hold(tx, [Copy(held.target, held.resource, held.remote_id, None, held.version, held.level, VANISHED)], now)
                conflicts.note(tx, held.target, sides, now)

        self.service.database.write(work)
        self.vanished += 1

    def _is_old(self, at: int | None) -> bool:
        return at is None or self.began - at >= COMPARE_EVERY


def _is_as_written(held: Copy, news: News) -> bool:
    """Whether it is what the EHR made of what we sent, where its answer did not show that: it may have forgotten some of it."""
    return bool(held.sent_hash) and held.seen_hash is None and held.remote_version is not None and held.remote_version == news.version


def pull(service: Service, target: Target, one: Cursor, lets_in: Access | None = None) -> Pull:
    """Pulls one type from an EHR."""
    ehr, line = ehrs.rest(service, target, lets_in)
    try:
        able = ehrs.able(service, target, ehr, micros(service.tenant.now()))
        done = Pull(service, target, Looking(service, target, ehr), able, one)
        done.run()
    except (NotReached, Interrupted, NotLetIn, ValueError) as error:
        done = Pull(service, target, Looking(service, target, ehr), Abilities(), one, problems=[f"The EHR does not say what it can do: {error}"])
        now = micros(service.tenant.now())
        service.database.write(lambda tx: cursors.come_to(tx, one, one.at, done.problems[0][:1000], now, compared=False))
    finally:
        line.close()
    return done


def pull_all(service: Service, accesses: Accesses, stopping: Callable[[], bool]) -> None:
    """Pulls what is due, one type after another."""
    while not stopping() and _next(service, accesses):
        pass


def _next(service: Service, accesses: Accesses) -> bool:
    """Pulls what is due first, if nobody else does. Returns whether anything was due."""
    now = micros(service.tenant.now())
    with service.database.glance() as connection:
        one = cursors.next_due(connection, now)
        target = targets.get(connection, one.target) if one is not None else None
    if one is None or target is None:
        return False
    if service.database.write(lambda tx: cursors.claim(tx, one, now + max(one.every, CLAIMED))):
        pull(service, target, one, accesses.of(target))
    return True


def _stamp(body: dict[str, Any]) -> str | None:
    """The EHR's time of a change, where it is one with a zone."""
    meta = body.get("meta")
    said = meta.get("lastUpdated") if isinstance(meta, dict) else None
    return said if isinstance(said, str) and _order(said) > NEVER else None


def _order(stamp: str) -> datetime:
    return zoned(stamp) or NEVER
