"""Pages of what was found: a search or a history, as it was when its first page was asked for, whatever is written meanwhile."""

import re
import secrets
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from threading import Lock
from typing import Any
from urllib.parse import urlencode

from sandbox.elements import Fhir
from sandbox.outcome import Issue, Refused
from sandbox.records import Version

PAGE, LARGEST_PAGE = 50, 1000
KEPT_PAGES = 2000
NUMBER = re.compile("[0-9]{1,9}")


def page_size(text: str) -> int:
    """What `_count` gives. Raises Refused (400) where it is no number."""
    if not NUMBER.fullmatch(text):
        raise Refused(400, Issue("value", f"_count={text} is not a number"))
    return min(int(text), LARGEST_PAGE)


@dataclass(frozen=True, slots=True)
class Listing:
    """Everything that was found, and how it is told."""

    type: str
    """Of the Bundle."""
    path: str
    """Below the base."""
    used: Sequence[tuple[str, str]]
    """What was understood of the query, as `self` repeats it."""
    versions: Sequence[Version]
    sizes: tuple[int, int] = (PAGE, PAGE)
    """How many there are on the first page and on every other; 0 where only the total is asked for."""
    told_total: bool = True
    parameter: str = "_page"
    """What a link to a further page has in its query."""


class Pages:
    """Where later pages of listings begin, as long as they may still be asked for."""

    def __init__(self) -> None:
        self._kept: OrderedDict[str, tuple[Listing, int]] = OrderedDict()
        self._lock = Lock()

    def keep(self, listing: Listing, start: int) -> str:
        token = secrets.token_urlsafe(12)
        with self._lock:
            self._kept[token] = listing, start
            while len(self._kept) > KEPT_PAGES:
                self._kept.popitem(last=False)
        return token

    def find(self, token: str) -> tuple[Listing, int]:
        """Raises Refused (410) for a page that is no longer kept."""
        with self._lock:
            kept = self._kept.get(token)
        if kept is None:
            raise Refused(410, Issue("expired", "this page is no longer kept: search again"))
        return kept


def page(pages: Pages, listing: Listing, base: str, entry_of: Callable[[Version, str], Fhir], *, token: str = "", start: int = 0) -> dict[str, Any]:
    """One page as a Bundle; `token` is that of this page where it is not the first."""
    url = f"{base}/{listing.path}"
    here = f"{url}?{listing.parameter}={token}" if token else f"{url}?{urlencode(listing.used)}".removesuffix("?")
    links = [{"relation": "self", "url": here}]
    bundle: dict[str, Any] = {"resourceType": "Bundle", "type": listing.type, "link": links}
    first, later = listing.sizes
    if listing.told_total or not first:
        bundle["total"] = len(listing.versions)
    end = start + (later if start else first)
    if start < end < len(listing.versions):
        links.append({"relation": "next", "url": f"{url}?{listing.parameter}={pages.keep(listing, end)}"})
    if shown := listing.versions[start:end]:
        bundle["entry"] = [entry_of(version, base) for version in shown]
    return bundle
