"""JSON Patch, as plain does it, and merge patches for the EHR's own users."""

from typing import Any

import pytest
import requests

from tests.sandbox.client import Client, Fhir, issues, name


@pytest.fixture
def ada(plain: Client) -> Fhir:
    return plain.create({"resourceType": "Patient", "name": [{"family": "Example", "given": ["Ada", "Bea"]}], "gender": "female"})


@pytest.mark.parametrize(
    ("operations", "changed"),
    [
        ([{"op": "add", "path": "/active", "value": True}], {"active": True}),
        ([{"op": "add", "path": "/name/0/given/1", "value": "Cleo"}], {"name": [{"family": "Example", "given": ["Ada", "Cleo", "Bea"]}]}),
        ([{"op": "add", "path": "/name/-", "value": {"text": "A"}}], {"name": [{"family": "Example", "given": ["Ada", "Bea"]}, {"text": "A"}]}),
        ([{"op": "remove", "path": "/name/0/given/0"}], {"name": [{"family": "Example", "given": ["Bea"]}]}),
        ([{"op": "replace", "path": "/gender", "value": "other"}], {"gender": "other"}),
        ([{"op": "test", "path": "/gender", "value": "female"}, {"op": "remove", "path": "/gender"}], {"gender": None}),
        ([{"op": "copy", "from": "/name/0/family", "path": "/language"}], {"language": "Example"}),
        ([{"op": "move", "from": "/name/0/family", "path": "/name/0/text"}], {"name": [{"given": ["Ada", "Bea"], "text": "Example"}]}),
    ],
)  # fmt: skip
def test_operations_are_done_in_their_order(plain: Client, ada: Fhir, operations: list[Fhir], changed: Fhir) -> None:
    answer = plain.patch(name(ada), operations, If_Match='W/"1"')
    assert (answer.status_code, answer.headers["ETag"]) == (200, 'W/"2"')
    expected = {key: value for key, value in {**ada, **changed}.items() if value is not None}
    assert {**answer.json(), "meta": None} == {**expected, "meta": None}
    assert plain.get(name(ada)).json() == answer.json()


@pytest.mark.parametrize(
    ("operations", "status"),
    [
        ({"op": "add"}, 400), ([{"op": "look", "path": "/a"}], 400), ([{"op": "add", "path": "active", "value": 1}], 400), ([{"op": "add", "path": "/a"}], 400), ("x", 400),
        ([{"op": "remove", "path": "/language"}], 422), ([{"op": "test", "path": "/gender", "value": "male"}], 422), ([{"op": "add", "path": "/name/9", "value": 1}], 422),
        ([{"op": "add", "path": "/name/01", "value": 1}], 422), ([{"op": "replace", "path": "/id", "value": "x"}], 422), ([{"op": "remove", "path": ""}], 422),
        ([{"op": "move", "from": "/name", "path": "/name/0"}], 422), ([{"op": "add", "path": "/name", "value": []}], 400), ([{"op": "replace", "path": "", "value": 1}], 422),
    ],
)  # fmt: skip
def test_what_cannot_be_done_is_refused_and_nothing_is(plain: Client, ada: Fhir, operations: Any, status: int) -> None:
    answer = plain.patch(name(ada), operations)
    assert answer.status_code == status
    assert issues(answer)
    assert plain.get(name(ada)).json() == ada


def test_a_patch_of_what_has_changed_is_412_and_of_nothing_404(plain: Client, ada: Fhir) -> None:
    assert plain.patch(name(ada), [], If_Match='W/"2"').status_code == 412
    assert plain.patch("Patient/never", []).status_code == 404
    assert plain.patch(name(ada), [], Content_Type="text/plain").status_code == 415


def test_what_is_patched_is_checked_like_any_other(plain: Client, ada: Fhir) -> None:
    answer = plain.patch(name(ada), [{"op": "add", "path": "/managingOrganization", "value": {"reference": "Organization/no"}}])
    assert issues(answer) == [("processing", "Patient.managingOrganization")]


def test_the_ehrs_own_users_change_a_little_by_a_merge_patch(origin: str, session: requests.Session, plain: Client, ada: Fhir) -> None:
    answer = Client(session, f"{origin}/_sandbox/records/plain").patch(name(ada), {"gender": None, "active": False})
    assert answer.status_code == 200
    now = plain.get(name(ada)).json()
    assert (now["active"], now["name"], "gender" in now, now["meta"]["versionId"]) == (False, ada["name"], False, "2")
