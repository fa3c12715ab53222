"""The audit trail: who did what to whose record, and that a change of it shows."""

import threading
from typing import Any

import pytest
from sqlalchemy import insert, update

from service.store import audit
from service.store.tables import audit as trail
from service.tenant import derived
from service.wiring import Service
from tests.conftest import Http
from tests.service.records import dosing, people, put
from tests.service.tables import dicts

KEY = b"a key that is not in the database"


def rows(service: Service) -> list[dict[str, Any]]:
    service.trail.flush()
    return dicts(service.database, "audit")


def verified(service: Service) -> list[bool]:
    with service.database.reading() as connection:
        return [holds for _, holds in audit.verify(connection, KEY)]


def seal(service: Service, limit: int = 5000) -> Any:
    return service.database.write(lambda tx: audit.seal(tx, KEY, limit))


def test_a_write_is_on_the_trail_in_its_own_transaction(clinic: Http, service: Service) -> None:
    people(clinic)
    reply = put(clinic, "dosing-encounters", dosing())
    [row] = [r for r in dicts(service.database, "audit") if "dosing" in r["action"]]
    patient = next(r["num"] for r in dicts(service.database, "entity") if r["kind"] == "patient")
    assert (row["action"], row["target"], row["status"], row["request"], row["patient"], row["detail"]) == (
        "PUT dosing-encounter", "/api/v1/dosing-encounters/dose", 201, reply.headers["X-Request-ID"], patient, "dosing-encounter/dose version=1 changed=True",
    )  # fmt: skip


def test_reads_searches_and_refusals_are_on_the_trail_with_names_of_parameters_and_no_values(pathway: Http, reader: Any, service: Service) -> None:
    [patient] = pathway.found("/fhir/r4/Patient?family=Example&given=Ann")
    before = len(rows(service))
    ehr = reader(1)
    ehr.get(f"/fhir/r4/Patient/{patient['id']}")
    ehr.get("/fhir/r4/Patient?family=Example")
    ehr.get("/api/v1/patients/ann")
    ehr("POST", "/fhir/r4/Patient/_search", b"given=Ann", Content_Type="application/x-www-form-urlencoded")
    new = rows(service)[before:]
    assert [(r["action"], r["status"], r["level"], r["detail"]) for r in new] == [
        ("fhir read", 200, 1, ""), ("fhir search-type", 200, None, "family entries=1"), ("api get", 403, None, ""), ("fhir search-type", 200, None, "given entries=1"),
    ]  # fmt: skip
    assert "Example" not in repr(new) and "Ann" not in repr(new)
    assert new[0]["patient"] is not None and len({r["client"] for r in new}) == 1


def test_whoever_has_no_token_is_on_the_trail_as_nobody(web: Any, service: Service) -> None:
    Http(web, None).get("/fhir/r4/Patient")
    assert [(r["client"], r["action"], r["status"]) for r in rows(service)] == [("-", "fhir search-type", 401)]


def test_a_read_is_there_before_its_answer_where_that_is_asked_for(pathway: Http, service: Service) -> None:
    before = len(dicts(service.database, "audit"))
    service.trail._sync = True
    pathway.get("/fhir/r4/Patient")
    assert len(dicts(service.database, "audit")) > before


def test_a_database_that_is_away_for_a_while_loses_no_row_of_the_trail(pathway: Http, service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    before, works = len(rows(service)), service.database.write

    def away(_work: Any) -> None:
        raise OSError("the database is away")

    monkeypatch.setattr(service.database, "write", away)
    pathway.get("/fhir/r4/Patient")
    service.trail.flush()
    monkeypatch.setattr(service.database, "write", works)
    assert len(rows(service)) == before + 1


def test_a_chain_that_nobody_touched_holds(pathway: Http, service: Service) -> None:
    count = len(rows(service))
    assert seal(service, 3)[0] == 3 and seal(service)[0] == count and seal(service) is None
    assert verified(service) == [True] * count


@pytest.mark.parametrize("column", ["at", "client", "action", "target", "status", "request", "patient", "level", "detail", "link"])
def test_a_row_that_was_changed_shows(pathway: Http, service: Service, column: str) -> None:
    seal(service)
    other = 99 if column in ("at", "status", "patient", "level") else -7 if column == "link" else "other"
    service.database.write(lambda tx: tx.execute(update(trail).where(trail.c.num == 4).values({column: other})))
    assert False in verified(service)


def test_a_row_that_was_taken_out_put_in_or_moved_shows(pathway: Http, service: Service) -> None:
    seal(service)
    found = dicts(service.database, "audit")
    for change in (
        trail.delete().where(trail.c.num == 4),
        insert(trail).values({**found[3], "num": 10_000, "link": 10_000}),
        update(trail).where(trail.c.num == 4).values(target=found[4]["target"], detail=found[4]["detail"]),
    ):
        def tampered(tx: Any, change: Any = change) -> list[bool]:
            tx.execute(change)
            holds = [holds for _, holds in audit.verify(tx, KEY)]
            raise Undone(holds)

        with pytest.raises(Undone) as seen:
            service.database.write(tampered)
        assert False in seen.value.holds
    assert False not in verified(service)


class Undone(Exception):
    def __init__(self, holds: list[bool]):
        super().__init__()
        self.holds = holds


def test_text_that_looks_like_the_end_of_a_field_moves_nothing_into_the_next(service: Service) -> None:
    """Two rows whose fields run together in the same way have links of their own."""
    links = []
    for target, request in (("a", "b\x1fc"), ("a\x1fb", "c"), ('a", "b', "c")):
        event = audit.Event(1, "x", "y", target, 200, request)
        links.append(audit._link(KEY, b"", 1, type("Row", (), {**event._asdict(), "num": 1})))
    assert len(set(links)) == 3


def test_a_row_that_commits_late_is_chained_behind_what_was_sealed_before_it(service: Service) -> None:
    event = audit.Event(1, "x", "y", "z", 200)._asdict()
    for numbers in ([1, 2, 5], [3, 4], [6]):
        service.database.write(lambda tx, numbers=numbers: tx.execute(insert(trail), [{**event, "num": n} for n in numbers]))
        seal(service)
    with service.database.reading() as connection:
        assert list(audit.verify(connection, KEY)) == [(n, True) for n in (1, 2, 5, 3, 4, 6)]


@pytest.mark.parametrize("link", [0, -7])
def test_a_row_that_was_put_before_the_chain_shows(service: Service, link: int) -> None:
    event = audit.Event(1, "x", "y", "z", 200)._asdict()
    service.database.write(lambda tx: tx.execute(insert(trail), [{**event, "num": n} for n in (1, 2)]))
    seal(service)
    service.database.write(lambda tx: tx.execute(insert(trail), [{**event, "num": 9, "link": link, "chain": b"forged"}]))
    with service.database.reading() as connection:
        found = dict(audit.verify(connection, KEY))
    assert not found[9] and not found[1], "and the first does not follow it"


def test_a_long_chain_is_verified_part_by_part(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit, "ROWS", 3)
    event = audit.Event(1, "x", "y", "z", 200)._asdict()
    service.database.write(lambda tx: tx.execute(insert(trail), [{**event, "num": n} for n in range(1, 11)]))
    seal(service)
    with service.database.reading() as connection:
        assert list(audit.verify(connection, KEY)) == [(n, True) for n in range(1, 11)]


def test_sealers_that_work_side_by_side_make_one_chain(service: Service) -> None:
    event = audit.Event(1, "x", "y", "z", 200)

    def write_and_seal() -> None:
        for _ in range(10):
            service.database.write(lambda tx: audit.record(tx, [event] * 3))
            seal(service, 4)

    threads = [threading.Thread(target=write_and_seal) for _ in range(4)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    seal(service)
    assert verified(service) == [True] * 120


def test_the_key_of_the_chain_is_not_in_the_database(pathway: Http, service: Service) -> None:
    key = derived(service.tenant.secret, "audit")
    service.database.write(lambda tx: audit.seal(tx, key))
    assert all(key not in repr(dicts(service.database, name)).encode("latin-1", "ignore") for name in ("audit", "clock", "client", "target"))
