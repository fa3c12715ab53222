"""What real EHRs do, line by line: each line has a test that names it, and none is forgotten."""

import ast
import re
from pathlib import Path

import pytest

TESTS = Path(__file__).parent.parent.parent
MARK = re.compile(r"\b([ECNFSR]\d+)\b")
LINES = {"E": 6, "C": 10, "N": 6, "F": 17, "S": 8, "R": 5}
"""Epic, Oracle, NHS, FHIR R4, SMART Backend Services, rates; how many each has. Subscriptions are not taken, so there are none of them."""
AUTH, KEYS = "sync/test_auth.py::", "service/security/test_keys.py::"
ELSEWHERE: dict[str, list[str]] = {
    "S1": [
        f"{AUTH}test_an_assertion_is_signed_as_smart_asks_and_gets_a_token",
        f"{AUTH}test_the_audience_is_the_token_endpoint_to_the_letter",
        f"{AUTH}test_no_two_assertions_are_the_same_however_many_are_made_at_once",
    ],
    "S2": [f"{AUTH}test_an_assertion_is_signed_as_smart_asks_and_gets_a_token"],
    "S3": [
        f"{KEYS}test_anybody_may_read_the_public_part_of_a_key_and_verify_with_it",
        f"{AUTH}test_old_and_new_key_overlap_so_that_an_ehr_that_keeps_our_key_set_is_never_surprised",
    ],
    "S4": [
        f"{AUTH}test_a_token_is_used_for_most_of_its_life", f"{AUTH}test_a_token_serves_many_calls_whatever_is_said_of_its_life",
        f"{AUTH}test_a_token_is_replaced_before_it_ends",
    ],
    "S5": [f"{AUTH}test_an_ehr_that_grants_less_than_was_asked_for_is_shown_as_degraded"],
    "S6": [
        f"{AUTH}test_a_token_that_ends_in_the_middle_of_a_batch_is_replaced_once_and_everything_arrives",
        f"{AUTH}test_an_ehr_that_takes_no_new_token_either_is_left_alone",
    ],
    "S7": [f"{AUTH}test_a_clock_that_is_not_quite_ours_lets_us_in"],
    "S8": [f"{AUTH}test_a_token_goes_to_its_ehr_alone_wherever_answers_point"],
}
"""Lines whose tests are in other files, by file and name."""


def named(file: str) -> dict[str, str]:
    """The tests of a file, with what their docstrings say."""
    found = ast.walk(ast.parse((TESTS / file).read_text()))
    return {one.name: ast.get_docstring(one) or "" for one in found if isinstance(one, ast.FunctionDef) and one.name.startswith("test_")}


def marked() -> set[str]:
    """The lines that are named at the beginning of a test's docstring, before its colon."""
    files = [str(one.relative_to(TESTS)) for one in Path(__file__).parent.glob("test_*.py")]
    heads = [words.partition(":")[0] for file in files for words in named(file).values()]
    return {line for head in heads for line in MARK.findall(head)}


@pytest.mark.parametrize("line", [f"{letter}{number}" for letter, many in LINES.items() for number in range(1, many + 1)])
def test_every_line_has_its_test(line: str) -> None:
    assert line in marked() or line in ELSEWHERE


def test_every_test_that_is_said_to_be_elsewhere_is_there() -> None:
    assert [one for found in ELSEWHERE.values() for one in found if one.partition("::")[2] not in named(one.partition("::")[0])] == []
