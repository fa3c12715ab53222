"""What is asked of the API is asked of it on SQLite alone, unless a test says otherwise: the stores have a suite of their own."""

from pathlib import Path

import pytest


@pytest.fixture
def database_url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/pathway.db"
