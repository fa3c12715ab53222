"""Faults of what a search finds: pages that repeat, miss, miscount or lead elsewhere, and errors that look like success."""

from collections.abc import Callable

import pytest

from tests.sandbox.client import Client, Fhir, issues, link
from tests.sandbox.samples import least

SetFault = Callable[..., str]


@pytest.fixture
def five(plain: Client, about: str) -> list[str]:
    """The ids of five observations, in the order in which a search finds them."""
    return [plain.create(least("Observation", about))["id"] for _ in range(5)]


def ids(bundle: Fhir) -> list[str]:
    return [entry["resource"]["id"] for entry in bundle.get("entry", [])]


class TestDuplicates:
    def test_every_match_comes_twice(self, plain: Client, about: str, five: list[str], fault: SetFault) -> None:
        fault("duplicates")
        bundle = plain.search("Observation", subject=about)
        assert ids(bundle) == [one for one in five for _ in range(2)]
        assert bundle["total"] == 5

    def test_or_the_second_time_under_another_id(self, plain: Client, about: str, five: list[str], fault: SetFault) -> None:
        fault("duplicates", otherId=True)
        bundle = plain.search("Observation", subject=about)
        assert ids(bundle)[::2] == five
        assert len(set(ids(bundle))) == 10
        assert all(entry["fullUrl"] == f"{plain.base}/Observation/{entry['resource']['id']}" for entry in bundle["entry"])
        assert bundle["entry"][0]["resource"]["identifier"] == bundle["entry"][1]["resource"]["identifier"]


def test_a_total_is_wrong(plain: Client, about: str, five: list[str], fault: SetFault) -> None:
    fault("wrong-total", times=1)
    assert plain.search("Observation", subject=about)["total"] == 6
    fault("wrong-total", total=0)
    assert plain.search("Observation", subject=about)["total"] == 0


class TestLostPage:
    def test_has_no_entries(self, plain: Client, about: str, five: list[str], fault: SetFault) -> None:
        fault("lost-page", times=1)
        first = plain.search("Observation", subject=about, _count="2")
        second = plain.get(link(first, "next") or "").json()
        third = plain.get(link(second, "next") or "").json()
        assert (ids(first), ids(second), ids(third)) == (five[:2], [], five[4:])

    @pytest.mark.parametrize(("status", "code"), [(404, "not-found"), (410, "deleted")])
    def test_or_is_answered_that_it_is_not_there(self, plain: Client, about: str, five: list[str], fault: SetFault, status: int, code: str) -> None:
        fault("lost-page", status=status)
        first = plain.search("Observation", subject=about, _count="2")
        second = plain.get(link(first, "next") or "")
        assert (ids(first), second.status_code, issues(second)) == (five[:2], status, [(code, None)])


class TestErrorIn200:
    def test_is_no_success(self, plain: Client, about: str, fault: SetFault) -> None:
        fault("error-in-200", method="POST", times=1)
        body = least("Observation", about)
        answer = plain.post("Observation", body)
        assert (answer.status_code, issues(answer)) == (200, [("exception", None)])
        assert plain.found("Observation", subject=about) == set()

    def test_though_it_may_have_been_carried_out(self, plain: Client, about: str, fault: SetFault) -> None:
        fault("error-in-200", method="POST", after=True)
        assert plain.post("Observation", least("Observation", about)).json()["resourceType"] == "OperationOutcome"
        assert len(plain.found("Observation", subject=about)) == 1

    def test_makes_a_bundle_partial_where_it_is_an_entry(self, plain: Client, about: str, five: list[str], fault: SetFault) -> None:
        fault("error-in-200", entry=True)
        bundle = plain.search("Observation", subject=about)
        assert ids({"entry": bundle["entry"][:-1]}) == five[:4]
        last = bundle["entry"][-1]
        assert (last["search"]["mode"], last["resource"]["resourceType"], last["resource"]["issue"][0]["severity"]) == ("outcome", "OperationOutcome", "error")


class TestNext:
    def test_is_elsewhere_also_where_there_is_none(self, plain: Client, about: str, five: list[str], fault: SetFault) -> None:
        fault("foreign-next", origin="http://elsewhere.example:9/")
        pages = plain.search("Observation", subject=about, _count="2"), plain.search("Observation", subject=about)
        assert [(link(one, "next") or "").split("?")[0] for one in pages] == ["http://elsewhere.example:9/fhir/r4/Observation"] * 2

    def test_is_relative_where_there_is_one(self, plain: Client, about: str, five: list[str], fault: SetFault) -> None:
        fault("relative-next")
        following = link(plain.search("Observation", subject=about, _count="3"), "next")
        assert (following or "").startswith("Observation?_page=")
        assert ids(plain.get(following or "").json()) == five[3:]
        assert link(plain.search("Observation", subject=about), "next") is None

    def test_is_this_one_again(self, plain: Client, about: str, five: list[str], fault: SetFault) -> None:
        fault("loop")
        first = plain.search("Observation", subject=about, _count="2")
        again = plain.get(link(first, "next") or "").json()
        assert link(first, "next") == link(first, "self")
        assert ids(again) == ids(first)


class TestSelf:
    def test_does_not_repeat_what_was_asked(self, plain: Client, about: str, five: list[str], fault: SetFault) -> None:
        fault("self")
        bundle = plain.search("Observation", subject=about, _count="7", _lastUpdated="gt2001")
        assert link(bundle, "self") == f"{plain.base}/Observation?_count=7"
        assert ids(bundle) == five

    def test_or_not_all_of_it(self, plain: Client, about: str, five: list[str], fault: SetFault) -> None:
        fault("self", parameters=["_lastUpdated"])
        bundle = plain.search("Observation", subject=about.removeprefix("Patient/"), _lastUpdated="gt2099")
        assert link(bundle, "self") == f"{plain.base}/Observation?subject={about.removeprefix('Patient/')}"
        assert ids(bundle) == []

    def test_really_as_what_is_forgotten_is_not_searched_for(self, plain: Client, about: str, five: list[str], fault: SetFault) -> None:
        fault("self", parameters=["_lastUpdated"], really=True)
        bundle = plain.search("Observation", subject=about, _lastUpdated="gt2099")
        assert "_lastUpdated" not in (link(bundle, "self") or "")
        assert ids(bundle) == five
