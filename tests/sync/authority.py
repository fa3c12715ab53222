"""An authorization server as SMART Backend Services has it, over HTTP: it verifies who asks with the published keys, by arithmetic of its own."""

import base64
import json
import secrets
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa, utils
from cryptography.hazmat.primitives.hashes import SHA384

ASSERTION = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
CLIENT = "pathway-at-trust"


@dataclass
class Authority:
    """`keys` fetches the client's key set. What it says can be set: `life` is expires_in as JSON, None to leave it out."""

    now: Callable[[], datetime]
    keys: Callable[[], dict[str, Any]]
    origin: str = ""
    token_url: str = ""  # as it is discovered
    algorithms: list[str] = field(default_factory=lambda: ["RS384", "ES384"])
    skew: float = 0.0  # seconds by which its clock is ahead
    life: Any = 300
    scope: str | None = "as asked"
    instead: Callable[[], tuple[int, dict[str, str], bytes] | None] = lambda: None
    asked: list[dict[str, str]] = field(default_factory=list)
    headers: list[Mapping[str, str]] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    given: list[str] = field(default_factory=list)
    good: set[str] = field(default_factory=set)
    used: set[str] = field(default_factory=set)

    def allows(self, headers: Mapping[str, str]) -> bool:
        return str(headers.get("Authorization", "")).removeprefix("Bearer ") in self.good

    def revoke(self) -> None:
        self.good.clear()

    def answer(self, form: dict[str, str]) -> tuple[int, dict[str, str], bytes]:
        self.asked.append(form)
        said = self.instead()
        if said is not None:
            return said
        try:
            self._verify(form)
        except (Wrong, KeyError, ValueError) as error:
            self.refused.append(str(error))
            return 401, {}, json.dumps({"error": "invalid_client", "error_description": str(error)}).encode()
        token = secrets.token_urlsafe(20)
        self.given.append(token)
        self.good.add(token)
        scope = form["scope"] if self.scope == "as asked" else self.scope
        found = {"access_token": token, "token_type": "bearer", "expires_in": self.life, "scope": scope}
        return 200, {}, json.dumps({name: value for name, value in found.items() if value is not None}).encode()

    def _verify(self, form: dict[str, str]) -> None:
        """SMART App Launch 2.0, 4.0.5 to 4.0.7, with nothing let pass."""
        expect(form["grant_type"] == "client_credentials" and form["client_assertion_type"] == ASSERTION, "a form that is none of ours")
        head, body, signature = form["client_assertion"].split(".")
        header, claims = json.loads(unpacked(head)), json.loads(unpacked(body))
        expect(set(header) == {"typ", "alg", "kid"} and header["typ"] == "JWT" and header["alg"] in self.algorithms, f"header {header}")
        [key] = [one for one in self.keys()["keys"] if one["kid"] == header["kid"]] or [None]
        expect(key is not None, "a key that is not published")
        expect(key["alg"] == header["alg"], "another algorithm than the key's")
        verify(key, f"{head}.{body}".encode(), unpacked(signature))
        now = self.now().timestamp() + self.skew
        expect(claims["iss"] == claims["sub"] == CLIENT, "iss and sub")
        expect(claims["aud"] == self.token_url, f"aud {claims['aud']}")
        expect(isinstance(claims["exp"], int) and now < claims["exp"] <= now + 300, f"exp in {claims['exp'] - now:.0f} s")
        expect(isinstance(claims["jti"], str) and claims["jti"] not in self.used, "jti was used")
        expect(claims.get("iat", 0) <= now and claims.get("nbf", 0) <= now, "from the future")
        self.used.add(claims["jti"])


class Wrong(Exception):
    pass


def expect(holds: bool, said: str) -> None:
    if not holds:
        raise Wrong(said)


def unpacked(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def number(text: str) -> int:
    return int.from_bytes(unpacked(text))


def verify(key: dict[str, Any], signed: bytes, signature: bytes) -> None:
    try:
        if key["kty"] == "RSA":
            rsa.RSAPublicNumbers(number(key["e"]), number(key["n"])).public_key().verify(signature, signed, padding.PKCS1v15(), SHA384())
        else:
            expect(len(signature) == 96, "a signature that is not r and s")
            pair = utils.encode_dss_signature(int.from_bytes(signature[:48]), int.from_bytes(signature[48:]))
            curve = ec.EllipticCurvePublicNumbers(number(key["x"]), number(key["y"]), ec.SECP384R1())
            curve.public_key().verify(pair, signed, ec.ECDSA(SHA384()))
    except InvalidSignature:
        raise Wrong("a signature that does not hold") from None


@contextmanager
def authority(now: Callable[[], datetime], keys: Callable[[], dict[str, Any]]) -> Iterator[Authority]:
    made, lock = Authority(now, keys), threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        disable_nagle_algorithm = True  # sic: head and body go one by one, and the second would wait 40 ms for the first to be heard of
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: Any) -> None:
            pass

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            with lock:
                made.headers.append(dict(self.headers))
                status, headers, said = made.answer(dict(parse_qsl(body.decode())))
            self.send_response_only(status)
            self.send_header("Date", format_datetime(datetime.fromtimestamp(made.now().timestamp() + made.skew, UTC), usegmt=True))
            for name, value in {"Content-Type": "application/json", **headers, "Content-Length": str(len(said))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(said)

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_: Any) -> None:
            """Whoever asks may hang up."""

    server = Server(("127.0.0.1", 0), Handler)
    made.origin = f"http://127.0.0.1:{server.server_port}"
    made.token_url = f"{made.origin}/oauth2/token"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield made
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
