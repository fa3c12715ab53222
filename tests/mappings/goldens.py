"""The golden cases: entities of one invented clinic, and what each view of them is in FHIR. `python -m tests.mappings.goldens` rewrites the views.

    tests/golden/<kind>/<case>/entity.json          our JSON, written by hand
                              r4.json               what the clinic itself sees (C3)
                              r4.c0.json ...        what a reader of that level sees

All cases together are the clinic's records: an entity's surroundings, for its findings, are the other cases of its patient.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any
from uuid import UUID

from mappings import KINDS, Ids
from mappings.disclosure import VIEWS, Level, withhold
from mappings.element import Fhir
from mappings.findings import Finding
from mappings.kind import Kind
from mappings.rules import Thresholds, findings
from mappings.rules.rule import around
from mappings.schema import load
from tests.mappings.written import pretty

GOLDEN = Path(__file__).parents[1] / "golden"
TENANT = UUID("0c9d2a3e-7f51-4c0b-9a55-2b1d6e0f8a77")
FILES = {Level.C3: "r4.json", Level.C0: "r4.c0.json", Level.C1: "r4.c1.json", Level.C2: "r4.c2.json"}


@dataclass(frozen=True)
class Case:
    kind: Kind
    name: str
    folder: Path
    entity: Any

    def __str__(self) -> str:
        return f"{self.kind.name}/{self.name}"

    def view(self, level: Level) -> list[Fhir]:
        return self.kind.to_fhir(withhold(self.entity, level), Ids(TENANT), level, self.findings())

    def findings(self) -> tuple[Finding, ...]:
        patient = getattr(self.entity, "patient_id", self.entity.id)
        others = [(c.kind.name, c.entity) for c in cases() if getattr(c.entity, "patient_id", c.entity.id) == patient or c.kind.name == "practitioner"]
        return findings(self.kind, self.entity, around(self.entity, others), Thresholds(), KINDS)


@cache
def cases() -> tuple[Case, ...]:
    return tuple(_found())


def case(name: str) -> Case:
    return next(c for c in cases() if str(c) == name)


def _found() -> Iterator[Case]:
    for folder in sorted(GOLDEN.glob("*/*")):
        body = json.loads((folder / "entity.json").read_text(), parse_float=Decimal)
        kind = KINDS[folder.parent.name]
        yield Case(kind, folder.name, folder, load(kind, body))


def bundle(resources: list[Fhir]) -> Fhir:
    """A view as a Bundle; one that has nothing to show has no entries."""
    entries = [{"fullUrl": f"urn:uuid:{r['id']}", "resource": r} for r in resources]
    return {"resourceType": "Bundle", "type": "collection", **({"entry": entries} if entries else {})}


@cache
def written() -> dict[Path, str]:
    """Every view of every case, as its file should be."""
    return {one.folder / FILES[level]: pretty(bundle(one.view(level))) for one in cases() for level in VIEWS}


if __name__ == "__main__":
    for path, text in written().items():
        path.write_text(text)
