"""FHIR REST as it is spoken to an EHR: created once, updated by version, and looked at before anything is done twice."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
import responses
from responses import matchers

from mappings.parts import system_of
from service.store.copies import RESTORED, Copy
from service.sync.abilities import Abilities
from service.sync.deliver import Owed, Ready, digest
from service.sync.door import Always, Door
from service.sync.outcomes import Delivered, Refused, Retry, Unsure
from service.sync.targets.rest import Rest, seen_hash
from service.sync.transport import Line
from service.wire import encode

BASE = "https://ehr.test/fhir"
IDENTIFIER = {"system": system_of("Observation"), "value": "u1"}
BODY = {"resourceType": "Observation", "identifier": [IDENTIFIER], "status": "final", "valueInteger": 15}
THEIRS = {**BODY, "id": "o1", "meta": {"versionId": "4"}, "text": {"status": "generated"}, "note": [{"text": "added there"}]}
BY_IDENTIFIER = f"{BASE}/Observation?identifier={IDENTIFIER['system'].replace('/', '%2F').replace(':', '%3A')}%7Cu1"
ONCE = Abilities({}, frozenset({"Observation"}), {"Observation": frozenset({"identifier"})})
SEARCHED = Abilities({}, frozenset(), {"Observation": frozenset({"identifier"})})
NEITHER = Abilities()


@pytest.fixture
def ehr() -> Iterator[Rest]:
    line = Line(private=True, seconds=2)
    yield Rest(Door(BASE + "/", line, Always({"Authorization": "Bearer ours"})))
    line.close()


@pytest.fixture
def http() -> Iterator[responses.RequestsMock]:
    with responses.RequestsMock(assert_all_requests_are_fired=True) as mocked:
        yield mocked


def ready(body: dict[str, Any] | None = BODY, remote: Copy | None = None, *, unsure: bool = False, type_: str = "Observation") -> Ready:
    return Ready(Owed(1, 1, "u1", type_, "v2", 1, 0, body, unsure), body or {}, digest(body or {}), remote)


def copy(**more: Any) -> Copy:
    return Copy("ehr", 1, **{"remote_id": "o1", "remote_version": 'W/"3"', "version": "v1", "level": 1, "sent_hash": b"x", **more})


def bundle(*found: Any, **more: Any) -> dict[str, Any]:
    return {"resourceType": "Bundle", "type": "searchset", "entry": [{"resource": one} for one in found], **more}


def calls(http: responses.RequestsMock) -> list[str]:
    return [f"{call.request.method} {call.request.url.removeprefix(BASE)}" for call in http.calls]


def test_what_is_new_is_created_on_our_identifier(ehr: Rest, http: responses.RequestsMock) -> None:
    asked = {"If-None-Exist": f"identifier={IDENTIFIER['system']}|u1", "Authorization": "Bearer ours", "Content-Type": "application/fhir+json"}
    http.post(f"{BASE}/Observation", status=201, headers={"Location": f"{BASE}/Observation/o1/_history/1", "ETag": 'W/"1"'}, json=THEIRS,
              match=[matchers.header_matcher(asked), matchers.json_params_matcher(BODY)])  # fmt: skip
    assert ehr.deliver(ready(), ONCE) == Delivered("o1", 'W/"1"', 201, THEIRS)


def test_what_was_there_already_and_is_the_same_is_delivered(ehr: Rest, http: responses.RequestsMock) -> None:
    http.post(f"{BASE}/Observation", status=200, headers={"Location": f"{BASE}/Observation/o1"}, body=b"")
    http.get(f"{BASE}/Observation/o1", json=THEIRS, headers={"ETag": 'W/"4"'})
    assert ehr.deliver(ready(), ONCE) == Delivered("o1", 'W/"4"', 200, THEIRS)


def test_what_was_there_already_and_differs_is_brought_up_to_date(ehr: Rest, http: responses.RequestsMock) -> None:
    http.post(f"{BASE}/Observation", status=200, json={**THEIRS, "status": "preliminary"})
    http.get(f"{BASE}/Observation/o1", json={**THEIRS, "status": "preliminary"})
    http.put(f"{BASE}/Observation/o1", status=200, headers={"ETag": 'W/"5"'}, match=[
        matchers.header_matcher({"If-Match": 'W/"4"'}), matchers.json_params_matcher({**BODY, "id": "o1"}),
    ])  # fmt: skip
    assert ehr.deliver(ready(), ONCE) == Delivered("o1", 'W/"5"', 200)


def test_what_was_there_already_and_is_not_brought_up_to_date_is_known_to_be_there(ehr: Rest, http: responses.RequestsMock) -> None:
    http.post(f"{BASE}/Observation", status=200, json={**THEIRS, "status": "preliminary"})
    http.get(f"{BASE}/Observation/o1", json={**THEIRS, "status": "preliminary"})
    http.put(f"{BASE}/Observation/o1", status=422, body=b"no")
    assert ehr.deliver(ready(), ONCE) == Refused("no", 422, remote_id="o1", remote_version='W/"4"')


def test_several_that_have_our_identifier_are_nobodys_to_choose_from(ehr: Rest, http: responses.RequestsMock) -> None:
    http.post(f"{BASE}/Observation", status=412, json={"resourceType": "OperationOutcome", "issue": [{"diagnostics": "Observation/a, Observation/b"}]})
    assert ehr.deliver(ready(), ONCE) == Refused("Observation/a, Observation/b", 412)


def test_without_conditional_create_it_is_searched_for_first(ehr: Rest, http: responses.RequestsMock) -> None:
    http.get(BY_IDENTIFIER, json=bundle(), match=[matchers.header_matcher({"Cache-Control": "no-cache"})])
    http.post(f"{BASE}/Observation", status=201, headers={"Location": "Observation/o1"})
    assert ehr.deliver(ready(), SEARCHED) == Delivered("o1", None, 201)
    assert "If-None-Exist" not in http.calls[1].request.headers


@pytest.mark.parametrize(
    ("found", "outcome"),
    [
        ([THEIRS, {**THEIRS, "id": "o2"}], Refused("Several there are this one: o1, o2")),
        ([{**THEIRS, "identifier": [{**IDENTIFIER, "value": "another"}]}], Delivered("new", None, 201)),
        ([{"resourceType": "OperationOutcome", "issue": []}, "x", None], Delivered("new", None, 201)),
    ],
)
def test_only_what_has_our_identifier_is_ours(ehr: Rest, found: list[Any], outcome: Any) -> None:
    with responses.RequestsMock(assert_all_requests_are_fired=False) as http:
        http.get(BY_IDENTIFIER, json=bundle(*found))
        http.post(f"{BASE}/Observation", status=201, headers={"Location": "Observation/new"})
        assert ehr.deliver(ready(), SEARCHED) == outcome


def test_two_that_are_ours_on_different_pages_are_two(ehr: Rest, http: responses.RequestsMock) -> None:
    http.get(BY_IDENTIFIER, json=bundle(THEIRS, link=[{"relation": "next", "url": f"{BASE}/Observation?page=2"}]))
    http.get(f"{BASE}/Observation?page=2", json=bundle(THEIRS, {**THEIRS, "id": "o2"}))
    assert ehr.deliver(ready(), SEARCHED) == Refused("Several there are this one: o1, o2")


def test_a_search_that_was_not_understood_creates_nothing(ehr: Rest, http: responses.RequestsMock) -> None:
    others = [{**THEIRS, "identifier": [], "id": str(n)} for n in range(3)]
    http.get(BY_IDENTIFIER, json=bundle(*others, link=[{"relation": "next", "url": "https://elsewhere.test/steal"}]))
    assert ehr.deliver(ready(), SEARCHED) == Refused("What a search finds there is too much to look through: it may be there already")


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b'{"resourceType": "OperationOutcome"}', b"[" * 100_000])
def test_a_search_that_is_not_answered_by_a_bundle_creates_nothing(ehr: Rest, http: responses.RequestsMock, body: bytes) -> None:
    http.get(BY_IDENTIFIER, body=body)
    assert ehr.deliver(ready(), SEARCHED) == Refused("A search is answered with 200 and no Bundle")


def test_a_creation_without_an_id_in_its_answer_is_found_by_our_identifier(ehr: Rest, http: responses.RequestsMock) -> None:
    http.post(f"{BASE}/Observation", status=201, body=b"", content_type="text/html")
    http.get(BY_IDENTIFIER, json=bundle(THEIRS))
    http.get(f"{BASE}/Observation/o1", json=THEIRS)
    assert ehr.deliver(ready(), ONCE) == Delivered("o1", 'W/"4"', 200, THEIRS)


@pytest.mark.parametrize("able", [NEITHER, Abilities({}, frozenset({"Observation"}), {})])
def test_what_may_be_there_and_cannot_be_looked_for_is_not_created_again(ehr: Rest, able: Abilities) -> None:
    with responses.RequestsMock() as http:
        outcome = ehr.deliver(ready(unsure=True), able)
        assert isinstance(outcome, Refused) and "look there" in outcome.words and not http.calls


def test_what_cannot_be_looked_for_is_created_the_first_time(ehr: Rest, http: responses.RequestsMock) -> None:
    http.post(f"{BASE}/Observation", status=201, json=THEIRS)
    assert ehr.deliver(ready(), NEITHER) == Delivered("o1", 'W/"4"', 201, THEIRS)


def test_provenance_that_may_be_there_is_looked_for_by_what_never_changes_in_it(ehr: Rest, http: responses.RequestsMock) -> None:
    source = [{"role": "source", "what": {"identifier": {"system": "s", "value": "dose"}}}]
    ours = {"resourceType": "Provenance", "target": [{"reference": "Task/t1"}], "recorded": "2026-03-01", "entity": source}
    http.get(f"{BASE}/Provenance?recorded=2026-03-01", json=bundle({**ours, "id": "p1"}, {**ours, "id": "p2", "entity": ["odd", {"what": 5}]}))
    recorded = Abilities({}, frozenset(), {"Provenance": frozenset({"recorded"})})
    http.get(f"{BASE}/Provenance/p1", json={**ours, "id": "p1"}, headers={"ETag": '"9"'})
    assert ehr.deliver(ready(ours, unsure=True, type_="Provenance"), recorded) == Delivered("p1", '"9"', 200, {**ours, "id": "p1"})


def test_an_update_names_the_version_that_we_know_just_as_it_came(ehr: Rest, http: responses.RequestsMock) -> None:
    http.put(f"{BASE}/Observation/o1", status=200, headers={"ETag": '"x-4"'}, json=THEIRS, match=[matchers.header_matcher({"If-Match": '"odd 3'})])
    assert ehr.deliver(ready(remote=copy(remote_version='"odd 3')), NEITHER) == Delivered("o1", '"x-4"', 200, THEIRS)


@pytest.mark.parametrize("status", [409, 412])
def test_a_conflict_with_what_we_sent_ourselves_is_delivered(ehr: Rest, http: responses.RequestsMock, status: int) -> None:
    http.put(f"{BASE}/Observation/o1", status=status)
    http.get(f"{BASE}/Observation/o1", json=THEIRS)
    assert ehr.deliver(ready(remote=copy()), NEITHER) == Delivered("o1", 'W/"4"', 200, THEIRS, merged=True)


@pytest.mark.parametrize("status", [409, 412])
def test_a_conflict_with_what_we_saw_under_another_version_is_sent_on_that(ehr: Rest, http: responses.RequestsMock, status: int) -> None:
    seen = {**THEIRS, "status": "preliminary"}
    http.put(f"{BASE}/Observation/o1", status=status, match=[matchers.header_matcher({"If-Match": 'W/"3"'})])
    http.get(f"{BASE}/Observation/o1", json={**seen, "meta": {"versionId": "9"}}, headers={"ETag": 'W/"9"'})
    http.put(f"{BASE}/Observation/o1", status=200, headers={"ETag": 'W/"10"'}, match=[matchers.header_matcher({"If-Match": 'W/"9"'})])
    assert ehr.deliver(ready(remote=copy(seen_hash=seen_hash(seen))), NEITHER) == Delivered("o1", 'W/"10"', 200)


def test_a_conflict_with_somebody_elses_change_is_a_persons_to_solve(ehr: Rest, http: responses.RequestsMock) -> None:
    http.put(f"{BASE}/Observation/o1", status=412)
    http.get(f"{BASE}/Observation/o1", json={**THEIRS, "status": "amended"})
    assert ehr.deliver(ready(remote=copy(seen_hash=b"before")), NEITHER) == Refused("It was changed at the EHR since we last sent it", 412)


@pytest.mark.parametrize("body", [b"", b"<html>ok</html>", encode({"resourceType": "OperationOutcome"})])
def test_what_cannot_be_read_after_a_conflict_is_not_taken_for_delivered(ehr: Rest, http: responses.RequestsMock, body: bytes) -> None:
    http.put(f"{BASE}/Observation/o1", status=412)
    http.get(f"{BASE}/Observation/o1", body=body)
    assert ehr.deliver(ready(remote=copy()), NEITHER) == Refused("It is there as o1 and cannot be read", 200)


def test_an_update_that_may_have_arrived_is_looked_at_first(ehr: Rest, http: responses.RequestsMock) -> None:
    http.get(f"{BASE}/Observation/o1", json=THEIRS)
    assert ehr.deliver(ready(remote=copy(), unsure=True), NEITHER) == Delivered("o1", 'W/"4"', 200, THEIRS, merged=True)


def test_a_copy_of_which_nothing_is_known_after_a_restore_is_looked_at_before_it_is_written(ehr: Rest, http: responses.RequestsMock) -> None:
    http.get(f"{BASE}/Observation/o1", json={**THEIRS, "status": "preliminary"}, headers={"ETag": 'W/"7"'})
    http.put(f"{BASE}/Observation/o1", status=200, headers={"ETag": 'W/"8"'}, match=[matchers.header_matcher({"If-Match": 'W/"7"'})])
    assert ehr.deliver(ready(remote=copy(remote_version=None, sent_hash=b"")), NEITHER) == Delivered("o1", 'W/"8"', 200)


def test_where_both_differ_from_what_a_restore_brought_back_ours_is_sent_and_what_they_alone_changed_stays(ehr: Rest, http: responses.RequestsMock) -> None:
    """What they seem to have changed may be what we sent after the backup, and the clinic's software sends again all that it has."""
    theirs = {**THEIRS, "status": "amended", "method": {"text": "theirs"}}
    http.get(f"{BASE}/Observation/o1", json=theirs, headers={"ETag": 'W/"7"'})
    http.put(f"{BASE}/Observation/o1", status=200, headers={"ETag": 'W/"8"'}, match=[
        matchers.header_matcher({"If-Match": 'W/"7"'}),
        matchers.json_params_matcher({**BODY, "method": {"text": "theirs"}, "note": THEIRS["note"], "id": "o1"}),
    ])  # fmt: skip
    before = copy(remote_version=None, sent_hash=b"", seen_hash=RESTORED)
    mine = replace(ready(remote=before), restored=True, earlier=lambda: [{**BODY, "status": "preliminary"}])
    assert ehr.deliver(mine, NEITHER) == Delivered("o1", 'W/"8"', 200, merged=True)


@pytest.mark.parametrize("status", [200, 204, 404, 410])
def test_what_is_deleted_or_was_never_there_is_gone(ehr: Rest, http: responses.RequestsMock, status: int) -> None:
    http.delete(f"{BASE}/Observation/o1", status=status, json={"resourceType": "Observation", "id": "o1"} if status == 200 else None)
    assert ehr.deliver(ready(None, copy()), NEITHER) == Delivered(None, None, status)


def test_a_deletion_that_is_refused_in_a_200_is_not_done(ehr: Rest, http: responses.RequestsMock) -> None:
    http.delete(f"{BASE}/Observation/o1", json={"resourceType": "OperationOutcome", "issue": [{"severity": "error", "diagnostics": "locked"}]})
    assert ehr.deliver(ready(None, copy()), NEITHER) == Refused("locked", 200)


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_redirect_of_a_write_is_followed_nowhere(ehr: Rest, http: responses.RequestsMock, status: int) -> None:
    http.put(f"{BASE}/Observation/o1", status=status, headers={"Location": "https://elsewhere.test/fhir/Observation/o1"})
    assert ehr.deliver(ready(remote=copy()), NEITHER) == Refused(f"The EHR redirects writes, which are not followed ({status})", status)
    assert calls(http) == ["PUT /Observation/o1"]


@pytest.mark.parametrize("status", [301, 302, 404, 429, 500, 503])
def test_a_statement_that_is_not_there_is_none_and_our_token_goes_nowhere_else(ehr: Rest, http: responses.RequestsMock, status: int) -> None:
    http.get(f"{BASE}/metadata", status=status, headers={"Location": "https://elsewhere.test/metadata"}, json={"resourceType": "CapabilityStatement"})
    with pytest.raises(ValueError, match=str(status)):
        ehr.statement()
    assert calls(http) == ["GET /metadata"]


@pytest.mark.parametrize("status", [401, 403])
def test_a_statement_is_asked_for_as_anybody_may_and_with_our_token_where_nobody_may(ehr: Rest, http: responses.RequestsMock, status: int) -> None:
    http.get(f"{BASE}/metadata", status=status)
    http.get(f"{BASE}/metadata", json={"resourceType": "CapabilityStatement"}, match=[matchers.header_matcher({"Authorization": "Bearer ours"})])
    assert ehr.statement() == {"resourceType": "CapabilityStatement"}
    assert "Authorization" not in http.calls[0].request.headers


@pytest.mark.parametrize("body", [b"", b"{}", b'{"resourceType": "Patient"}', b"[" * 100_000])
def test_a_statement_that_is_none_is_said_to_be_none(ehr: Rest, http: responses.RequestsMock, body: bytes) -> None:
    http.get(f"{BASE}/metadata", body=body)
    with pytest.raises(ValueError, match="no CapabilityStatement"):
        ehr.statement()


def test_an_ehr_that_is_not_there_is_tried_again(ehr: Rest) -> None:
    with responses.RequestsMock():  # nothing is registered: nothing is reached
        outcome = ehr.deliver(ready(), NEITHER)
    assert outcome == Retry("unreached", "The EHR is not reached: ConnectionError", snoozes=True)


@pytest.mark.parametrize("status", [502, 504])
def test_an_answer_that_a_gateway_lost_is_unsure(ehr: Rest, http: responses.RequestsMock, status: int) -> None:
    http.post(f"{BASE}/Observation", status=status)
    assert ehr.deliver(ready(), ONCE) == Unsure(f"A gateway lost the answer ({status})", status)
