"""The sandbox stands for somebody else's EHR: it shares nothing with what is tried against it."""

import ast
import sys
from pathlib import Path

import sandbox
from sandbox.parameters import PARAMETERS
from sandbox.personas import PERSONAS
from sandbox.required import REQUIRED

MODULES = sorted(Path(sandbox.__path__[0]).rglob("*.py"))


def imported(module: Path) -> set[str]:
    nodes = list(ast.walk(ast.parse(module.read_text())))
    names = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    return {name.partition(".")[0] for name in names | {node.module or "" for node in nodes if isinstance(node, ast.ImportFrom)}}


def test_it_imports_nothing_of_ours() -> None:
    assert {name for module in MODULES for name in imported(module)} - sys.stdlib_module_names == {"sandbox", "orjson", "gunicorn", "click", "joserfc", "flask_swagger_ui"}


def test_every_type_of_every_persona_has_its_parameters_and_its_required_elements() -> None:
    kinds = {kind for persona in PERSONAS.values() for kind in persona.types}
    assert kinds == PARAMETERS.keys() == REQUIRED.keys()


def test_no_persona_is_below_another() -> None:
    paths = [persona.path for persona in PERSONAS.values()]
    assert len(set(paths)) == len(paths)
    assert not [one for one in paths for other in paths if one != other and one.startswith(other + "/")]
