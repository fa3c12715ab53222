"""EHRs that are reached over HTTP, and workers that send to them."""

import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from sandbox.personas import PERSONAS
from service import operating
from service.config import Settings
from service.store.clock import micros
from service.store.targets import Target
from service.sync.catching_up import catch_up_with_all
from service.sync.worker import Worker
from service.wiring import Service, wire
from tests.conftest import SECRET, Clock, Http, fill, push_examples, starts_anew, token_for
from tests.sync.small import Small, small

Connect = Callable[..., None]
CREATE_PEOPLE = {"create_people": True, "private": True}


class Sandbox:
    """The sandbox's EHRs, as their own users and operators see them."""

    def __init__(self, origin: str):
        self.origin = origin
        self._http = requests.Session()

    def url(self, persona: str) -> str:
        return self.origin + PERSONAS[persona].path

    def also(self, persona: str) -> str:
        """The same by another name of the machine: two EHRs of ours are never at one URL."""
        return self.url(persona).replace("127.0.0.1", "localhost")

    def counts(self, persona: str) -> dict[str, int]:
        found = self._http.get(f"{self.origin}/_sandbox/counts").json()[persona]
        return {type_: n["current"] for type_, n in found.items() if n["current"]}

    def versions(self, persona: str) -> int:
        return sum(n["versions"] for n in self._http.get(f"{self.origin}/_sandbox/counts").json()[persona].values())

    def asked(self, persona: str) -> list[str]:
        """Method and path of every request but for metadata, the oldest first."""
        log = self._http.get(f"{self.origin}/_sandbox/log?limit=1000").json()
        found = [f"{one['method']} {one['path'].removeprefix(self.url(persona).removeprefix(self.origin))}" for one in reversed(log) if one["persona"] == persona]
        return [one for one in found if one != "GET /metadata"]

    def log(self, persona: str) -> list[dict[str, Any]]:
        """Every request but for metadata with its status, the oldest first."""
        log = self._http.get(f"{self.origin}/_sandbox/log?limit=1000").json()
        return [one for one in reversed(log) if one["persona"] == persona and not one["path"].endswith("/metadata")]

    def all(self, persona: str, type_: str) -> list[dict[str, Any]]:
        found = self._http.get(f"{self.origin}/_sandbox/records/{persona}/{type_}?_count=500").json()
        return [entry["resource"] for entry in found.get("entry", [])]

    def add(self, persona: str, resource: dict[str, Any]) -> str:
        """What the EHR's own users write: its id."""
        answer = self._http.post(f"{self.origin}/_sandbox/records/{persona}/{resource['resourceType']}", json=resource)
        assert answer.status_code == 201, answer.text
        return str(answer.json()["id"])

    def change(self, persona: str, name: str, **elements: Any) -> None:
        """What the EHR's own users change of `Type/id`."""
        answer = self._http.patch(f"{self.origin}/_sandbox/records/{persona}/{name}", json=elements)
        assert answer.status_code == 200, answer.text

    def remove(self, persona: str, name: str) -> None:
        answer = self._http.delete(f"{self.origin}/_sandbox/records/{persona}/{name}")
        assert answer.status_code == 204, answer.text

    def seed(self, persona: str, *resources: dict[str, Any]) -> list[str]:
        """What is simply there, whatever the rules: `Type/id` of each."""
        answer = self._http.post(f"{self.origin}/_sandbox/{persona}/seed", json=list(resources))
        assert answer.status_code == 201, answer.text
        found: list[str] = answer.json()
        return found

    def fault(self, persona: str, kind: str, **said: Any) -> str:
        """What goes wrong from now on; its number, by which it is taken away."""
        answer = self._http.post(f"{self.origin}/_sandbox/faults", json={"fault": kind, "persona": persona, **said})
        assert answer.status_code == 201, answer.text
        return str(answer.json()["id"])

    def mend(self) -> None:
        """The end of all faults."""
        assert self._http.delete(f"{self.origin}/_sandbox/faults").status_code == 204

    def settings(self, persona: str, **said: Any) -> None:
        answer = self._http.put(f"{self.origin}/_sandbox/{persona}/settings", json=said)
        assert answer.status_code == 200, answer.text

    def smart(self, persona: str, **said: Any) -> dict[str, Any]:
        """Who may ask for tokens and what they are told; without anything what there is. Returns that, with what was issued and refused."""
        where = f"{self.origin}/_sandbox/{persona}/smart"
        answer = self._http.put(where, json=said) if said else self._http.get(where)
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    def revoke(self, persona: str) -> None:
        """The end of all tokens that were issued."""
        assert self._http.delete(f"{self.origin}/_sandbox/{persona}/tokens").status_code == 204

    def held(self, persona: str) -> bytes:
        """All that an EHR ever held."""
        return self._http.get(f"{self.origin}/_sandbox/{persona}/versions").content

    def put_back(self, persona: str, held: bytes) -> None:
        assert self._http.put(f"{self.origin}/_sandbox/{persona}/versions", data=held).status_code == 200

    def reset(self) -> None:
        assert self._http.delete(f"{self.origin}/_sandbox").status_code == 204

    def close(self) -> None:
        self._http.close()


@pytest.fixture
def sandbox(origin: str) -> Iterator[Sandbox]:
    made = Sandbox(origin)
    made.reset()
    yield made
    made.close()


@pytest.fixture
def ehr() -> Iterator[Small]:
    with small() as made:
        yield made


def register(service: Service, name: str, url: str, level: int = 2, *, in_flight: int = 4, organisation: str | None = None, **settings: Any) -> None:
    """Adds an EHR in which people may be made, and leaves what it is owed to a worker."""
    found = Target(name, url, "4.0.1", level, organisation, "ehr", False, in_flight, 0, 0, settings={**CREATE_PEOPLE, **settings})
    service.database.write(lambda tx: operating.add_ehr(service.tenant, tx, found, None, micros(service.tenant.now())))


def send_all(service: Service) -> int:
    """Lets a worker send all that is due, one stream after another (places come first), and says how many that were."""
    return Worker(service, threads=1).run(until_idle=True)


@pytest.fixture
def connect(service: Service) -> Connect:
    """Registers an EHR, `connect(name, url, level, ...)`, and owes it what was there before unless that is left to a worker."""

    def connect(
        name: str, url: str, level: int = 2, *, in_flight: int = 4, organisation: str | None = None, caught_up: bool = True, **settings: Any
    ) -> None:
        register(service, name, url, level, in_flight=in_flight, organisation=organisation, **settings)
        if caught_up:
            catch_up_with_all(service, lambda: False)

    return connect


@pytest.fixture
def work(service: Service) -> Callable[[], int]:
    return lambda: send_all(service)


@pytest.fixture(scope="session")
def all_there(filled: Path, origin: str, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, bytes]:
    """The example pathway as the EHR `one` has been sent it, for all tests on SQLite: our database, and what the EHR holds."""
    path, clock = tmp_path_factory.mktemp("all_there") / "pathway.db", Clock()
    shutil.copy(filled, path)
    service, sandbox = wire(Settings(database_url=f"sqlite:///{path}", secret=SECRET, log_level="ERROR", outbound_private=True), clock), Sandbox(origin)
    sandbox.reset()
    register(service, "one", sandbox.url("plain"))
    send_all(service)
    held = sandbox.held("plain")
    sandbox.reset()
    service.close()
    sandbox.close()
    return path, held


@pytest.fixture
def synced(service: Service, clinic: Http, clock: Clock, sandbox: Sandbox, request: pytest.FixtureRequest) -> Http:
    """The clinic's software, with the example pathway, held by the EHR `one`."""
    if starts_anew(service, clock):
        ours, theirs = request.getfixturevalue("all_there")
        sandbox.put_back("plain", theirs)
        fill(service, ours)
        clinic.token = token_for(service, role="clinic")
    else:
        push_examples(clinic)
        register(service, "one", sandbox.url("plain"))
        send_all(service)
    return clinic


def deliveries(clinic: Http, **wanted: str) -> list[dict[str, Any]]:
    query = "&".join(f"{name}={value}" for name, value in {"limit": "500", **wanted}.items())
    reply = clinic.get(f"/api/v1/deliveries?{query}")
    assert reply.status == 200, reply
    found: list[dict[str, Any]] = reply.json["items"]
    return found


def states(clinic: Http, **wanted: str) -> Counter[str]:
    return Counter(one["state"] for one in deliveries(clinic, **wanted))
