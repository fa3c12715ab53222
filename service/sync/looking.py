"""Reads and searches of an EHR for as long as it lets itself be asked: no faster than agreed, and waiting when it asks for that."""

import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import parse_qs, urlsplit

from service.store import targets
from service.store.clock import micros
from service.store.targets import Target
from service.sync.comparing import Gone, Theirs, Unread
from service.sync.door import within
from service.sync.outcomes import NOT_THERE, Reply, Retry, issues, judged, next_link, objects
from service.sync.retry import SECOND, snooze_until
from service.sync.targets.rest import Rest
from service.sync.transport import Interrupted, NotLetIn, NotReached
from service.wiring import Service

TRIES = 3  # of a call that is not answered
WAITS = 20  # of an EHR that asks to wait, for one answer
MOST_PAGES = 1000
GRAVE = ("fatal", "error", "warning")  # an outcome of such an issue among what was found: something is not shown


class NotAnswering(Exception):
    """The EHR is not reached, or asks to wait again and again."""


class Looking:
    """One EHR, as it is read by one thread. `each` is the least time between two calls, in seconds."""

    def __init__(self, service: Service, target: Target, ehr: Rest, *, each: float = 0.0, rest: Callable[[float], None] = time.sleep):
        self._service, self._target, self._ehr, self._each, self._rest = service, target, ehr, each, rest
        self._not_before, self._snoozed_until = 0.0, target.snoozed_until
        self.short = False  # whether a search said that it found more than it showed
        self.date: datetime | None = None  # by the EHR's own clock, before which it last answered

    def get(self, path: str) -> Reply:
        """What a GET is answered with. Raises NotAnswering."""
        waits = failed = 0
        while True:
            self._wait()
            try:
                reply = self._ehr.get(path)
            except (NotReached, Interrupted) as error:  # a read can be repeated; what lets us in has been asked for again already
                failed += 1
                if failed == TRIES or isinstance(error, NotLetIn):
                    raise NotAnswering(str(error)) from None
                self._rest(failed)
                continue
            self.date = date_of(reply)
            outcome = judged(reply, updating=False)
            if not (isinstance(outcome, Retry) and outcome.snoozes):
                return reply
            waits += 1
            if waits == WAITS:
                raise NotAnswering(f"it has asked to wait {WAITS} times ({reply.status})")
            self._snooze(outcome.retry_after, waits)

    def _wait(self) -> None:
        """Until the EHR may be asked: not sooner than its agreed rate, nor while it is to be left alone."""
        left = max(self._not_before - time.monotonic(), (self._snoozed_until - self._now) / SECOND)
        if left > 0:
            self._rest(left)
        self._not_before = time.monotonic() + self._each

    def _snooze(self, retry_after: str | None, waits: int) -> None:
        """Leaves the EHR alone as it asks, and has the workers do so too."""
        until = self._snoozed_until = snooze_until(self._now, retry_after, waits - 1)
        self._service.database.write(lambda tx: targets.fared(tx, self._target.id, snoozed_until=until))

    @property
    def _now(self) -> int:
        return micros(self._service.tenant.now())

    def read(self, type_: str, remote_id: str) -> Theirs:
        """What is there under an id, which may name another type that it is there as."""
        type_, remote_id = remote_id.split("/", 1) if "/" in remote_id else (type_, remote_id)
        reply = self.get(f"/{type_}/{remote_id}")
        found = reply.json()
        if reply.status == 200 and found is not None and found.get("resourceType") == type_:
            return found
        return Gone() if reply.status in NOT_THERE else Unread(f"A read is answered with {reply.status} and no {type_}")

    def search(self, type_: str, query: str, problems: list[str], *, heeded: str | None = None) -> Iterator[list[dict[str, Any]]]:
        """The resources that a search finds, page after page. What keeps it from being all of them is added to `problems`.

        `heeded` is a parameter that the EHR has to repeat in its `self` link: one that it does not know it leaves out, and finds everything.
        """
        for page in self.pages(type_, f"/{type_}?{query}", problems, heeded=heeded):
            yield [one for entry in page if isinstance(one := entry.get("resource"), dict) and one.get("resourceType") == type_]

    def pages(self, type_: str, path: str, problems: list[str], *, heeded: str | None = None) -> Iterator[list[dict[str, Any]]]:
        """The entries of a Bundle, page after page. What keeps them from being all is added to `problems`."""
        seen, told = set[str](), 0
        while path not in seen:
            seen.add(path)
            if len(seen) > MOST_PAGES:
                problems.append(f"{type_}: more than {MOST_PAGES} pages were found")
                return
            reply = self.get(path)
            found = reply.json()
            if reply.status != 200 or found is None or found.get("resourceType") != "Bundle":
                problems.append(f"{type_}: a search is answered with {reply.status}{'' if reply.status >= 400 else ' and no Bundle'}")
                return
            if heeded is not None and len(seen) == 1 and not _repeats(found, heeded):
                problems.append(f"{type_}: the EHR does not say that it heeded {heeded}")
                return
            entries = objects(found.get("entry"))
            if any(_is_grave(one) for entry in entries if isinstance(one := entry.get("resource"), dict)):
                problems.append(f"{type_}: the EHR says that a page does not show all that was found")
            told += len(entries)
            total = found.get("total")
            if len(seen) > 1 and not entries and isinstance(total, int) and told < total:
                problems.append(f"{type_}: a page shows nothing, and not all was told that was found")
            yield entries
            link = next_link(found)
            if link is None:
                self.short |= isinstance(total, int) and told < total
                return
            below = within(self._ehr.base, path, link)
            if below is None:
                problems.append(f"{type_}: the next page is elsewhere, and was not asked for")
                return
            path = below
        problems.append(f"{type_}: the pages lead back to one that was there before")


def date_of(reply: Reply) -> datetime | None:
    """The EHR's own clock when it answered, to the end of the second that it says; None where it says none."""
    try:
        said = parsedate_to_datetime(reply.header("Date") or "") + timedelta(seconds=1)  # it is said in whole seconds
    except (ValueError, OverflowError):
        return None
    return said if said.tzinfo is not None else said.replace(tzinfo=UTC)


def _repeats(bundle: dict[str, Any], parameter: str) -> bool:
    links = [str(one.get("url")) for one in objects(bundle.get("link")) if one.get("relation") == "self"]
    return any(parameter in parse_qs(urlsplit(link).query) for link in links)


def _is_grave(resource: dict[str, Any]) -> bool:
    return any(not _says_nothing_is_there(issue) for issue in issues(resource, GRAVE))


def _says_nothing_is_there(issue: dict[str, Any]) -> bool:
    """Epic puts a warning of its own, 4101, into a page when nothing was found."""
    details = issue.get("details")
    codings = objects(details.get("coding")) if isinstance(details, dict) else []
    return any(one.get("code") == "4101" and str(one.get("system")).startswith("urn:oid:1.2.840.114350.") for one in codings)
