"""What FHIR R4 says, and what servers make of it: conditions, answers, links and pages (F1 to F17)."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from mappings.parts import system_of
from service.store import cursors
from service.sync import looking
from service.wiring import Service
from tests.conftest import Clock, Http
from tests.service.records import dosing, patient, put
from tests.sync.conftest import Connect, Sandbox, deliveries, states
from tests.sync.personas.conftest import Work, allergy, calls, readings, reconciled
from tests.sync.scripted import says, scripted
from tests.sync.small import Small
from tests.sync.test_pulling import pull_of

Json = dict[str, Any]


@pytest.fixture
def plain(visit: Http, connect: Connect, sandbox: Sandbox, work: Work) -> Http:
    """The visit, at an EHR that keeps to the standard."""
    connect("plain", sandbox.url("plain"))
    work()
    return visit


def chart(clinic: Http, hr: int) -> None:
    put(clinic, "dosing-encounters", dosing(observations=readings(2, hr)))


def reading(sandbox: Sandbox, value: int = 60, persona: str = "plain") -> Json:
    return next(one for one in sandbox.all(persona, "Observation") if one.get("valueQuantity", {}).get("value") == value)


def without_meta(resource: Json) -> Json:
    return {name: value for name, value in resource.items() if name not in ("id", "meta")}


def at_rest(clinic: Http) -> bool:
    return set(states(clinic)) <= {"delivered", "superseded"}


# --- conditions


@pytest.mark.parametrize("there", [0, 1, 2])
def test_a_condition_creates_what_is_not_there_and_takes_what_is(plain: Http, connect: Connect, sandbox: Sandbox, work: Work, there: int) -> None:
    """F1, F3: If-None-Exist is 201 with none there, 200 with one, and with several 412: parked with the candidates, and none is picked."""
    ours = without_meta(reading(sandbox))
    sandbox.reset()
    ids = [name.partition("/")[2] for _ in range(there) for name in sandbox.seed("plain", {**ours, "hasMember": [], "status": "preliminary"})]
    connect("again", sandbox.also("plain"))
    work()
    found = [one for one in sandbox.all("plain", "Observation") if one["identifier"] == ours["identifier"]]
    parked = deliveries(plain, ehr="again", state="parked")
    if there < 2:
        assert [one["status"] for one in found] == ["final"] and not parked and [one["id"] for one in found] == (ids or [found[0]["id"]])
    else:
        [one] = parked
        assert all(id_ in one["reason"] for id_ in ids) and one["attempts"] == 1 and [one["status"] for one in found] == ["preliminary"] * 2


def test_nothing_is_updated_on_a_condition(plain: Http, sandbox: Sandbox, work: Work) -> None:
    """F2: an update names an id and a version: a condition that meets several, or none, is never left to the EHR."""
    chart(plain, 90)
    work()
    updates = [one for one in sandbox.log("plain") if one["method"] == "PUT"]
    assert updates and all(one["query"] == "" for one in updates)
    assert all("If-Match" in call["requestHeaders"] for call in calls(plain) if call["method"] == "PUT")


def test_a_second_one_that_the_ehr_let_happen_is_found_by_reconciling(plain: Http, sandbox: Sandbox, service: Service) -> None:
    """F4: a server may race and make two on one condition: a search by our identifier finds them, and both ids are shown."""
    ours = reading(sandbox)
    [name] = sandbox.seed("plain", {**without_meta(ours), "status": "preliminary"})
    findings, _ = reconciled(service, "plain")
    [twice] = [one for one in findings if one.verdict == "twice"]
    assert set(twice.remote_ids) == {ours["id"], name.partition("/")[2]}


@pytest.mark.parametrize("together", [False, True])
@pytest.mark.parametrize("status", [500, 503])
def test_what_has_no_condition_is_looked_for_where_the_ehr_failed(
    visit: Http, connect: Connect, sandbox: Sandbox, work: Work, clock: Clock, status: int, together: bool
) -> None:
    """A Provenance has no identifier to create it on: an EHR that answers a failure and made it all the same holds one, and not two."""
    connect("plain", sandbox.url("plain"), transactions=together)
    where = {"path": "/fhir/r4"} if together else {"type": "Provenance"}
    sandbox.fault("plain", "status", status=status, after=True, method="POST", times=2, **where)
    for _ in range(6):
        work()
        clock.forward(seconds=130)
    ours = [text for one in deliveries(visit, type="Provenance") for text in [one["resource"]["id"]]]
    assert at_rest(visit) and sandbox.counts("plain")["Provenance"] == len(set(ours))


def test_nothing_is_sent_in_a_bundle_of_several(plain: Http, sandbox: Sandbox, work: Work) -> None:
    """F5: a batch is 200 whatever became of its entries; so what is sent is sent alone, and its own status is what counts."""
    chart(plain, 90)
    work()
    assert all(one["path"].removeprefix("/fhir/r4").strip("/") for one in sandbox.log("plain") if one["method"] != "GET")


# --- answers


@pytest.mark.parametrize("after", [False, True])
def test_an_error_in_a_200_is_no_delivery(visit: Http, connect: Connect, sandbox: Sandbox, work: Work, after: bool) -> None:
    """F6: an OperationOutcome of an error is one whatever the status."""
    connect("plain", sandbox.url("plain"))
    sandbox.fault("plain", "error-in-200", method="POST", type="Encounter", after=after)
    work()
    [parked] = deliveries(visit, state="parked")
    assert (parked["resource"]["type"], parked["reason"]) == ("Encounter", "a fault of the sandbox: this failed, whatever the status says")


@pytest.mark.parametrize("severity", ["information", "warning"])
def test_a_warning_beside_a_success_is_a_delivery(visit: Http, connect: Connect, sandbox: Sandbox, work: Work, severity: str) -> None:
    """F6: information and warnings are well."""
    said = {"resourceType": "OperationOutcome", "issue": [{"severity": severity, "code": "informational", "diagnostics": "no narrative"}]}
    sandbox.fault("plain", "status", status=201, after=True, body=said, method="POST", type="Observation")
    connect("plain", sandbox.url("plain"))
    work()
    assert at_rest(visit) and sandbox.counts("plain")["Observation"] == 4


def test_a_search_that_does_not_show_all_creates_nothing(visit: Http, connect: Connect, sandbox: Sandbox, work: Work, clock: Clock) -> None:
    """F6: a row that was dropped from a page, with an error in its place, may be ours: it is not created again."""
    connect("epic", sandbox.url("epic"))
    sandbox.fault("epic", "reset", when="after", method="POST", type="Procedure", times=1)
    sandbox.fault("epic", "reset", when="after", method="POST", type="AllergyIntolerance", times=1)
    allergy(visit)
    work()
    sandbox.fault("epic", "error-in-200", method="GET", entry=True, type="AllergyIntolerance")
    for _ in range(3):
        clock.forward(seconds=130)
        work()
    [parked] = deliveries(visit, state="parked")
    assert parked["reason"] == "What a search finds there is not shown: it may be there already"
    assert sandbox.counts("epic")["AllergyIntolerance"] == 1


def test_a_page_that_does_not_show_all_holds_the_cursor(plain: Http, sandbox: Sandbox, service: Service) -> None:
    """F6: what was seen is taken, what was not is looked for again."""
    sandbox.fault("plain", "error-in-200", method="GET", entry=True, type="Observation")
    assert pull_of(service, "plain", "Observation").problems == ["Observation: the EHR says that a page does not show all that was found"]


EPICS_WORDS = {"system": "urn:oid:1.2.840.114350.1.13.0.1.7.2.657369", "code": "4101", "display": "Resource request returns no results."}


@pytest.mark.parametrize(("coding", "grave"), [(EPICS_WORDS, False), ({**EPICS_WORDS, "system": "urn:oid:1.2.3"}, True), ({}, True)])
def test_a_warning_that_nothing_was_found_hides_nothing(plain: Http, sandbox: Sandbox, service: Service, coding: Json, grave: bool) -> None:
    """F6: Epic says so in an empty page; any other warning there may be of what is not shown."""
    said = {"resourceType": "OperationOutcome", "issue": [{"severity": "warning", "code": "processing", "details": {"coding": [coding]}}]}
    page = {"resourceType": "Bundle", "type": "searchset", "total": 0, "entry": [{"resource": said, "search": {"mode": "outcome"}}]}
    sandbox.fault("plain", "status", status=200, body=page, method="GET", type="Goal")
    assert reconciled(service, "plain")[1] == (["Goal: the EHR says that a page does not show all that was found"] if grave else [])


@pytest.mark.parametrize("prefer", ["minimal", "representation", "OperationOutcome", "none"])
def test_whatever_was_preferred_a_success_is_one(plain: Http, connect: Connect, sandbox: Sandbox, work: Work, prefer: str) -> None:
    """F7: Prefer may be obeyed or not; an answer may have a body, an outcome or nothing."""
    sandbox.reset()
    connect("prefers", sandbox.also("plain"), prefer=prefer)
    work()
    chart(plain, 90)
    work()
    sent = [call for call in calls(plain, ehr="prefers") if call["method"] == "PUT"]
    assert {call["requestHeaders"].get("Prefer") for call in sent} == {None if prefer == "none" else f"return={prefer}"}
    assert set(states(plain, ehr="prefers")) <= {"delivered", "superseded"} and reading(sandbox, 90)["meta"]["versionId"] == "2"


def test_a_204_to_an_update_is_a_success(plain: Http, sandbox: Sandbox, work: Work) -> None:
    """F7: nothing at all is well too; the version is not known then, and the next update needs none."""
    sandbox.fault("plain", "status", status=204, after=True, method="PUT", type="Observation")
    for hr in (90, 100):
        chart(plain, hr)
        work()
    assert at_rest(plain) and reading(sandbox, 100)["meta"]["versionId"] == "3"


LOCATIONS = [
    {"Location": "{base}/Patient/x1/_history/3"}, {"Location": "{base}/Patient/x1"}, {"Location": "Patient/x1"}, {"Location": "/fhir/Patient/x1/_history/1"},
    {"Location": "https://other.example/fhir/Patient/x1"}, {"Content-Location": "{base}/Patient/x1/_history/1"},
]  # fmt: skip


@pytest.mark.parametrize("headers", LOCATIONS, ids=lambda headers: "-".join(next(iter(headers.items()))))
def test_the_id_is_found_in_every_form_of_location(visit: Http, connect: Connect, ehr: Small, work: Work, headers: Json) -> None:
    """F8: absolute, relative, with or without a version, at another host: the id is used, below the EHR's own base."""
    said = {name: value.format(base=ehr.base) for name, value in headers.items()}
    ehr.answers = lambda method, path: (201, said) if (method, path) == ("POST", "/Patient") else None
    connect("small", ehr.base)
    work()
    ehr.answers = lambda method, path: None
    put(visit, "patients", patient(gender="other"))
    work()
    assert deliveries(visit, type="Patient")[0]["remoteId"] == "x1" and ehr.kept["Patient/x1"]["gender"] == "other"


def test_an_answer_without_an_id_is_found_by_our_identifier(visit: Http, connect: Connect, sandbox: Sandbox, work: Work) -> None:
    """F8: no Location and no body: it is looked for."""
    sandbox.fault("plain", "status", status=201, after=True, body="", method="POST", type="Encounter")
    connect("plain", sandbox.url("plain"))
    work()
    assert at_rest(visit) and {one["remoteId"] for one in deliveries(visit, type="Encounter")} == {one["id"] for one in sandbox.all("plain", "Encounter")}


@pytest.mark.parametrize("etag", ['W/"7"', '"strong"', "bare", 'W/"other than versionId"', None])
def test_an_etag_is_sent_back_as_it_came(visit: Http, connect: Connect, ehr: Small, work: Work, etag: str | None) -> None:
    """F9: weak, strong, malformed, or none: it is a text, and nothing is read from it."""
    said = {"Location": f"{ehr.base}/Patient/x1", **({"ETag": etag} if etag else {})}
    ehr.answers = lambda method, path: (201, said) if (method, path) == ("POST", "/Patient") else None
    connect("small", ehr.base)
    work()
    ehr.answers = lambda method, path: None
    put(visit, "patients", patient(gender="other"))
    work()
    assert [headers.get("If-Match") for method, path, headers in ehr.asked if method == "PUT" and path == "/Patient/x1"] == [etag]


# --- links and pages


def many(sandbox: Sandbox) -> None:
    sandbox.seed("plain", *({"resourceType": "Observation", "status": "final", "code": {"text": "theirs"}} for _ in range(170)))


def test_links_may_be_relative(plain: Http, sandbox: Sandbox, service: Service) -> None:
    """F10: a `next` that is relative leads below the base."""
    many(sandbox)
    sandbox.fault("plain", "relative-next")
    changed = reading(sandbox)
    sandbox.change("plain", f"Observation/{changed['id']}", valueQuantity={**changed["valueQuantity"], "value": 64})
    done = pull_of(service, "plain", "Observation")
    assert (done.taken, done.problems) == (1, [])


def test_a_link_to_another_server_is_not_followed(plain: Http, sandbox: Sandbox, service: Service) -> None:
    """F10: our token is for the EHR alone."""
    with scripted(says(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}")) as elsewhere:
        sandbox.fault("plain", "foreign-next", origin=elsewhere.base.removesuffix("/fhir"))
        done = pull_of(service, "plain", "Observation")
        _, problems = reconciled(service, "plain")
        assert not elsewhere.asked and done.problems == ["Observation: the next page is elsewhere, and was not asked for"]
        assert done.problems[0] in problems


def test_pages_that_end_nowhere_are_an_error_and_not_all(plain: Http, sandbox: Sandbox, service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    """F10: a loop and the most pages that are read hold the cursor; nothing is cut off in silence."""
    many(sandbox)
    sandbox.fault("plain", "loop")
    assert pull_of(service, "plain", "Observation").problems == ["Observation: the pages lead back to one that was there before"]
    sandbox.mend()
    monkeypatch.setattr(looking, "MOST_PAGES", 1)
    assert set(pull_of(service, "plain", "Observation").problems) == {"Observation: more than 1 pages were found"}


@pytest.mark.parametrize("really", [False, True])
def test_a_search_that_was_not_heeded_moves_no_cursor(plain: Http, sandbox: Sandbox, service: Service, really: bool) -> None:
    """F11: a parameter that is not known is ignored in silence: what `self` does not repeat was not searched for."""
    sandbox.fault("plain", "self", parameters=["_lastUpdated"], really=really)
    assert pull_of(service, "plain", "Observation").problems == ["Observation: the EHR does not say that it heeded _lastUpdated"]


def test_the_search_before_a_creation_asks_to_be_taken_strictly(visit: Http, connect: Connect, sandbox: Sandbox, work: Work) -> None:
    """F11: `Prefer: handling=strict`, so that an EHR that does not search by identifier says so."""
    connect("epic", sandbox.url("epic"))
    work()
    asked = [call["requestHeaders"].get("Prefer") for call in calls(visit) if call["method"] == "GET"]
    assert asked and set(asked) == {"handling=strict"}


def test_the_cursor_is_the_ehrs_own_time_and_what_was_seen_twice_is_taken_once(plain: Http, sandbox: Sandbox, service: Service, clock: Clock) -> None:
    """F12: the time of the last change comes from the EHR, an overlap covers what was committed late, and a hash tells what is known."""
    clock.at = datetime.now(UTC)
    pull_of(service, "plain", "Observation")
    stamps = [one["meta"]["lastUpdated"] for one in sandbox.all("plain", "Observation")]
    assert at(service) == max(stamps)
    service.database.write(lambda tx: tx.exec_driver_sql(f"UPDATE \"cursor\" SET at = '{(clock.at + timedelta(seconds=90)).isoformat()}'"))
    late = reading(sandbox)
    sandbox.change("plain", f"Observation/{late['id']}", valueQuantity={**late["valueQuantity"], "value": 64})
    assert [pull_of(service, "plain", "Observation").taken for _ in range(3)] == [1, 0, 0]


def at(service: Service) -> str | None:
    with service.database.glance() as connection:
        return next(one.at for one in cursors.of(connection, "plain") if one.type == "Observation")


def test_what_was_deleted_is_found_though_no_search_finds_it(plain: Http, sandbox: Sandbox, service: Service) -> None:
    """F12: deletions come from the history of the type; where there is none, from comparing every copy."""
    pull_of(service, "plain", "Provenance")
    gone = sandbox.all("plain", "Provenance")[0]
    sandbox.remove("plain", f"Provenance/{gone['id']}")
    assert pull_of(service, "plain", "Provenance").vanished == 1


def test_pages_that_repeat_are_taken_once(plain: Http, sandbox: Sandbox, service: Service) -> None:
    """F13: unstable paging shows what was shown before."""
    sandbox.fault("plain", "duplicates", method="GET", type="Observation")
    changed = reading(sandbox)
    sandbox.change("plain", f"Observation/{changed['id']}", valueQuantity={**changed["valueQuantity"], "value": 64})
    done = pull_of(service, "plain", "Observation")
    assert (done.taken, done.contested, done.problems) == (1, 0, [])


@pytest.mark.parametrize("other_id", [False, True])
def test_what_a_search_finds_twice_is_one_unless_its_ids_differ(
    visit: Http, connect: Connect, sandbox: Sandbox, work: Work, clock: Clock, other_id: bool
) -> None:
    """F13, F3: the same id twice is one resource; two ids are two, for a person to choose from."""
    connect("epic", sandbox.url("epic"))
    allergy(visit)
    sandbox.fault("epic", "reset", when="after", method="POST", type="AllergyIntolerance", times=1)
    sandbox.fault("epic", "duplicates", method="GET", type="AllergyIntolerance", otherId=other_id)
    for _ in range(3):
        work()
        clock.forward(seconds=130)
    assert states(visit, type="AllergyIntolerance") == {"parked" if other_id else "delivered": 1}
    assert sandbox.counts("epic")["AllergyIntolerance"] == 1


def test_pages_that_miss_something_are_made_good_within_a_day(plain: Http, sandbox: Sandbox, service: Service, clock: Clock) -> None:
    """F13: a page that shows nothing holds the cursor, so that the next pull begins at the same place."""
    many(sandbox)
    sandbox.fault("plain", "lost-page", times=1)
    assert pull_of(service, "plain", "Observation").problems == ["Observation: a page shows nothing, and not all was told that was found"]
    assert pull_of(service, "plain", "Observation").problems == []


@pytest.mark.parametrize("status", [404, 410])
def test_what_is_not_there_any_more_is_said_to_be_gone(plain: Http, sandbox: Sandbox, work: Work, service: Service, status: int) -> None:
    """F14: 410 for what was deleted, 404 where nobody remembers: either way it is created anew by nobody but a person."""
    sandbox.fault("plain", "status", status=status, type="Patient")
    put(plain, "patients", patient(gender="other"))
    work()
    [parked] = deliveries(plain, state="parked")
    assert "is no more: a replay creates it anew" in parked["reason"]
    assert "missing" in [one.verdict for one in reconciled(service, "plain")[0] if one.type == "Patient"]


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_of_a_write_is_a_failure(visit: Http, connect: Connect, sandbox: Sandbox, work: Work, status: int) -> None:
    """F15: nothing is sent anywhere else, and nothing is taken for sent."""
    with scripted(says(b"HTTP/1.1 201 Created\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")) as elsewhere:
        sandbox.fault("plain", "status", status=status, headers={"Location": f"{elsewhere.base}/Encounter"}, method="POST", type="Encounter")
        connect("plain", sandbox.url("plain"))
        work()
        assert not elsewhere.asked
    [parked] = deliveries(visit, state="parked")
    assert parked["reason"] == f"The EHR redirects writes, which are not followed ({status})"


@pytest.mark.parametrize("same", [True, False])
def test_a_409_with_what_was_made_of_the_request_before_is_a_success(plain: Http, connect: Connect, sandbox: Sandbox, work: Work, same: bool) -> None:
    """F16: HealthLake answers a request that it knows again by 409 with the original; somebody else's resource in a 409 is a refusal."""
    original = sandbox.all("plain", "Encounter")[0]
    said = original if same else {**original, "identifier": [{"system": system_of("Encounter"), "value": "another"}]}
    sandbox.fault("plain", "status", status=409, body=said, method="POST", type="Encounter")
    connect("again", sandbox.also("plain"))
    work()
    assert set(states(plain, ehr="again", type="Encounter")) == {"delivered" if same else "parked"}
    assert len(sandbox.all("plain", "Encounter")) == 1


def test_a_condition_is_on_one_identifier_and_nothing_else(visit: Http, connect: Connect, ehr: Small, work: Work) -> None:
    """F16: Google takes If-None-Exist by `identifier` alone."""
    for one in ehr.statement["rest"][0]["resource"]:
        one["conditionalCreate"] = True
    connect("small", ehr.base)
    work()
    conditions = {headers["If-None-Exist"] for _, _, headers in ehr.asked if "If-None-Exist" in headers}
    assert len(conditions) == 10 and all(one.startswith("identifier=") and one.count("|") == 1 and "&" not in one for one in conditions)


@pytest.mark.parametrize(("says_it", "then"), [
    ({"conditionalCreate": True}, ["POST If-None-Exist"]), ({}, ["GET", "POST"]), ({"searchParam": []}, ["POST"]),
    ({"interaction": [{"code": "read"}, {"code": "update"}]}, []),
], ids=["conditional", "searched", "neither", "read-only"])  # fmt: skip
def test_what_is_done_is_what_the_ehr_says_that_it_can_do(visit: Http, connect: Connect, ehr: Small, work: Work, says_it: Json, then: list[str]) -> None:
    """F17: interactions, conditional create and the search by identifier are used where the CapabilityStatement has them, type by type."""
    next(one for one in ehr.statement["rest"][0]["resource"] if one["type"] == "Encounter").update(says_it)
    connect("small", ehr.base)
    work()
    asked = [f"{method}{' If-None-Exist' if 'If-None-Exist' in headers else ''}" for method, path, headers in ehr.asked if path.startswith("/Encounter")]
    assert [one for one in asked if one != "PUT"] == then  # it is sent again when what it refers to is there
    assert set(states(visit, type="Encounter")) == {"delivered" if then else "unsupported"}


def test_what_cannot_be_updated_there_is_unsupported_once_it_is_there(visit: Http, connect: Connect, ehr: Small, work: Work) -> None:
    """F17: an update is gated as a creation is; without versions there is no If-Match."""
    next(one for one in ehr.statement["rest"][0]["resource"] if one["type"] == "Patient")["interaction"] = [{"code": "create"}, {"code": "read"}]
    connect("small", ehr.base)
    work()
    put(visit, "patients", patient(gender="other"))
    work()
    assert deliveries(visit, type="Patient")[0]["state"] == "unsupported" and "PUT Patient" not in ehr.writes
