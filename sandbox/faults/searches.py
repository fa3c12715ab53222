"""Faults of what a search finds: pages that repeat, miss, miscount or lead elsewhere, and errors that look like success."""

from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace
from urllib.parse import parse_qsl, urlencode, urlsplit

from sandbox import fhir_json
from sandbox.elements import Fhir
from sandbox.faults.fault import Asked, Fault, Happens
from sandbox.faults.requests import ISSUE_CODES, GoOn
from sandbox.outcome import Issue, Refused, outcome
from sandbox.wire import Answer, answer, refusal

PARTIAL = Issue("processing", "a fault of the sandbox: a record that was found is not shown")
KEPT_PARAMETERS = frozenset({"_count", "_format"})


def _told(change: Callable[[Fault, Asked, Fhir], Fhir | None]) -> Happens:
    """A fault of a searchset: `change` returns it as it is told, or None where there is nothing in it to disturb."""

    def happens(fault: Fault, asked: Asked, go_on: GoOn) -> Answer:
        said = go_on()
        bundle = _searchset(said)
        if bundle is None or (told := change(fault, asked, bundle)) is None or not fault.strikes(asked):
            return said
        return replace(said, body=fhir_json.write(told))

    return happens


def _searchset(said: Answer) -> Fhir | None:
    if said.status != 200 or b'"searchset"' not in said.body:
        return None
    bundle = fhir_json.read(said.body)
    return bundle if bundle.get("type") == "searchset" else None


@_told
def duplicates(fault: Fault, asked: Asked, bundle: Fhir) -> Fhir | None:
    return {**bundle, "entry": [copy for entry in bundle["entry"] for copy in (entry, _again(entry, asked, fault))]} if bundle.get("entry") else None


def _again(entry: Fhir, asked: Asked, fault: Fault) -> Fhir:
    if not fault["otherId"]:
        return entry
    other = deepcopy(entry)
    other["resource"]["id"] = other_id = asked.ehr.persona.new_id()
    return {**other, "fullUrl": f"{entry['fullUrl'].rpartition('/')[0]}/{other_id}"}


@_told
def wrong_total(fault: Fault, _asked: Asked, bundle: Fhir) -> Fhir:
    right = bundle.get("total", len(bundle.get("entry", [])))
    return {**bundle, "total": right + 1 if fault["total"] is None else fault["total"]}


@_told
def _without_entries(_fault: Fault, _asked: Asked, bundle: Fhir) -> Fhir:
    return {name: value for name, value in bundle.items() if name != "entry"}


def lost_page(fault: Fault, asked: Asked, go_on: GoOn) -> Answer:
    if not asked.later_page:
        return go_on()
    if fault["status"] is None:
        return _without_entries(fault, asked, go_on)
    if not fault.strikes(asked):
        return go_on()
    return refusal(Refused(fault["status"], Issue(ISSUE_CODES[fault["status"]], "a fault of the sandbox: this page is lost")))


@_told
def _partial(_fault: Fault, _asked: Asked, bundle: Fhir) -> Fhir:
    return {**bundle, "entry": [*bundle.get("entry", [])[:-1], {"resource": outcome([PARTIAL]), "search": {"mode": "outcome"}}]}


def error_in_200(fault: Fault, asked: Asked, go_on: GoOn) -> Answer:
    if fault["entry"]:
        return _partial(fault, asked, go_on)
    if not fault.strikes(asked):
        return go_on()
    if fault["after"]:
        go_on()
    return answer(200, outcome([Issue("exception", "a fault of the sandbox: this failed, whatever the status says")]))


@_told
def foreign_next(fault: Fault, _asked: Asked, bundle: Fhir) -> Fhir:
    following = urlsplit(_link(bundle, "next") or _link(bundle, "self") or "")
    return _linked(bundle, "next", following._replace(scheme="", netloc="").geturl(), fault["origin"].rstrip("/"))


@_told
def relative_next(_fault: Fault, _asked: Asked, bundle: Fhir) -> Fhir | None:
    following = _link(bundle, "next")
    return None if following is None else _linked(bundle, "next", following.rpartition("/")[2])


@_told
def loop(_fault: Fault, _asked: Asked, bundle: Fhir) -> Fhir:
    return _linked(bundle, "next", _link(bundle, "self") or "")


def self_link(fault: Fault, asked: Asked, go_on: GoOn) -> Answer:
    forgotten = fault["parameters"]
    if fault["really"]:
        # What is forgotten before the search is read is neither searched for nor in `self`.
        if asked.later_page or not _searches(asked) or not fault.strikes(asked):
            return go_on()
        asked.request.query[:] = _remembered(asked.request.query, forgotten)
        return go_on()
    return _forgetful(fault, asked, go_on)


@_told
def _forgetful(fault: Fault, _asked: Asked, bundle: Fhir) -> Fhir:
    here = urlsplit(_link(bundle, "self") or "")
    query = urlencode(_remembered(parse_qsl(here.query, keep_blank_values=True), fault["parameters"]))
    return _linked(bundle, "self", here._replace(query=query).geturl())


def _searches(asked: Asked) -> bool:
    return asked.request.method == "GET" and len(asked.parts) == 1 and asked.parts[0][0].isupper()


def _remembered(query: list[tuple[str, str]], forgotten: list[str] | None) -> list[tuple[str, str]]:
    """What is left of a query without some parameters, or where none is named without anything that was searched for."""
    return [(name, value) for name, value in query if (name in KEPT_PARAMETERS if forgotten is None else name.partition(":")[0] not in forgotten)]


def _link(bundle: Fhir, relation: str) -> str | None:
    return next((one["url"] for one in bundle["link"] if one["relation"] == relation), None)


def _linked(bundle: Fhir, relation: str, url: str, origin: str = "") -> Fhir:
    """The Bundle with that link, whether it had one or not."""
    others = [one for one in bundle["link"] if one["relation"] != relation]
    return {**bundle, "link": [*others, {"relation": relation, "url": origin + url}]}
