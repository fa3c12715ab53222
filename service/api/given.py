"""What an operator's call is given: a query or a small body, read strictly with every problem at once; and the pages that go on from it."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any
from urllib.parse import urlencode

from service.api.envelope import JSON
from service.errors import Unprocessable
from service.web import Answer, Call, whole
from service.wire import encode

PLACE = ("before", "limit")
MOST_NUMBERED = 2**53
Problems = list[tuple[str, str]]


def problems(call: Call, asked: Mapping[str, str], offered: Sequence[str]) -> Problems:
    """What is wrong with the names of a query, and with where its page begins and ends."""
    found = unoffered(asked, (*offered, *PLACE))
    for name, most in (("limit", call.service.settings.page_limit), ("before", MOST_NUMBERED)):
        if name in asked and whole(asked[name], 1, most) is None:
            found.append((name, f"should be from 1 to {most}"))
    return found


def unoffered(asked: Mapping[str, str], offered: Sequence[str]) -> Problems:
    """The names of a query that are not known."""
    return [(name, "is not offered here") for name in sorted(set(asked) - set(offered))]


def states(asked: Mapping[str, str], known: Sequence[str]) -> tuple[tuple[str, ...], Problems]:
    """The states that a query names, parted by commas, and what is wrong with them."""
    found = tuple(asked["state"].split(",")) if "state" in asked else ()
    return found, [("state", f"should be of {', '.join(known)}") for state in found if state not in known]


def place(call: Call, asked: Mapping[str, str]) -> tuple[int | None, int]:
    """(the number before which a page begins, how many it has at most)."""
    return int(asked["before"]) if "before" in asked else None, int(asked.get("limit", call.service.settings.page_size))


def body(call: Call, members: Sequence[str], wrong: Callable[[Mapping[str, Any]], Problems], *types: str) -> dict[str, Any]:
    """The body as an object of these members, of which `wrong` says what does not fit. Raises Unprocessable with every problem at once.

    `types` are the media types that it may have besides application/json.
    """
    found = call.json(*types, JSON)
    if not isinstance(found, dict):
        raise Unprocessable(problems=[("", "should be an object")])
    if problems := [*wrong(found), *((f"/{_escaped(name)}", "is not taken here") for name in sorted(set(found) - set(members)))]:
        raise Unprocessable(problems=problems)
    return found


def _escaped(name: str) -> str:
    """A name in a JSON pointer (RFC 6901, 3)."""
    return name.replace("~", "~0").replace("/", "~1")


def page(call: Call, numbers: Sequence[int], items: list[dict[str, Any]]) -> Answer:
    """A page of what has these numbers, the newest first, with a link to the next one where there may be one."""
    asked, headers = dict(call.request.args.items()), {}
    if len(numbers) == place(call, asked)[1]:
        query = urlencode({**asked, "before": str(numbers[-1])})
        headers["Link"] = f'<{call.service.settings.base}{call.request.path}?{query}>; rel="next"'
    return Answer(200, encode({"items": items}), JSON, headers)
