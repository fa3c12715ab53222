"""fhirclient (SMART's own for Python), unmodified: it parses what we serve strictly, element by element."""

from typing import Any

import pytest
from fhirclient.client import FHIRClient
from fhirclient.models import bundle, careplan, encounter, observation
from fhirclient.models import patient as patients

from tests.interop.conftest import Live

NHS = "https://fhir.nhs.uk/Id/nhs-number"


@pytest.fixture
def smart(live: Live) -> Any:
    made = FHIRClient(settings={"app_id": "tests", "api_base": live.fhir})
    made.server.session.headers["Authorization"] = f"Bearer {live.token(2)}"
    return made


@pytest.fixture
def patient(smart: Any) -> Any:
    (found,) = patients.Patient.where(struct={"identifier": f"{NHS}|9434765919"}).perform_resources_iter(smart.server)
    return found


def test_a_patient_is_found_by_nhs_number_and_read_again(smart: Any, patient: Any) -> None:
    assert patient.name[0].family == "Example" and patient.birthDate.isostring == "1984-05-17"
    assert patients.Patient.read(patient.id, smart.server).as_json() == patient.as_json()


def test_visits_are_found_page_after_page(smart: Any, patient: Any) -> None:
    visits = list(encounter.Encounter.where(struct={"patient": patient.id, "_count": "1", "_sort": "-date"}).perform_resources_iter(smart.server))
    assert len({visit.id for visit in visits}) == len(visits) > 2
    assert {visit.subject.reference for visit in visits} == {f"Patient/{patient.id}"}


def test_a_reference_is_resolved_by_the_library(smart: Any, patient: Any) -> None:
    (reading, *_) = observation.Observation.where(struct={"patient": patient.id, "category": "vital-signs"}).perform_resources_iter(smart.server)
    assert reading.subject.resolved(patients.Patient).id == patient.id


def test_all_that_a_patient_has_can_be_parsed(smart: Any, patient: Any) -> None:
    page = bundle.Bundle.read_from(f"Patient/{patient.id}/$everything", smart.server)
    types = {entry.resource.resource_type for entry in page.entry}
    assert types >= {"Patient", "Encounter", "Observation", "CarePlan", "Goal", "Task", "EpisodeOfCare", "MedicationAdministration"}
    assert all(entry.resource.as_json() for entry in page.entry)


def test_a_care_plan_refers_to_its_goals(smart: Any, patient: Any) -> None:
    (plan, *_) = careplan.CarePlan.where(struct={"patient": patient.id}).perform_resources_iter(smart.server)
    assert plan.goal and all(goal.reference.startswith("Goal/") for goal in plan.goal)


def test_the_capability_statement_is_read(smart: Any) -> None:
    statement = smart.server.capabilityStatement
    assert statement.fhirVersion == "4.0.1"
    assert {r.type for r in statement.rest[0].resource} >= {"Patient", "Encounter", "Observation", "CarePlan"}
