"""If-None-Exist (F1): none found 201, one 200, several 412, and never two where one was asked for."""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests

from tests.sandbox.client import Client, issues, name
from tests.sandbox.samples import condition, least


def test_creates_once_and_then_answers_with_what_is_there(plain: Client, about: str) -> None:
    body = least("Observation", about)
    first = plain.post("Observation", body, If_None_Exist=condition(body))
    again = plain.post("Observation", body, If_None_Exist=condition(body))
    assert (first.status_code, again.status_code) == (201, 200)
    assert again.json() == first.json()
    assert again.headers["Location"] == first.headers["Location"]
    assert again.headers["ETag"] == 'W/"1"'


def test_looks_only_at_the_type_that_is_created(plain: Client, about: str) -> None:
    body = least("Observation", about)
    plain.create(body)
    procedure = {**least("Procedure", about), "identifier": body["identifier"]}
    assert plain.post("Procedure", procedure, If_None_Exist=condition(body)).status_code == 201


def test_does_not_see_what_was_deleted(plain: Client, about: str) -> None:
    body = least("Observation", about)
    plain.delete(name(plain.create(body)))
    assert plain.post("Observation", body, If_None_Exist=condition(body)).status_code == 201


def test_sees_the_identifier_that_a_resource_has_now_and_not_the_one_that_it_had(plain: Client, about: str) -> None:
    before, after = least("Observation", about), least("Observation", about)
    created = plain.create(before)
    plain.update({**created, "identifier": after["identifier"]})
    assert plain.post("Observation", before, If_None_Exist=condition(after)).status_code == 200
    assert plain.post("Observation", before, If_None_Exist=condition(before)).status_code == 201


def test_is_412_when_several_are_there(plain: Client, about: str) -> None:
    body = least("Observation", about)
    both = [plain.create(body), plain.create(body)]
    answer = plain.post("Observation", body, If_None_Exist=condition(body))
    assert (answer.status_code, issues(answer)) == (412, [("multiple-matches", None)])
    assert all(name(one) in answer.json()["issue"][0]["diagnostics"] for one in both)


@pytest.mark.parametrize("unclear", ["colour=blue", "_count=1", "", "identifier=", "date=yesterday"])
def test_is_400_for_a_condition_that_it_does_not_understand(plain: Client, about: str, unclear: str) -> None:
    assert plain.post("Observation", least("Observation", about), If_None_Exist=unclear).status_code == 400


def test_an_adverse_event_is_looked_for_by_subject_and_date_since_r4_has_no_identifier_to_search_it_by(plain: Client, about: str) -> None:
    body = least("AdverseEvent", about)
    assert plain.post("AdverseEvent", body, If_None_Exist="identifier=urn:example:ids|1").status_code == 400
    by = f"subject={about}&date=2026-03-02"
    assert [plain.post("AdverseEvent", body, If_None_Exist=by).status_code for _ in range(2)] == [201, 200]


def test_of_32_at_once_one_creates_and_31_are_told(plain: Client, about: str) -> None:
    body = least("Observation", about)

    def attempt(_number: int) -> tuple[int, str]:
        with requests.Session() as session:
            answer = Client(session, plain.base).post("Observation", body, If_None_Exist=condition(body))
            return answer.status_code, answer.json()["id"]

    with ThreadPoolExecutor(32) as threads:
        answers = list(threads.map(attempt, range(32)))
    assert Counter(status for status, _ in answers) == {201: 1, 200: 31}
    assert len({resource_id for _, resource_id in answers}) == 1
