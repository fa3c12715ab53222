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
KEPT_LISTINGS = 500
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
    count: int = PAGE
    told_total: bool = True


class Pages:
    """Listings whose later pages may still be asked for."""

    def __init__(self) -> None:
        self._kept: OrderedDict[str, Listing] = OrderedDict()
        self._lock = Lock()

    def keep(self, listing: Listing) -> str:
        key = secrets.token_hex(8)
        with self._lock:
            self._kept[key] = listing
            while len(self._kept) > KEPT_LISTINGS:
                self._kept.popitem(last=False)
        return key

    def find(self, token: str) -> tuple[Listing, str, int]:
        """Raises Refused (410) for a page of a listing that is no longer kept."""
        key, _, start = token.partition("-")
        with self._lock:
            kept = self._kept.get(key)
        if kept is None or not NUMBER.fullmatch(start):
            raise Refused(410, Issue("expired", "this page is no longer kept: search again"))
        return kept, key, int(start)


def page(pages: Pages, listing: Listing, base: str, entry_of: Callable[[Version, str], Fhir], *, key: str = "", start: int = 0) -> dict[str, Any]:
    """One page as a Bundle; `key` is that of the kept listing where it is not the first."""
    url = f"{base}/{listing.path}"
    here = f"{url}?_page={key}-{start}" if key else f"{url}?{urlencode(listing.used)}".removesuffix("?")
    links = [{"relation": "self", "url": here}]
    bundle: dict[str, Any] = {"resourceType": "Bundle", "type": listing.type, "link": links}
    if listing.told_total or not listing.count:
        bundle["total"] = len(listing.versions)
    end = start + listing.count
    if start < end < len(listing.versions):
        links.append({"relation": "next", "url": f"{url}?_page={key or pages.keep(listing)}-{end}"})
    if shown := listing.versions[start:end]:
        bundle["entry"] = [entry_of(version, base) for version in shown]
    return bundle
