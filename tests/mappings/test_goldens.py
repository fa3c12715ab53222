"""The golden cases are complete, coherent, invented, and what the mapping writes today."""

import re
from collections.abc import Iterator
from typing import Any

import pytest

from mappings import KINDS, Ids, model
from mappings.disclosure import VIEWS, Level, withhold
from mappings.model import references_of
from tests.mappings.goldens import FILES, GOLDEN, TENANT, Case, bundle, case, cases, written

every_case = pytest.mark.parametrize("one", cases(), ids=str)
MAIN = ("screening", "dosing-encounter", "emdr-procedure", "integration-care-plan")


@every_case
def test_a_golden_file_is_what_the_mapping_writes(one: Case) -> None:
    for path, text in written().items():
        if path.parent == one.folder:
            assert path.exists() and path.read_text() == text, f"{path} is stale: make goldens"


def test_no_golden_file_is_left_over() -> None:
    wanted = {*written(), *(one.folder / "entity.json" for one in cases())}
    assert {path for path in GOLDEN.rglob("*") if path.is_file()} == wanted


@pytest.mark.parametrize("kind", KINDS)
def test_there_are_enough_cases_of_each_kind(kind: str) -> None:
    assert sum(one.kind.name == kind for one in cases()) >= (8 if kind in MAIN else 2)


@pytest.mark.parametrize("kind", KINDS)
def test_one_case_of_each_kind_sets_every_field(kind: str) -> None:
    entity = case(f"{kind}/every-field").entity
    assert set(fields_of(type(entity))) - set(fields_set(entity)) == set()


@every_case
def test_what_a_view_of_a_golden_case_says_comes_back_as_it_was(one: Case) -> None:
    for view in VIEWS:
        ids = Ids(TENANT)
        seen = withhold(one.entity, view)
        assert one.kind.from_fhir(one.kind.to_fhir(seen, ids, view, one.findings()), ids, view) == seen


@every_case
def test_what_a_golden_case_refers_to_is_a_golden_case(one: Case) -> None:
    known = {(other.kind.name, other.entity.id): other.entity for other in cases()}
    for pointer, to, key in references_of(one.entity):
        if to.items is None:
            assert (to.kind, key) in known, f"{pointer} refers to {key}"
        else:
            owner = one.entity.id if to.via is None else value_at(one.entity, to.via)
            assert key in {item.id for item in getattr(known[to.kind, owner], to.items)}, f"{pointer} refers to {key}"


def test_golden_people_are_invented() -> None:
    numbers = {one.entity.nhs_number for one in cases() if one.kind.name == "patient"} - {None}
    assert numbers <= {"9000000009", "9434765919", "9912003888"}
    for one in cases():
        text = (one.folder / "entity.json").read_text()
        assert all(phone.startswith(("01632 960", "07700 900")) for phone in re.findall(r"\b0\d{4} \d{6}\b", text))  # Ofcom's numbers for drama
        assert all(domain.endswith((".example", "example.org")) for domain in re.findall(r'@([^"]+)"', text))
        assert all(code.startswith("ZZ99 ") for code in re.findall(r'"postalCode": "([^"]+)"', text))


def test_an_absent_view_is_a_bundle_without_entries() -> None:
    assert bundle([]) == {"resourceType": "Bundle", "type": "collection"}
    one = case("consent/treatment")
    assert (one.folder / FILES[Level.C0]).read_text() == '{\n  "resourceType": "Bundle",\n  "type": "collection"\n}\n'


def test_decimals_stay_as_they_were_recorded() -> None:
    assert '"value": 0.50,' in (GOLDEN / "dosing-encounter/iv-infusion-with-wasted-drug/r4.json").read_text()
    assert '"value": 68.40,' in (GOLDEN / "screening/every-field/r4.json").read_text()


def test_a_view_holds_the_findings_of_its_level() -> None:
    one = case("emdr-procedure/processing-with-a-high-des-ii")
    codes = {level: {r["code"]["coding"][0]["code"] for r in one.view(level) if r["resourceType"] == "DetectedIssue"} for level in VIEWS}
    assert codes[Level.C0] == codes[Level.C1] == set()
    assert {"R50", "R52"} <= codes[Level.C2] <= codes[Level.C3]


def fields_of(cls: type, prefix: str = "") -> Iterator[str]:
    for field in model.fields_of(cls):
        yield f"{prefix}{field.json}"
        if field.group is not None:
            yield from fields_of(field.group, f"{prefix}{field.json}.")


def fields_set(it: Any, prefix: str = "") -> Iterator[str]:
    for field in model.fields_of(type(it)):
        value = getattr(it, field.name)
        if value is None or value == ():
            continue
        yield f"{prefix}{field.json}"
        if field.group is not None:
            for inner in value if field.many else [value]:
                yield from fields_set(inner, f"{prefix}{field.json}.")


def value_at(it: Any, path: str) -> Any:
    for name in path.split("."):
        it = getattr(it, name)
    return it
