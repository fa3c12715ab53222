"""Who may import whom, read from the imports themselves: the directions of the design, as tables."""

import ast
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
OURS = ("mappings", "sandbox", "service")

# mappings: the standard library and what stands here; nothing of the service, nothing of the sandbox
MAPPINGS_MAY = {"marshmallow": ("mappings/schema.py", "mappings/"), "fhir": ("mappings/validation.py",)}

# The service, leaves first: what stands in a row may import what stands in the rows above it, and nothing else of the service.
# A new part of it needs a place here.
LAYERS = (
    ("errors", "config", "metrics", "together", "routing"),
    ("wire", "logs", "manners"),
    ("store",),
    ("tenant", "trail"),
    ("security", "disclosing", "references", "renderings", "pages"),
    ("connecting", "attempts"),
    ("exchange", "operating", "wiring"),
    ("accepting", "registering"),
    ("web", "sync.outcomes", "sync.deadlines"),
    ("sync.abilities", "sync.matching", "sync.merging", "sync.exchanges", "sync.documents"),
    ("sync.transport", "sync.deliver"),
    ("sync.door", "sync.searches"),
    ("sync.transactions",),
    ("sync.targets", "incoming"),
    ("adopting", "contending", "notifications"),
    ("api", "fhir", "console", "sync"),
    ("site",),
    ("app", "openapi"),
    ("cli",),
)
NEVER_MAPPINGS = ("store", "security", "wire", "metrics", "logs")
# A target is one short file with its vendor's quirks: beside mappings it knows what it is given to send, over what, and what came of it.
TARGETS_ONLY = {
    "sync.abilities", "sync.deliver", "sync.door", "sync.exchanges", "sync.matching", "sync.merging", "sync.outcomes", "sync.searches",
    "sync.transactions", "sync.transport", "wire",
}  # fmt: skip
APART = {name for layer in LAYERS for name in layer if "." in name}
SANDBOX_FROM = ("cli",)  # the command that starts it; nothing else of ours knows it


@cache
def imports(file: Path) -> tuple[tuple[str, int], ...]:
    """Every module that a file imports, at its top or within a function, with the line."""
    return tuple(_imports(file))


def _imports(file: Path) -> Iterator[tuple[str, int]]:
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            for name in node.names:
                yield name.name, node.lineno
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}:{node.lineno} imports relatively"
            for name in node.names:
                yield f"{node.module}.{name.name}", node.lineno


def files(package: str) -> list[Path]:
    return sorted((ROOT / package).rglob("*.py"))


def part_of(module: str) -> str:
    """The part of the service that a module belongs to: those of `sync` that have a place of their own, all else by its first name."""
    names = module.split(".")[1:]
    two = ".".join(names[:2])
    return two if two in APART else names[0] if names else ""


def module_of(file: Path) -> str:
    return ".".join(file.relative_to(ROOT).with_suffix("").parts)


def service_imports() -> Iterator[tuple[str, str, str]]:
    """(part, part that it imports, where) within the service."""
    for file in files("service"):
        mine = part_of(module_of(file))
        for module, line in imports(file):
            if module.split(".")[0] == "service" and part_of(module) not in ("", mine):
                yield mine, part_of(module), f"{file.relative_to(ROOT)}:{line} imports {module}"


@pytest.mark.parametrize("file", files("mappings"), ids=lambda f: f.name)
def test_mappings_import_only_the_standard_library_and_what_the_design_names(file: Path) -> None:
    for module, line in imports(file):
        top, where = module.split(".")[0], str(file.relative_to(ROOT))
        allowed = top == "mappings" or top in sys.stdlib_module_names or any(where.startswith(at) for at in MAPPINGS_MAY.get(top, ()))
        assert allowed, f"{where}:{line} imports {module}"


@pytest.mark.parametrize("file", files("sandbox"), ids=lambda f: f.name)
def test_the_sandbox_knows_nothing_of_ours(file: Path) -> None:
    for module, line in imports(file):
        assert module.split(".")[0] not in ("mappings", "service"), f"{file.relative_to(ROOT)}:{line} imports {module}"


def test_every_part_of_the_service_has_its_place() -> None:
    parts = {part_of(module_of(file)) for file in files("service")} - {"__init__"}
    placed = {part for layer in LAYERS for part in layer}
    assert parts - placed == set(), "needs a place in LAYERS"


def test_the_service_imports_in_one_direction() -> None:
    height = {part: n for n, layer in enumerate(LAYERS) for part in layer}
    assert [where for mine, other, where in service_imports() if height[other] >= height[mine]] == []


def test_a_target_imports_mappings_and_next_to_nothing() -> None:
    assert [where for mine, other, where in service_imports() if mine == "sync.targets" and other not in TARGETS_ONLY] == []


def test_what_stores_and_carries_knows_nothing_of_mappings() -> None:
    wrong = [f"{file.relative_to(ROOT)}:{line}" for file in files("service") if part_of(module_of(file)) in NEVER_MAPPINGS
             for module, line in imports(file) if module.split(".")[0] == "mappings"]  # fmt: skip
    assert wrong == []


def test_only_the_command_line_starts_the_sandbox() -> None:
    wrong = [f"{file.relative_to(ROOT)}:{line}" for file in files("service") if part_of(module_of(file)) not in SANDBOX_FROM
             for module, line in imports(file) if module.split(".")[0] == "sandbox"]  # fmt: skip
    assert wrong == []


def test_nothing_that_runs_imports_the_tests() -> None:
    wrong = [f"{file.relative_to(ROOT)}:{line}" for package in OURS for file in files(package)
             for module, line in imports(file) if module.split(".")[0] == "tests"]  # fmt: skip
    assert wrong == []
