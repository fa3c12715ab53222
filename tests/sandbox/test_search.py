"""Search: what is found by which parameter, and what is said of what was asked."""

from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest

from tests.sandbox.client import Client, Fhir, issues, link, name, reference
from tests.sandbox.samples import CODED, identify, least


def used(bundle: Fhir) -> list[tuple[str, str]]:
    """The parameters that the server says it used."""
    return parse_qsl(urlsplit(link(bundle, "self") or "").query)


class TestTokens:
    def test_an_identifier_is_found_by_system_and_value_by_value_and_not_by_another_system(self, plain: Client, about: str) -> None:
        body = least("Observation", about)
        system, value = body["identifier"][0].values()
        created = {plain.create(body)["id"]}
        assert plain.found("Observation", identifier=f"{system}|{value}") == created
        assert plain.found("Observation", identifier=value) == created
        assert plain.found("Observation", identifier=f"urn:other|{value}") == set()
        assert plain.found("Observation", identifier=f"|{value}") == set()
        assert plain.found("Observation", subject=about, identifier=f"{system}|") == created

    def test_an_identifier_without_a_system_is_found_by_a_bar_and_its_value(self, plain: Client, about: str) -> None:
        value = identify()["value"]
        created = plain.create({**least("Observation", about), "identifier": [{"value": value}]})
        assert plain.found("Observation", identifier=f"|{value}") == {created["id"]}

    def test_several_values_mean_any_and_a_parameter_twice_means_both(self, plain: Client, about: str) -> None:
        two = [{"system": "urn:a", "code": "1"}, {"system": "urn:a", "code": "2"}]
        one, both = (plain.create({**least("Observation", about), "code": {"coding": coding}})["id"] for coding in (two[:1], two))
        assert plain.found("Observation", subject=about, code="urn:a|1,urn:a|2") == {one, both}
        assert plain.found("Observation", ("subject", about), ("code", "urn:a|1"), ("code", "urn:a|2")) == {both}

    def test_a_comma_or_bar_in_a_value_is_escaped(self, plain: Client, about: str) -> None:
        value = f"a,b|c-{identify()['value']}"
        created = plain.create({**least("Observation", about), "identifier": [{"system": "urn:s", "value": value}]})
        asked = value.replace(",", "\\,").replace("|", "\\|")
        assert plain.found("Observation", identifier=f"urn:s|{asked}") == {created["id"]}
        assert plain.found("Observation", identifier=asked) == {created["id"]}
        assert plain.found("Observation", identifier=value) == set()

    @pytest.mark.parametrize(
        ("kind", "more", "criterion"),
        [
            ("Observation", {"status": "amended"}, ("status", "amended")),
            ("Observation", {"category": [CODED]}, ("category", "urn:example:codes|a")),
            ("Encounter", {"class": {"code": "VR"}}, ("class", "VR")),
            ("QuestionnaireResponse", {"questionnaire": "urn:example:q|1"}, ("questionnaire", "urn:example:q")),
            ("Goal", {"lifecycleStatus": "completed"}, ("lifecycle-status", "completed")),
            ("Medication", {"batch": {"lotNumber": "LOT7"}}, ("lot-number", "LOT7")),
            ("Patient", {"active": False}, ("active", "false")),
            ("Patient", {"telecom": [{"system": "phone", "value": "01632 960001"}]}, ("telecom", "01632 960001")),
        ],
    )
    def test_codes_booleans_and_contacts_are_tokens(self, plain: Client, about: str, kind: str, more: Fhir, criterion: tuple[str, str]) -> None:
        created, other = plain.create({**least(kind, about), **more}), plain.create(least(kind, about))
        found = plain.found(kind, criterion, ("_count", "1000"))
        assert created["id"] in found
        assert other["id"] not in found


class TestReferences:
    def test_a_patient_is_named_by_id_by_type_and_id_or_by_url(self, plain: Client, about: str) -> None:
        created = {plain.create(least("Observation", about))["id"]}
        for value in (about, about.removeprefix("Patient/"), f"{plain.base}/{about}"):
            assert plain.found("Observation", patient=value) == created
            assert plain.found("Observation", subject=value) == created
        assert plain.found("Observation", **{"subject:Patient": about.removeprefix("Patient/")}) == created
        assert plain.found("Observation", **{"subject:Group": about.removeprefix("Patient/")}) == set()

    def test_an_encounter_is_named_as_each_type_names_it(self, plain: Client, about: str) -> None:
        encounter = plain.create(least("Encounter", about))
        observation = plain.create({**least("Observation", about), "encounter": reference(encounter)})
        dose = plain.create({**least("MedicationAdministration", about), "context": reference(encounter)})
        assert plain.found("Observation", encounter=name(encounter)) == {observation["id"]}
        assert plain.found("MedicationAdministration", context=name(encounter)) == {dose["id"]}

    def test_what_refers_by_another_element_is_not_found(self, plain: Client, about: str) -> None:
        plain.create({**least("Observation", about), "performer": [{"reference": about}], "subject": {"display": "someone else"}})
        assert plain.found("Observation", subject=about) == set()

    def test_provenance_is_found_by_its_target(self, plain: Client, about: str) -> None:
        created = plain.create(least("Provenance", about))
        assert plain.found("Provenance", target=about) == {created["id"]}

    def test_a_reference_by_identifier_is_found_by_none(self, plain: Client, about: str) -> None:
        logical = {"type": "Patient", "identifier": identify()}
        plain.create({**least("Observation", about), "subject": logical, "performer": [{"reference": about}]})
        assert plain.found("Observation", subject=about) == set()


class TestDates:
    @pytest.mark.parametrize(
        ("asked", "is_found"),
        [
            ("2026-03-02", True), ("2026-03", True), ("2026", True), ("eq2026-03-02T10:15:00Z", True), ("2026-03-02T10:15Z", True),
            ("2026-03-02T11:15:00+01:00", True), ("2026-03-03", False), ("ne2026-03-02", False), ("ne2026-03-03", True),
            ("ge2026-03-02", True), ("ge2026-03-03", False), ("gt2026-03-02", False), ("gt2026-03-02T10:14:59Z", True), ("gt2026-03-01", True),
            ("le2026-03-02", True), ("lt2026-03-02", False), ("lt2026-03-03", True), ("sa2026-03-01", True), ("eb2026-03-03", True), ("le9999-12-31", True), ("ge9999", False), ("ap2026-03-02", True),
        ],
    )  # fmt: skip
    def test_a_prefix_compares_spans_of_time(self, plain: Client, about: str, asked: str, is_found: bool) -> None:
        created = plain.create({**least("Observation", about), "effectiveDateTime": "2026-03-02T10:15:00Z"})
        assert plain.found("Observation", subject=about, date=asked) == ({created["id"]} if is_found else set())

    @pytest.mark.parametrize(
        ("asked", "is_found"),
        [
            ("2026-03-02T13:10:00Z", True), ("2026-03-02T14:10:00+01:00", True), ("2026-03-02T13:10Z", True), ("2026-03-02", True), ("2026-03-02T13:10:01Z", False),
            ("2026-03-02T13:10:00.5Z", False), ("ne2026-03-02T13:10:00Z", False), ("2026-03-02T13:10:01Z,2026-03-02T13:10:00Z", True), ("2026-03-02T13:10:01Z,2026", True),
        ],
    )  # fmt: skip
    def test_what_was_recorded_is_found_by_its_second(self, plain: Client, about: str, asked: str, is_found: bool) -> None:
        created = plain.create({**least("Provenance", about), "recorded": "2026-03-02T13:10:00Z"})
        assert (created["id"] in plain.found("Provenance", recorded=asked)) == is_found
        changed = plain.update({**created, "recorded": "2026-03-05T13:10:00Z"})
        assert changed["id"] in plain.found("Provenance", recorded="2026-03-05T13:10:00Z") - plain.found("Provenance", recorded="2026-03-02T13:10:00Z")

    @pytest.mark.parametrize(
        ("asked", "is_found"), [("ge2026-03-02", True), ("2026-03-02", False), ("lt2026-03-02", False), ("lt2026-03-03", True), ("gt2030", True)]
    )
    def test_a_period_that_has_not_ended_goes_on(self, plain: Client, about: str, asked: str, is_found: bool) -> None:
        created = plain.create({**least("EpisodeOfCare", about), "period": {"start": "2026-03-02T10:00:00Z"}})
        assert plain.found("EpisodeOfCare", patient=about, date=asked) == ({created["id"]} if is_found else set())

    def test_two_of_them_are_a_window(self, plain: Client, about: str) -> None:
        days = {day: plain.create({**least("Observation", about), "effectiveDateTime": day})["id"] for day in ("2026-03-01", "2026-03-02", "2026-03-03")}
        assert plain.found("Observation", ("subject", about), ("date", "ge2026-03-02"), ("date", "lt2026-03-03")) == {days["2026-03-02"]}

    def test_last_updated_follows_what_was_written_since(self, plain: Client, about: str) -> None:
        old = plain.create(least("Observation", about))
        new = plain.create(least("Observation", about))
        while (changed := plain.update(old))["meta"]["lastUpdated"] == new["meta"]["lastUpdated"]:
            pass
        assert plain.found("Observation", subject=about, _lastUpdated=f"gt{new['meta']['lastUpdated']}") == {changed["id"]}
        assert plain.found("Observation", subject=about, _lastUpdated=f"le{new['meta']['lastUpdated']}") == {new["id"]}

    @pytest.mark.parametrize("asked", ["yesterday", "2026-13", "2026-02-30", "ge", "2026-03-02T10:00:00 00:00"])
    def test_what_is_no_date_is_400(self, plain: Client, asked: str) -> None:
        answer = plain.get(f"Observation?date={asked}")
        assert (answer.status_code, issues(answer)) == (400, [("value", None)])


def test_names_are_found_by_how_they_begin_without_case_and_accents(plain: Client) -> None:
    family = f"Núñez{identify()['value']}"
    created = {plain.create({"resourceType": "Patient", "name": [{"family": family, "given": ["Zoë"]}], "birthDate": "1980-05-01"})["id"]}
    assert plain.found("Patient", family=family.lower().replace("ú", "u").replace("ñ", "n"), birthdate="1980-05-01") == created
    assert plain.found("Patient", family=family, given="zo") == created
    assert plain.found("Patient", name=family) == created
    assert plain.found("Patient", family=family[1:]) == set()
    assert plain.found("Patient", **{"family:contains": family[1:]}) == created
    assert plain.found("Patient", **{"family:exact": family.lower()}) == set()


class TestAnswer:
    def test_post_finds_what_get_finds(self, plain: Client, about: str) -> None:
        plain.create(least("Observation", about))
        posted = plain.post("Observation/_search", f"subject={about}", Content_Type="application/x-www-form-urlencoded")
        assert posted.json() == plain.search("Observation", subject=about)

    def test_entries_are_matches_with_their_urls(self, plain: Client, about: str) -> None:
        created = plain.create(least("Observation", about))
        bundle = plain.search("Observation", subject=about)
        assert (bundle["type"], bundle["total"]) == ("searchset", 1)
        assert bundle["entry"] == [{"fullUrl": f"{plain.base}/{name(created)}", "resource": created, "search": {"mode": "match"}}]

    def test_nothing_found_has_no_entries(self, plain: Client) -> None:
        bundle = plain.search("Observation", identifier="nothing|like-it")
        assert bundle["total"] == 0
        assert "entry" not in bundle

    def test_self_repeats_what_was_used_and_not_what_was_ignored(self, plain: Client, about: str) -> None:
        bundle = plain.search("Observation", subject=about, colour="blue", _sort="colour", _count="5000", _format="json")
        assert used(bundle) == [("subject", about), ("_count", "1000")]

    def test_what_is_not_known_is_400_where_strictness_is_asked_for(self, plain: Client) -> None:
        answer = plain.get("Observation?colour=blue&_sort=colour", Prefer="handling=strict")
        assert (answer.status_code, issues(answer)) == (400, [("not-supported", None)] * 2)

    @pytest.mark.parametrize("asked", ["subject:identifier=1", "code:text=a", "date:missing=true", "identifier:not=1"])
    def test_a_modifier_that_is_not_supported_is_always_400(self, plain: Client, asked: str) -> None:
        assert issues(plain.get(f"Observation?{asked}")) == [("not-supported", None)]

    def test_a_count_can_be_asked_for_alone(self, plain: Client, about: str) -> None:
        plain.create(least("Observation", about))
        for how in ({"_summary": "count"}, {"_count": "0"}):
            bundle: dict[str, Any] = plain.search("Observation", subject=about, **how)
            assert (bundle["total"], "entry" in bundle) == (1, False)

    @pytest.mark.parametrize("count", ["-1", "many", "9" * 5000])
    def test_a_count_that_is_no_number_is_400(self, plain: Client, count: str) -> None:
        assert issues(plain.get(f"Observation?_count={count}")) == [("value", None)]

    def test_no_total_is_told_to_who_wants_none(self, plain: Client, about: str) -> None:
        assert "total" not in plain.search("Observation", subject=about, _total="none")
        assert plain.search("Observation", subject=about, _total="accurate")["total"] == 0

    def test_the_order_is_that_of_the_last_write_or_its_reverse(self, plain: Client, about: str) -> None:
        first, second = (plain.create(least("Observation", about)) for _ in range(2))
        plain.update(first)
        for sort, expected in (("_lastUpdated", [second["id"], first["id"]]), ("-_lastUpdated", [first["id"], second["id"]])):
            assert [entry["resource"]["id"] for entry in plain.search("Observation", subject=about, _sort=sort)["entry"]] == expected

    def test_what_was_deleted_is_not_found(self, plain: Client, about: str) -> None:
        created = plain.create(least("Observation", about))
        plain.delete(name(created))
        assert plain.found("Observation", subject=about) == set()
        assert plain.found("Observation", _id=created["id"]) == set()

    def test_it_can_be_read_by_people(self, plain: Client, patient: Fhir) -> None:
        answer = plain.get(f"{name(patient)}?_pretty=true")
        assert answer.text.startswith('{\n  "resourceType": "Patient"')
        assert answer.json() == patient


class TestPages:
    def pages(self, plain: Client, first: Fhir) -> list[list[str]]:
        found, bundle = [[entry["resource"]["id"] for entry in first["entry"]]], first
        while (url := link(bundle, "next")) is not None:
            bundle = plain.get(url).json()
            found.append([entry["resource"]["id"] for entry in bundle["entry"]])
        return found

    def test_together_hold_everything_once(self, plain: Client, about: str) -> None:
        created = [plain.create(least("Observation", about))["id"] for _ in range(7)]
        pages = self.pages(plain, plain.search("Observation", subject=about, _count="3"))
        assert pages == [created[:3], created[3:6], created[6:]]

    def test_show_what_was_found_then_whatever_is_written_meanwhile(self, plain: Client, about: str) -> None:
        created = [plain.create(least("Observation", about)) for _ in range(6)]
        first = plain.search("Observation", subject=about, _count="2", _sort="-_lastUpdated")
        plain.update(created[0])
        plain.delete(name(created[1]))
        plain.create(least("Observation", about))
        pages = self.pages(plain, first)
        assert [one for page in pages for one in page] == [one["id"] for one in reversed(created)]

    def test_say_which_page_they_are_and_what_the_total_was(self, plain: Client, about: str) -> None:
        for _ in range(3):
            plain.create(least("Observation", about))
        following = link(plain.search("Observation", subject=about, _count="2"), "next")
        assert following is not None
        page = plain.get(following).json()
        assert (link(page, "self"), link(page, "next"), page["total"]) == (following, None, 3)

    @pytest.mark.parametrize("token", ["never-2", "x", ""])
    def test_that_are_no_longer_kept_are_gone(self, plain: Client, token: str) -> None:
        answer = plain.get(f"Observation?_page={token}")
        assert (answer.status_code, issues(answer)) == (410, [("expired", None)])
