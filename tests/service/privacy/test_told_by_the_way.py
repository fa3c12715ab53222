"""What a reader could learn from how it is answered rather than from what: how full a page is, how long a link, in which order, and when."""

from typing import Any

import pytest

from service.store import search
from service.wiring import Service
from tests.conftest import Clock, Http
from tests.service.privacy.receiver import Receiver, add_ehr, deliver
from tests.service.records import consent, dosing, emdr, of_type, patient, people, put


def told(http: Http, path: str) -> list[tuple[int, int]]:
    """How many entries each page has, and how long the link to the next is."""
    found = []
    while path:
        reply = http.get(path)
        assert reply.status == 200, reply
        path = reply.link("next")
        found.append((len(reply.json.get("entry", [])), len(path)))
    return found


def test_a_page_of_everything_is_full_however_much_of_it_is_withheld(clinic: Http, reader: Any) -> None:
    people(clinic)
    ann = of_type(put(clinic, "patients", patient()), "Patient")
    for n in range(4):
        put(clinic, "consents", consent(f"treatment-{n}", kind="treatment"))  # C1
    for n in range(4):
        put(clinic, "dosing-encounters", dosing(f"dose-{n}"))
    pages = told(reader(0), f"/fhir/r4/{ann}/$everything?_count=2&_type=Patient,Consent,Encounter")
    assert [entries for entries, _ in pages] == [2, 2, 1]


def test_a_link_to_a_page_is_as_long_however_much_there_is(clinic: Http, reader: Any) -> None:
    people(clinic, "ann", "bob")
    before = told(reader(0), "/fhir/r4/Patient?_count=1")
    for n in range(12):
        put(clinic, "consents", consent(f"treatment-{n}", kind="treatment"))
    assert told(reader(0), "/fhir/r4/Patient?_count=1") == before


def test_a_link_to_more_of_everything_is_good_for_its_patient_and_its_reader(clinic: Http, reader: Any) -> None:
    people(clinic, "ann", "bob")
    ann, bob = (of_type(put(clinic, "patients", patient(one)), "Patient") for one in ("ann", "bob"))
    for one in ("ann", "bob"):
        put(clinic, "dosing-encounters", dosing(f"{one}-dose", one))
    one, other = reader(1), reader(1)
    link = one.get(f"/fhir/r4/{ann}/$everything?_count=1").link("next")
    assert one.get(link).status == 200
    assert other.get(link).status == 400
    assert one.get(link.replace(ann, bob)).status == 400


def test_a_write_that_an_ehr_sees_nothing_of_does_not_wake_what_is_sent_to_it(clinic: Http, service: Service, clock: Clock) -> None:
    """Not even to ask it what it can do, which it would notice."""
    people(clinic)
    put(clinic, "emdr-procedures", emdr())
    add_ehr(service, "gp", 1)
    put(clinic, "emdr-procedures", emdr(recordedAt="2026-03-01T12:00:01+00:00"))
    deliver(service, "gp", receiver := Receiver())
    assert receiver.asked
    clock.forward(hours=2)
    before = list(receiver.asked)
    put(clinic, "emdr-procedures", emdr(recordedAt="2026-03-01T12:00:01+00:00", sudsBefore=8))
    put(clinic, "emdr-procedures", emdr(recordedAt="2026-03-01T12:00:01+00:00", sudsBefore=8, target={"label": "the door"}))
    deliver(service, "gp", receiver)
    assert receiver.asked == before
    put(clinic, "emdr-procedures", emdr())
    deliver(service, "gp", receiver)
    assert len(receiver.asked) > len(before)


@pytest.mark.parametrize("few", [1, 1000])
def test_the_order_of_a_search_follows_from_what_is_asked_and_not_from_how_much_there_is(few: int, clinic: Http, reader: Any, monkeypatch: pytest.MonkeyPatch, clock: Clock) -> None:
    monkeypatch.setattr(search, "FEW", few)
    people(clinic)
    for n, day in enumerate((20, 10, 15)):
        clock.forward(seconds=1)
        put(clinic, "dosing-encounters", dosing(f"dose-{n}", start=f"2026-03-{day}T09:30:00+00:00", end=None))
    found = reader(0).found("/fhir/r4/Encounter?status=finished&date=ge2026-01-01")
    assert [visit["period"]["start"][8:10] for visit in found] == ["10", "15", "20"]
