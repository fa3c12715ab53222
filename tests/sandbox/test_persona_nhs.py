"""The nhs persona, fact by fact (N1 to N6)."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import uuid4

import pytest
import requests

from tests.sandbox.client import Client, Fhir, issues, name
from tests.sandbox.samples import least


@pytest.fixture
def settings(origin: str, session: requests.Session) -> Iterator[Callable[..., requests.Response]]:
    put = lambda **given: session.put(f"{origin}/_sandbox/nhs/settings", json=given)  # noqa: E731
    yield put
    assert put().status_code == 200


class TestUpdate:
    def test_n1_mirrors_the_etag_just_as_it_came(self, nhs: Client, nhs_patient: Fhir) -> None:
        etag = nhs.get(name(nhs_patient)).headers["ETag"]
        assert nhs.put(name(nhs_patient), nhs_patient, If_Match=etag).headers["ETag"] == 'W/"2"'

    @pytest.mark.parametrize("mirrored", [None, '"1"', "1", "*", 'W/"2"', 'w/"1"'])
    def test_n1_is_412_otherwise(self, nhs: Client, nhs_patient: Fhir, mirrored: str | None) -> None:
        for answer in (
            nhs.put(name(nhs_patient), nhs_patient, If_Match=mirrored),
            nhs.patch(name(nhs_patient), {"patches": [{"op": "add", "path": "/active", "value": True}]}, If_Match=mirrored),
        ):
            assert answer.status_code == 412
            assert issues(answer)
        assert nhs.get(name(nhs_patient)).headers["ETag"] == 'W/"1"'


class TestPatch:
    def patched(self, nhs: Client, patient: Fhir, *patches: Any) -> requests.Response:
        return nhs.patch(name(patient), {"patches": list(patches)}, If_Match='W/"1"')

    def test_n2_has_an_object_around_its_operations(self, nhs: Client, nhs_patient: Fhir) -> None:
        one = {"op": "replace", "path": "/name/0/family", "value": "Sample"}
        assert nhs.patch(name(nhs_patient), [one], If_Match='W/"1"').status_code == 400
        assert self.patched(nhs, nhs_patient).status_code == 400
        answer = self.patched(nhs, nhs_patient, one)
        assert (answer.status_code, answer.json()["name"], answer.headers["ETag"]) == (200, [{"id": "n1", "family": "Sample"}], 'W/"2"')

    def test_n2_removes_only_what_it_has_just_tested(self, nhs: Client, nhs_patient: Fhir) -> None:
        test, remove = {"op": "test", "path": "/name/0/id", "value": "n1"}, {"op": "remove", "path": "/name/0"}
        assert self.patched(nhs, nhs_patient, remove).status_code == 400
        assert self.patched(nhs, nhs_patient, test, remove).status_code == 400
        whole = {"op": "test", "path": "/name/0", "value": {"id": "n1", "family": "Example"}}
        other = {"op": "add", "path": "/name/-", "value": {"id": "n2", "family": "Other"}}
        assert self.patched(nhs, nhs_patient, other, whole, remove).json()["name"] == [other["value"]]

    def test_n2_adds_to_the_end_of_a_list_also_of_one_that_is_not_there(self, nhs: Client, nhs_patient: Fhir) -> None:
        phone = {"system": "phone", "value": "01632960001"}
        assert self.patched(nhs, nhs_patient, {"op": "add", "path": "/telecom/0", "value": phone}).status_code == 400
        assert self.patched(nhs, nhs_patient, {"op": "add", "path": "/telecom/-", "value": phone}).json()["telecom"] == [phone]

    def test_n2_mirrors_ids(self, nhs: Client, nhs_patient: Fhir) -> None:
        replace = {"op": "replace", "path": "/name/0", "value": {"family": "Sample"}}
        assert self.patched(nhs, nhs_patient, replace).status_code == 400
        assert self.patched(nhs, nhs_patient, {**replace, "value": {"id": "n1", "family": "Sample"}}).status_code == 200


class TestRequestId:
    def test_n3_is_needed_and_a_uuid(self, nhs: Client) -> None:
        assert [nhs.get("Patient", X_Request_ID=given).status_code for given in (None, "1", str(uuid4()))] == [412, 400, 200]
        assert nhs.get("metadata", X_Request_ID=None).status_code == 200

    def test_n3_of_what_was_done_gives_the_first_answer_and_does_nothing_again(self, nhs: Client, nhs_patient: Fhir) -> None:
        body, one = least("Observation", name(nhs_patient)), str(uuid4())
        first = nhs.post("Observation", body, X_Request_ID=one)
        again = nhs.post("Observation", body, X_Request_ID=one, X_Correlation_ID="other")
        assert (again.status_code, again.json(), again.headers["Location"]) == (201, first.json(), first.headers["Location"])
        assert len(nhs.found("Observation", patient=name(nhs_patient))) == 1
        assert nhs.post("Observation", body, X_Request_ID=str(uuid4())).headers["Location"] != first.headers["Location"]

    def test_n3_is_known_again_after_an_answer_that_was_lost(self, nhs: Client, nhs_patient: Fhir, fault: Callable[..., str]) -> None:
        body, one = least("Observation", name(nhs_patient)), str(uuid4())
        fault("reset", when="after", times=1, method="POST")
        with pytest.raises(requests.ConnectionError):
            nhs.post("Observation", body, X_Request_ID=one)
        fault("status", status=503, after=True, times=1, method="POST")
        assert [nhs.post("Observation", body, X_Request_ID=one).status_code for _ in range(2)] == [503, 201]
        assert len(nhs.found("Observation", patient=name(nhs_patient))) == 1

    def test_n3_of_what_was_refused_may_be_tried_again(self, nhs: Client, nhs_patient: Fhir) -> None:
        one = str(uuid4())
        assert nhs.put(name(nhs_patient), nhs_patient, X_Request_ID=one, If_Match='W/"9"').status_code == 412
        assert nhs.put(name(nhs_patient), nhs_patient, X_Request_ID=one, If_Match='W/"1"').status_code == 200

    def test_n3_of_two_at_once_one_is_done(self, nhs: Client, nhs_patient: Fhir) -> None:
        body, one = least("Observation", name(nhs_patient)), str(uuid4())
        with ThreadPoolExecutor(8) as threads:
            answers = list(
                threads.map(lambda _: requests.post(f"{nhs.base}/Observation", json=body, headers={"X-Request-ID": one}).headers["Location"], range(8))
            )
        assert len(set(answers)) == 1

    def test_n3_and_the_correlation_id_come_back(self, nhs: Client) -> None:
        one = str(uuid4())
        for path in ("Patient", "Patient/never"):
            answer = nhs.get(path, X_Request_ID=one, X_Correlation_ID="thread 7")
            assert (answer.headers["X-Request-ID"], answer.headers["X-Correlation-ID"]) == (one, "thread 7")


class TestSettings:
    def test_n4_an_application_without_a_user_reads_and_does_not_write(
        self, nhs: Client, nhs_patient: Fhir, settings: Callable[..., requests.Response]
    ) -> None:
        assert settings(readOnly=True).json() == {"requiredHeaders": [], "readOnly": True}
        assert nhs.get(name(nhs_patient)).status_code == 200
        answer = nhs.put(name(nhs_patient), nhs_patient, If_Match='W/"1"')
        assert (answer.status_code, issues(answer)) == (403, [("forbidden", None)])

    def test_n5_throttling_says_how_long(self, nhs: Client, fault: Callable[..., str]) -> None:
        fault("status", status=429, retryAfter="5", persona="nhs")
        assert nhs.get("Patient").headers["Retry-After"] == "5"

    def test_n6_headers_are_needed_that_a_setting_names(self, nhs: Client, plain: Client, settings: Callable[..., requests.Response]) -> None:
        settings(requiredHeaders=["NHSD-Session-URID", "NHSD-End-User-Organisation-ODS"])
        answer = nhs.get("Patient", NHSD_Session_URID="1")
        assert (answer.status_code, issues(answer)) == (400, [("required", None)])
        assert "NHSD-End-User-Organisation-ODS" in answer.json()["issue"][0]["diagnostics"]
        assert nhs.get("Patient", NHSD_Session_URID="1", NHSD_End_User_Organisation_ODS="Y12345").status_code == 200
        assert nhs.get("metadata").status_code == plain.get("Patient").status_code == 200

    def test_what_is_no_setting_is_named(self, origin: str, session: requests.Session) -> None:
        answer = session.put(f"{origin}/_sandbox/nhs/settings", json={"requiredHeaders": "NHSD", "colour": 1})
        assert answer.status_code == 422
        assert {error["pointer"] for error in answer.json()["errors"]} == {"/requiredHeaders", "/colour"}
        assert session.get(f"{origin}/_sandbox/nhs/settings").json() == {"requiredHeaders": [], "readOnly": False}
        assert session.get(f"{origin}/_sandbox/nobody/settings").status_code == 404
