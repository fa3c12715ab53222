"""What the demo sets up."""

from pathlib import Path

from service.cli import demo_setup
from service.wiring import wire
from tests.openapi.recording import FILE


def test_the_ids_of_the_examples_are_there_in_the_demo(tmp_path: Path) -> None:
    made = demo_setup.Demo(tmp_path / "demo", 8000, 8001)
    demo_setup.begin(made)
    service = wire(made.settings())
    try:
        ann = service.tenant.ids().id("patient", "ann", "patient")
    finally:
        service.close()
    assert f"/fhir/r4/Patient/{ann}" in FILE.read_text(encoding="utf-8")


def test_a_secret_that_is_there_is_kept(tmp_path: Path) -> None:
    made = demo_setup.Demo(tmp_path, 8000, 8001)
    made.secret.write_text("a secret that is older than this release\n")
    demo_setup.begin(made)
    assert made.secret.read_text() == "a secret that is older than this release\n"
