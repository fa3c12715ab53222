"""Resources of generated entities, and what becomes of them when erased, for the HL7 validator: `python -m tests.mappings.generated FOLDER`."""

import sys
from pathlib import Path

from mappings import KINDS, Ids
from mappings.disclosure import VIEWS, withhold
from mappings.rules import Around, Thresholds, findings
from mappings.tombstones import entered_in_error
from tests.generate import TENANT, Maker
from tests.mappings.written import compact

EACH = 19  # of each kind: some 200 entities in all
DENSITIES = (0.2, 0.5, 0.8, 1.0)


def write(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for kind in KINDS.values():
        lines: dict[str, None] = {}  # what is the same in several views stands there once
        for seed in range(EACH):
            entity = Maker(seed, DENSITIES[seed % len(DENSITIES)]).entity(kind)
            found = findings(kind, entity, Around(), Thresholds(), KINDS)
            for view in VIEWS:
                for resource in kind.to_fhir(withhold(entity, view), Ids(TENANT), view, found):
                    lines[compact(resource)] = None
                    erased = entered_in_error(resource)
                    if erased is not None:
                        lines[compact(erased)] = None
        (folder / f"{kind.name}.ndjson").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    write(Path(sys.argv[1]))
