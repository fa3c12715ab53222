"""Transaction and batch, as plain does them: all or nothing, or each for itself."""

from typing import Any
from uuid import uuid4

import pytest
import requests

from tests.sandbox.client import Client, Fhir, issues, name, reference
from tests.sandbox.samples import condition, identify, least


def entry(method: str, url: str, resource: Fhir | None = None, full_url: str | None = None, **conditions: str) -> Fhir:
    made: Fhir = {"request": {"method": method, "url": url, **conditions}}
    return made | ({"resource": resource} if resource else {}) | ({"fullUrl": full_url} if full_url else {})


def post(resource: Fhir, full_url: str | None = None, **conditions: str) -> Fhir:
    return entry("POST", resource["resourceType"], resource, full_url, **conditions)


def bundle(kind: str, *entries: Any) -> Fhir:
    return {"resourceType": "Bundle", "type": kind, "entry": list(entries)}


def done(plain: Client, kind: str, *entries: Any, **headers: str) -> list[Fhir]:
    """The response of every entry."""
    answer = plain.post("", bundle(kind, *entries), **headers)
    assert answer.status_code == 200, answer.text
    assert (answer.json()["resourceType"], answer.json()["type"]) == ("Bundle", f"{kind}-response")
    return answer.json().get("entry", [])


def refused(plain: Client, *entries: Any) -> requests.Response:
    """The answer to a transaction of which nothing was done."""
    before = plain.get("_history?_count=1").json()["total"]
    answer = plain.post("", bundle("transaction", *entries))
    assert answer.status_code >= 400, answer.text
    assert plain.get("_history?_count=1").json()["total"] == before
    return answer


def statuses(told: list[Fhir]) -> list[str]:
    return [one["response"]["status"] for one in told]


class TestTransaction:
    def test_what_it_creates_refers_to_one_another_whatever_comes_first(self, plain: Client) -> None:
        patient, visit = f"urn:uuid:{uuid4()}", f"urn:uuid:{uuid4()}"
        observation = {**least("Observation", patient), "encounter": {"reference": visit}}
        told = done(plain, "transaction", post(observation), post(least("Encounter", patient), visit), post({"resourceType": "Patient"}, patient))
        assert statuses(told) == ["201 Created"] * 3
        names = [one["response"]["location"].removesuffix("/_history/1") for one in told]
        created = plain.get(names[0]).json()
        assert created["subject"] == plain.get(names[1]).json()["subject"] == {"reference": names[2]}
        assert created["encounter"] == {"reference": names[1]}

    def test_two_may_refer_to_each_other(self, plain: Client, about: str) -> None:
        first, second = f"urn:uuid:{uuid4()}", f"urn:uuid:{uuid4()}"
        pair = [{**least("Observation", about), "hasMember": [{"reference": other}]} for other in (second, first)]
        told = done(plain, "transaction", post(pair[0], first), post(pair[1], second))
        names = [one["response"]["location"].removesuffix("/_history/1") for one in told]
        assert [plain.get(one).json()["hasMember"][0]["reference"] for one in names] == names[::-1]

    def test_each_response_says_where_at_which_version_and_since_when(self, plain: Client, patient: Fhir) -> None:
        created, updated, deleted = plain.create({"resourceType": "Practitioner"}), {**patient, "active": True}, plain.create({"resourceType": "Medication"})
        told = done(
            plain,
            "transaction",
            entry("GET", name(created)),
            entry("PUT", name(patient), updated, ifMatch='W/"1"'),
            post({"resourceType": "Organization"}),
            entry("DELETE", name(deleted)),
        )
        assert statuses(told) == ["200 OK", "200 OK", "201 Created", "204 No Content"]
        assert told[0]["resource"] == created
        assert told[0]["response"]["etag"] == 'W/"1"'
        now = plain.get(name(patient)).json()
        assert told[1]["response"] == {
            "status": "200 OK", "location": f"{name(patient)}/_history/2", "etag": 'W/"2"', "lastModified": now["meta"]["lastUpdated"]
        }  # fmt: skip
        assert told[3]["response"] == {"status": "204 No Content", "etag": 'W/"2"'}
        assert all("resource" not in one for one in told[1:])

    def test_resources_and_outcomes_are_told_where_they_are_preferred(self, plain: Client) -> None:
        [shown] = done(plain, "transaction", post({"resourceType": "Patient"}), Prefer="return=representation")
        assert shown["resource"]["resourceType"] == "Patient"
        [said] = done(plain, "transaction", post({"resourceType": "Patient"}), Prefer="return=OperationOutcome")
        assert said["response"]["outcome"]["issue"][0]["severity"] == "information"

    def test_reads_see_what_it_wrote(self, plain: Client, about: str) -> None:
        told = done(plain, "transaction", entry("GET", f"Observation?subject={about}"), post(least("Observation", about)))
        assert told[0]["resource"]["total"] == 1

    def test_what_is_wrong_with_any_entry_is_told_by_its_path_and_none_is_done(self, plain: Client, about: str, patient: Fhir) -> None:
        answer = refused(
            plain,
            post(least("Observation", about)),
            post({"resourceType": "Observation", "status": "final"}),
            entry("PUT", name(patient), patient, ifMatch='W/"9"'),
            post({**least("Encounter", about), "subject": {"reference": "Patient/no"}}),
        )
        assert answer.status_code == 422
        assert issues(answer) == [
            ("required", "Bundle.entry[1].resource.code"),
            ("conflict", "Bundle.entry[2]"),
            ("processing", "Bundle.entry[3].resource.subject"),
        ]

    def test_what_was_taken_back_was_never_there(self, plain: Client, about: str, patient: Fhir) -> None:
        body = {**least("Observation", about)}
        observation = plain.create(least("Observation", about))
        refused(plain, post(body), entry("PUT", name(patient), {**patient, "active": True}), entry("DELETE", name(observation)), entry("PUT", "Patient/no", {}))
        assert plain.found("Observation", identifier=condition(body).removeprefix("identifier=")) == set()
        assert plain.found("Observation", subject=about) == {observation["id"]}
        assert plain.get(name(patient)).json() == patient
        assert plain.update(observation)["meta"]["versionId"] == "2"

    @pytest.mark.parametrize(
        ("wrong", "path"),
        [
            ({"resource": {"resourceType": "Patient"}}, "Bundle.entry[0].request"),
            ({"request": {"method": "LOOK", "url": "Patient"}}, "Bundle.entry[0].request.method"),
            ({"request": {"method": "POST", "url": "Patient"}}, "Bundle.entry[0].resource"),
            ("entry", "Bundle.entry[0].request"),
        ],
    )
    def test_an_entry_that_is_none_is_400(self, plain: Client, wrong: Any, path: str) -> None:
        answer = refused(plain, wrong)
        assert (answer.status_code, issues(answer)[0][1]) == (400, path)

    def test_two_entries_about_one_resource_are_400(self, plain: Client, patient: Fhir) -> None:
        assert issues(refused(plain, entry("PUT", name(patient), patient), entry("DELETE", name(patient)))) == [("invalid", "Bundle.entry")]

    def test_a_reference_to_an_entry_that_is_not_there_is_400(self, plain: Client) -> None:
        answer = refused(plain, post(least("Observation", f"urn:uuid:{uuid4()}")))
        assert (answer.status_code, issues(answer)) == (400, [("processing", "Bundle.entry[0].resource.subject")])

    def test_what_refers_to_each_other_is_deleted_together(self, plain: Client, about: str) -> None:
        observation = name(plain.create(least("Observation", about)))
        assert refused(plain, entry("DELETE", about)).status_code == 409
        assert statuses(done(plain, "transaction", entry("DELETE", about), entry("DELETE", observation))) == ["204 No Content"] * 2
        assert plain.get(about).status_code == 410

    def test_nothing_refers_to_what_it_deletes(self, plain: Client, about: str) -> None:
        answer = refused(plain, post(least("Observation", about)), entry("DELETE", about))
        assert issues(answer) == [("processing", "Bundle.entry[0].resource.subject")]

    def test_an_empty_one_is_done(self, plain: Client) -> None:
        assert done(plain, "transaction") == []


class TestConditionalCreate:
    def test_what_is_there_already_is_what_the_others_refer_to(self, plain: Client) -> None:
        there = plain.create({"resourceType": "Patient", "identifier": [identify()]})
        urn = f"urn:uuid:{uuid4()}"
        body = {"resourceType": "Patient", "identifier": there["identifier"]}
        told = done(plain, "transaction", post(least("Observation", urn)), post(body, urn, ifNoneExist=condition(there)))
        assert statuses(told) == ["201 Created", "200 OK"]
        assert told[1]["response"]["location"] == f"{name(there)}/_history/1"
        assert plain.get(told[0]["response"]["location"]).json()["subject"] == reference(there)

    def test_twice_in_one_transaction_creates_once(self, plain: Client, about: str) -> None:
        body = least("Observation", about)
        urns = [f"urn:uuid:{uuid4()}" for _ in range(2)]
        parents = [{**least("Observation", about), "hasMember": [{"reference": urn}]} for urn in urns]
        told = done(plain, "transaction", *(post(body, urn, ifNoneExist=condition(body)) for urn in urns), *map(post, parents))
        assert statuses(told) == ["201 Created", "200 OK", "201 Created", "201 Created"]
        assert told[0]["response"]["location"] == told[1]["response"]["location"]

    def test_is_412_when_several_are_there(self, plain: Client, about: str) -> None:
        body = least("Observation", about)
        plain.create(body)
        plain.create(body)
        answer = refused(plain, post(body, ifNoneExist=condition(body)))
        assert (answer.status_code, issues(answer)[0][0]) == (412, "multiple-matches")

    def test_a_reference_may_be_a_search_that_finds_one(self, plain: Client) -> None:
        there = plain.create({"resourceType": "Patient", "identifier": [identify()]})
        [told] = done(plain, "transaction", post(least("Observation", f"Patient?{condition(there)}")))
        assert plain.get(told["response"]["location"]).json()["subject"] == reference(there)
        answer = refused(plain, post(least("Observation", "Patient?identifier=nobody")))
        assert (answer.status_code, issues(answer)) == (412, [("not-found", "Bundle.entry[0].resource.subject")])


class TestBatch:
    def test_each_entry_is_answered_for_itself(self, plain: Client, about: str, patient: Fhir) -> None:
        body = least("Observation", about)
        plain.create(body)
        plain.create(body)
        told = done(
            plain,
            "batch",
            post(least("Observation", about)),
            post({"resourceType": "Observation"}),
            post(body, ifNoneExist=condition(body)),
            entry("PUT", name(patient), patient, ifMatch='W/"9"'),
            entry("GET", "Patient/never"),
            entry("PATCH", name(patient), {"resourceType": "Binary"}),
            {"request": {"method": "GET"}},
            entry("GET", f"{plain.base}/{about}"),
        )
        assert statuses(told) == [
            "201 Created", "422 Unprocessable Entity", "412 Precondition Failed", "412 Precondition Failed", "404 Not Found", "400 Bad Request",
            "400 Bad Request", "200 OK",
        ]  # fmt: skip
        assert [one["response"]["outcome"]["issue"][0]["code"] for one in told[1:7]] == [
            "required", "multiple-matches", "conflict", "not-found", "structure", "required",
        ]  # fmt: skip
        assert told[7]["resource"] == patient

    def test_an_entry_may_be_a_search(self, plain: Client, about: str) -> None:
        created = plain.create(least("Observation", about))
        [told] = done(plain, "batch", entry("GET", f"Observation?subject={about}&_count=1"))
        assert [one["resource"]["id"] for one in told["resource"]["entry"]] == [created["id"]]


@pytest.mark.parametrize("body", [{"resourceType": "Bundle"}, {"resourceType": "Bundle", "type": "collection"}, {"resourceType": "Patient"}])
def test_what_is_neither_is_400(plain: Client, body: Fhir) -> None:
    assert plain.post("", body).status_code == 400


def test_half_a_character_in_an_entry_is_400(plain: Client) -> None:
    body = '{"resourceType":"Bundle","type":"transaction","entry":[{"request":{"method":"POST","url":"Patient"},"resource":{"resourceType":"Patient","language":"\\ud800"}}]}'
    assert plain.post("", body).status_code == 400
