"""The world in which the examples happen: the example pathway in a database, a clock that stands still, callers with known tokens, two EHRs.

Everything in it follows from what stands here and in examples/, so that the same call has the same answer on every machine.
"""

import itertools
import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from joserfc.jwk import KeySet, RSAKey
from sqlalchemy import insert
from werkzeug.test import Client as WsgiClient
from werkzeug.test import TestResponse

from mappings import KINDS
from mappings.disclosure import Level
from sandbox.app import Sandbox
from sandbox.personas import PERSONAS
from sandbox.records import Records
from sandbox.rest import Ehr
from service import logs, operating
from service.app import create_app
from service.cli.demo_setup import SECRET
from service.config import Settings
from service.security import clients
from service.security.access import Gate
from service.security.clients import Client
from service.security.scopes import OPERATE, parse
from service.store import cursors, reconciliation, signing_keys, streams, targets
from service.store.clock import micros
from service.store.reconciliation import Report
from service.store.signing_keys import SigningKey
from service.store.tables import FOREVER, token
from service.store.targets import Target
from service.sync import ehrs
from service.sync.comparing import VERDICTS
from service.sync.door import Door
from service.sync.outcomes import Reply
from service.sync.sending import Stream, send_stream
from service.sync.targets.rest import Rest
from service.wire import encode, read
from service.wiring import Service, wire

EXAMPLES = Path(__file__).parents[2] / "examples" / "pathway"
NOW = datetime(2026, 4, 1, 9, 0, tzinfo=UTC)
REQUEST_ID = "example"
SANDBOX = "http://127.0.0.1:8001"
EVERYTHING = f"system/*.cruds {OPERATE}"
CALLERS = {
    "clinic": Client("demo-clinic", "The clinic's own software and its engineer", int(Level.C3), parse(EVERYTHING), role="clinic"),
    "ehr": Client("demo-ehr", "An EHR that pulls", int(Level.C2), parse("system/*.rs"), role="ehr"),
    "narrow": Client("demo-narrow", "A caller whose scopes are of no use here", int(Level.C3), parse("system/Basic.r"), role="clinic"),
    "pharmacy": Client("demo-pharmacy", "A caller to whom the patient's consent denies all but C0", int(Level.C3), parse(EVERYTHING), role="pharmacy"),
}
EHRS = (("sandbox-epic", "/epic/fhir/r4", Level.C1), ("sandbox-plain", "/fhir/r4", Level.C2))
KEY = RSAKey.import_key(json.loads(Path(__file__).with_name("key.json").read_text()))  # no secret either, so that an assertion is the same again


class Silent:
    """A trail that keeps nothing: the worlds are put back under it."""

    def note(self, event: Any) -> None: ...
    def flush(self) -> None: ...
    def close(self) -> None: ...


@dataclass
class World:
    """One database, the service on it and a client of its pages."""

    service: Service
    app: Any
    path: Path
    seed: Path | None = None

    def send(self, method: str, path: str, *, headers: Mapping[str, str], body: bytes | None) -> TestResponse:
        return WsgiClient(self.app).open(path, method=method, headers=list(headers.items()), data=body)

    def put_back(self) -> None:
        """Everything as it was before the first call."""
        assert self.seed is not None, "the seed itself is not put back"
        self.service.database.close()
        restore(self.seed, self.path)
        self.service.gate._known.clear()
        self.service.gate._spent.clear()

    def close(self) -> None:
        self.service.close()


def bearer(caller: str) -> str:
    """A token that nobody would take for a real one."""
    return f"token-of-the-{caller}"


def restore(seed: Path, path: Path) -> None:
    for suffix in ("-wal", "-shm"):
        Path(f"{path}{suffix}").unlink(missing_ok=True)
    shutil.copyfile(seed, path)


@contextmanager
def opened(path: Path, seed: Path | None = None, *, now: datetime = NOW, **settings: Any) -> Iterator[World]:
    if seed is not None:
        restore(seed, path)
    made = Settings(**{"database_url": f"sqlite:///{path}", "secret": SECRET, "log_level": "ERROR", "outbound_private": True} | settings)
    logs.set_up(made)
    service = replace(wire(made, lambda: now), trail=Silent())
    # A bucket that time does not fill: how many requests pass is then a matter of counting.
    service = replace(service, gate=Gate(service.database, lambda: now, rate=made.rate_limit, clock=lambda: 0.0))
    world = World(service, create_app(service=service), path, seed)
    try:
        yield world
    finally:
        world.close()


def seeded(directory: Path) -> Path:
    """A database with the example pathway in it, delivered to the sandbox's EHRs as far as they take it."""
    path = directory / "seed.db"
    with opened(path) as world:
        _people(world.service)
        for kind in KINDS.values():
            for file in sorted((EXAMPLES / kind.plural).glob("*.json")):
                said = {"Authorization": f"Bearer {bearer('clinic')}", "Content-Type": "application/json"}
                reply = world.send("PUT", f"/api/v1/{kind.plural}/{file.stem}", headers=said, body=file.read_bytes())
                assert reply.status_code == 201, reply.text
        line = Line(_sandbox())
        _deliver(world.service, line)
        _contest(world, line)
        _deliver(world.service, line)
        _pull(world.service)
        counts = dict.fromkeys(VERDICTS, 0) | {"same": 41, "differs": 1, "unsupported": 14}
        world.service.database.write(lambda tx: reconciliation.keep(tx, Report("sandbox-epic", micros(NOW), 3.2, counts, [])))
    return path


def _people(service: Service) -> None:
    now = micros(NOW)
    public = {**KEY.as_dict(private=False), "kid": f"RS384-{KEY.thumbprint()}", "alg": "RS384", "use": "sig"}
    service.database.write(lambda tx: signing_keys.add(tx, SigningKey(public["kid"], "RS384", None, public, "", now, now)))
    for name, caller in CALLERS.items():
        keyed = replace(caller, jwks=KeySet([KEY]).as_dict(private=False)) if name == "ehr" else caller
        service.database.write(lambda tx, keyed=keyed: clients.add(tx, keyed, now))
        row = {"hash": clients.hashed(bearer(name)), "client": caller.id, "scopes": str(caller.scopes), "expires_at": FOREVER}
        service.database.write(lambda tx, row=row: tx.execute(insert(token).values(**row)))
    for name, url, level in EHRS:
        made = Target(name, SANDBOX + url, "4.0.1", int(level), None, "ehr", False, 4, 0, 0, settings={"create_people": True, "private": True})
        service.database.write(lambda tx, made=made: operating.add_ehr(service.tenant, tx, made, None, now))


class Line:
    """A line to the sandbox without a network."""

    def __init__(self, sandbox: Sandbox):
        self._client = WsgiClient(sandbox)

    def call(self, method: str, url: str, headers: dict[str, str], body: bytes | None = None) -> Reply:
        parts = urlsplit(url)
        path = parts.path + (f"?{parts.query}" if parts.query else "")
        answer = self._client.open(path, method=method, headers=[("Accept", "application/fhir+json"), *headers.items()], data=body)
        return Reply(answer.status_code, dict(answer.headers), answer.data)


def _sandbox() -> Sandbox:
    """The sandbox's EHRs, which number what they are given."""
    made = {}
    for name, persona in PERSONAS.items():
        numbers = itertools.count(1001)
        made[name] = Ehr(replace(persona, new_id=lambda numbers=numbers: str(next(numbers))), Records(lambda _version: None), None)
    return Sandbox(made, None)


def _contest(world: World, line: Line) -> None:
    """An EHR's own users and the clinic each put another title before the same name."""
    entity = read((EXAMPLES / "practitioners" / "therapist-lind.json").read_bytes())
    found = read(line.call("GET", f"{SANDBOX}/fhir/r4/Practitioner?family={entity['name'][0]['family']}", {}).body)["entry"][0]["resource"]
    theirs = {**found, "name": [{**found["name"][0], "prefix": ["Dr"]}]}
    assert line.call("PUT", f"{SANDBOX}/fhir/r4/Practitioner/{found['id']}", {"Content-Type": "application/fhir+json"}, encode(theirs)).status == 200
    ours = {**entity, "name": [{**entity["name"][0], "prefix": ["Prof"]}]}
    said = {"Authorization": f"Bearer {bearer('clinic')}", "Content-Type": "application/json"}
    assert world.send("PUT", "/api/v1/practitioners/therapist-lind", headers=said, body=encode(ours)).status_code == 200


def _pull(service: Service) -> None:
    """What comes in from an EHR, of which one type went well and of the other a page was lost."""
    now = micros(NOW)
    service.database.write(lambda tx: operating.set_pulls(tx, "sandbox-plain", ["CarePlan", "Goal"], 60, now))
    with service.database.glance() as connection:
        plan, goal = cursors.of(connection, "sandbox-plain")
    service.database.write(lambda tx: cursors.come_to(tx, plan, "2026-04-01T08:58:12.000Z", None, now, compared=False))
    held = "Goal: a page shows nothing, and not all was told that was found"
    service.database.write(lambda tx: cursors.come_to(tx, goal, "2026-04-01T08:31:40.000Z", held, now, compared=False))


def _deliver(service: Service, line: Line) -> None:
    """What a worker does, in one thread and one order."""
    now = micros(NOW)
    while True:
        found = service.database.write(lambda tx: streams.lease(tx, "the examples' worker", now, now + 1, 1))
        if not found:
            return
        with service.database.glance() as connection:
            target = next(t for t in targets.all_targets(connection) if t.id == found[0].target)
        ehr = Rest(Door(target.base_url, line))  # type: ignore[arg-type]
        send_stream(Stream(service, found[0], target, ehr, ehrs.able(service, target, ehr, now)))
