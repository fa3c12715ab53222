"""What an EHR does not take as such comes to it as a document: readable, whole, followed in place, and no more than it may see."""

import base64
import json
from collections.abc import Callable
from typing import Any

import pytest
from fhir.resources.R4B.bundle import Bundle
from fhir.resources.R4B.documentreference import DocumentReference

from service.sync.documents import readable
from service.wiring import Service
from tests.conftest import Http
from tests.service.test_accepting import plan
from tests.sync.conftest import Connect, Sandbox, deliveries, states
from tests.sync.test_pulling import pull_of

Work = Callable[[], int]
Json = dict[str, Any]


@pytest.fixture
def documented(pathway: Http, connect: Connect, sandbox: Sandbox, work: Work) -> Http:
    """The example pathway at an EHR that takes few types, and the rest as documents."""
    connect("strict", sandbox.url("epic"), alternate="DocumentReference")
    work()
    return pathway


def parts(document: Json) -> tuple[str, Json]:
    text, whole = [base64.b64decode(one["attachment"]["data"]) for one in document["content"]]
    return text.decode(), json.loads(whole)


def of_type(sandbox: Sandbox, type_: str) -> list[Json]:
    return [one for one in sandbox.all("epic", "DocumentReference") if parts(one)[1]["entry"][1]["resource"]["resourceType"] == type_]


def test_what_is_not_taken_arrives_as_a_document_that_is_readable_and_whole(documented: Http, sandbox: Sandbox) -> None:
    assert states(documented)["unsupported"] == 0 and set(states(documented)) <= {"delivered", "superseded"}
    [document] = of_type(sandbox, "CarePlan")
    DocumentReference.model_validate({name: value for name, value in document.items() if name != "meta"})
    text, whole = parts(document)
    Bundle.model_validate(whole)
    assert "Status: active" in text.splitlines() and document["status"] == "current"
    composition, care_plan = (entry["resource"] for entry in whole["entry"])
    assert (composition["resourceType"], care_plan["status"]) == ("Composition", "active")
    [patient] = sandbox.all("epic", "Patient")
    assert document["subject"]["reference"] == care_plan["subject"]["reference"] == f"Patient/{patient['id']}"


def test_a_document_follows_what_it_is_of_in_place(documented: Http, sandbox: Sandbox, work: Work) -> None:
    [before] = of_type(sandbox, "CarePlan")
    many = len(sandbox.all("epic", "DocumentReference"))
    id_, entity = plan(documented)
    assert documented.put(f"/api/v1/integration-care-plans/{id_}", {**entity, "status": "on-hold"}).status == 200
    work()
    [after] = of_type(sandbox, "CarePlan")
    assert after["id"] == before["id"] and "Status: on-hold" in parts(after)[0] and len(sandbox.all("epic", "DocumentReference")) == many
    assert documented.delete(f"/api/v1/integration-care-plans/{id_}").status in (200, 204)
    work()
    assert [one["status"] for one in of_type(sandbox, "CarePlan")] == ["entered-in-error"]


def test_nothing_refers_to_a_document_as_if_it_were_what_it_is_of(documented: Http, sandbox: Sandbox) -> None:
    documents = {one["id"] for one in sandbox.all("epic", "DocumentReference")}
    for type_ in ("Observation", "Procedure", "Condition"):
        said = json.dumps(sandbox.all("epic", type_))
        assert not [id for id in documents if id in said]


def test_nothing_that_the_ehr_may_not_see_is_in_a_document(pathway: Http, connect: Connect, sandbox: Sandbox, work: Work) -> None:
    id_, entity = plan(pathway)
    connect("low", sandbox.url("epic"), 1, alternate="DocumentReference")
    pathway.put(f"/api/v1/integration-care-plans/{id_}", {**entity, "notes": "Said to the therapist alone"} if "notes" in entity else entity)
    work()
    low = pathway.get(f"/api/v1/integration-care-plans/{id_}/fhir?view=C1").json
    [seen] = [entry["resource"] for entry in low["entry"] if entry["resource"]["resourceType"] == "CarePlan"]
    [document] = of_type(sandbox, "CarePlan")
    made = parts(document)[1]["entry"][1]["resource"]
    assert made.keys() - {"meta"} == seen.keys() - {"meta"}


def test_a_pull_does_not_take_a_document_for_what_it_is_of(service: Service, documented: Http, sandbox: Sandbox) -> None:
    done = pull_of(service, "strict", "CarePlan")
    assert (done.taken, done.vanished, done.problems) == (0, 0, [])
    assert [one["remoteId"].split("/")[0] for one in deliveries(documented, type="CarePlan")] == ["DocumentReference"]


def test_a_resource_is_read_out_element_by_element() -> None:
    body = {
        "resourceType": "MedicationAdministration", "id": "x", "status": "completed", "effectivePeriod": {"start": "2026-03-02T10:00:00+00:00"},
        "medicationCodeableConcept": {"coding": [{"display": "Ketamine"}]}, "subject": {"reference": "Patient/1", "display": "Ann"},
        "dosage": {"dose": {"value": 0.5, "unit": "mg", "code": "mg"}, "rateQuantity": {"value": 0, "unit": "mg/min"}}, "note": [{"text": "Calm"}],
    }  # fmt: skip
    assert list(readable(body)) == [
        "Medication administration", "Status: completed", "Effective period: 2026-03-02T10:00:00+00:00 to", "Medication codeable concept: Ketamine",
        "Subject: Ann", "Dosage:", "  Dose: 0.5 mg", "  Rate quantity: 0 mg/min", "Note: Calm",
    ]  # fmt: skip
