"""The machine, run: some ways in which things may happen in every run of the tests, a hundred in the slow ones, on each database."""

import os
import random
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis.stateful import run_state_machine_as_test

from tests import postgres
from tests.machine.machine import Deliveries

EXAMPLES = int(os.environ.get("PATHWAY_FHIR_TEST_EXAMPLES", "8"))
SEED = os.environ.get("PATHWAY_FHIR_TEST_SEED")  # of other runs than those of every day
HOW = settings(
    stateful_step_count=20, deadline=None, suppress_health_check=list(HealthCheck), derandomize=SEED is None, database=None, print_blob=False, phases=[Phase.explicit, Phase.generate]
)


def seeded(machine: type[Deliveries]) -> type[Deliveries]:
    return seed(int(SEED))(type(machine.__name__, (machine,), {})) if SEED is not None else machine


def test_whatever_happens_the_ehr_ends_with_exactly_what_it_is_owed() -> None:
    run_state_machine_as_test(seeded(Deliveries), settings=settings(HOW, max_examples=EXAMPLES))


class Together(Deliveries):
    """The same with an EHR that takes transactions."""

    together = True


def test_whatever_happens_to_transactions_the_ehr_ends_with_exactly_what_it_is_owed() -> None:
    run_state_machine_as_test(seeded(Together), settings=settings(HOW, max_examples=EXAMPLES))


def test_a_replay_of_what_was_found_there_and_refused_creates_nothing_twice() -> None:
    """The machine found this one."""
    state = Deliveries()
    state.rng = random.Random(13669)
    state.begin()
    state.work_while_another_does(["not reached", "killed after", "not reached"], 9)
    state.work_while_another_does(["lost", "502 and done"], 5)
    state.wait(3)
    state.work_while_another_does(["400", "503", "killed after", "hang"], 9)
    state.replay()
    state.work_while_a_type_is_refused("Patient", "400")
    state.nothing_is_there_twice()
    state.teardown()


@pytest.mark.parametrize("how", ["400", "500", "not reached"])
def test_nothing_of_a_patient_who_is_refused_is_there(how: str) -> None:
    """What the machine's own runs come to only now and then."""
    state = Deliveries()
    state.begin()
    state.visit("a", 5)
    state.work_while_a_type_is_refused("Patient", how)
    state.nothing_is_there_before_what_it_makes_no_sense_without()
    assert not any(way.startswith("Encounter") for way, _ in state.ehr.written)
    state.teardown()


@pytest.mark.slow
def test_whatever_happens_it_does_so_in_a_hundred_ways_more() -> None:
    run_state_machine_as_test(Deliveries, settings=settings(HOW, max_examples=120))


@pytest.fixture
def on_postgres(postgres_url: str) -> Iterator[type[Deliveries]]:
    """The machine on a PostgreSQL database of its own, for each of its runs."""
    made = []

    class OnPostgres(Deliveries):
        @property
        def database_url(self) -> str:  # type: ignore[override]
            opened = postgres.database(postgres_url)
            made.append(opened)
            return opened.__enter__()

    yield OnPostgres
    for opened in made:
        opened.__exit__(None, None, None)


@pytest.mark.postgres
def test_whatever_happens_it_does_so_on_postgresql(on_postgres: type[Deliveries]) -> None:
    run_state_machine_as_test(on_postgres, settings=settings(HOW, max_examples=EXAMPLES))


