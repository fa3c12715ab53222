"""The examples of openapi.yaml: every call of `asking`, made in the world put back before it, with the answer that came.

    python -m tests.openapi.recording        writes openapi.yaml, and service/docs.json.gz for the page
"""

import gzip
import re
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from sqlalchemy import text
from werkzeug.test import TestResponse

from service.openapi.answers import shared_errors
from service.openapi.document import document, operations
from service.openapi.operations import Example, Operation, is_shared
from service.openapi.page import page_of
from service.openapi.writing import yaml_of
from service.wire import encode, read
from tests.openapi.asking import TOO_MUCH, Asking, Request, call
from tests.openapi.world import World, opened, seeded

FILE = Path(__file__).parents[2] / "openapi.yaml"
PAGE = Path(__file__).parents[2] / "service" / "docs.json.gz"
EMPTY = Request("", "")


class Worlds:
    """The services that are called: the usual one, and those that are set up as no usual one is."""

    def __init__(self, seed: Path, directory: Path):
        self._seed, self._directory, self._open, self._stack = seed, directory, dict[str, World](), ExitStack()
        self._as_it_was: dict[str, bool] = {}

    def close(self) -> None:
        self._stack.close()

    def __getitem__(self, service: str) -> World:
        settings = {"taking one request a second": {"rate_limit": 1}, "without metrics": {"metrics": False}}.get(service, {})
        if service not in self._open:
            path = self._directory / f"{service}.db"
            self._open[service] = self._stack.enter_context(opened(path, self._seed, **settings))
        return self._open[service]

    def answer(self, request: Request) -> TestResponse:
        """What comes back, where nobody has written before."""
        world = self[request.service]
        if not self._as_it_was.get(request.service):
            world.put_back()
        if request.service == "taking one request a second":
            call(world, Request("GET", "/api/v1/schemas"))
        if request.service == "of an older schema":
            world.service.database.write(lambda tx: tx.execute(text("UPDATE alembic_version SET version_num = 'older'")))
        answer = call(world, request)
        reads = request.method == "GET" or answer.status_code >= 400
        self._as_it_was[request.service] = request.service == "usual" and reads and not request.before
        return answer


@contextmanager
def worlds() -> Iterator[Worlds]:
    with tempfile.TemporaryDirectory() as directory:
        made = Worlds(seeded(Path(directory)), Path(directory))
        try:
            yield made
        finally:
            made.close()


def recorded(among: Worlds) -> dict[tuple[str, int], Example]:
    """Every example that the document needs."""
    asking, every = Asking(among["usual"]), operations()
    made = {}
    for operation in every:
        main = asking.request(operation, operation.main)
        for status in operation.statuses:
            if not is_shared(operation, status):
                made[operation.id, status] = _example(among, operation, status, asking.request(operation, status), main)
    for interface, status in shared_errors(every):
        operation = representative(every, interface, status)
        made[interface, status] = _example(among, operation, status, asking.request(operation, status), EMPTY)
    return made


def representative(every: Sequence[Operation], interface: str, status: int) -> Operation:
    """The operation whose example of a shared error stands for all: one on visits, where there is one."""
    having = [o for o in every if o.interface == interface and status in o.errors and is_shared(o, status)]
    return next((o for o in having if "Encounter" in o.id), having[0])


def _example(among: Worlds, operation: Operation, status: int, request: Request, main: Request) -> Example:
    answer = among.answer(request)
    assert answer.status_code == status, (operation.id, status, answer.status_code, answer.text[:500])
    told = differing(request, main) if request != main else differing(replace(EMPTY, before=request.before), EMPTY)
    return Example(request.parameters, request.body, received(operation, answer), told)


def differing(request: Request, main: Request) -> dict[str, Any]:
    """How a request differs from another, as `x-request` tells it."""
    told: dict[str, Any] = {}
    if request.url != main.url:
        told = ({} if main.method else {"method": request.method}) | {"path": request.url}
    if request.headers != main.headers:
        told["headers"] = dict(request.headers)
    if request.type != main.type:
        told["type"] = request.type
    if request.body != main.body:
        told |= {"bytes": TOO_MUCH} if isinstance(request.body, bytes) else {"body": request.body}
    if request.caller != main.caller:
        told["caller"] = request.caller or "nobody"
    if request.before:
        told["before"] = [{"method": one.method, "path": one.url, **({"body": one.body} if one.body is not None else {})} for one in request.before]
    if request.service != main.service:
        told["service"] = request.service
    return told


def received(operation: Operation, answer: TestResponse) -> Any:
    """The body of an answer. What is another one each time is made one and the same."""
    if "json" not in (answer.content_type or "") or "ndjson" in answer.content_type:
        text_ = answer.text
        return "".join(line + "\n" for line in text_.splitlines() if "pathway_fhir_deliveries" in line) if operation.name == "metrics" else text_
    body = read(answer.data)
    fixed: Mapping[str, Any] = {"access_token": "MTFkN2YxZDg0YzU3NDBiM2E4N2Y2ZDkxZTQ0YzJkZTU", "databaseMs": 0.4}
    return {**body, **{name: value for name, value in fixed.items() if name in body}} if isinstance(body, dict) else body


HEAD = "# Made by `make openapi` from the route tables, the schemas and real calls. Do not edit.\n"


def main() -> None:
    with worlds() as among:
        made = document(recorded(among))
    FILE.write_text(HEAD + yaml_of(made), encoding="utf-8")
    PAGE.write_bytes(gzip.compress(encode(page_of(made)), mtime=0))
    print(f"{FILE.name}: {len(re.findall(r'(?m)$', FILE.read_text(encoding='utf-8')))} lines")


if __name__ == "__main__":
    main()
