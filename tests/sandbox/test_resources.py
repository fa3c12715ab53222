"""Create, read, vread, history, update and delete, as plain does them."""

import re
from urllib.parse import quote

import pytest

from sandbox.personas.persona import CLINIC_TYPES
from tests.sandbox.client import Client, Fhir, issues, link, name
from tests.sandbox.samples import least


@pytest.mark.parametrize("kind", CLINIC_TYPES)
def test_every_type_of_a_clinics_records_is_created_read_updated_and_deleted(plain: Client, about: str, kind: str) -> None:
    body = least(kind, about)
    created = plain.create(body)
    assert plain.get(name(created)).json() == created
    assert created == {**body, "id": created["id"], "meta": created["meta"]}
    updated = plain.update({**created, "language": "en-GB"})
    assert (updated["language"], updated["meta"]["versionId"]) == ("en-GB", "2")
    assert plain.delete(name(created)).status_code == 204
    assert plain.get(name(created)).status_code == 410


def test_a_create_says_where_and_at_which_version_the_resource_is(plain: Client) -> None:
    answer = plain.post("Patient", {"resourceType": "Patient"})
    created = answer.json()
    assert answer.status_code == 201
    assert answer.headers["Location"] == f"{plain.base}/Patient/{created['id']}/_history/1"
    assert answer.headers["ETag"] == 'W/"1"'
    assert answer.headers["Last-Modified"].endswith("GMT")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", created["meta"]["lastUpdated"])


def test_the_id_is_the_servers_and_never_the_senders(plain: Client) -> None:
    assert plain.create({"resourceType": "Patient", "id": "mine"})["id"] != "mine"
    assert plain.get("Patient/mine").status_code == 404


def test_what_the_sender_said_in_meta_stays_beside_what_the_server_says(plain: Client) -> None:
    tag = [{"system": "urn:example", "code": "t"}]
    created = plain.create({"resourceType": "Patient", "meta": {"tag": tag, "versionId": "99", "lastUpdated": "1999-01-01T00:00:00Z"}})
    assert created["meta"]["tag"] == tag
    assert created["meta"]["versionId"] == "1"
    assert created["meta"]["lastUpdated"] > "2026"


def test_every_digit_of_a_decimal_is_kept(plain: Client, about: str) -> None:
    body = f'{{"resourceType":"Observation","status":"final","code":{{"text":"dose"}},"subject":{{"reference":"{about}"}},"valueQuantity":{{"value":0.50}}}}'
    created = plain.post("Observation", body)
    assert '"value":0.50}' in created.text
    assert '"value":0.50}' in plain.get(name(created.json())).text
    assert '"value":0.50}' in plain.get(f"Observation?subject={about}").text


@pytest.mark.parametrize(
    ("preferred", "status", "body"),
    [("return=minimal", 201, None), ("return=representation", 201, "Patient"), ("return=OperationOutcome", 201, "OperationOutcome"), ("", 201, "Patient")],
)
def test_a_write_answers_with_as_much_as_was_preferred(plain: Client, preferred: str, status: int, body: str | None) -> None:
    answer = plain.post("Patient", {"resourceType": "Patient"}, Prefer=preferred)
    assert (answer.status_code, answer.json()["resourceType"] if answer.content else None) == (status, body)
    assert answer.headers["ETag"] == 'W/"1"'


class TestUpdate:
    def test_is_done_when_the_sender_has_seen_the_latest_version(self, plain: Client, patient: Fhir) -> None:
        answer = plain.put(name(patient), {**patient, "active": True}, If_Match='W/"1"')
        assert (answer.status_code, answer.headers["ETag"], answer.json()["active"]) == (200, 'W/"2"', True)
        assert answer.headers["Location"].endswith(f"/{name(patient)}/_history/2")

    def test_is_412_when_it_has_not(self, plain: Client, patient: Fhir) -> None:
        plain.update({**patient, "active": True})
        answer = plain.put(name(patient), {**patient, "active": False}, If_Match='W/"1"')
        assert (answer.status_code, issues(answer)) == (412, [("conflict", None)])
        assert answer.headers["ETag"] == 'W/"2"'
        assert plain.get(name(patient)).json()["active"] is True

    def test_without_if_match_goes_through(self, plain: Client, patient: Fhir) -> None:
        assert plain.put(name(patient), patient).status_code == 200

    def test_that_changes_nothing_is_a_new_version_all_the_same(self, plain: Client, patient: Fhir) -> None:
        assert plain.update(patient)["meta"]["versionId"] == "2"

    def test_of_an_id_that_the_server_never_gave_is_404(self, plain: Client) -> None:
        answer = plain.put("Patient/mine", {"resourceType": "Patient", "id": "mine"})
        assert (answer.status_code, issues(answer)) == (404, [("not-found", None)])

    def test_needs_the_id_of_the_url_in_the_body(self, plain: Client, patient: Fhir) -> None:
        for body in ({"resourceType": "Patient"}, {"resourceType": "Patient", "id": "other"}):
            answer = plain.put(name(patient), body)
            assert (answer.status_code, issues(answer)) == (400, [("invalid", "Patient.id")])

    def test_brings_back_what_was_deleted(self, plain: Client, patient: Fhir) -> None:
        plain.delete(name(patient))
        answer = plain.put(name(patient), patient)
        assert (answer.status_code, answer.headers["ETag"]) == (201, 'W/"3"')
        assert plain.get(name(patient)).status_code == 200


class TestDelete:
    def test_is_410_to_read_and_can_be_repeated(self, plain: Client, patient: Fhir) -> None:
        assert plain.delete(name(patient)).headers["ETag"] == 'W/"2"'
        assert plain.delete(name(patient)).headers["ETag"] == 'W/"2"'
        answer = plain.get(name(patient))
        assert (answer.status_code, issues(answer)) == (410, [("deleted", None)])

    def test_of_a_version_that_is_not_the_latest_is_412(self, plain: Client, patient: Fhir) -> None:
        plain.update(patient)
        assert plain.delete(name(patient), If_Match='W/"1"').status_code == 412
        assert plain.delete(name(patient), If_Match='W/"2"').status_code == 204

    def test_of_what_never_was_is_404(self, plain: Client) -> None:
        assert plain.delete("Patient/never").status_code == 404

    def test_of_what_others_refer_to_is_409_until_they_no_longer_do(self, plain: Client, about: str) -> None:
        observation = plain.create(least("Observation", about))
        answer = plain.delete(about)
        assert (answer.status_code, issues(answer)) == (409, [("conflict", None)])
        assert name(observation) in answer.json()["issue"][0]["diagnostics"]
        plain.delete(name(observation))
        assert plain.delete(about).status_code == 204


class TestHistory:
    def test_tells_every_version_the_newest_first(self, plain: Client, patient: Fhir) -> None:
        plain.update({**patient, "active": True})
        plain.delete(name(patient))
        entries = plain.get(f"{name(patient)}/_history").json()["entry"]
        assert [(entry["request"]["method"], entry["response"]["etag"]) for entry in entries] == [("DELETE", 'W/"3"'), ("PUT", 'W/"2"'), ("POST", 'W/"1"')]
        assert [entry.get("resource", {}).get("active") for entry in entries] == [None, True, None]
        assert entries[2]["resource"] == patient

    def test_has_each_version_as_it_was(self, plain: Client, patient: Fhir) -> None:
        plain.update({**patient, "active": True})
        plain.delete(name(patient))
        assert plain.get(f"{name(patient)}/_history/1").json() == patient
        assert plain.get(f"{name(patient)}/_history/2").headers["ETag"] == 'W/"2"'
        assert plain.get(f"{name(patient)}/_history/3").status_code == 410
        assert plain.get(f"{name(patient)}/_history/4").status_code == 404

    def test_of_what_never_was_is_404(self, plain: Client) -> None:
        assert issues(plain.get("Patient/never/_history")) == [("not-found", None)]

    @pytest.mark.parametrize("path", ["_history", "Patient/_history"])
    def test_of_a_type_or_of_all_tells_what_was_written_and_deleted_since(self, plain: Client, path: str) -> None:
        before = plain.create({"resourceType": "Patient"})
        while (first := plain.create({"resourceType": "Patient"}))["meta"]["lastUpdated"] == before["meta"]["lastUpdated"]:
            pass
        plain.update({**before, "active": True})
        plain.delete(name(first))
        bundle = plain.get(f"{path}?_since={first['meta']['lastUpdated']}").json()
        told = [(entry["fullUrl"].removeprefix(f"{plain.base}/"), entry["request"]["method"]) for entry in bundle["entry"]]
        assert told == [(name(first), "DELETE"), (name(before), "PUT"), (name(first), "POST")]
        assert (bundle["type"], bundle["total"]) == ("history", 3)
        assert link(bundle, "self") == f"{plain.base}/{path}?_since={quote(first['meta']['lastUpdated'], safe='')}"

    def test_of_a_type_tells_of_no_other(self, plain: Client, about: str) -> None:
        plain.create(least("Observation", about))
        told = plain.get("Observation/_history?_count=5").json()["entry"]
        assert {entry["fullUrl"].removeprefix(f"{plain.base}/").partition("/")[0] for entry in told} == {"Observation"}

    def test_comes_in_pages_that_show_what_was_there_at_first(self, plain: Client, patient: Fhir) -> None:
        for _ in range(4):
            plain.update(patient)
        bundle = plain.get(f"{name(patient)}/_history?_count=2").json()
        plain.update(patient)
        told = [entry["resource"]["meta"]["versionId"] for entry in bundle["entry"]]
        while (following := link(bundle, "next")) is not None:
            bundle = plain.get(following).json()
            told += [entry["resource"]["meta"]["versionId"] for entry in bundle["entry"]]
        assert (told, bundle["total"]) == (["5", "4", "3", "2", "1"], 5)

    @pytest.mark.parametrize("query", ["_since=yesterday", "_count=many"])
    def test_is_400_for_what_it_does_not_understand(self, plain: Client, query: str) -> None:
        assert issues(plain.get(f"_history?{query}")) == [("value", None)]


def test_no_later_version_looks_older(plain: Client, patient: Fhir) -> None:
    times = [plain.update(patient)["meta"]["lastUpdated"] for _ in range(20)]
    assert times == sorted(times)
