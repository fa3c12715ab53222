"""People and places are matched with the EHR's own: by what both say, never by picking one of several."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from mappings.codes import NHS_NUMBER, ODS_ORGANISATION, REGISTRATION_BODY
from service import operating
from service.errors import Unprocessable
from service.sync.matching import agreement, candidate, comes_near, told
from service.wiring import Service
from tests.conftest import Http
from tests.service.records import clinic as clinic_
from tests.service.records import dosing, patient, practitioner, put
from tests.sync.conftest import Connect, deliveries, states
from tests.sync.small import Small

Work = Callable[[], int]
Json = dict[str, Any]
NUMBER, GMC = "9912003888", REGISTRATION_BODY["GMC"]


def theirs(id: str = "e1", *, number: str | None = NUMBER, family: str = "Example", birth_date: str = "1984-05-17", **more: Any) -> Json:
    identifier = [{"system": NHS_NUMBER, "value": number}] if number else []
    return {"resourceType": "Patient", "id": id, "identifier": identifier, "name": [{"family": family}], "birthDate": birth_date, **more}


OURS = theirs("ours")


@pytest.mark.parametrize(("other", "wrong"), [
    (theirs(), []),
    (theirs(family="EXAMPLE"), []),
    (theirs(number="9912003896"), ["NHS number"]),
    (theirs(number=None), ["NHS number"]),
    (theirs(family="Sample"), ["family name"]),
    (theirs(birth_date="1984-05-18"), ["birth date"]),
    (theirs(birth_date="1984"), ["birth date"]),
    (theirs(active=False), ["in use"]),
    (theirs(link=[{"type": "replaced-by", "other": {"reference": "Patient/e2"}}]), ["in use"]),
])  # fmt: skip
def test_a_patient_is_ours_by_nhs_number_birth_date_and_family_name_together(other: Json, wrong: list[str]) -> None:
    found = candidate(OURS, other)
    assert [name for name, agrees in found.agrees.items() if not agrees] == wrong and found.is_ours == (not wrong)


@pytest.mark.parametrize(("one", "other"), [("O'Brien", "OBRIEN"), ("Müller", "Muller"), ("Smith-Jones", "Smith Jones"), ("de la Cruz", "De La Cruz")])
def test_registers_write_a_family_name_differently(one: str, other: str) -> None:
    assert agreement(theirs(family=one), theirs(family=other))["family name"]


def test_a_patient_without_an_nhs_number_is_nobody_for_sure() -> None:
    assert not candidate(theirs(number=None), theirs(number=None)).is_ours


def test_a_name_that_is_not_used_any_more_tells_nothing() -> None:
    old = {**theirs(), "name": [{"family": "Example", "use": "old"}, {"family": "Wedded"}]}
    assert not candidate(OURS, old).is_ours


def test_what_an_ehr_finds_that_ignores_a_filter_comes_not_near() -> None:
    assert not comes_near(OURS, theirs(number="1", family="Else", birth_date="1990-01-01"))
    assert comes_near(OURS, theirs(number=None)) and comes_near(OURS, theirs(family="Else", birth_date="1990-01-01"))


def test_who_is_registered_twice_is_the_same_by_either() -> None:
    ours = {"resourceType": "Practitioner", "identifier": [{"system": GMC, "value": "1"}, {"system": REGISTRATION_BODY["NMC"], "value": "2"}]}
    assert candidate(ours, {"id": "x", "identifier": [{"system": GMC, "value": "1"}]}).is_ours is False  # it is no Practitioner
    assert candidate(ours, {"resourceType": "Practitioner", "id": "x", "identifier": [{"system": GMC, "value": "1"}]}).is_ours
    assert not candidate(ours, {"resourceType": "Practitioner", "id": "x", "identifier": [{"system": GMC, "value": "2"}]}).is_ours


def test_candidates_are_told_by_their_ids_and_never_by_what_they_say() -> None:
    said = told([candidate(OURS, theirs("e1", family="Sample")), candidate(OURS, theirs("e2"))])
    assert said == "e1 (not: family name); e2 (all agrees)" and "Sample" not in said and NUMBER not in said


# --- over HTTP


@pytest.fixture
def known(clinic: Http, ehr: Small, connect: Connect) -> Http:
    """An EHR with people of its own, and our records of the same."""
    connect("their", ehr.base, 1, create_people=False)
    ehr.kept["Practitioner/d1"] = {"resourceType": "Practitioner", "id": "d1", "identifier": [{"system": GMC, "value": "7000001"}]}
    ehr.kept["Organization/o1"] = {"resourceType": "Organization", "id": "o1", "identifier": [{"system": ODS_ORGANISATION, "value": "ZZ9T"}]}
    put(clinic, "practitioners", practitioner(registrations=[{"body": "GMC", "number": "7000001"}]))
    put(clinic, "clinics", clinic_(odsOrganisationCode="ZZ9T"))
    put(clinic, "patients", patient(nhsNumber=NUMBER))
    put(clinic, "dosing-encounters", dosing(participants=[{"practitioner": "dr-shah", "function": "prescriber"}]))
    return clinic


def test_what_the_ehr_has_of_its_own_is_referred_to_and_not_written(known: Http, ehr: Small, work: Work) -> None:
    ehr.kept["Patient/e1"] = theirs()
    work()
    assert not {one for one in ehr.writes if one.endswith(("Patient", "Practitioner", "Organization", "Location"))}
    [encounter] = ehr.of("Encounter")
    assert encounter["subject"]["reference"] == "Patient/e1" and encounter["serviceProvider"]["reference"] == "Organization/o1"
    assert "Practitioner/d1" in str(encounter["participant"]) and "waiting" not in states(known)


@pytest.mark.parametrize(("there", "reason"), [
    ([], "No Patient there is this one"),
    ([theirs("e1", family="Sample")], "None there is this one for sure: e1 (not: family name)"),
    ([theirs("e1"), theirs("e2")], "Several there are this one: e1 (all agrees); e2 (all agrees)"),
])  # fmt: skip
def test_none_or_several_are_for_a_person_to_decide(known: Http, ehr: Small, work: Work, service: Service, there: list[Json], reason: str) -> None:
    ehr.kept |= {f"Patient/{one['id']}": one for one in there}
    work()
    [parked] = deliveries(known, state="parked", type="Patient")
    assert parked["reason"].startswith(reason) and not ehr.of("Encounter") and "Example" not in parked["reason"]
    ehr.kept["Patient/chosen"] = theirs("chosen", number=None)
    service.database.write(lambda tx: operating.link(service.tenant, tx, "their", "Patient/ann", "chosen"))
    work()
    assert [one["subject"]["reference"] for one in ehr.of("Encounter")] == ["Patient/chosen"] and states(known)["waiting"] == 0


@pytest.mark.parametrize("more", [
    {"link": [{"relation": "next", "url": "https://elsewhere.test/fhir/Patient?page=2"}]}, {"total": 2},
    {"entry": [{"resource": {"resourceType": "OperationOutcome", "issue": [{"severity": "error", "code": "incomplete"}]}, "search": {"mode": "outcome"}}]},
    {"link": [{"relation": "next", "url": "?identifier=again"}]},
], ids=["elsewhere", "total", "outcome", "loop"])  # fmt: skip
def test_the_only_one_of_a_search_that_does_not_show_all_is_not_the_one(known: Http, ehr: Small, work: Work, more: Json) -> None:
    found = {"resourceType": "Bundle", "type": "searchset", **more, "entry": [{"resource": theirs()}, *more.get("entry", [])]}
    ehr.answers = lambda method, path: (200, {}, json.dumps(found).encode()) if method == "GET" and path.startswith("/Patient?") else None
    work()
    [parked] = deliveries(known, state="parked", type="Patient")
    assert parked["reason"].startswith(("What a search finds there is not all shown", "A search finds 2 there and shows 1")) and not ehr.of("Encounter")


def test_a_link_to_another_sends_again_what_named_the_first(known: Http, ehr: Small, work: Work, service: Service) -> None:
    ehr.kept["Patient/e1"] = theirs()
    work()
    service.database.write(lambda tx: operating.link(service.tenant, tx, "their", "Patient/ann", "e2"))
    work()
    assert [one["subject"]["reference"] for one in ehr.of("Encounter")] == ["Patient/e2"] and len(ehr.of("Encounter")) == 1


def test_two_patients_are_not_linked_to_one_record_by_a_slip(known: Http, ehr: Small, work: Work, service: Service) -> None:
    ehr.kept["Patient/e1"] = theirs()
    work()
    put(known, "patients", patient("bob", nhsNumber="9434765919"))

    def link(*, same_person: bool) -> None:
        service.database.write(lambda tx: operating.link(service.tenant, tx, "their", "Patient/bob", "e1", same_person=same_person))

    with pytest.raises(Unprocessable) as refused:
        link(same_person=False)
    assert [path for path, _ in refused.value.problems] == ["/remoteId"] and "ann" not in str(refused.value.problems)
    link(same_person=True)
    work()
    assert {one["remoteId"] for one in deliveries(known, type="Patient", state="delivered")} == {"e1"}


def test_an_unknown_practitioner_holds_up_nothing_but_is_shown(known: Http, ehr: Small, work: Work) -> None:
    del ehr.kept["Practitioner/d1"]
    ehr.kept["Patient/e1"] = theirs()
    work()
    assert "Practitioner" in {one["resource"]["type"] for one in deliveries(known, state="parked")} and len(ehr.of("Encounter")) == 1
    assert all("identifier" in one["individual"] for one in ehr.of("Encounter")[0]["participant"])
    assert "Practitioner" not in {one["resource"]["type"] for one in deliveries(known, state="unsupported")}


def test_an_ehr_that_fails_while_it_is_asked_is_asked_again(known: Http, ehr: Small, work: Work, clock: Any) -> None:
    ehr.kept["Patient/e1"] = theirs()
    ehr.answers = lambda method, path: (500, {}) if path.startswith("/Patient?") else None
    work()
    assert not ehr.of("Encounter") and not deliveries(known, state="parked", type="Patient")
    ehr.answers = lambda method, path: None
    clock.forward(seconds=400)
    work()
    assert len(ehr.of("Encounter")) == 1
