"""fhirpy, unmodified, as an EHR that pulls."""

from typing import Any

import pytest
from fhirpy import SyncFHIRClient
from fhirpy.base.exceptions import OperationOutcome, ResourceNotFound

from tests.interop.conftest import Live

NHS = "https://fhir.nhs.uk/Id/nhs-number"


@pytest.fixture
def client(live: Live) -> SyncFHIRClient:
    return SyncFHIRClient(live.fhir, authorization=f"Bearer {live.token()}")


@pytest.fixture
def patient(client: SyncFHIRClient) -> Any:
    return client.resources("Patient").search(identifier=f"{NHS}|9434765919").get()


def test_a_patient_is_found_by_nhs_number_and_read_again(client: SyncFHIRClient, patient: Any) -> None:
    assert patient["name"][0]["family"] == "Example"
    again = client.reference("Patient", patient.id).to_resource()
    assert again.serialize() == patient.serialize()


def test_visits_come_page_after_page_in_order_and_each_once(client: SyncFHIRClient, patient: Any) -> None:
    visits = list(client.resources("Encounter").search(patient=patient.id).sort("-date").limit(1))
    starts = [visit["period"]["start"] for visit in visits if "period" in visit]
    assert len({visit.id for visit in visits}) == len(visits) > 2
    assert starts == sorted(starts, reverse=True)


def test_counting_needs_lenient_handling_since_fhirpy_asks_by_a_parameter_of_another_server(live: Live, patient: Any) -> None:
    lenient = SyncFHIRClient(live.fhir, authorization=f"Bearer {live.token()}", extra_headers={"Prefer": "handling=lenient"})
    visits = lenient.resources("Encounter").search(patient=patient.id)
    assert visits.count() == len(list(visits)) > 2


def test_everything_that_hangs_on_a_visit_is_found(client: SyncFHIRClient, patient: Any) -> None:
    given = client.resources("MedicationAdministration").search(patient=patient.id).first()
    visit = client.reference(reference=given["context"]["reference"]).to_resource()
    readings = client.resources("Observation").search(encounter=visit.id, category="vital-signs").sort("date").fetch_all()
    assert readings and all(r["encounter"]["reference"] == f"Encounter/{visit.id}" for r in readings)
    everything = client.execute(f"Encounter/{visit.id}/$everything", method="get")
    held = {f"{e['resource']['resourceType']}/{e['resource']['id']}" for e in everything["entry"]}
    assert held >= {f"Observation/{r.id}" for r in readings} | {f"MedicationAdministration/{given.id}"}


def test_includes_bring_what_is_referred_to(client: SyncFHIRClient, patient: Any) -> None:
    bundle = client.resources("Encounter").search(patient=patient.id).include("Encounter", "patient").revinclude("Observation", "encounter").fetch_raw()
    types = {entry["resource"]["resourceType"] for entry in bundle["entry"]}
    assert types == {"Encounter", "Patient", "Observation"}


def test_what_is_not_there_is_not_found_and_writes_are_refused(client: SyncFHIRClient) -> None:
    with pytest.raises(ResourceNotFound):
        client.reference("Patient", "nobody").to_resource()
    with pytest.raises(OperationOutcome):
        client.resource("Patient", name=[{"family": "New"}]).save()
    with pytest.raises(OperationOutcome):
        client.resources("Encounter").search(colour="blue").fetch()
