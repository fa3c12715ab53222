"""A patient's consents move what each reader sees of that patient: at once, everywhere, and by the clock when they end by date."""

import threading
from typing import Any

import pytest

from mappings import KINDS
from mappings.schema import load
from service import disclosing
from service.disclosing import Reader
from service.exchange import Act, publish
from service.security import clients
from service.security.scopes import parse
from service.store.clock import micros
from service.sync.timers import follow_timers
from service.wire import encode
from service.wiring import Service
from tests.conftest import PUBLIC, Clock, Http, token_for
from tests.service.at_once import at_once
from tests.service.privacy.observing import answer, owed
from tests.service.privacy.receiver import Receiver, add_ehr, deliver
from tests.service.records import consent, emdr, of_type, patient, people, provision, put

Json = dict[str, Any]
SESSION = {"sudsBefore": 8, "target": {"label": "the door"}, "narrative": "what was said"}
LEVEL_OF = {"Encounter": 0, "Procedure": 1, "Observation": 2}  # a session's resources, and from where each is seen


@pytest.fixture
def session(clinic: Http) -> Http:
    """The clinic's software, with one patient's session: its visit is C0, that it was EMDR C1, how it went C2."""
    people(clinic, "ann", "bob")
    for one in ("ann", "bob"):
        put(clinic, "emdr-procedures", emdr(one, one, **SESSION))
    return clinic


def level(http: Http, patient: str = "ann") -> int:
    """The level at which somebody sees a patient, as searches tell it; -1 for one who may not even know of the patient."""
    if not http.found(f"/fhir/r4/Patient?identifier={patient}"):
        return -1
    return max(n for type_, n in LEVEL_OF.items() if http.found(f"/fhir/r4/{type_}?patient.identifier={patient}"))


def named(http: Http, patient: str) -> str:
    [found] = http.found(f"/fhir/r4/Patient?identifier={patient}")
    return f"Patient/{found['id']}"


def said(clinic: Http, *provisions: Json, id: str = "disclosure", **more: Any) -> None:
    put(clinic, "consents", consent(id, provisions=list(provisions), **more))


# --- what a provision does


@pytest.mark.parametrize("before, provisions, after", [
    (0, [provision("permit", "C1", role="gp")], 1),
    (1, [provision("permit", "C2", role="gp")], 2),
    (1, [provision("permit", "C3", role="gp")], 2),
    (2, [provision("permit", "C1", role="gp")], 2),
    (2, [provision("deny", "C2", role="gp")], 1),
    (2, [provision("deny", "C1", role="gp")], 0),
    (2, [provision("deny", "C0", role="gp")], -1),
    (0, [provision("deny", "C2", role="gp")], 0),
    (1, [provision("permit", "C2", role="gp"), provision("deny", "C2", role="gp")], 1),
    (1, [provision("deny", "C1"), provision("permit", "C2", role="gp")], 0),
    (2, [provision("deny", "C1")], 0),
    (2, [provision("deny", "C1", role="pharmacy")], 2),
    (2, [provision("deny", "C1", organisation="A83001")], 0),
    (2, [provision("deny", "C1", organisation="A83002")], 2),
    (2, [provision("deny", "C1", organisation="A83001", role="pharmacy")], 2),
    (2, [provision("deny", "C1", organisation="A83001", role="gp")], 0),
    (1, [provision("permit", "C2", role="gp", purpose="TREAT")], 2),
    (1, [provision("permit", "C2", role="gp", purpose="HRESCH")], 1),
    (2, [provision("deny", "C1", role="gp", purpose="HRESCH")], 0),
])  # fmt: skip
def test_a_provision_raises_to_c2_at_most_and_lowers_whom_it_names(session: Http, reader: Any, before: int, provisions: list[Json], after: int) -> None:
    gp = reader(before, role="gp", organisation="A83001")
    assert (level(gp), level(gp, "bob")) == (before, before)
    said(session, *provisions)
    assert (level(gp), level(gp, "bob")) == (after, before)


@pytest.mark.parametrize("more", [{"status": "draft"}, {"status": "proposed"}, {"status": "rejected"}, {"status": "inactive"}, {"kind": "research"}, {"kind": "recording"}, {"kind": "treatment"}])
def test_what_is_no_active_consent_to_disclosure_moves_nothing(session: Http, reader: Any, more: Json) -> None:
    gp = reader(1, role="gp")
    said(session, provision("deny", "C0"), provision("permit", "C2", role="gp"), **more)
    assert level(gp) == 1


def test_of_two_consents_the_denial_holds_and_one_that_is_erased_is_none(session: Http, reader: Any) -> None:
    gp = reader(1, role="gp")
    said(session, provision("permit", "C2", role="gp"))
    said(session, provision("deny", "C1", role="gp"), id="later")
    assert level(gp) == 0
    session.delete("/api/v1/consents/later")
    assert level(gp) == 2
    session.delete("/api/v1/consents/disclosure")
    assert level(gp) == 1


def test_the_clinics_own_software_is_lowered_by_what_names_it_alone(session: Http) -> None:
    said(session, provision("deny", "C0"))
    assert level(session) == 2
    said(session, provision("deny", "C1", role="clinic"), provision("deny", "C0"))
    assert level(session) == 0


def test_who_is_lowered_below_c3_has_nothing_of_the_patient_in_our_api(session: Http, service: Service, web: Any) -> None:
    other = Http(web, token_for(service, role="pharmacy"))
    said(session, provision("deny", "C3", role="pharmacy"))
    ours = "/api/v1/emdr-procedures"
    withheld, session_of_ann = other.get(f"{ours}/ann"), emdr("ann", **SESSION)
    for reply in (
        withheld, other.put(f"{ours}/ann", session_of_ann), other.put(f"{ours}/ann", session_of_ann, If_Match='"7"'), other.post(ours, session_of_ann),
        other.put(f"{ours}/ann", emdr("ann", "bob", **SESSION)), other.delete(f"{ours}/ann", If_Match='"7"'), other.delete(f"{ours}/ann"),
        other.get(f"{ours}/ann/fhir"), other.get(f"{ours}/ann/deliveries"), other.put("/api/v1/patients/ann", patient()), other.post("/api/v1/patients", patient()),
    ):  # fmt: skip
        assert (reply.status, reply.json["detail"]) in [(404, "There is no emdr-procedure ann"), (404, "There is no patient ann")], reply
    unknown = other.put(f"{ours}/new", emdr("new", "nobody"))
    assert [(r.status, r.problems) for r in (other.put(f"{ours}/new", emdr("new", "ann")), unknown)] == [
        (422, [("/patientId", "there is no patient ann")]), (422, [("/patientId", "there is no patient nobody")])
    ]  # fmt: skip
    assert other.post("/api/v1/import", encode({"kind": "emdr-procedure", "entity": session_of_ann}), Content_Type="application/x-ndjson").json["status"] == 404
    assert [item["entity"]["id"] for item in session.get(f"{ours}?patient=ann").json["items"]] == ["ann"]


def test_a_page_of_our_api_is_full_however_much_of_it_is_withheld(session: Http, service: Service, web: Any) -> None:
    other = Http(web, token_for(service, role="pharmacy"))
    said(session, provision("deny", "C3", role="pharmacy"))
    for n in range(3):
        put(session, "emdr-procedures", emdr(f"anns-{n}", "ann"))
        put(session, "emdr-procedures", emdr(f"bobs-{n}", "bob"))
    pages, path = [], "/api/v1/emdr-procedures?limit=2"
    while path:
        reply = other.get(path)
        pages.append([item["entity"]["id"] for item in reply.json["items"]])
        path = reply.headers.get("Link", "").partition(">")[0].removeprefix(f"<{PUBLIC}")
    assert pages == [["bob", "bobs-0"], ["bobs-1", "bobs-2"]]


def test_who_is_added_after_a_consent_obeys_it(session: Http, service: Service, web: Any) -> None:
    said(session, provision("deny", "C1", role="gp"), provision("permit", "C2", role="ehr"))
    now = micros(service.tenant.now())
    made = clients.Client("late", "One who came late", 2, parse("system/*.rs"), role="gp")

    def add(tx: Any) -> str:
        clients.add(tx, made, now)
        disclosing.follow_reader(tx, Reader(made.reader, made.level, made.organisation, made.role), now)
        return clients.issue(tx, made, made.scopes, 86_400, now)

    assert level(Http(web, service.database.write(add))) == 0
    add_ehr(service, "late", 1)
    put(session, "emdr-procedures", emdr("ann", **{**SESSION, "sudsBefore": 7}))
    assert [delivery[0] for delivery in owed(service, "late")] == ["Observation"]


def test_who_is_added_while_a_consent_is_written_obeys_it(session: Http, service: Service, web: Any) -> None:
    written, added = threading.Event(), threading.Event()
    now = micros(service.tenant.now())
    denial = load(KINDS["consent"], consent(provisions=[provision("deny", "C1", role="gp")]))

    def write(tx: Any) -> None:
        publish(Act(service.tenant, tx, "a client"), KINDS["consent"], denial)
        written.set()
        added.wait(0.5)  # which it is not until this is committed

    def add() -> str:
        written.wait(10)
        made = clients.Client("late", "One who came late", 2, parse("system/*.rs"), role="gp")

        def work(tx: Any) -> str:
            clients.add(tx, made, now)
            disclosing.follow_reader(tx, Reader(made.reader, made.level, made.organisation, made.role), now)
            return clients.issue(tx, made, made.scopes, 86_400, now)

        token = service.database.write(work)
        added.set()
        return token

    _, token = at_once([lambda: service.database.write(write), add])
    assert level(Http(web, str(token))) == 0


def test_what_is_nobodys_in_particular_is_seen_whatever_a_patient_denies(session: Http, reader: Any) -> None:
    gp = reader(1, role="gp")
    said(session, provision("deny", "C0"))
    assert [len(gp.found(f"/fhir/r4/{type_}")) for type_ in ("Patient", "Practitioner", "Organization")] == [1, 1, 1]


# --- what becomes of a reader who is lowered


def test_who_is_lowered_is_told_everywhere_that_there_is_nothing_in_the_words_for_what_never_was(session: Http, reader: Any) -> None:
    gp = reader(1, role="gp")
    yielded = put(session, "emdr-procedures", emdr("ann", **SESSION))
    procedure, visit, ann = of_type(yielded, "Procedure"), of_type(yielded, "Encounter"), named(session, "ann")
    version = gp.get(f"/fhir/r4/{procedure}").headers["ETag"][3:-1]
    said(session, provision("deny", "C1", role="gp"))
    never = "00000000-0000-4000-8000-000000000000"
    for there, path in ((procedure, f"/fhir/r4/{procedure}"), (procedure, f"/fhir/r4/{procedure}/_history"), (procedure, f"/fhir/r4/{procedure}/_history/{version}")):
        withheld, unknown = gp.get(path), gp.get(path.replace(there.split("/")[1], never))
        assert (withheld.status, withheld.body.replace(there.split("/")[1].encode(), never.encode())) == (404, unknown.body)
        assert answer(withheld)[1] == answer(unknown)[1]
    assert gp.found(f"/fhir/r4/Procedure?_id={procedure.split('/')[1]}") == []
    assert gp.get("/fhir/r4/Procedure?_summary=count").json["total"] == 1  # bob's
    assert "Procedure" not in {r["resourceType"] for r in gp.found(f"/fhir/r4/{ann}/$everything")}
    assert "Procedure" not in {r["resourceType"] for r in gp.found(f"/fhir/r4/{visit}/$everything")}
    assert {r["resourceType"] for r in gp.found("/fhir/r4/Encounter?patient.identifier=ann&_revinclude=Procedure:encounter")} == {"Encounter"}
    said(session, provision("deny", "C0", role="gp"))
    for path in (f"/fhir/r4/{ann}", f"/fhir/r4/{ann}/$everything", f"/fhir/r4/{visit}/$everything", f"/fhir/r4/{ann}/_history"):
        withheld = gp.get(path)
        unknown = gp.get(path.replace(path.split("/")[4], never))
        assert (withheld.status, withheld.body.replace(path.split("/")[4].encode(), never.encode())) == (404, unknown.body)
    assert {r["resourceType"] for r in gp.found("/fhir/r4/Encounter?_include=Encounter:subject")} == {"Encounter", "Patient"}  # bob's
    assert gp.get("/fhir/r4/Patient?_summary=count").json["total"] == 1


def test_an_earlier_state_is_not_paged_to_by_who_was_lowered_since(session: Http, reader: Any) -> None:
    gp = reader(1, role="gp")
    put(session, "emdr-procedures", emdr("second", **SESSION))
    link = gp.get("/fhir/r4/Procedure?_count=1").link("next")
    said(session, provision("deny", "C1", role="gp"))
    assert {r["subject"]["reference"] for r in gp.found(link)} <= {named(session, "bob")}


# --- the clock


@pytest.mark.parametrize("provisions, more, during", [
    ([provision("permit", "C2", role="gp")], {}, 2),
    ([provision("deny", "C1", role="gp")], {}, 0),
])  # fmt: skip
@pytest.mark.parametrize("dates", ["validity", "period", "withdrawal"])
def test_a_consent_begins_and_ends_by_the_clock_without_a_write(session: Http, reader: Any, clock: Clock, provisions: list[Json], more: Json, during: int, dates: str) -> None:
    gp = reader(1, role="gp")
    start, end = "2026-04-01T10:00:00+00:00", "2026-04-01T11:00:00+00:00"
    if dates == "validity":
        more = {"validFrom": start, "validTo": end}
    elif dates == "withdrawal":
        more = {"validFrom": start, "withdrawnAt": end}
    else:
        provisions = [{**one, "period": {"start": start, "end": end}} for one in provisions]
    said(session, *provisions, **more)
    seen = []
    for minutes in (0, 59.9, 0.1, 59.9, 0.1):
        clock.forward(minutes=minutes)
        seen.append(level(gp))
    assert seen == [1, 1, during, during, 1]


@pytest.fixture
def ehr(clinic: Http, service: Service, request: pytest.FixtureRequest) -> Receiver:
    """An EHR at C1 that was sent all that there is."""
    add_ehr(service, "gp", 1, role="gp")
    request.getfixturevalue("session")
    deliver(service, "gp", receiver := Receiver())
    assert {"Encounter", "Procedure"} <= (types := sent(receiver)) and "Observation" not in types
    return receiver


def sent(receiver: Receiver) -> set[str]:
    """The types that it was sent since it was last asked."""
    found = {path.split("/")[1] for method, path, _ in receiver.sent if method != "GET"}
    receiver.asked.clear()
    return found


def chores(service: Service) -> None:
    service.database.write(lambda tx: follow_timers(tx, micros(service.tenant.now())))


def test_what_was_owed_before_a_denial_is_not_sent_after_it(ehr: Receiver, session: Http, service: Service) -> None:
    put(session, "emdr-procedures", emdr("ann", **{**SESSION, "start": "2026-03-12T15:00:00+00:00"}))
    said(session, provision("deny", "C1", role="gp"))
    deliver(service, "gp", ehr)
    assert sent(ehr) == {"Encounter"}


def test_what_a_permit_that_begins_by_date_shows_is_owed_when_it_begins(ehr: Receiver, session: Http, service: Service, clock: Clock) -> None:
    said(session, provision("permit", "C2", role="gp"), validFrom="2026-04-01T10:00:00+00:00", validTo="2026-04-01T11:00:00+00:00")
    deliver(service, "gp", ehr)
    assert "Observation" not in sent(ehr)
    clock.forward(hours=1)
    chores(service)
    deliver(service, "gp", ehr)
    assert "Observation" in sent(ehr)
    clock.forward(hours=1)
    put(session, "emdr-procedures", emdr("ann", **{**SESSION, "sudsBefore": 3}))
    chores(service)
    deliver(service, "gp", ehr)
    assert sent(ehr) == set()


def test_what_changed_under_a_denial_is_owed_when_it_ends(ehr: Receiver, session: Http, service: Service, clock: Clock) -> None:
    said(session, provision("deny", "C0", role="gp"), validTo="2026-04-01T10:00:00+00:00")
    put(session, "emdr-procedures", emdr("ann", **{**SESSION, "start": "2026-03-12T15:00:00+00:00"}))
    deliver(service, "gp", ehr)
    assert sent(ehr) == set()
    clock.forward(hours=1)
    chores(service)
    deliver(service, "gp", ehr)
    assert {"Encounter", "Procedure"} <= sent(ehr)


def test_what_was_entered_in_error_under_a_denial_is_told_when_it_ends(ehr: Receiver, session: Http, service: Service, clock: Clock) -> None:
    said(session, provision("deny", "C0", role="gp"), validTo="2026-04-01T10:00:00+00:00")
    session.delete("/api/v1/emdr-procedures/ann")
    deliver(service, "gp", ehr)
    assert sent(ehr) == set()
    clock.forward(hours=1)
    chores(service)
    deliver(service, "gp", ehr)
    told = [body for method, path, body in ehr.sent if method != "GET" and path.startswith(("/Procedure/", "/Encounter/"))]
    assert len(told) == 2 and all(b'"entered-in-error"' in body for body in told)


def test_a_consent_that_changes_nothing_for_an_ehr_owes_it_nothing_again(ehr: Receiver, session: Http, service: Service, clock: Clock) -> None:
    """What an operator gave up stays given up, although a consent that began long ago is written again."""
    said(session, provision("permit", "C2", role="gp"))
    deliver(service, "gp", ehr)
    put(session, "emdr-procedures", emdr("ann", **{**SESSION, "sudsBefore": 3}))
    for one in session.get("/api/v1/deliveries?state=waiting").json["items"]:
        session.post(f"/api/v1/deliveries/{one['id']}/cancel")
    sent(ehr)
    clock.forward(minutes=1)
    said(session, provision("permit", "C2", role="gp"), provision("deny", "C2", role="pharmacy"))
    chores(service)
    deliver(service, "gp", ehr)
    assert "Observation" not in sent(ehr)
