"""What is sent: in the order of references, in the EHR's own ids, and only what it takes."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mappings.codes import NHS_NUMBER
from mappings.parts import system_of
from service.store.copies import Copy
from service.sync import ehrs
from service.sync.abilities import Abilities, abilities
from service.sync.deliver import HELD, NEVER, OWED, Match, Owed, Ready, Standing, Terms, digest, in_order, our_identifier, prepared, put
from service.sync.outcomes import Matched, Moot, Refused, Unsupported, Waits

ABLE = Abilities(dict.fromkeys(("Observation", "Patient", "Encounter", "Procedure"), frozenset({"create", "update", "delete"})), searched={"Patient": frozenset({"identifier"})})
EMPTY = Abilities()
U = {n: f"00000000-0000-0000-0000-{n:012}" for n in range(10)}


def owed(n: int, type_: str = "Observation", body: dict[str, Any] | None = None, **more: Any) -> Owed:
    given = {"resourceType": type_, "id": U[n], "meta": {"versionId": "1"}, **(body or {})}
    return Owed(n, n * 10, U[n], type_, "v1", 1, 0, given, **more)


def held(n: int, **more: Any) -> Copy:
    return Copy("ehr", n * 10, **{"remote_id": "r9", "remote_version": 'W/"1"', "version": "v0", "level": 1, "sent_hash": b"x", **more})


def standing(state: str) -> Any:
    return lambda type_, uuid: Standing(state, 40, "r4" if state == HELD else None)


def ready(one: Owed, remote: Copy | None = None, state: str = HELD, able: Abilities = ABLE, *, create_people: bool = False) -> Any:
    return prepared(one, remote, able, standing(state), Terms(create_people=create_people))


def test_what_is_referred_to_comes_first() -> None:
    patient, encounter = owed(1, "Patient"), owed(2, "Encounter", {"subject": {"reference": f"Patient/{U[1]}"}})
    panel = owed(3, body={"subject": {"reference": f"Patient/{U[1]}"}, "encounter": {"reference": f"Encounter/{U[2]}"}, "hasMember": [{"reference": f"Observation/{U[4]}"}]})
    member = owed(4, body={"encounter": {"reference": f"Encounter/{U[2]}"}})
    assert in_order([panel, member, encounter, patient]) == [patient, encounter, member, panel]


def test_what_is_deleted_comes_last_and_the_newest_of_it_first() -> None:
    gone = [replace(owed(n), body=None) for n in (1, 2)]
    withheld = [Owed(n, n, "", "", "", 1, 0, None) for n in (5, 6)]
    assert in_order([*gone, *withheld, owed(3)]) == [owed(3), *reversed(withheld), *reversed(gone)]


def test_a_circle_of_references_loses_nothing() -> None:
    one, two = owed(1, body={"focus": [{"reference": f"Observation/{U[2]}"}]}), owed(2, body={"focus": [{"reference": f"Observation/{U[1]}"}]})
    assert sorted(o.uuid for o in in_order([one, two])) == [U[1], U[2]]


@given(st.lists(st.lists(st.integers(0, 7), max_size=3), min_size=1, max_size=8), st.randoms())
def test_every_order_of_what_is_owed_puts_references_first(refers: list[list[int]], rng: Any) -> None:
    made = [owed(n, body={"focus": [{"reference": f"Observation/{U[m]}"} for m in to if m < n]}) for n, to in enumerate(refers)]
    given_order = made[:]
    rng.shuffle(given_order)
    placed = [one.delivery for one in in_order(given_order)]
    assert sorted(placed) == list(range(len(made)))
    assert all(placed.index(m) < placed.index(n) for n, to in enumerate(refers) for m in to if m < n)


def test_a_reference_is_put_into_the_ehrs_own_id() -> None:
    one = owed(1, body={"subject": {"reference": f"Patient/{U[4]}", "display": "Ann"}})
    made = ready(one)
    assert isinstance(made, Ready)
    assert made.body == {"resourceType": "Observation", "subject": {"reference": "Patient/r4", "display": "Ann"}}
    assert made.unresolved == () and made.remote is None


def test_a_weak_reference_is_logical_until_what_it_leads_to_is_held() -> None:
    one = owed(1, body={"encounter": {"reference": f"Encounter/{U[4]}", "display": "Visit"}})
    logical = {"display": "Visit", "type": "Encounter", "identifier": {"system": system_of("Encounter"), "value": U[4]}}
    for state, unresolved in ((OWED, (40,)), (NEVER, ())):
        made = ready(one, state=state)
        assert (made.body["encounter"], made.unresolved) == (logical, unresolved)


def test_a_strong_reference_waits_for_what_is_owed_and_is_refused_for_what_never_comes() -> None:
    one = owed(1, body={"subject": {"reference": f"Patient/{U[4]}"}})
    assert ready(one, state=OWED) == Waits((40,), f"Waits for what it refers to: Patient/{U[4]}")
    assert ready(one, state=NEVER) == Refused(f"Observation.subject refers to Patient/{U[4]} that this EHR neither holds nor is owed")


def test_people_are_matched_and_not_created_unless_the_ehr_says_so() -> None:
    by_number = owed(1, "Patient", body={"identifier": [{"system": NHS_NUMBER, "value": "9912003888"}]})
    assert isinstance(ready(by_number), Match)
    assert ready(owed(1, "Patient")) == Refused("It has no NHS number by which the EHR could know it: link it to the EHR's own")
    assert isinstance(ready(owed(1, "Location")), Unsupported)
    assert isinstance(ready(owed(1, "Patient"), create_people=True), Ready)
    assert isinstance(ready(owed(1, "Patient"), held(1)), Ready)


def test_a_person_who_was_matched_is_the_ehrs_own_and_never_written() -> None:
    linked = held(1, version="", remote_version=None, sent_hash=b"")
    for one in (owed(1, "Patient"), owed(1, "Patient", gone=True), replace(owed(1, "Patient"), body=None, gone=True)):
        assert ready(one, linked) == ready(one, linked, create_people=True) == Matched()


def test_what_the_ehr_does_not_take_is_not_sent() -> None:
    creates = Abilities({"Observation": frozenset({"create", "read"})})
    assert ready(owed(1), able=EMPTY) == Unsupported("This EHR does not take Observation")
    assert isinstance(ready(owed(1), able=creates), Ready)
    assert ready(owed(1), held(1), able=creates) == Unsupported("This EHR does not take Observation once it is there")


def test_what_is_gone_is_told_only_where_it_was_sent() -> None:
    gone, deleted = owed(1, gone=True), replace(owed(1, gone=True), body=None)
    for one in (gone, deleted):
        assert ready(one) == ready(one, held(1, remote_id=None)) == Moot("Gone before it was ever sent")
    assert isinstance(ready(gone, held(1)), Ready)
    assert ready(deleted, held(1)) == Ready(deleted, {}, b"", held(1))
    assert ready(deleted, held(1), able=EMPTY) == Unsupported("This Observation was deleted here and has to be removed there by hand")
    assert ready(Owed(1, 1, "", "", "", 0, 0, None)) == Moot("Withheld from this EHR since it was owed")


@pytest.mark.parametrize("state", ["deleted", "entered in error"])
def test_what_is_gone_is_looked_for_after_a_restore_where_something_can_be_done_about_it(state: str) -> None:
    one = replace(owed(1), gone=True, **({"body": None} if state == "deleted" else {}))
    found, terms = {"Observation": frozenset({"identifier"})}, Terms(restored=True)
    able = Abilities({"Observation": frozenset({"create", "update", "delete"})}, searched=found)
    assert isinstance(prepared(one, None, able, standing(HELD), terms), Ready)
    for unable in (replace(able, searched={}), replace(able, interactions={"Observation": frozenset({"create", "read"})})):
        assert prepared(one, None, unable, standing(HELD), terms) == Moot("Gone before it was ever sent")
    assert prepared(replace(one, type="Patient"), None, able, standing(HELD), terms) == Moot("Gone before it was ever sent")


@pytest.mark.parametrize(("known", "says"), [
    ({}, (True, False)), ({"tried": True}, (False, True)), ({"unsure": True}, (False, True)),
])  # fmt: skip
def test_what_an_ehr_has_after_a_restore_is_ours_until_we_have_tried(known: dict[str, bool], says: tuple[bool, bool]) -> None:
    made = prepared(owed(1, **known), None, ABLE, standing(HELD), Terms(restored=True))
    assert (made.restored, made.doubtful) == says
    assert not (never := prepared(owed(1, **known), None, ABLE, standing(HELD), Terms())).restored and not never.doubtful


def test_a_value_is_put_at_a_path_and_the_given_body_is_left_alone() -> None:
    body = {"resourceType": "Encounter", "participant": [{"individual": 1}, {"individual": 2, "period": 3}], "subject": 4}
    assert put(body, "Encounter.participant[1].individual", 9) == {**body, "participant": [{"individual": 1}, {"individual": 9, "period": 3}]}
    assert put(body, "Encounter.subject", 9) == {**body, "subject": 9}
    assert put({"a": [[1, 2]]}, "X.a[0][1]", 9) == {"a": [[1, 9]]}
    assert body["participant"][1] == {"individual": 2, "period": 3} and body["subject"] == 4


def test_our_identifier_is_told_from_others() -> None:
    ours = {"system": system_of("Observation"), "value": "x"}
    assert our_identifier({"identifier": [{"system": "urn:other", "value": "y"}, {**ours, "use": "usual"}]}) == ours
    assert our_identifier({"identifier": ours}) == ours
    for body in ({}, {"identifier": None}, {"identifier": "x"}, {"identifier": [5, "x", {"value": "y"}, {"system": ours["system"]}]}):
        assert our_identifier(body) is None


def test_the_digest_leaves_out_what_a_release_may_change() -> None:
    body = {"resourceType": "Observation", "id": "a", "meta": {"profile": ["p"]}, "text": {"div": "d"}, "status": "final"}
    assert digest(body) == digest({"resourceType": "Observation", "status": "final"})
    assert digest(body) != digest({**body, "status": "amended"})


STATEMENT = {
    "fhirVersion": "4.0.1", "software": {"name": "Big EHR"}, "text": {"div": "long"},
    "rest": [
        {"mode": "client", "resource": [{"type": "Patient", "interaction": [{"code": "create"}]}]},
        {"mode": "server", "interaction": [{"code": "transaction"}], "resource": [
            {"type": "Observation", "interaction": [{"code": "create"}, {"code": "read"}], "conditionalCreate": True, "versioning": "versioned",
             "searchParam": [{"name": "identifier", "type": "token"}], "documentation": "long"},
            {"type": "Encounter", "interaction": [{"code": "read"}], "conditionalCreate": "true"},
        ]},
    ],
}  # fmt: skip


def test_what_an_ehr_can_do_is_read_from_its_statement() -> None:
    able = abilities(STATEMENT)
    assert able == Abilities(
        {"Observation": frozenset({"create", "read"}), "Encounter": frozenset({"read"})}, frozenset({"Observation"}),
        {"Observation": frozenset({"identifier"}), "Encounter": frozenset()}, frozenset({"Observation"}), frozenset({"transaction"}),
    )  # fmt: skip
    assert (able.can("Observation", "create"), able.can("Encounter", "create"), able.can("Patient", "create")) == (True, False, False)


def test_what_is_kept_of_a_statement_says_the_same() -> None:
    kept = ehrs.essential(STATEMENT)
    assert abilities(kept) == abilities(STATEMENT)
    assert (kept["software"], kept["fhirVersion"]) == ("Big EHR", "4.0.1") and "long" not in str(kept)


SCALARS = st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.sampled_from(["create", "server", "Observation", "identifier"])
NAMES = st.sampled_from(["rest", "resource", "type", "interaction", "code", "searchParam", "name", "mode", "conditionalCreate", "versioning", "software"])
JSON = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=5), max_leaves=25)


@given(st.dictionaries(NAMES, JSON, max_size=6))
def test_a_statement_of_whatever_shape_says_what_it_can_and_breaks_nothing(statement: dict[str, Any]) -> None:
    assert abilities(ehrs.essential(statement)) == abilities(statement)


@pytest.mark.parametrize("odd", [5, "x", {"resource": 5}, [5], [{"resource": "x"}], [{"resource": [{"type": "Observation", "interaction": "create"}]}]])
def test_a_statement_of_the_wrong_shape_allows_nothing(odd: Any) -> None:
    assert not abilities({"rest": odd}).can("Observation", "create")
