"""What is published from the code: the definitions, and the tables of the mapping. `python -m tests.mappings.published` rewrites them."""

from pathlib import Path

from mappings.definitions import definitions, file_name
from mappings.documentation import tables
from mappings.levels import levels
from tests.mappings.written import pretty

DOCS = Path(__file__).parents[2] / "docs"
FOLDERS = (DOCS / "definitions", DOCS / "mapping")


def written() -> dict[Path, str]:
    files = {DOCS / "definitions" / file_name(one): pretty(one) for one in definitions()}
    return files | {DOCS / "mapping" / name: text for name, text in [*tables(), ("levels.md", levels())]}


if __name__ == "__main__":
    files = written()
    for folder in FOLDERS:
        folder.mkdir(exist_ok=True)
        for path in {*folder.iterdir()} - set(files):
            path.unlink()
    for path, text in files.items():
        path.write_text(text)
