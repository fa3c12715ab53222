"""SMART Backend Services on an EHR's side: what it says, whom it gives a token, and what a token is good for (E5, E6, S1 to S7)."""

import json
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any
from uuid import uuid4

import pytest
import requests
from joserfc import jws
from joserfc.jwk import ECKey, KeySet, RSAKey

from sandbox.process import started
from sandbox.scopes import granted, permits
from tests.sandbox.client import Client, Fhir, issues, name
from tests.sandbox.samples import least

ASSERTION = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
Key = RSAKey | ECKey
IN_2100 = 4_102_444_800  # seconds since 1970


@pytest.fixture(scope="module")
def rsa() -> RSAKey:
    return RSAKey.generate_key(2048, {"kid": "rsa-1", "use": "sig"})


@pytest.fixture(scope="module")
def ec() -> ECKey:
    return ECKey.generate_key("P-384", {"kid": "ec-1", "use": "sig"})


def public(*keys: Key) -> Fhir:
    return KeySet(list(keys)).as_dict(private=False)  # type: ignore[arg-type]


@dataclass
class Backend:
    """A client of one EHR that makes its assertions itself."""

    origin: str
    session: requests.Session
    base: str
    key: Key
    alg: str = "RS384"
    id: str = "pathway"
    header: dict[str, Any] = field(default_factory=dict)

    @property
    def url(self) -> str:
        return f"{self.base}/auth/token"

    def assertion(self, **claims: Any) -> str:
        """An assertion that holds, but for the claims that are given; None takes one away."""
        said = {"iss": self.id, "sub": self.id, "aud": self.url, "exp": int(time.time()) + 300, "jti": str(uuid4()), **claims}
        header = {"alg": self.alg, "typ": "JWT", "kid": self.key.kid, **self.header}
        present = [{key: value for key, value in part.items() if value is not None} for part in (header, said)]
        return jws.serialize_compact(present[0], json.dumps(present[1]), self.key, algorithms=["RS384", "ES384", "RS256"])

    def ask(self, assertion: str | None = None, **form: str) -> requests.Response:
        asked = {"grant_type": "client_credentials", "scope": "system/*.cruds", "client_assertion_type": ASSERTION, **form}
        return self.session.post(self.url, {**asked, "client_assertion": assertion or self.assertion()})

    def token(self, **form: str) -> str:
        answer = self.ask(**form)
        assert answer.status_code == 200, answer.text
        return answer.json()["access_token"]

    def call(self, token: str, method: str = "GET", path: str = "Patient", body: Any = None) -> requests.Response:
        return self.session.request(method, f"{self.base}/{path}", json=body, headers={"Authorization": f"Bearer {token}", "X-Request-ID": str(uuid4())})

    def set(self, **given: Any) -> requests.Response:
        return self.session.put(f"{self.origin}/_sandbox/{self.persona}/smart", json=given)

    def told(self) -> Fhir:
        return self.session.get(f"{self.origin}/_sandbox/{self.persona}/smart").json()

    @property
    def persona(self) -> str:
        return "plain" if self.base.endswith("r4") and self.base.count("/") == 4 else self.base.split("/")[3]


@pytest.fixture
def backend(origin: str, session: requests.Session, rsa: RSAKey) -> Iterator[Backend]:
    """A client that epic knows by its keys."""
    made = Backend(origin, session, f"{origin}/epic/fhir/r4", rsa)
    assert made.set(clients=[{"id": made.id, "jwks": public(rsa)}]).status_code == 200
    yield made
    session.delete(f"{origin}/_sandbox/epic/smart")


class TestConfiguration:
    def test_says_where_and_how_a_token_is_asked_for(self, backend: Backend) -> None:
        assert backend.session.get(f"{backend.base}/.well-known/smart-configuration").json() == {
            "token_endpoint": backend.url,
            "token_endpoint_auth_methods_supported": ["private_key_jwt"],
            "token_endpoint_auth_signing_alg_values_supported": ["RS384", "ES384"],
            "grant_types_supported": ["client_credentials"],
            "scopes_supported": ["system/*.cruds", "system/*.rs"],
            "capabilities": ["client-confidential-asymmetric", "permission-v1", "permission-v2"],
        }

    def test_is_in_the_capability_statement_too(self, backend: Backend) -> None:
        [rest] = backend.session.get(f"{backend.base}/metadata").json()["rest"]
        assert rest["security"]["service"][0]["coding"][0]["code"] == "SMART-on-FHIR"
        assert rest["security"]["extension"][0]["extension"] == [{"url": "token", "valueUri": backend.url}]

    def test_is_not_there_where_no_token_is_issued(self, plain: Client) -> None:
        assert [plain.get(".well-known/smart-configuration").status_code, plain.post("auth/token", "a=b").status_code] == [404, 404]
        assert plain.get("Patient").status_code == 200

    def test_every_persona_can_have_it(self, origin: str, session: requests.Session, nhs: Client, rsa: RSAKey) -> None:
        backend = Backend(origin, session, nhs.base, rsa)
        backend.set(clients=[{"id": backend.id, "jwks": public(rsa)}])
        assert nhs.get("Patient").status_code == 401
        assert backend.call(backend.token()).status_code == 200
        off = session.delete(f"{origin}/_sandbox/nhs/smart").json()
        assert (off["on"], nhs.get("Patient").status_code) == (False, 200)


class TestToken:
    def test_is_issued_for_an_assertion_that_holds(self, backend: Backend) -> None:
        answer = backend.ask()
        told = answer.json()
        assert (answer.status_code, answer.headers["Cache-Control"]) == (200, "no-store")
        assert told == {"access_token": told["access_token"], "token_type": "bearer", "expires_in": 300, "scope": "system/*.cruds"}
        assert backend.call(told["access_token"]).status_code == 200

    def test_may_be_asked_for_with_either_algorithm(self, backend: Backend, ec: ECKey) -> None:
        backend.set(clients=[{"id": backend.id, "jwks": public(backend.key, ec)}])
        assert backend.token()
        assert Backend(backend.origin, backend.session, backend.base, ec, "ES384").token()

    @pytest.mark.parametrize(
        ("claims", "words"),
        [
            ({"iss": "other"}, "iss"), ({"iss": None}, "iss"), ({"sub": "other"}, "sub"), ({"sub": None}, "sub"), ({"aud": None}, "aud"), ({"aud": "http://x/"}, "aud"),
            ({"jti": None}, "jti"), ({"jti": ""}, "jti"), ({"exp": None}, "exp"), ({"exp": "soon"}, "exp"), ({"exp": 1}, "exp"), ({"exp": IN_2100}, "exp"),
            ({"iat": IN_2100}, "iat"), ({"nbf": IN_2100}, "nbf"),
        ],
    )  # fmt: skip
    def test_is_refused_for_claims_that_are_wrong(self, backend: Backend, claims: dict[str, Any], words: str) -> None:
        answer = backend.ask(backend.assertion(**claims))
        assert (answer.status_code, answer.json()["error"]) == (400, "invalid_client")
        assert words in answer.json()["error_description"]

    @pytest.mark.parametrize(
        "header", [{"typ": None}, {"typ": "at+jwt"}, {"alg": "RS256"}, {"kid": None}, {"kid": "other"}, {"jku": "http://127.0.0.1:9/jwks.json"}]
    )
    def test_is_refused_for_a_header_that_is_wrong(self, backend: Backend, header: dict[str, Any]) -> None:
        backend.header = header
        assert backend.ask().json()["error"] == "invalid_client"

    def test_is_refused_for_the_signature_of_another_key(self, backend: Backend) -> None:
        other = Backend(backend.origin, backend.session, backend.base, RSAKey.generate_key(2048, {"kid": "rsa-1"}))
        assert other.ask().json() == {"error": "invalid_client", "error_description": "the signature does not hold"}
        assert backend.ask(other.assertion().rpartition(".")[0] + ".").json()["error"] == "invalid_client"

    def test_is_issued_once_for_an_assertion(self, backend: Backend) -> None:
        assertion = backend.assertion()
        with ThreadPoolExecutor(8) as threads:
            answers = list(threads.map(lambda _: requests.post(backend.url, {**FORM, "client_assertion": assertion}).status_code, range(8)))
        assert sorted(answers) == [200] + [400] * 7

    def test_is_issued_though_the_clocks_differ_a_little(self, backend: Backend) -> None:
        assert [backend.ask(backend.assertion(exp=time.time() + seconds)).status_code for seconds in (-5, 305, -60, 360)] == [200, 200, 400, 400]

    @pytest.mark.parametrize(
        ("form", "error"),
        [
            ({"grant_type": "password"}, "unsupported_grant_type"),
            ({"client_assertion_type": "other"}, "invalid_request"),
            ({"scope": ""}, "invalid_scope"),
            ({"scope": "openid patient/*.rs system/Patient.sr"}, "invalid_scope"),
        ],
    )
    def test_is_refused_for_a_form_that_is_wrong(self, backend: Backend, form: dict[str, str], error: str) -> None:
        answer = backend.ask(**form)
        assert (answer.status_code, answer.json()["error"]) == (400, error)

    def test_is_refused_for_what_is_no_form_and_no_jwt(self, backend: Backend) -> None:
        assert backend.session.post(backend.url, json=FORM).json()["error"] == "invalid_request"
        assert [backend.ask(one).json()["error"] for one in ("x", "a.b.c", "é")] == ["invalid_client"] * 3
        assert backend.session.get(backend.url).status_code == 405


FORM = {"grant_type": "client_credentials", "scope": "system/*.rs", "client_assertion_type": ASSERTION}


class TestKeys:
    @pytest.fixture
    def published(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """A URL of a JWKS, and the JWKS, which a test can change."""
        jwks: dict[str, Any] = {"keys": []}

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(200 if self.path == "/jwks.json" else 404)
                self.end_headers()
                self.wfile.write(json.dumps(jwks).encode())

            def log_message(self, *_: Any) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}", jwks
        server.shutdown()
        thread.join()
        server.server_close()

    def test_are_fetched_where_they_are_and_again_for_a_kid_that_is_new(self, backend: Backend, ec: ECKey, published: tuple[str, dict[str, Any]]) -> None:
        where, jwks = published
        backend.set(clients=[{"id": backend.id, "jwksUrl": f"{where}/jwks.json"}])
        jwks.update(public(backend.key))
        assert [backend.ask().status_code for _ in range(2)] == [200, 200]
        assert backend.told()["jwksFetches"] == 1
        rotated = Backend(backend.origin, backend.session, backend.base, ec, "ES384")
        assert rotated.ask().json()["error"] == "invalid_client"
        jwks.update(public(backend.key, ec))
        assert [one.ask().status_code for one in (rotated, backend, rotated)] == [200] * 3
        assert backend.told()["jwksFetches"] == 3

    @pytest.mark.parametrize("path", ["/nothing", "/jwks.json"])
    def test_that_cannot_be_had_are_a_refusal_with_the_reason(self, backend: Backend, published: tuple[str, dict[str, Any]], path: str) -> None:
        where, jwks = published
        jwks.update(keys="none")
        backend.set(clients=[{"id": backend.id, "jwksUrl": where + path}])
        answer = backend.ask()
        assert (answer.status_code, answer.json()["error"]) == (400, "invalid_client")
        assert "keys" in answer.json()["error_description"]


class TestLife:
    @pytest.mark.parametrize(("expires_in", "told"), [(300, 300), (60, 60), (0, 0), ("300", "300"), (1.5, 1.5), (None, "missing")])
    def test_is_told_as_it_was_set(self, backend: Backend, expires_in: Any, told: Any) -> None:
        backend.set(clients=[{"id": backend.id, "jwks": public(backend.key)}], expiresIn=expires_in)
        answer = backend.ask().json()
        assert answer.get("expires_in", "missing") == told
        assert backend.call(answer["access_token"]).status_code == 200

    def test_ends(self, backend: Backend) -> None:
        backend.set(clients=[{"id": backend.id, "jwks": public(backend.key)}], livesFor=0.3)
        token = backend.token()
        assert backend.call(token).status_code == 200
        time.sleep(0.3)
        answer = backend.call(token)
        assert (answer.status_code, issues(answer)) == (401, [("login", None)])
        assert 'error="invalid_token"' in answer.headers["WWW-Authenticate"]

    def test_ends_when_all_are_revoked(self, backend: Backend) -> None:
        tokens, issued = [backend.token() for _ in range(2)], backend.told()["issued"]
        assert backend.told()["active"] == 2
        assert backend.session.delete(f"{backend.origin}/_sandbox/epic/tokens").status_code == 204
        assert [backend.call(token).status_code for token in tokens] == [401, 401]
        assert (backend.told()["issued"], backend.told()["active"]) == (issued, 0)
        assert backend.call(backend.token()).status_code == 200

    def test_asks_again_after_429(self, backend: Backend, fault: Callable[..., str]) -> None:
        fault("status", status=429, path="auth/token", retryAfter="1", times=1)
        assert [backend.ask().status_code for _ in range(2)] == [429, 200]

    def test_of_a_client_that_is_not_known_yet_is_a_fault(self, backend: Backend, fault: Callable[..., str]) -> None:
        fault("status", status=400, path="auth/token", body={"error": "invalid_client"}, times=1)
        assert backend.ask().json() == {"error": "invalid_client"}
        assert backend.token()


class TestScope:
    def test_may_be_smaller_than_what_was_asked_for_and_holds(self, backend: Backend) -> None:
        backend.set(clients=[{"id": backend.id, "jwks": public(backend.key), "scope": "system/Patient.cruds system/Observation.rs"}])
        answer = backend.ask(scope="system/Patient.crs system/Observation.cruds system/Condition.rs").json()
        assert answer["scope"] == "system/Patient.crs system/Observation.rs"
        token = answer["access_token"]
        patient = backend.call(token, "POST", "Patient", {"resourceType": "Patient"})
        assert patient.status_code == 201
        assert [backend.call(token, path=path).status_code for path in (name(patient.json()), "Observation", "Condition")] == [200, 200, 403]
        refused = backend.call(token, "POST", "Observation", least("Observation", name(patient.json())))
        assert (refused.status_code, issues(refused)) == (403, [("forbidden", None)])
        assert 'error="insufficient_scope"' in refused.headers["WWW-Authenticate"]

    def test_holds_for_every_entry_of_a_bundle(self, origin: str, session: requests.Session, plain: Client, rsa: RSAKey) -> None:
        backend = Backend(origin, session, plain.base, rsa)
        backend.set(clients=[{"id": backend.id, "jwks": public(rsa)}])
        token = backend.token(scope="system/Patient.c")
        entries = [{"request": {"method": "POST", "url": kind}, "resource": {"resourceType": kind}} for kind in ("Patient", "Practitioner")]
        told = backend.call(token, "POST", "", {"resourceType": "Bundle", "type": "batch", "entry": entries}).json()["entry"]
        assert [one["response"]["status"] for one in told] == ["201 Created", "403 Forbidden"]
        assert [backend.call(backend.token(), path=path).status_code for path in ("_history", "Patient/_history")] == [200, 200]
        session.delete(f"{origin}/_sandbox/plain/smart")

    @pytest.mark.parametrize(
        ("asked", "allowed", "expected"),
        [
            ("system/*.read system/Patient.write", None, "system/*.read system/Patient.write"),
            ("system/*.rs", "system/Patient.rs system/Observation.cruds", "system/Patient.rs"),
            ("system/Patient.r", "system/*.rs", "system/Patient.r"),
            ("system/Patient.cruds", "system/Patient.read", "system/Patient.read"),
            ("openid system/patient.rs system/Patient.", None, ""),
        ],
    )
    def test_is_what_was_asked_for_as_far_as_it_is_allowed(self, asked: str, allowed: str | None, expected: str) -> None:
        assert " ".join(granted(asked.split(), allowed.split() if allowed else None)) == expected

    def test_of_version_1_means_the_same(self) -> None:
        assert permits(["system/*.read"], "Patient", "search-type")
        assert permits(["system/Patient.write"], "Patient", "patch")
        assert not permits(["system/Patient.*"], None, "history-system")


class TestSettings:
    @pytest.mark.parametrize(
        ("given", "pointers"),
        [
            ({}, {"/clients"}),
            ({"clients": [], "expiresIn": []}, {"/clients", "/expiresIn"}),
            ({"clients": [{"id": "a"}, {"jwksUrl": "ftp://x", "scope": "all"}, {"id": "a", "jwks": {}, "jwksUrl": "http://x"}]}, {
                "/clients/0", "/clients/1/id", "/clients/1/jwksUrl", "/clients/1/scope", "/clients/2",
            }),
            ({"clients": [{"id": "a", "jwks": {}}], "livesFor": -1, "colour": 1}, {"/livesFor", "/colour"}),
        ],
    )  # fmt: skip
    def test_that_are_wrong_are_named_and_change_nothing(self, backend: Backend, given: dict[str, Any], pointers: set[str]) -> None:
        answer = backend.set(**given)
        assert answer.status_code == 422
        assert {error["pointer"] for error in answer.json()["errors"]} == pointers
        assert backend.token()

    def test_may_be_changed_in_part(self, backend: Backend) -> None:
        assertion = backend.assertion()
        assert backend.ask(assertion).json()["expires_in"] == 300
        changed = backend.session.patch(f"{backend.origin}/_sandbox/epic/smart", json={"expiresIn": "60"})
        assert (changed.status_code, changed.json()["expiresIn"]) == (200, "60")
        assert backend.ask().json()["expires_in"] == "60"
        assert backend.ask(assertion).status_code == 400, "it was used already"
        assert backend.session.patch(f"{backend.origin}/_sandbox/epic/smart", json=[]).status_code == 422

    def test_tell_what_was_set_and_how_much_was_issued_and_refused(self, backend: Backend) -> None:
        before = backend.told()
        backend.token()
        backend.ask(scope="")
        told = backend.told()
        assert (told["issued"], told["refused"]) == (before["issued"] + 1, before["refused"] + 1)
        assert {key: told[key] for key in ("on", "tokenEndpoint", "expiresIn", "clients")} == {
            "on": True, "tokenEndpoint": backend.url, "expiresIn": 300, "clients": [{"id": "pathway", "jwks": public(backend.key)}]
        }  # fmt: skip

    def test_a_reset_of_the_sandbox_leaves_those_of_the_start(self, session: requests.Session, rsa: RSAKey) -> None:
        given = {"clients": [{"id": "pathway", "jwks": public(rsa)}], "expiresIn": 60}
        with started(["epic"], tokens={"epic": "s3cret"}, smart={"epic": given}) as origin:
            backend = Backend(origin, session, f"{origin}/epic/fhir/r4", rsa)
            token = backend.token()
            assert backend.call("s3cret").status_code == 200, "the static token is still one"
            backend.set(clients=[{"id": "another", "jwks": public(rsa)}])
            session.delete(f"{origin}/_sandbox")
            assert backend.call(token).status_code == 401
            assert backend.ask().json()["expires_in"] == 60
            session.close()
