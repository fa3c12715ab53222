"""All that a reader of a level can get of a world, call by call; two worlds that are to be the same have to agree in every byte."""

import re
from typing import Any

from sqlalchemy import select

from mappings.search import PARAMETERS
from service.renderings import text_of
from service.store.tables import delivery, resource
from service.wiring import Service
from tests.conftest import Http, Reply

Answer = tuple[int, dict[str, str], bytes]
Seen = dict[str, Any]
TOKEN = re.compile(rb"_page=[0-9a-f]+")


def observed(http: Http, names: list[str], *, one_by_one: bool, page: int = 20) -> Seen:
    """Every answer to a reader who searches in every way, and who asks for each of `names` (Type/id, seen or not) by itself."""
    found: Seen = {}
    for type_ in sorted(PARAMETERS):
        for query in ("_count=1000&_total=accurate", "_summary=count", "_count=20&_include=*&_revinclude=Provenance:target", f"_sort=-_lastUpdated&_count={page}"):
            _pages(http, f"/fhir/r4/{type_}?{query}", found)
    for name in names:
        if name.split("/")[0] in ("Patient", "Encounter"):
            _pages(http, f"/fhir/r4/{name}/$everything" + ("?_count=10" if name.startswith("Patient") else ""), found)
    for n, name in enumerate(names if one_by_one else []):
        _one(http, name, found, closely=not n % 9)
    return found


def _one(http: Http, name: str, found: Seen, *, closely: bool) -> None:
    """A resource and its history, whose entries are what its versions answer; now and then each version, and under conditions."""
    url = f"/fhir/r4/{name}"
    reply = _get(http, url, found)
    history = _get(http, f"{url}/_history", found)
    if not closely:
        return
    if reply.status == 200:
        _get(http, url, found, If_None_Match=reply.headers["ETag"])
        _get(http, url, found, If_Modified_Since=reply.headers["Last-Modified"])
    for entry in history.json.get("entry", []) if history.status == 200 else []:
        _get(http, f"{url}/_history/{entry['response']['etag'][3:-1]}", found)
    _get(http, f"{url}/_history/another", found, If_None_Match="*")


def _pages(http: Http, path: str, found: Seen) -> None:
    n, at = 0, path
    while at:
        reply = http.get(at)
        assert reply.status in (200, 404, 410), reply
        found[f"{path} page {n}"] = answer(reply)
        at, n = reply.link("next") if reply.status == 200 else "", n + 1


def _get(http: Http, path: str, found: Seen, **headers: str) -> Reply:
    reply = http.get(path, **headers)
    found[f"{path} {headers}" if headers else path] = answer(reply)
    return reply


def answer(reply: Reply) -> Answer:
    """What is compared of an answer: all of it but the request's own id, and where a page's sealed link leads, whose length is compared."""
    headers = {name: value for name, value in reply.headers.items() if name != "X-Request-ID"}
    return reply.status, headers, TOKEN.sub(lambda token: b"_page=%d digits" % len(token[0]), reply.body)


def everything_there(service: Service) -> list[str]:
    """Type/id of every resource that was ever stored, at whatever level."""
    with service.database.reading() as connection:
        return sorted(f"{row.type}/{text_of(bytes(row.uuid))}" for row in connection.execute(select(resource.c.type, resource.c.uuid)))


def owed(service: Service, target: str) -> list[tuple[Any, ...]]:
    """The deliveries of an EHR in their order, without their numbers, which nobody outside is told."""
    d = delivery.c
    query = (
        select(resource.c.type, resource.c.uuid, d.state, d.reason, d.unsure, d.attempts, d.created_at, d.changed_at)
        .join(resource, resource.c.num == d.resource).where(d.target == target).order_by(d.num)
    )  # fmt: skip
    with service.database.reading() as connection:
        return [(row.type, text_of(bytes(row.uuid)), *row[2:]) for row in connection.execute(query)]


def differences(one: Seen, other: Seen) -> list[str]:
    """What two worlds answer differently, in words that a failing test can show."""
    return [f"{call}\n    {one.get(call)!s:.1500}\n    {other.get(call)!s:.1500}" for call in sorted(one | other) if one.get(call) != other.get(call)]
