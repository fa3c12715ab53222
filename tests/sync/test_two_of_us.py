"""Two deployments that have each other as an EHR come to rest: neither takes writes of FHIR, and nothing is sent round and round."""

import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection
from werkzeug.serving import BaseWSGIServer, make_server

from service import operating
from service.app import create_app
from service.config import Settings
from service.store import outbox
from service.store.clock import micros
from service.store.targets import Target
from service.sync.worker import Worker
from service.wiring import Service, wire
from tests.conftest import Clock, Http, push_examples, token_for
from tests.service.tables import dicts


@dataclass
class Deployment:
    service: Service
    url: str
    asked: list[str]

    def adds(self, other: "Deployment") -> None:
        target = Target("other", f"{other.url}/fhir/r4", "4.0.1", 2, None, "ehr", False, 4, 0, 0, settings={"create_people": True, "private": True})
        now = micros(self.service.tenant.now())
        token = token_for(other.service, level=2, scopes="system/*.cruds")

        def work(tx: Connection) -> None:
            operating.add_ehr(self.service.tenant, tx, target, token, now)
            operating.set_pulls(tx, "other", ["CarePlan", "Encounter", "Goal", "Task"], 60, now)

        self.service.database.write(work)

    def states(self) -> Counter[str]:
        with self.service.database.glance() as connection:
            return Counter({state: n for (_, state), n in outbox.counts(connection).items()})

    def written(self) -> tuple[int, int]:
        """How many events and versions there ever were."""
        return dicts(self.service.database, "clock")[0]["seq"], len(dicts(self.service.database, "rendering"))


@pytest.fixture
def two(tmp_path: Path, clock: Clock) -> Iterator[tuple[Deployment, Deployment]]:
    made = [_deployed(tmp_path / name, f"a secret of the {name}, long enough to be one", clock) for name in ("first", "second")]
    yield made[0][0], made[1][0]
    for deployment, server in made:
        server.shutdown()
        deployment.service.close()


def _deployed(home: Path, secret: str, clock: Clock) -> tuple[Deployment, BaseWSGIServer]:
    home.mkdir()
    settings = Settings(database_url=f"sqlite:///{home}/pathway.db", secret=secret, log_level="ERROR", outbound_private=True)
    service, asked = wire(settings, clock), list[str]()
    app = create_app(service=service)

    def noted(environ: Any, start_response: Any) -> Any:
        asked.append(f"{environ['REQUEST_METHOD']} {environ['PATH_INFO']}")
        return app(environ, start_response)

    server = make_server("127.0.0.1", 0, noted, threaded=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return Deployment(service, f"http://127.0.0.1:{server.port}", asked), server


def test_two_that_have_each_other_as_an_ehr_come_to_rest(two: tuple[Deployment, Deployment], clock: Clock) -> None:
    for one, other in (two, two[::-1]):
        push_examples(Http(create_app(service=one.service).test_client(), token_for(one.service, role="clinic")))
        one.adds(other)
    _hours(two, clock, 2)
    written = [one.written() for one in two]
    for one in two:
        assert set(one.states()) == {"unsupported"} and dicts(one.service.database, "attempt") == []
        one.asked.clear()
    _hours(two, clock, 10)
    assert [one.written() for one in two] == written
    for one in two:
        assert set(one.states()) == {"unsupported"} and not [path for path in one.asked if not path.startswith("GET ")]
        assert len(one.asked) < 10 * 60, "nobody asks the other without end"


def _hours(two: tuple[Deployment, Deployment], clock: Clock, hours: int) -> None:
    for _ in range(hours):
        for one in two:
            Worker(one.service, threads=1).run(until_idle=True)
        clock.forward(hours=1)
