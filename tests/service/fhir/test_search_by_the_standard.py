"""Whatever is searched by, what is found is what R4 says: held against a reference that looks at every resource."""

import random
import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlencode

import pytest

from mappings.search import COMMON, PARAMETERS
from service.renderings import text_of
from service.wiring import Service
from tests.conftest import Clock, Http
from tests.service.fhir.reference import Definition, Resource, _codings, _texts, date_range, definition, elements, matches
from tests.service.tables import dicts
from tests.service.worlds import body, world

Query = list[tuple[str, str]]
MORE = [pytest.param(seed, marks=pytest.mark.slow) for seed in (2, 3, 4)]
SWAPPED = str.maketrans("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ", "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz")


@pytest.fixture
def published(clinic: Http, clock: Clock, request: Any) -> Http:
    seed = request.node.callspec.params["seed"]
    for n, (kind, it) in enumerate(world(seed)):
        if n % 5 == 0:
            clock.forward(seconds=37)  # several in each commit time, and several commit times
        assert clinic.put(f"/api/v1/{kind.plural}/{it.id}", body(it)).status == 201
    for plural, id_ in (("adverse-events", "a1"), ("screenings", "s2")):
        clock.forward(seconds=1)
        assert clinic.delete(f"/api/v1/{plural}/{id_}").status == 200
    return clinic


def readable(service: Service, one: Http) -> dict[str, list[Resource]]:
    """Every resource that a reader may read, by type, read one by one."""
    found: dict[str, list[Resource]] = {}
    for row in dicts(service.database, "resource"):
        reply = one.get(f"/fhir/r4/{row['type']}/{text_of(bytes(row['uuid']))}")
        if reply.status == 200:
            found.setdefault(row["type"], []).append(reply.json)
    return found


class Asker:
    """Makes up searches from what is there: values that some resource has, and values that none has."""

    def __init__(self, rng: random.Random, there: dict[str, list[Resource]]):
        self.rng, self.there = rng, there

    def criterion(self, type_: str, name: str) -> tuple[str, str]:
        parameter, rng = definition(type_, name), self.rng
        found = [e for resource in rng.sample(self.there.get(type_, []), min(12, len(self.there.get(type_, [])))) for e in elements(resource, parameter.expression)]
        if rng.random() < 0.06 and name != "_id":
            return f"{name}:missing", rng.choice(["true", "false"])
        modifier, values = getattr(self, parameter.kind)(parameter, found)
        return name + modifier, values

    def some(self, values: list[str]) -> str:
        return ",".join(self.rng.sample(values, min(len(values), self.rng.choice([1, 1, 1, 2, 3])))) if values else "nothing-has-this"

    def token(self, parameter: Definition, found: list[Any]) -> tuple[str, str]:
        said = []
        for code, system in [(escaped(code), system) for element in found for code, system in _codings(element)]:
            said += [code, code, f"{escaped(system or '')}|{code}", f"|{code}", f"http://nowhere.example|{code}"]
            said += [f"{escaped(system)}|"] if system else []
        modifier = ":not" if self.rng.random() < 0.15 and parameter.name != "_id" else ""
        return modifier, self.some(said or ["nothing"])

    def reference(self, parameter: Definition, found: list[Any]) -> tuple[str, str]:
        named = [e if isinstance(e, str) else e["reference"] for e in found if isinstance(e, str) or "reference" in e]
        if not named or "://" in named[0]:
            return "", self.some(named) if named else "00000000-0000-5000-8000-000000000000"
        one = self.rng.choice(named)
        type_, _, id_ = one.partition("/")
        if type_ not in PARAMETERS_OF(parameter).targets:
            return "", self.rng.choice([n for n in named if n.partition("/")[0] in PARAMETERS_OF(parameter).targets] or ["00000000-0000-5000-8000-000000000000"])
        return self.rng.choice([("", one), ("", id_), ("", f"http://127.0.0.1:8000/fhir/r4/{one}"), (f":{type_}", id_), ("", f"{one},{type_}/other")])

    def string(self, _parameter: Definition, found: list[Any]) -> tuple[str, str]:
        texts = [text for element in found for text in _texts(element)] or ["nobody"]
        text, rng = self.rng.choice(texts), self.rng
        modifier = rng.choice(["", "", ":exact", ":contains"])
        if modifier == ":exact":
            text = rng.choice([text, text.translate(SWAPPED), text[:-1] or text])
        elif modifier == ":contains":
            at = rng.randrange(len(text))
            text = text[at : at + rng.randint(1, 6)]
        else:
            text = rng.choice([text, text[: rng.randint(1, len(text))], text.upper(), text.casefold()])
        return modifier, escaped(text)

    def date(self, _parameter: Definition, found: list[Any]) -> tuple[str, str]:
        texts = [t for e in found for t in ([e] if isinstance(e, str) else [e[n] for n in ("start", "end") if n in e])] or ["2026-03-02"]
        text = self.rng.choice(texts)
        made = [text, text[:4], text[:7], text[:10]]
        if "T" in text:
            offset = re.search(r"(Z|[+-]\d\d:\d\d)$", text)
            made += [f"{text[:16]}{offset[1] if offset else ''}", text[:16] + "Z", text[:10] + "T23:59:59+01:00"]
        prefix = self.rng.choice(["", "eq", "ne", "gt", "ge", "lt", "le", "sa", "eb"])
        return "", prefix + self.rng.choice([one for one in made if one])

    def quantity(self, _parameter: Definition, found: list[Any]) -> tuple[str, str]:
        element = self.rng.choice(found or [{"value": 5, "code": "mg", "system": "http://unitsofmeasure.org"}])
        number = self.rng.choice([str(element["value"]), str(int(element["value"])), str(int(element["value"]) + 1), f"{element['value']:.2f}", "-1"])
        prefix = self.rng.choice(["", "eq", "ne", "gt", "ge", "lt", "le", "sa", "eb"])
        code, system = element.get("code", "1"), element.get("system", "")
        return "", prefix + number + self.rng.choice(["", f"|{system}|{code}", f"||{code}", f"|{system}|none", f"|http://nowhere.example|{code}"])

    def query(self, type_: str) -> Query:
        names = [*PARAMETERS[type_], "_id", "_lastUpdated"]
        return [self.criterion(type_, self.rng.choice(names)) for _ in range(self.rng.choice([1, 1, 1, 2, 2, 3]))]


def PARAMETERS_OF(parameter: Definition) -> Any:
    """What this server says that it follows: it may know of fewer targets than HL7."""
    return PARAMETERS[parameter.type].get(parameter.name) or COMMON[parameter.name]


def escaped(text: str) -> str:
    return re.sub(r"([\\,|$])", r"\\\1", text)


def expected(there: dict[str, list[Resource]], type_: str, query: Query) -> set[str]:
    found = set()
    for resource in there.get(type_, []):
        if all(matches(resource, definition(type_, name.partition(":")[0]), name.partition(":")[2], value) for name, value in query):
            found.add(resource["id"])
    return found


def pages(one: Http, path: str) -> Iterator[dict[str, Any]]:
    while path:
        reply = one.get(path)
        assert reply.status == 200, (path, reply)
        yield reply.json
        path = reply.link("next")


def asked(one: Http, type_: str, query: Query, **more: str) -> list[str]:
    """The ids that a search finds, page by page, in their order."""
    found = [e["resource"]["id"] for bundle in pages(one, f"/fhir/r4/{type_}?{urlencode([*query, *more.items()])}") for e in bundle.get("entry", [])]
    assert len(found) == len(set(found)), (type_, query, more, "is told twice")
    return found


@pytest.mark.parametrize("seed", [1, *MORE])
def test_every_parameter_finds_what_r4_says_that_it_finds(seed: int, published: Http, reader: Any, service: Service) -> None:
    rng = random.Random(seed)
    for level in (3, rng.choice([0, 1, 2])):
        one = reader(level)
        there = readable(service, one)
        asker = Asker(rng, there)
        for type_ in PARAMETERS:
            for name in [*PARAMETERS[type_], "_id", "_lastUpdated"]:
                for _ in range(6):
                    query = [asker.criterion(type_, name)]
                    assert set(asked(one, type_, query)) == expected(there, type_, query), (level, type_, query)


@pytest.mark.slow
@pytest.mark.parametrize("seed", [2, 4, 5])
def test_several_parameters_together_find_what_meets_all_of_them(seed: int, published: Http, reader: Any, service: Service) -> None:
    rng = random.Random(seed)
    for level in (3, 1):
        one = reader(level, role="gp")
        there = readable(service, one)
        asker = Asker(rng, there)
        for _ in range(250):
            type_ = rng.choice([*PARAMETERS, *["Observation"] * 10, *["Encounter"] * 5])
            query = asker.query(type_)
            wanted = expected(there, type_, query)
            assert set(asked(one, type_, query, _count=str(rng.choice([1, 2, 5, 50])))) == wanted, (level, type_, query)
            counted = one.get(f"/fhir/r4/{type_}?{urlencode([*query, ('_summary', 'count')])}").json
            assert (counted["total"], "entry" in counted) == (len(wanted), False), (type_, query)
            assert one.get(f"/fhir/r4/{type_}?{urlencode([*query, ('_total', 'accurate'), ('_count', '1')])}").json["total"] == len(wanted)


@pytest.mark.parametrize("seed", [6])
def test_a_search_that_is_sorted_finds_the_same_in_the_order_of_time(seed: int, published: Http, reader: Any, service: Service) -> None:
    rng = random.Random(seed)
    one = reader(3)
    there = readable(service, one)
    asker = Asker(rng, there)
    for type_ in PARAMETERS:
        dated = [name for name, parameter in PARAMETERS[type_].items() if parameter.type == "date"]
        for name in [*dated, "_lastUpdated"]:
            for way in ("", "-"):
                for query in ([], asker.query(type_)):
                    found = asked(one, type_, query, _sort=way + name, _count="3")
                    assert set(found) == expected(there, type_, query), (type_, query, way + name)
                    by_id = {resource["id"]: resource for resource in there.get(type_, [])}
                    starts = [[date_range(e)[0] for e in elements(by_id[id_], definition(type_, name).expression)] for id_ in found]
                    given = [min(one) for one in starts if one]
                    assert given == sorted(given, reverse=way == "-"), (type_, name, way)
                    empty = [n for n, one in enumerate(starts) if not one]
                    assert empty in ([], list(range(len(empty))), list(range(len(starts) - len(empty), len(starts)))), "those without a time stand together"
