"""Faults as they are set: what is refused, which requests they meet, how often they happen, and where that is told."""

from collections.abc import Callable
from typing import Any

import pytest
import requests

from sandbox.faults import KINDS
from tests.sandbox.client import Client, Fhir, name
from tests.sandbox.samples import least

SetFault = Callable[..., str]


@pytest.fixture
def faults(origin: str, session: requests.Session) -> Callable[[], list[Fhir]]:
    return lambda: session.get(f"{origin}/_sandbox/faults").json()


def problems(answer: requests.Response) -> dict[str, str]:
    assert (answer.status_code, answer.headers["Content-Type"]) == (422, "application/problem+json")
    return {error["pointer"]: error["detail"] for error in answer.json()["errors"]}


class TestSetting:
    def test_one_is_told_as_it_was_set_with_its_id_and_how_often_it_happened(self, origin: str, plain: Client, faults: Any, fault: SetFault) -> None:
        one = fault("status", status=503, persona="plain", type="Patient", times=3)
        plain.get("Patient/1")
        told = {"id": one, "fault": "status", "status": 503, "persona": "plain", "type": "Patient", "times": 3, "happened": 1, "left": 2}
        assert faults() == [told]

    def test_several_are_set_at_once_and_each_can_be_taken_away(self, origin: str, plain: Client, faults: Any, fault: SetFault) -> None:
        given = [{"fault": "latency", "seconds": 0}, {"fault": "half"}]
        made = plain.post(f"{origin}/_sandbox/faults", given)
        assert [one["fault"] for one in made.json()] == ["latency", "half"]
        first = made.json()[0]["id"]
        assert plain.delete(f"{origin}/_sandbox/faults/{first}").status_code == 204
        assert [one["fault"] for one in faults()] == ["half"]
        assert plain.delete(f"{origin}/_sandbox/faults/{first}").status_code == 404
        assert plain.delete(f"{origin}/_sandbox/faults").status_code == 204
        assert faults() == []

    def test_everything_that_is_wrong_is_named_by_its_pointer_and_nothing_is_set(self, origin: str, plain: Client, faults: Any) -> None:
        wrong = [
            {"fault": "latency", "seconds": 0},
            {"fault": "latency"},
            {"fault": "stales", "persona": "nobody"},
            {"fault": "status", "status": "many", "times": 0, "share": 2, "path": "(", "method": "LOOK", "type": "patient", "a/b": 1},
            "reset",
            {"fault": "reset", "when": "later", "seconds": 1},
            {"fault": "status", "status": 429, "retryAfter": "1\r\nX: y", "headers": {"a b": 1}},
        ]
        told = problems(plain.post(f"{origin}/_sandbox/faults", wrong))
        assert set(told) == {
            "/1/seconds", "/2/fault", "/2/persona", "/3/status", "/3/times", "/3/share", "/3/path", "/3/method", "/3/type", "/3/a~1b", "/4", "/5/when",
            "/5/seconds", "/6/retryAfter", "/6/headers",
        }  # fmt: skip
        assert told["/1/seconds"] == "has to be a number of seconds from 0 to 600"
        assert "latency or status" in told["/2/fault"]
        assert faults() == []

    def test_one_alone_is_named_without_a_number(self, origin: str, plain: Client) -> None:
        assert set(problems(plain.post(f"{origin}/_sandbox/faults", {"fault": "foreign-next"}))) == {"/origin"}
        assert set(problems(plain.post(f"{origin}/_sandbox/faults", []))) == {""}
        assert plain.post(f"{origin}/_sandbox/faults", "{").status_code == 400

    def test_each_says_what_it_does_and_what_it_can_be_told(self) -> None:
        assert [(one, option) for one, kind in KINDS.items() for option in kind.options if f"`{option}`" not in kind.words] == []

    def test_a_reset_of_the_sandbox_takes_all_away(self, origin: str, plain: Client, faults: Any, fault: SetFault) -> None:
        fault("half")
        plain.delete(f"{origin}/_sandbox")
        assert faults() == []


class TestMeeting:
    @pytest.mark.parametrize(
        ("where", "met"),
        [
            ({"persona": "plain"}, {"plain search", "plain read", "plain create", "plain other", "plain metadata"}),
            ({"persona": "epic"}, {"epic search"}),
            ({"method": "POST"}, {"plain create"}),
            ({"type": "Patient", "persona": "plain"}, {"plain search", "plain read", "plain create"}),
            ({"path": "Patient/[0-9]+$"}, {"plain read"}),
            ({"path": "_count=1"}, {"plain search"}),
            ({"type": "Patient", "method": "GET", "path": "^/epic"}, {"epic search"}),
        ],
    )
    def test_a_fault_meets_what_it_says(self, plain: Client, epic: Client, fault: SetFault, where: dict[str, str], met: set[str]) -> None:
        fault("status", status=599, **where)
        answers = {
            "plain search": plain.get("Patient?_count=1"),
            "plain read": plain.get("Patient/1"),
            "plain create": plain.post("Patient", {"resourceType": "Patient"}),
            "plain other": plain.get("Observation/1"),
            "plain metadata": plain.get("metadata"),
            "epic search": epic.get("Patient"),
        }
        assert {which for which, answer in answers.items() if answer.status_code == 599} == met

    def test_it_happens_as_often_as_it_was_told_and_stays_in_the_list(self, plain: Client, faults: Any, fault: SetFault) -> None:
        fault("status", status=503, times=2, path="metadata")
        assert [plain.get("metadata").status_code for _ in range(4)] == [503, 503, 200, 200]
        assert [(one["happened"], one["left"]) for one in faults()] == [(2, 0)]

    def test_a_share_of_the_requests_is_the_same_share_for_the_same_seed(self, plain: Client, fault: SetFault) -> None:
        def met(seed: int) -> list[bool]:
            one = fault("status", status=503, share=0.5, seed=seed, path="metadata")
            answers = [plain.get("metadata").status_code == 503 for _ in range(30)]
            plain.delete(f"{plain.base.removesuffix('/fhir/r4')}/_sandbox/faults/{one}")
            return answers

        assert met(1) == met(1) != met(2)
        assert 5 < sum(met(1)) < 25

    def test_several_happen_to_one_request_and_what_the_first_prevents_does_not(self, plain: Client, faults: Any, fault: SetFault) -> None:
        fault("latency", seconds=0)
        fault("status", status=503, times=1)
        fault("status", status=429)
        assert [plain.get("metadata").status_code for _ in range(2)] == [503, 429]
        assert [one["happened"] for one in faults()] == [2, 1, 1]

    def test_the_log_names_the_faults_that_a_request_met(self, origin: str, plain: Client, fault: SetFault) -> None:
        fault("latency", seconds=0)
        fault("status", status=503, times=1)
        fault("empty")
        for _ in range(2):
            plain.get("metadata")
        log = plain.get(f"{origin}/_sandbox/log?limit=2").json()
        assert [(one["status"], one["faults"]) for one in log] == [(200, ["latency"]), (503, ["latency", "status"])]
        assert "<td>latency, status</td>" in plain.get(f"{origin}/").text

    def test_what_no_ehr_has_meets_none(self, origin: str, plain: Client, fault: SetFault) -> None:
        fault("status", status=503)
        for path in ("/", "/_sandbox/counts", "/_sandbox/log", "/_sandbox/records/plain/Patient"):
            assert plain.get(origin + path).status_code == 200

    def test_what_could_not_be_disturbed_is_not_counted(self, plain: Client, about: str, faults: Any, fault: SetFault) -> None:
        created = plain.create(least("Observation", about))
        for one in ("empty", "stale", "duplicates", "lost-page", "relative-next", "loop"):
            fault(one)
        assert plain.get(name(created)).json() == created
        assert [one["happened"] for one in faults()] == [0] * 6
