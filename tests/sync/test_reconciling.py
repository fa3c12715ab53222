"""What EHRs really hold, on both databases: while workers deliver, of what is the EHR's own, as documents, and page by page."""

from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from mappings.codes import NHS_NUMBER
from service.store import reconciliation, targets
from service.sync import ehrs
from service.sync.comparing import Finding
from service.sync.door import within
from service.sync.looking import Looking, NotAnswering, date_of
from service.sync.outcomes import Reply
from service.sync.reconciling import Reconciling, report
from service.sync.targets.rest import Rest
from service.sync.worker import Worker
from service.wiring import Service
from tests.conftest import Http
from tests.service.records import dosing, patient, people, put
from tests.sync.conftest import Connect, Sandbox, deliveries, states
from tests.sync.scripted import says, scripted
from tests.sync.small import Small

Work = Callable[[], int]


def way(service: Service, name: str) -> tuple[targets.Target, Rest]:
    with service.database.glance() as connection:
        target = targets.get(connection, name)
    assert target is not None
    return target, ehrs.rest(service, target)[0]


def reconciled(service: Service, name: str, *, repair: bool = False) -> tuple[Reconciling, list[Finding]]:
    target, talk = way(service, name)
    of = Reconciling(service, target, Looking(service, target, talk, rest=lambda _: None), ehrs.able(service, target, talk, 0), repair)
    return of, list(of.everything())


def verdicts(service: Service, name: str, **more: bool) -> Counter[str]:
    return reconciled(service, name, **more)[0].counts


def test_what_an_ehr_lost_is_there_again_after_a_repair(pathway: Http, sandbox: Sandbox, connect: Connect, work: Work, service: Service) -> None:
    connect("plain", sandbox.url("plain"), 2)
    work()
    of, found = reconciled(service, "plain")
    assert set(of.counts) == {"same"} and of.problems == [] and len(found) == sum(sandbox.counts("plain").values())
    for one in sandbox.all("plain", "Provenance"):
        sandbox._http.delete(f"{sandbox.origin}/_sandbox/records/plain/Provenance/{one['id']}")
    missing = verdicts(service, "plain", repair=True)["missing"]
    assert missing > 3 and verdicts(service, "plain")["undelivered"] == missing
    work()
    assert set(verdicts(service, "plain")) == {"same"} and states(pathway)["parked"] == 0


def test_what_is_there_as_a_document_is_held_against_the_document(pathway: Http, sandbox: Sandbox, connect: Connect, work: Work, service: Service) -> None:
    connect("strict", sandbox.url("epic"), alternate="DocumentReference")
    work()
    of, found = reconciled(service, "strict")
    assert any("DocumentReference/" in one.remote_ids[0] for one in found) and set(of.counts) == {"same"}, [one for one in found if one.verdict != "same"]
    document = sandbox.all("epic", "DocumentReference")[0]
    sandbox.change("epic", f"DocumentReference/{document['id']}", description="Changed")
    [differs] = [one for one in reconciled(service, "strict")[1] if one.verdict == "differs"]
    assert [one.path for one in differs.differences] == ["DocumentReference.description"]
    sandbox.add("epic", {name: value for name, value in document.items() if name != "id"})
    assert verdicts(service, "strict")["twice"] == 1


def test_what_is_delivered_while_it_is_looked_at_is_not_taken_for_wrong(clinic: Http, ehr: Small, connect: Connect, work: Work, service: Service) -> None:
    connect("their", ehr.base, 1)
    people(clinic)
    work()
    turns = iter(("other", "unknown"))

    def meanwhile(method: str, path: str) -> None:
        if method == "GET" and path.startswith("/Patient/") and (gender := next(turns, None)) is not None:
            put(clinic, "patients", patient(gender=gender))
            Worker(service).run(until_idle=True)

    ehr.before = meanwhile
    assert set(verdicts(service, "their", repair=True)) == {"same"} and next(turns, None) is None


def test_a_patient_of_the_ehrs_own_who_is_gone_there_is_looked_for_again(clinic: Http, ehr: Small, connect: Connect, work: Work, service: Service) -> None:
    connect("their", ehr.base, 1, create_people=False)
    put(clinic, "patients", patient(nhsNumber="9912003888"))
    ann = clinic.get("/api/v1/patients/ann").json["entity"]
    theirs = {"resourceType": "Patient", "identifier": [{"system": NHS_NUMBER, "value": "9912003888"}], "birthDate": ann["birthDate"], "name": ann["name"]}
    ehr.kept["Patient/e1"] = {**theirs, "id": "e1"}
    work()
    [one] = [one for one in reconciled(service, "their")[1] if one.type == "Patient"]
    assert (one.verdict, one.words, one.remote_ids) == ("same", "It is the EHR's own", ("e1",))
    del ehr.kept["Patient/e1"]
    assert verdicts(service, "their", repair=True)["missing"] == 1
    work()
    assert deliveries(clinic, state="parked", type="Patient") and "POST Patient" not in ehr.writes
    ehr.kept["Patient/e2"] = {**theirs, "id": "e2"}
    clinic.post("/api/v1/deliveries/replay?type=Patient")
    work()
    assert set(verdicts(service, "their")) <= {"same", "undelivered"}


def test_one_patient_is_looked_at_alone(clinic: Http, sandbox: Sandbox, connect: Connect, work: Work, service: Service) -> None:
    connect("plain", sandbox.url("plain"), 2)
    people(clinic, "ann", "ben")
    put(clinic, "dosing-encounters", dosing())
    put(clinic, "dosing-encounters", dosing("other", "ben"))
    work()
    of, _ = reconciled(service, "plain")
    uuid = bytes.fromhex(service.tenant.ids().id("patient", "ben", "patient").replace("-", ""))
    with service.database.glance() as connection:
        num = reconciliation.keys(connection, 0, 2)[1]
    before = len(sandbox.log("plain"))
    alone = Reconciling(service, of.target, of.looking, of.able)
    found = list(alone.of_patient(num, uuid))
    assert {one.type for one in found} > {"Patient", "Encounter"} and len(found) < sum(of.counts.values()) and set(alone.counts) == {"same"}
    read = [one["path"] for one in sandbox.log("plain")[before:]]
    theirs = {one["subject"]["reference"]: one["id"] for one in sandbox.all("plain", "Encounter")}
    assert sum(path.startswith("/fhir/r4/Encounter/") for path in read) == 1 and len(theirs) == 2


def test_the_last_report_of_each_ehr_is_kept(clinic: Http, ehr: Small, connect: Connect, work: Work, service: Service) -> None:
    connect("their", ehr.base, 1)
    people(clinic)
    work()
    for _ in range(2):
        of, found = reconciled(service, "their")
        service.database.write(lambda tx, of=of: reconciliation.keep(tx, report(of, of.now)))
    with service.database.glance() as connection:
        [kept] = reconciliation.reports(connection)
    assert kept.counts["same"] == len(found) and kept.counts["missing"] == 0 and kept.problems == []


# --- how an EHR is read


def page(link: str = "") -> bytes:
    said = b'{"resourceType": "Bundle", "entry": [], "link": [{"relation": "next", "url": "%s"}]}' % link.encode()
    return b"HTTP/1.1 200 OK\r\nContent-Type: application/fhir+json\r\nContent-Length: %d\r\n\r\n%s" % (len(said), said)


def test_what_lets_us_in_goes_to_no_other_server(service: Service, clinic: Http, connect: Connect) -> None:
    with scripted(says(page())) as elsewhere, scripted(says(page(f"{elsewhere.base}/Task?page=2"))) as there:
        connect("their", there.base, 1)
        target, talk = way(service, "their")
        problems: list[str] = []
        assert list(Looking(service, target, talk).search("Task", "identifier=x", problems)) == [[]]
    assert problems == ["Task: the next page is elsewhere, and was not asked for"] and elsewhere.asked == [] and len(there.asked) == 1


@pytest.mark.parametrize(
    ("link", "path"),
    [
        ("https://ehr.test/fhir/Task?page=2", "/Task?page=2"), ("Task?page=2", None), ("/fhir/Task?page=2", "/Task?page=2"), ("?page=2", "/Task?page=2"),
        ("https://ehr.test/fhir?_getpages=1", "?_getpages=1"), ("https://ehr.test/fhirs/Task", None), ("https://ehr.test.evil/fhir/Task", None),
        ("http://ehr.test/fhir/Task", None), ("//evil.test/fhir/Task", None), ("https://ehr.test@evil.test/fhir/Task", None), ("../admin", None),
        ("https://ehr.test/fhir/%2e%2e/admin", None), ("https://ehr.test/fhir/%2E%2e/admin", None), ("https://ehr.test/fhir/..%2Fadmin", None),
        ("https://ehr.test/fhir/%5c..%5cadmin", None), ("https://ehr.test/fhir/Task?page=2%0d%0a", "/Task?page=2%0d%0a"), ("/fhir/Task?page=\n2", "/Task?page=2"),
        ("https://ehr.test/fhir/../admin", None), ("https://ehr.test/fhir/Task/../../admin", None), ("https://ehr.test:8443/fhir/Task", None),
    ],
)  # fmt: skip
def test_links_are_followed_below_the_base_alone(link: str, path: str | None) -> None:
    assert within("https://ehr.test/fhir", "/Task?page=1", link) == ("/Task?page=2" if link == "Task?page=2" else path)


@pytest.mark.parametrize(("said", "seconds"), [("Wed, 01 Apr 2026 09:00:30 GMT", 31), ("Wed, 01 Apr 2026 10:00:30 +0100", 31), ("Wed, 01 Apr 2026 09:00:30", 31)])
def test_the_ehrs_own_clock_is_past_what_it_says_by_less_than_a_second(said: str, seconds: int) -> None:
    assert date_of(Reply(200, {"date": said}, b"")) == datetime(2026, 4, 1, 9, 0, seconds, tzinfo=UTC)


@pytest.mark.parametrize("said", ["", "soon", "Fri, 31 Dec 9999 23:59:59 GMT", "Wed, 01 Apr 99999 09:00:30 GMT", "Wed, 01 Apr 2026 09:00:30 +9999"])
def test_a_date_that_is_none_is_no_clock(said: str) -> None:
    assert date_of(Reply(200, {"Date": said}, b"")) is None and date_of(Reply(200, {}, b"")) is None


def test_an_ehr_is_asked_no_faster_than_agreed_and_left_alone_as_it_asks(service: Service, clinic: Http, ehr: Small, connect: Connect) -> None:
    connect("their", ehr.base, 1)
    target, talk = way(service, "their")
    slept: list[float] = []
    looking = Looking(service, target, talk, each=30.0, rest=slept.append)
    looking.get("/Task")
    looking.get("/Task")
    assert len(slept) == 1 and 25 < slept[0] <= 30
    answers = iter([(429, {"Retry-After": "7"}), (503, {}), None])
    ehr.answers = lambda method, path: next(answers)
    slept.clear()
    assert Looking(service, target, talk, rest=slept.append).get("/Task").status == 200
    assert slept == [7.0, 20.0]
    with service.database.glance() as connection:
        kept = targets.get(connection, "their")
    assert kept is not None and kept.snoozed_until > 0  # workers leave it alone too


@pytest.mark.parametrize("answer", [429, 503])
def test_an_ehr_that_asks_to_wait_for_ever_is_given_up(service: Service, clinic: Http, ehr: Small, connect: Connect, answer: int) -> None:
    connect("their", ehr.base, 1)
    target, talk = way(service, "their")
    ehr.answers = lambda method, path: (answer, {"Retry-After": "0"})
    with pytest.raises(NotAnswering, match="asked to wait 20 times"):
        Looking(service, target, talk, rest=lambda _: None).get("/Task")


def test_a_read_that_is_not_answered_is_tried_again(service: Service, clinic: Http, connect: Connect) -> None:
    calls: list[Any] = []

    def script(connection: Any, asked: bytes) -> None:
        calls.append(asked)
        if len(calls) == 3:
            connection.sendall(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")

    with scripted(script) as there:
        connect("their", there.base, 1)
        target, talk = way(service, "their")
        assert Looking(service, target, talk, rest=lambda _: None).get("/Task/1").status == 404
    assert len(calls) == 3
