"""What is published from the code is what the code says today."""

from collections.abc import Iterator
from typing import Any

from mappings.code_table import OURS
from mappings.definitions import definitions
from mappings.disclosure import Level
from mappings.rules import RULES
from tests.mappings.goldens import cases
from tests.mappings.published import FOLDERS, written

PUBLISHED = tuple(f"{OURS}/{type_}/" for type_ in ("CodeSystem", "StructureDefinition", "Questionnaire"))


def test_no_published_file_is_stale_missing_or_left_over() -> None:
    files = written()
    assert [str(path) for path, text in files.items() if not path.exists() or path.read_text() != text] == []  # else: make docs
    assert {path for folder in FOLDERS for path in folder.iterdir()} == set(files)


def test_every_system_extension_and_questionnaire_that_the_goldens_name_is_published() -> None:
    named = {text.partition("|")[0] for one in cases() for text in texts(one.view(Level.C3)) if text.startswith(PUBLISHED)}
    assert named <= {one["url"] for one in definitions()}


def test_a_rule_that_judges_several_kinds_says_so_for_each() -> None:
    [rules] = [one for one in definitions() if one["resourceType"] == "CodeSystem" and one["id"] == "rule"]
    displays = {concept["code"]: concept["display"] for concept in rules["concept"]}
    assert displays.keys() == {rule.id for rule in RULES}
    assert all(rule.text in displays[rule.id] for rule in RULES)


def texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from texts(inner)
