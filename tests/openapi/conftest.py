"""What is asked of the API is asked of it on SQLite alone, unless a test says otherwise: the stores have a suite of their own."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.openapi.asking import Asking
from tests.openapi.recording import Worlds
from tests.openapi.world import World, opened, seeded


@pytest.fixture
def database_url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/pathway.db"


@pytest.fixture(scope="session")
def seed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The example pathway in a database of its own, made once for each process of the test run."""
    return seeded(tmp_path_factory.mktemp("seed"))


@pytest.fixture(scope="session")
def lasting(seed: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with opened(tmp_path_factory.mktemp("world") / "world.db", seed) as made:
        yield made


@pytest.fixture
def world(lasting: World) -> World:
    """The world of the examples, as it was before anybody called."""
    lasting.put_back()
    return lasting


@pytest.fixture(scope="session")
def among(seed: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Worlds]:
    made = Worlds(seed, tmp_path_factory.mktemp("worlds"))
    yield made
    made.close()


@pytest.fixture(scope="session")
def asking(among: Worlds) -> Asking:
    return Asking(among["usual"])
