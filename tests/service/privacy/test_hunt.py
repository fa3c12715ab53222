"""Phrases and numbers are planted in every C2 and C3 field of every kind, and looked for wherever they must not be."""

import io
import random
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import pytest
import structlog
from sqlalchemy import insert, select
from sqlalchemy.exc import DBAPIError

from mappings.disclosure import Level
from mappings.search import folded
from service import logs
from service.config import Settings
from service.store.tables import delivery, metadata
from service.sync.outcomes import Reply
from service.wire import encode
from service.wiring import Service
from tests.conftest import Http, token_for
from tests.generate import ALL_KINDS
from tests.mappings.test_withholding import Marker
from tests.service.privacy.receiver import Receiver, add_ehr, deliver
from tests.service.records import consent, provision, put
from tests.service.tables import dicts
from tests.service.worlds import Known, body, fitted, made

Marks = list[tuple[str, Level]]


@dataclass
class Planted:
    clinic: Http
    service: Service
    marks: Marks
    entities: list[tuple[Any, Any]]
    log: io.StringIO

    def found_in(self, text: str, *, above: int = -1) -> set[str]:
        """The marks of more than a level that stand in a text."""
        return {mark for mark, level in self.marks if level > above and re.search(rf"(?<![\w.-]){re.escape(mark)}(?![\w-])", text)}


@pytest.fixture
def log(settings: Settings) -> Iterator[io.StringIO]:
    """What the service logs at any level."""
    before, written = structlog.get_config(), io.StringIO()
    logs.set_up(replace(settings, log_level="DEBUG", log_format="text"))
    structlog.configure(logger_factory=structlog.WriteLoggerFactory(file=written))
    yield written
    structlog.configure(**before)


@pytest.fixture
def planted(log: io.StringIO, service: Service, clinic: Http) -> Planted:
    """A record of every kind in which every C2 and C3 text, key and wide number is a mark."""
    known: Known = {"patient": [], "practitioner": [], "clinic": []}
    found, marks = [], []
    for kind in ALL_KINDS:
        if kind.name in known:
            it = made(kind, 1, known, **({"recorded_by": None} if kind.name == "practitioner" else {}))
        else:
            marker = Marker(5)
            marker.marks = [("", Level.C0, "")] * len(marks)  # so that each kind goes on counting where the last one ended
            it = fitted(marker.entity(kind), known, random.Random(1))
            text = body(it).decode()
            marks += [(mark, level) for mark, level, _ in marker.marks[len(marks):] if mark in text]
            marks += [("", Level.C0)] * (len(marker.marks) - len(marks))
        known.setdefault(kind.name, []).append(it)
        found.append((kind, it))
        if kind.name == "patient":
            add_ehr(service, "at-c2", 2, role="clinic")
    for kind, it in found:
        reply = clinic.put(f"/api/v1/{kind.plural}/{it.id}", body(it))
        assert reply.status == 201, reply
    kept = [(mark, level) for mark, level in marks if mark and len(mark) > 4]
    assert {Level.C2, Level.C3} == {level for _, level in kept} and len(kept) > 25
    return Planted(clinic, service, kept, found, log)


def test_no_rendering_and_no_row_of_the_index_of_a_lower_level_holds_what_was_planted(planted: Planted) -> None:
    seen: set[str] = set()
    for row in dicts(planted.service.database, "rendering"):
        text = bytes(row["body"]).decode()
        assert not planted.found_in(text, above=row["lo"])
        seen |= planted.found_in(text)
    assert len(seen) > len(planted.marks) / 2, "what is found nowhere hunts nothing"
    hashes = {planted.service.tenant.parameters.hash(mark): level for mark, level in planted.marks}
    assert [row for row in dicts(planted.service.database, "search_value") if hashes.get(row["value"], -1) > row["lo"]] == []
    for row in dicts(planted.service.database, "search_text"):
        assert not {mark for mark, level in planted.marks if level > row["lo"] and folded(mark) in row["value"]}


def test_no_log_no_audit_row_and_no_metric_holds_what_was_planted_whatever_is_done_with_it(planted: Planted, service: Service, reader: Any) -> None:
    clinic = planted.clinic
    for kind, it in planted.entities:
        path, whole = f"/api/v1/{kind.plural}", body(it)
        said = whole.decode()
        clinic.get(f"{path}/{it.id}")
        assert clinic.post(f"{path}/preview", whole).status == 200
        assert clinic.post(path, whole).status == 409
        assert clinic.put(f"{path}/{it.id}", whole, If_Match='"77"').status == 412
        for bad in (said[:-1], said.replace(":", ": ", 1) + "}", said[:-1] + ',"unknown":' + said + "}", re.sub(r'":"([^"]*)"', r'":["\1"]', said)):
            assert clinic.put(f"{path}/{it.id}", bad.encode()).status in (400, 422)
            assert clinic.post(f"{path}/preview", bad.encode()).status in (400, 422)
        clinic.post("/api/v1/import", encode({"kind": kind.name, "entity": {"id": "x", "said": said}}), Content_Type="application/x-ndjson")
    for mark, _ in planted.marks[::5]:
        reader(1).get(f"/fhir/r4/Observation?code={mark}")
        reader(1).get(f"/fhir/r4/Observation?date={mark}")
        reader(1).post("/fhir/r4/Observation/_search", f"value={mark}&_sort={mark}".encode(), Content_Type="application/x-www-form-urlencoded")
    service.trail.flush()
    assert planted.log.getvalue().count("request ") > 100
    assert planted.found_in(planted.log.getvalue()) == set()
    assert planted.found_in(repr(dicts(service.database, "audit"))) == set()
    assert planted.found_in(clinic.get("/metrics").body.decode()) == set()


class Quoting(Receiver):
    """An EHR that refuses everything but patients, and repeats what it was told."""

    def call(self, method: str, url: str, headers: dict[str, str], body: bytes | None = None) -> Reply:
        taken = super().call(method, url, headers, body)
        if method == "GET" or url.endswith("/Patient"):
            return taken
        said = " ".join(re.findall(r"marked-\d+", (body or b"").decode()))
        issues = [{"severity": "error", "code": "invalid", "diagnostics": f"I do not like {said}"}]
        return Reply(422, {}, encode({"resourceType": "OperationOutcome", "issue": issues}))


def test_the_words_of_an_ehr_are_for_who_sees_all_of_the_patient(planted: Planted, service: Service, web: Any) -> None:
    deliver(service, "at-c2", Quoting())
    service.trail.flush()
    assert "outcome=refused" in planted.log.getvalue()
    assert planted.found_in(planted.log.getvalue()) == set()
    operators = [Http(web, token_for(service, level, "pathway/operate system/*.rs", role=role)) for level, role in ((2, "ehr"), (3, "ehr"), (3, "clinic"))]
    (_, nurse), (_, place) = planted.entities[:2]
    for patient in {it.patient_id for _, it in planted.entities if getattr(it, "patient_id", None)}:
        denial = consent("denies", patient, [provision("deny", "C3", role="ehr")])
        put(planted.clinic, "consents", {**denial, "clinicId": place.id, "recordedBy": nurse.id})
    with service.database.reading() as connection:
        nums = list(connection.execute(select(delivery.c.num)).scalars())
    words = []
    for http in operators:
        said = [http.get("/api/v1/deliveries?limit=500").body, *(http.get(f"/api/v1/deliveries/{num}").body for num in nums)]
        words.append(planted.found_in(b"".join(said).decode()))
    assert words[:2] == [set(), set()] and words[2]
    refused, withheld, there = (http.get("/api/v1/deliveries?reason=e") for http in operators)
    assert (refused.status, refused.problems) == (400, [("reason", "is for a client of level C3, who may read what is looked for here")])
    assert {item["entity"]["kind"] for item in withheld.json["items"]} <= {"practitioner", "clinic"}  # which are no patient's
    assert {item["entity"]["kind"] for item in there.json["items"]} - {"practitioner", "clinic"}


def test_an_error_of_the_database_hides_what_was_to_be_stored(planted: Planted, service: Service) -> None:
    row = {**dicts(service.database, "entity")[-1], "kind": None}
    assert planted.found_in(bytes(row["document"]).decode())
    with pytest.raises(DBAPIError) as refused:
        service.database.write(lambda tx: tx.execute(insert(metadata.tables["entity"]).values(**row)))
    assert planted.found_in(str(refused.value)) == set()
