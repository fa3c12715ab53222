"""search-type (R4 3.1.1): what comes with a page, how pages follow each other, and what is refused. What is found: test_search_by_the_standard.py."""

import threading
from typing import Any
from urllib.parse import quote

import pytest

from service.renderings import text_of
from service.wiring import Service
from tests.conftest import Clock, Http
from tests.service.at_once import another
from tests.service.records import dosing, patient, people, put
from tests.service.tables import dicts

FORM = "application/x-www-form-urlencoded"
BASE = "http://127.0.0.1:8000/fhir/r4"


def ids(bundle: dict[str, Any], mode: str = "match") -> list[str]:
    return [e["resource"]["id"] for e in bundle.get("entry", []) if e["search"]["mode"] == mode]


def types(bundle: dict[str, Any], mode: str) -> set[str]:
    return {e["resource"]["resourceType"] for e in bundle.get("entry", []) if e["search"]["mode"] == mode}


def the_patient(one: Http) -> str:
    [found] = one.found("/fhir/r4/Patient?family=Example&given=Ann")
    return str(found["id"])


def test_a_page_says_what_was_asked_and_names_each_entry_by_its_url(pathway: Http) -> None:
    bundle = pathway.get("/fhir/r4/Encounter?status=finished&_count=2&_sort=-date&_format=json").json
    assert (bundle["resourceType"], bundle["type"], "total" in bundle) == ("Bundle", "searchset", False)
    assert bundle["link"][0] == {"relation": "self", "url": f"{BASE}/Encounter?status=finished&_count=2&_sort=-date"}
    assert [e["fullUrl"] for e in bundle["entry"]] == [f"{BASE}/Encounter/{id_}" for id_ in ids(bundle)]


def test_a_search_by_post_finds_the_same_and_keeps_what_was_asked_out_of_the_url(pathway: Http) -> None:
    plain = pathway.get(f"/fhir/r4/Patient?identifier={quote('https://fhir.nhs.uk/Id/nhs-number|9434765919')}").json
    posted = pathway("POST", "/fhir/r4/Patient/_search", b"identifier=https%3A%2F%2Ffhir.nhs.uk%2FId%2Fnhs-number%7C9434765919", Content_Type=FORM).json
    both = pathway("POST", "/fhir/r4/Patient/_search?family=Example", b"given=Ann", Content_Type=FORM).json
    assert ids(plain) == ids(posted) == ids(both) and len(ids(plain)) == 1
    assert pathway("POST", "/fhir/r4/Patient/_search", b"{}", Content_Type="application/json").status == 415


def test_what_is_referred_to_and_what_refers_comes_with_the_page_each_once(pathway: Http) -> None:
    found = pathway.get("/fhir/r4/Encounter?_include=Encounter:patient&_include=Encounter:participant&_revinclude=Observation:encounter&_revinclude=Procedure:encounter").json
    assert types(found, "match") == {"Encounter"}
    assert types(found, "include") == {"Patient", "Practitioner", "Observation", "Procedure"} | ({"RelatedPerson"} & types(found, "include"))
    every = [e["fullUrl"] for e in found["entry"]]
    assert len(every) == len(set(every))
    assert types(pathway.get("/fhir/r4/Encounter?_include=Encounter:participant:RelatedPerson").json, "include") <= {"RelatedPerson"}


def test_includes_of_includes_are_followed_where_they_are_asked_for(pathway: Http) -> None:
    once = pathway.get("/fhir/r4/MedicationAdministration?_include=MedicationAdministration:context").json
    again = pathway.get("/fhir/r4/MedicationAdministration?_include=MedicationAdministration:context&_include:iterate=Encounter:patient").json
    assert types(once, "include") == {"Encounter"} and types(again, "include") == {"Encounter", "Patient"}


def test_an_include_brings_nothing_that_the_reader_may_not_know_or_has_no_scope_for(pathway: Http, reader: Any) -> None:
    path = "/fhir/r4/Encounter?_revinclude=Observation:encounter&_revinclude=MedicationAdministration:context&_include=Encounter:patient"
    assert types(reader(3).get(path).json, "include") == {"Observation", "MedicationAdministration", "Patient"}
    assert types(reader(0).get(path).json, "include") == {"Observation", "Patient"}
    assert types(reader(3, "system/Encounter.s system/Patient.r").get(path).json, "include") == {"Patient"}


def test_a_chain_is_followed_one_step_and_needs_the_scope_of_both_types(pathway: Http, reader: Any) -> None:
    chained = f"/fhir/r4/Encounter?patient.identifier={quote('https://fhir.nhs.uk/Id/nhs-number|9434765919')}"
    direct = f"/fhir/r4/Encounter?patient={the_patient(pathway)}"
    assert ids(pathway.get(chained).json) == ids(pathway.get(direct).json) != []
    assert ids(pathway.get(chained.replace("patient.", "subject:Patient.")).json) == ids(pathway.get(direct).json)
    assert ids(pathway.get("/fhir/r4/Encounter?patient.family=Nobody").json) == []
    assert reader(3, "system/Encounter.rs").get(chained).status == 403


def test_counting_needs_no_page(pathway: Http) -> None:
    whole = pathway.found("/fhir/r4/Observation")
    for path in ("/fhir/r4/Observation?_summary=count", "/fhir/r4/Observation?_count=0"):
        bundle = pathway.get(path).json
        assert (bundle["total"], "entry" in bundle, [link["relation"] for link in bundle["link"]]) == (len(whole), False, ["self"])
    assert pathway.get("/fhir/r4/Observation?_total=accurate&_count=1").json["total"] == len(whole)
    assert "total" not in pathway.get("/fhir/r4/Observation?_total=none").json


def test_a_part_of_each_resource_is_told_to_be_one(pathway: Http) -> None:
    bundle = pathway.get("/fhir/r4/Observation?_elements=code,Observation.effective&code=8867-4&_count=1").json
    [entry] = bundle["entry"]
    assert entry["resource"].keys() == {"resourceType", "id", "meta", "status", "code"} and entry["resource"]["meta"]["tag"][0]["code"] == "SUBSETTED"


@pytest.mark.parametrize(
    ("query", "paths"),
    [
        ("colour=blue", {"http.colour"}), ("_summary=text", {"http._summary"}), ("_sort=status", {"http._sort"}), ("_sort=date,status", {"http._sort"}),
        ("status:text=x", {"http.status:text"}), ("date=yesterday", {"http.date"}), ("date=2026-13", {"http.date"}), ("_count=-1", {"http._count"}),
        ("_lastUpdated=x&colour=blue&_total=maybe&status:missing=perhaps&patient=Encounter/x", {
            "http._lastUpdated", "http.colour", "http._total", "http.status:missing", "http.patient",
        }),
        ("_has:Observation:encounter:code=1", {"http._has:Observation:encounter:code"}), ("_filter=x", {"http._filter"}), ("_content=x", {"http._content"}),
        ("patient.general-practitioner.name=x", {"http.patient.general-practitioner.name"}), ("status=", {"http.status"}),
    ],
)  # fmt: skip
def test_what_is_not_understood_is_refused_all_at_once(pathway: Http, query: str, paths: set[str]) -> None:
    reply = pathway.get(f"/fhir/r4/Encounter?{query}")
    assert (reply.status, {path for path, _ in reply.problems}) == (400, paths)
    strict = pathway.get(f"/fhir/r4/Encounter?{query}", Prefer="handling=strict")
    assert strict.status == 400


def test_a_lenient_caller_is_told_what_was_left_out(pathway: Http) -> None:
    bundle = pathway.get("/fhir/r4/Encounter?colour=blue&status=finished", Prefer="handling=lenient").json
    assert ids(bundle) == ids(pathway.get("/fhir/r4/Encounter?status=finished").json)
    assert bundle["link"][0]["url"] == f"{BASE}/Encounter?status=finished"
    [said] = [e["resource"] for e in bundle["entry"] if e["search"]["mode"] == "outcome"]
    assert [(i["severity"], i["code"], i["expression"]) for i in said["issue"]] == [("warning", "not-supported", ["http.colour"])]
    assert pathway.get("/fhir/r4/Encounter?date=yesterday", Prefer="handling=lenient").status == 400


@pytest.mark.parametrize("include", ["_include=Nothing:patient", "_include=Encounter:colour", "_include=Encounter:status", "_revinclude=Observation:colour"])
def test_an_include_of_what_is_not_there_is_refused(pathway: Http, include: str) -> None:
    assert pathway.get(f"/fhir/r4/Encounter?{include}").status == 400


# --- pages


def test_pages_hold_each_resource_once_and_their_links_lead_through_all(pathway: Http) -> None:
    for query in ("", "&_sort=date", "&_sort=-date", "&_sort=-_lastUpdated", f"&patient={the_patient(pathway)}"):
        whole = ids(pathway.get(f"/fhir/r4/Observation?_count=500{query}").json)
        for size in (1, 7, 50):
            paged = [r["id"] for r in pathway.found(f"/fhir/r4/Observation?_count={size}{query}")]
            assert paged == whole, (query, size)


def test_pages_show_the_state_that_the_first_one_saw_whatever_is_written_meanwhile(clinic: Http, clock: Clock) -> None:
    people(clinic)
    for n in range(9):
        put(clinic, "dosing-encounters", dosing(f"d{n}"))
    before = {r["id"]: r for r in clinic.found("/fhir/r4/Encounter")}
    first = clinic.get("/fhir/r4/Encounter?_count=4&_sort=date")
    clock.forward(minutes=1)
    for n in range(0, 9, 2):
        put(clinic, "dosing-encounters", dosing(f"d{n}", start="2026-03-01T09:30:00+00:00", status="aborted"))
    assert clinic.delete("/api/v1/dosing-encounters/d1").status == 200
    put(clinic, "dosing-encounters", dosing("d9"))
    rest = clinic.found(first.link("next"))
    seen = [e["resource"] for e in first.json["entry"]] + rest
    assert {r["id"]: r for r in seen} == before and len(seen) == 9


def test_pages_neither_repeat_nor_miss_while_others_write(clinic: Http) -> None:
    people(clinic)
    for n in range(20):
        put(clinic, "dosing-encounters", dosing(f"d{n}"))
    ended = threading.Event()

    def write() -> None:
        mine, n = another(clinic), 0
        while not ended.is_set():
            n += 1
            put(mine, "dosing-encounters", dosing(f"d{n % 20}", end=f"2026-03-02T13:{n % 60:02}:00+00:00"))
            put(mine, "dosing-encounters", dosing(f"new-{n}"))

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for _ in range(6):
            pages = [r["id"] for r in clinic.found("/fhir/r4/Encounter?_count=3")]
            assert len(pages) == len(set(pages)) >= 20
    finally:
        ended.set()
        writer.join()


def test_a_link_to_a_page_is_nobody_elses_and_cannot_be_made(pathway: Http, reader: Any, clock: Clock) -> None:
    link = pathway.get("/fhir/r4/Observation?_count=2").link("next")
    assert pathway.get(link).status == 200
    assert reader(3).get(link).status == 400
    assert pathway.get(link.replace("Observation", "Encounter")).status == 400
    assert pathway.get(link.replace("_count=2", "_count=3")).status == 400
    assert pathway.get(link[:-1] + ("0" if link[-1] != "0" else "1")).status == 400
    clock.forward(hours=2)
    late = pathway.get(link)
    assert (late.status, late.json["issue"][0]["diagnostics"]) == (400, "_page: is too old; search again from the first page")


def test_what_has_no_time_stands_behind_what_has_one_page_by_page(clinic: Http) -> None:
    people(clinic, *(f"p{n}" for n in range(3)))
    for n in range(4):
        made = patient(f"q{n}", birthDate=f"199{n}-01-01")
        if n % 2:
            del made["birthDate"]
        put(clinic, "patients", made)
    for way in ("", "-"):
        found = clinic.found(f"/fhir/r4/Patient?_sort={way}birthdate&_count=2")
        dates = [r.get("birthDate") for r in found]
        assert len(found) == 7 and dates[-2:] == [None, None] and dates[:5] == sorted(dates[:5], reverse=bool(way))


def test_the_largest_page_is_bounded(pathway: Http, service: Service) -> None:
    assert len(pathway.get("/fhir/r4/Observation?_count=1000000").json["entry"]) <= service.settings.page_limit


def test_what_no_longer_holds_is_not_found_and_what_was_never_told_leaves_no_rows_for_it(pathway: Http, reader: Any, service: Service) -> None:
    visit = dosing("moved", start="2026-05-01T09:00:00+00:00", end="2026-05-01T12:00:00+00:00")
    put(pathway, "dosing-encounters", visit)
    assert len(pathway.found("/fhir/r4/Encounter?date=2026-05-01")) == 1
    put(pathway, "dosing-encounters", {**visit, "start": "2026-05-02T09:00:00+00:00", "end": "2026-05-02T12:00:00+00:00"})
    assert (len(pathway.found("/fhir/r4/Encounter?date=2026-05-01")), len(pathway.found("/fhir/r4/Encounter?date=2026-05-02"))) == (0, 1)
    below = {r["id"] for type_ in ("Observation", "Task", "Procedure") for r in reader(0).found(f"/fhir/r4/{type_}?_count=500")}
    hidden = {row["num"] for row in dicts(service.database, "resource") if text_of(bytes(row["uuid"])) not in below and row["type"] in ("Task", "Procedure")}
    assert hidden and not [row for row in dicts(service.database, "search_value") if row["resource"] in hidden and row["lo"] == 0]
