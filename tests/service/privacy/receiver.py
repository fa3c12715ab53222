"""An EHR that takes whatever it is sent and keeps every call, as it came."""

import itertools
from typing import Any

from service import operating
from service.store import streams, targets
from service.store.clock import micros
from service.store.targets import Target
from service.sync import ehrs
from service.sync.door import Door
from service.sync.outcomes import Reply
from service.sync.sending import Stream, send_stream
from service.sync.targets.rest import Rest
from service.wire import encode
from service.wiring import Service
from tests.generate import ALL_KINDS

TYPES = sorted({r.type for kind in ALL_KINDS for r in kind.resources} | {"DetectedIssue"})
ABLE = {"resourceType": "CapabilityStatement", "rest": [{"resource": [
    {"type": t, "interaction": [{"code": c} for c in ("create", "update", "delete")], "versioning": "versioned"} for t in TYPES
]}]}  # fmt: skip


class Receiver:
    """Stands where the line to an EHR does. `asked` are all calls: method, path, body."""

    def __init__(self, before: Any = None) -> None:
        self.asked: list[tuple[str, str, bytes]] = []
        self._numbers, self._before = itertools.count(1), before

    def call(self, method: str, url: str, _headers: dict[str, str], body: bytes | None = None) -> Reply:
        path = "/" + url.split("/", 3)[3]  # each EHR is at a host of its own
        self.asked.append((method, path, body or b""))
        if self._before is not None:
            self._before(self)
        if path == "/metadata":
            return Reply(200, {}, encode(ABLE))
        if method == "GET":
            return Reply(200, {}, encode({"resourceType": "Bundle", "type": "searchset"}))
        if method == "POST":
            return Reply(201, {"Location": f"{path}/{next(self._numbers)}", "ETag": 'W/"1"'}, b"")
        return Reply(204 if method == "DELETE" else 200, {"ETag": 'W/"1"'}, b"")

    @property
    def sent(self) -> list[tuple[str, str, bytes]]:
        return [call for call in self.asked if call[1] != "/metadata"]


def add_ehr(service: Service, name: str, level: int, *, role: str | None = "ehr", organisation: str | None = None) -> str:
    made = Target(name, f"https://{name}.example.org", "4.0.1", level, organisation, role, False, 4, 0, 0, settings={"create_people": True})
    service.database.write(lambda tx: operating.add_ehr(service.tenant, tx, made, None, micros(service.tenant.now())))
    return name


def deliver(service: Service, name: str, receiver: Receiver) -> None:
    """What workers do for one EHR, in one thread and one order, until nothing of it is due."""
    for _ in range(1000):
        now = micros(service.tenant.now())
        with service.database.glance() as connection:
            others = [t.id for t in targets.all_targets(connection) if t.id != name]
        for other in others:
            service.database.write(lambda tx, other=other: targets.change(tx, other, paused=True))
        leases = service.database.write(lambda tx, now=now: streams.lease(tx, "a worker", now, now + 1, 1))
        for other in others:
            service.database.write(lambda tx, other=other: targets.change(tx, other, paused=False))
        if not leases:
            return
        with service.database.glance() as connection:
            target = targets.get(connection, name)
        assert target is not None
        ehr = Rest(Door(target.base_url, receiver))  # type: ignore[arg-type]
        send_stream(Stream(service, leases[0], target, ehr, ehrs.able(service, target, ehr, now)))
    raise AssertionError("there is always something due")
