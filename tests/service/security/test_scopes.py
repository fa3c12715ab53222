"""What an EHR granted, held against what it was asked for."""

import pytest

from service.security.scopes import lacking

TYPES = ("Encounter", "Observation", "Task")


@pytest.mark.parametrize(
    ("asked", "granted", "left"),
    [
        ("system/*.cruds", "system/*.cruds", []),
        ("system/*.cruds", "system/*.rs", ["system/*.cud"]),
        ("system/*.cruds", "", ["system/*.cruds"]),
        ("system/*.cruds", "system/Observation.cruds system/Task.rs", ["system/Encounter.cruds", "system/Task.cud"]),
        ("system/*.rs", "system/Encounter.rs system/Observation.rs system/Task.rs", []),
        ("system/Observation.cruds system/Task.r", "system/Observation.rs", ["system/Observation.cud", "system/Task.r"]),
        ("system/Observation.cruds", "system/*.cruds", []),
        ("system/Observation.cruds", "system/Observation.read system/Observation.write", []),
        ("system/Observation.read", "system/Observation.r", ["system/Observation.s"]),
        ("system/*.rs system/Observation.cu", "system/*.rs", ["system/Observation.cu"]),
        ("system/Observation.rs", "system/Observation.rs?category=laboratory", ["system/Observation.rs"]),
        ("system/Observation.rs launch/x urn:nhsd:apim", "system/Observation.rs urn:nhsd:apim", ["launch/x"]),
        ("system/Observation.rs", "user/Observation.rs patient/Observation.rs nonsense", ["system/Observation.rs"]),
    ],
)
def test_what_was_asked_for_and_not_granted_is_named(asked: str, granted: str, left: list[str]) -> None:
    assert lacking(asked, granted, TYPES) == left
