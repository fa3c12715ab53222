"""Every public code that the mapping can write was seen in a published source; what has none is a code of our own, and published."""

import importlib
import pkgutil
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest

import mappings
from mappings import Ids, codes
from mappings.code_table import HL7, LOINC, OURS, OWN, SNOMED, UCUM, Codes, own_system, table
from mappings.definitions import definitions
from mappings.disclosure import Level
from mappings.element import walked
from mappings.leaves import Fixed
from mappings.patient import LANGUAGES
from tests.generate import ALL_KINDS, TENANT, Maker
from tests.mappings.goldens import cases

VERIFIED = Path(__file__).parents[1] / "data" / "verified_codes.tsv"
RXNORM = "http://www.nlm.nih.gov/research/umls/rxnorm"
PUBLIC = (LOINC, SNOMED, codes.DMD, codes.ATC, RXNORM)
HL7S_OWN = (HL7, "http://hl7.org/fhir/", "https://fhir.hl7.org.uk/", UCUM, LANGUAGES)  # counted as verified
NEVER_WRITTEN = (f"{OURS}/CodeSystem/answered-by", f"{OURS}/CodeSystem/signed-by", f"{OURS}/Questionnaire", f"{OURS}/Id/registration-body")  # terms alone


@cache
def verified() -> frozenset[tuple[str, str]]:
    rows = [line.split("\t") for line in VERIFIED.read_text().splitlines()[1:]]
    return frozenset((system, code) for system, code in rows)


@cache
def written() -> frozenset[tuple[str, str]]:
    """Every coding in a table or a constant of the mapping, in what it publishes, and in what it makes of many entities."""
    found: set[tuple[str, str]] = set()
    for info in pkgutil.walk_packages(mappings.__path__, "mappings."):
        found |= {coding for value in vars(importlib.import_module(info.name)).values() for coding in codings(value)}
    for kind in ALL_KINDS:
        for resource in kind.resources:
            found |= {coding for _, element in walked(resource.tree, "") if isinstance(element, Fixed) for coding in codings(element.value)}
        for seed in range(60):
            for resource in kind.to_fhir(Maker(seed, 1.0).entity(kind), Ids(TENANT), Level.C3):
                held = "medicationCodeableConcept" if resource["resourceType"] == "MedicationStatement" else ""  # a dm+d code as the clinic holds it
                found |= {coding for name, value in resource.items() if name != held for coding in codings(value)}
    for one in (*definitions(), *(resource for case in cases() for resource in case.view(Level.C3))):
        found |= set(codings(one))
    return frozenset(found)


def codings(value: Any) -> Iterator[tuple[str, str]]:
    if isinstance(value, Codes):
        for term in value:
            yield from codings(value.codings(term))
    elif isinstance(value, dict):
        if isinstance(value.get("system"), str) and isinstance(value.get("code"), str):
            yield value["system"], value["code"]
        for inner in value.values():
            yield from codings(inner)
    elif isinstance(value, list | tuple | frozenset):
        for inner in value:
            yield from codings(inner)
    elif is_dataclass(value) and not isinstance(value, type):
        for field in fields(value):
            yield from codings(getattr(value, field.name))


def test_every_public_code_was_seen_in_a_published_source() -> None:
    public = {one for one in written() if one[0] in PUBLIC}
    assert len(public) > 150  # the walk does find them
    assert public - verified() == set()


def test_a_code_that_nobody_published_is_one_of_our_own_code_systems() -> None:
    ours = {one for one in written() if one[0].startswith(f"{OURS}/CodeSystem/") and one[0] not in NEVER_WRITTEN}
    published = {(system["url"], concept["code"]) for system in definitions() if system["resourceType"] == "CodeSystem" for concept in system["concept"]}
    assert ours - published == set()


def test_no_code_is_of_a_system_that_we_do_not_know() -> None:
    systems = {system for system, _ in written()}
    known = {own_system(name) for name in (*OWN, "rule")} | set(NEVER_WRITTEN) | set(PUBLIC)
    assert {system for system in systems if system not in known and not system.startswith(HL7S_OWN)} == set()


@pytest.mark.parametrize("rows", [{"a": ("1", "One"), "b": ("1", "One again")}, {"a": ("b", "B"), "b": ("b", "B")}])
def test_a_table_whose_way_back_is_ambiguous_refuses_to_load(rows: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="two terms share"):
        table(SNOMED, rows)


def test_a_term_comes_back_by_any_of_its_codings_unless_they_contradict_each_other() -> None:
    ketamine, esketamine = codes.DRUG.codings("ketamine"), codes.DRUG.codings("esketamine")
    assert {codes.DRUG.term_of_concept({"coding": [one]}) for one in ketamine} == {"ketamine"}
    with pytest.raises(ValueError, match="contradict"):
        codes.DRUG.term_of_concept({"coding": [ketamine[0], esketamine[0]]})
