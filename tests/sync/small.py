"""An EHR small enough to be stopped in the middle: it keeps what it is given, and a test can act before it answers."""

import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

TYPES = ("Patient", "Practitioner", "Organization", "Location", "Encounter", "Observation", "Consent", "MedicationAdministration", "Provenance")


@dataclass
class Small:
    base: str = ""
    kept: dict[str, dict[str, Any]] = field(default_factory=dict)  # Type/id -> resource
    writes: list[str] = field(default_factory=list)  # method and type, in order
    statement: Any = None
    before: Callable[[str, str], None] = lambda method, path: None
    answers: Callable[[str, str], tuple[int, dict[str, str]] | tuple[int, dict[str, str], bytes] | None] = lambda method, path: None  # instead of its own
    configuration: Any = None  # what it says of SMART
    allows: Callable[[Mapping[str, str]], bool] = lambda headers: True
    asked: list[tuple[str, str, dict[str, str]]] = field(default_factory=list)  # method, path and headers of every call

    def of(self, type_: str) -> list[dict[str, Any]]:
        return [one for name, one in self.kept.items() if name.startswith(f"{type_}/")]


@contextmanager
def small() -> Iterator[Small]:
    ehr = Small()
    ehr.statement = {"resourceType": "CapabilityStatement", "fhirVersion": "4.0.1", "rest": [{"mode": "server", "resource": [
        {"type": t, "interaction": [{"code": c} for c in ("create", "update", "read", "delete")], "searchParam": [{"name": "identifier"}, {"name": "recorded"}]} for t in TYPES
    ]}]}  # fmt: skip

    class Handler(BaseHTTPRequestHandler):
        disable_nagle_algorithm = True  # sic: head and body go one by one, and the second would wait 40 ms for the first to be heard of
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: Any) -> None:
            pass

        def _handle(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            ehr.asked.append((self.command, self.path, dict(self.headers)))
            ehr.before(self.command, self.path)
            instead = ehr.answers(self.command, self.path)
            if instead is not None:
                self._say(instead[0], instead[2] if len(instead) == 3 else None, instead[1])
                return
            way, query = urlsplit(self.path).path.strip("/"), parse_qs(urlsplit(self.path).query)
            if way == "metadata":
                self._say(200, ehr.statement)
            elif way == ".well-known/smart-configuration":
                self._say(200 if ehr.configuration else 404, ehr.configuration)
            elif not ehr.allows(dict(self.headers)):
                self._say(401, None)
            elif self.command == "GET":
                self._get(way, query)
            else:
                self._write(way, json.loads(body) if body else None)

        do_GET = do_POST = do_PUT = do_DELETE = _handle

        def _get(self, way: str, query: dict[str, list[str]]) -> None:
            if "/" in way:
                found = ehr.kept.get(way)
                self._say(200 if found else 404, found)
                return
            wanted, recorded = query.get("identifier", ["|"])[0].split("|"), query.get("recorded", [""])[0]
            mine = [
                one for one in ehr.of(way)
                if wanted in [[i["system"], i["value"]] for i in one.get("identifier", [])] or (recorded and one.get("recorded") == recorded)
            ]  # fmt: skip
            self._say(200, {"resourceType": "Bundle", "type": "searchset", "entry": [{"resource": one} for one in mine]})

        def _write(self, way: str, body: dict[str, Any] | None) -> None:
            ehr.writes.append(f"{self.command} {way.partition('/')[0]}")
            name = way if self.command != "POST" else f"{way}/r{len(ehr.kept) + 1}"
            version = str(int(ehr.kept.get(name, {}).get("meta", {}).get("versionId", "0")) + 1)
            if self.command == "DELETE":
                ehr.kept.pop(name, None)
                self._say(204, None)
                return
            assert body is not None
            ehr.kept[name] = {**body, "id": name.partition("/")[2], "meta": {"versionId": version}}
            self._say(201 if self.command == "POST" else 200, ehr.kept[name], {"Location": f"{ehr.base}/{name}", "ETag": f'W/"{version}"'})

        def _say(self, status: int, body: Any, headers: dict[str, str] | None = None) -> None:
            said = body if isinstance(body, bytes) else json.dumps(body).encode() if body is not None else b""
            self.send_response(status)
            for name, value in (headers or {}).items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(said)))
            self.end_headers()
            self.wfile.write(said)

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_: Any) -> None:
            """A worker that hangs up in the middle is what some tests are about."""

    server = Server(("127.0.0.1", 0), Handler)
    ehr.base = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield ehr
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
