"""What real EHRs do, line by line: each line has a test that names it, and none is forgotten."""

import ast
import re
from pathlib import Path

import pytest

SYNC = Path(__file__).parent.parent
MARK = re.compile(r"\b([ECNFSR]\d+)\b")
LINES = {"E": 6, "C": 10, "N": 6}
ELSEWHERE: dict[str, list[str]] = {}
"""Lines whose tests are in other files, by file and name."""


def named(file: str) -> dict[str, str]:
    """The tests of a file, with what their docstrings say."""
    found = ast.walk(ast.parse((SYNC / file).read_text()))
    return {one.name: ast.get_docstring(one) or "" for one in found if isinstance(one, ast.FunctionDef) and one.name.startswith("test_")}


def marked() -> set[str]:
    """The lines that are named at the beginning of a test's docstring, before its colon."""
    files = [f"personas/{one.name}" for one in Path(__file__).parent.glob("test_*.py")]
    heads = [words.partition(":")[0] for file in files for words in named(file).values()]
    return {line for head in heads for line in MARK.findall(head)}


@pytest.mark.parametrize("line", [f"{letter}{number}" for letter, many in LINES.items() for number in range(1, many + 1)])
def test_every_line_has_its_test(line: str) -> None:
    assert line in marked() or line in ELSEWHERE


def test_every_test_that_is_said_to_be_elsewhere_is_there() -> None:
    assert [one for found in ELSEWHERE.values() for one in found if one.partition("::")[2] not in named(one.partition("::")[0])] == []
