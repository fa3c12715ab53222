"""SMART Backend Services (App Launch 2.0, 4.0.5): a signed assertion is exchanged for a token, and anything odd about it is invalid_client."""

import json
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any
from urllib.parse import urlencode

import pytest
import requests
import responses
from joserfc import jwt
from joserfc.jwk import ECKey, KeySet, OctKey, RSAKey

from service.security import clients
from service.security.assertions import JWKS_EVERY, KeySource, fetched
from service.security.clients import Client
from service.security.scopes import parse
from service.store.clock import micros
from service.wiring import Service
from tests.conftest import Clock, Http, Reply
from tests.service.tables import dicts

ENDPOINT = "http://127.0.0.1:8000/oauth/token"
ASSERTION = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
EC, RSA = ECKey.generate_key("P-384", {"kid": "ec"}, private=True), RSAKey.generate_key(2048, {"kid": "rsa"}, private=True)
OTHER = ECKey.generate_key("P-384", {"kid": "ec"}, private=True)
Claims = dict[str, Any]


@pytest.fixture
def client(service: Service) -> Client:
    made = Client("gp", "A practice", 1, parse("system/Encounter.rs system/Patient.rs"), jwks=KeySet([EC, RSA]).as_dict(private=False))
    service.database.write(lambda tx: clients.add(tx, made, micros(service.tenant.now())))
    return made


@pytest.fixture
def claims(clock: Clock) -> Claims:
    return {"iss": "gp", "sub": "gp", "aud": ENDPOINT, "exp": int(clock.at.timestamp()) + 240, "jti": "one"}


def signed(claims: Claims, key: Any = EC, alg: str = "ES384", **header: Any) -> str:
    return jwt.encode({"alg": alg, "kid": key.kid, "typ": "JWT", **header}, claims, key, algorithms=[alg])


@pytest.fixture
def ask(web: Any, client: Client) -> Callable[..., Reply]:
    def asked(assertion: str, scope: str = "system/*.rs", **form: str) -> Reply:
        body = {"grant_type": "client_credentials", "client_assertion_type": ASSERTION, "client_assertion": assertion, "scope": scope, **form}
        return Http(web, None)("POST", "/oauth/token", urlencode(body).encode(), Content_Type="application/x-www-form-urlencoded")

    return asked


Ask = Callable[..., Reply]


@pytest.mark.parametrize(("key", "alg"), [(EC, "ES384"), (RSA, "RS384")])
def test_a_signed_assertion_gets_a_token_that_works_for_as_long_as_it_says(ask: Ask, claims: Claims, key: Any, alg: str, web: Any, clock: Clock) -> None:
    reply = ask(signed(claims, key, alg))
    said = reply.json
    assert (reply.status, said["token_type"], said["expires_in"], said["scope"]) == (200, "bearer", 300, "system/Encounter.rs system/Patient.rs")
    assert (reply.headers["Cache-Control"], reply.headers["Pragma"]) == ("no-store", "no-cache")
    caller = Http(web, said["access_token"])
    assert caller.get("/fhir/r4/Encounter").status == 200 and caller.get("/fhir/r4/Observation").status == 403


def test_a_token_is_no_longer_good_when_its_time_is_over(ask: Ask, claims: Claims, web: Any, clock: Clock) -> None:
    caller = Http(web, ask(signed(claims)).json["access_token"])
    clock.forward(seconds=301)
    assert caller.get("/fhir/r4/Encounter").status == 401


def test_a_token_is_kept_as_its_hash_alone(ask: Ask, claims: Claims, service: Service) -> None:
    token = ask(signed(claims)).json["access_token"]
    kept = dicts(service.database, "token")
    assert len(token) >= 43 and [bytes(row["hash"]) for row in kept] == [clients.hashed(token)]
    assert token not in repr(kept)


def test_an_assertion_is_good_once_even_where_several_use_it_at_once(ask: Ask, claims: Claims) -> None:
    assertion = signed(claims)
    assert [ask(assertion).status for _ in range(3)] == [200, 401, 401]
    assert ask(signed({**claims, "jti": "two"})).status == 200


WRONG: dict[str, Callable[[Claims], str]] = {
    "signed with another key": lambda c: signed(c, OTHER),
    "of a client that is not known": lambda c: signed({**c, "iss": "nobody", "sub": "nobody"}),
    "issuer and subject differ": lambda c: signed({**c, "sub": "other"}),
    "no subject": lambda c: signed({name: value for name, value in c.items() if name != "sub"}),
    "for another audience": lambda c: signed({**c, "aud": "http://127.0.0.1:8000/fhir/r4"}),
    "for no audience": lambda c: signed({name: value for name, value in c.items() if name != "aud"}),
    "past its time": lambda c: signed({**c, "exp": c["exp"] - 240 - 31}),
    "good for too long": lambda c: signed({**c, "exp": c["exp"] + 100}),
    "without an end": lambda c: signed({name: value for name, value in c.items() if name != "exp"}),
    "with an end that is no number": lambda c: signed({**c, "exp": str(c["exp"])}),
    "with an end that is true": lambda c: signed({**c, "exp": True}),
    "without an id": lambda c: signed({name: value for name, value in c.items() if name != "jti"}),
    "with an empty id": lambda c: signed({**c, "jti": ""}),
    "with an id that is no text": lambda c: signed({**c, "jti": 7}),
    "with a very long id": lambda c: signed({**c, "jti": "x" * 201}),
    "not yet good": lambda c: signed({**c, "nbf": c["exp"] - 100}),
    "issued in the future": lambda c: signed({**c, "iat": c["exp"]}),
    "that brings its key": lambda c: signed(c, jwk=EC.as_dict(private=False)),
    "that points to its keys": lambda c: signed(c, jku="https://evil.example/jwks"),
    "that points to a certificate": lambda c: signed(c, x5u="https://evil.example/cert"),
    "of another type": lambda c: signed(c, typ="at+jwt"),
    "signed with a shared secret": lambda c: signed(c, OctKey.import_key(json.dumps(EC.as_dict(private=False)), {"kid": "ec"}), "HS256"),
    "signed by nobody": lambda c: ".".join([*signed(c).split(".")[:2], ""]),
    "whose header says none": lambda c: "eyJhbGciOiJub25lIn0." + signed(c).split(".")[1] + ".",
    "changed afterwards": lambda c: ".".join([signed(c).split(".")[0], signed({**c, "jti": "x"}).split(".")[1], signed(c).split(".")[2]]),
    "that is no JWT": lambda _c: "no JWT",
    "that is no ASCII": lambda _c: "\u00fc.\u00fc.\u00fc",
    "whose claims are a list": lambda c: ".".join([signed(c).split(".")[0], "W10", signed(c).split(".")[2]]),
}


@pytest.mark.parametrize("how", WRONG)
def test_an_assertion_is_refused(ask: Ask, claims: Claims, how: str, service: Service) -> None:
    reply = ask(WRONG[how](claims))
    assert (reply.status, reply.json["error"]) == (401, "invalid_client"), reply
    assert not dicts(service.database, "token") and not dicts(service.database, "jti")
    assert ask(signed(claims)).status == 200, "and its id is not used up"


def test_a_clock_that_is_a_little_off_is_forgiven(ask: Ask, claims: Claims, clock: Clock) -> None:
    now = int(clock.at.timestamp())
    assert ask(signed({**claims, "exp": now - 29, "jti": "a"})).status == 200
    assert ask(signed({**claims, "exp": now + 329, "iat": now + 29, "nbf": now + 29, "jti": "b"})).status == 200


def test_the_audience_may_be_one_of_several(ask: Ask, claims: Claims) -> None:
    assert ask(signed({**claims, "aud": ["https://other.example", ENDPOINT]})).status == 200


def test_a_client_may_be_held_to_one_algorithm(ask: Ask, claims: Claims, service: Service, client: Client) -> None:
    strict = replace(client, id="strict", algorithms=("RS384",))
    service.database.write(lambda tx: clients.add(tx, strict, 0))
    named = {**claims, "iss": "strict", "sub": "strict"}
    assert ask(signed(named)).status == 401 and ask(signed(named, RSA, "RS384")).status == 200


def test_a_revoked_client_gets_no_token_and_its_tokens_end(ask: Ask, claims: Claims, web: Any, service: Service) -> None:
    token = ask(signed(claims)).json["access_token"]
    service.database.write(lambda tx: clients.revoke(tx, "gp", micros(service.tenant.now())))
    assert ask(signed({**claims, "jti": "two"})).status == 401
    service.gate._known.clear()  # which time does within five seconds
    assert Http(web, token).get("/fhir/r4/Encounter").status == 401


@pytest.mark.parametrize(
    ("asked", "given"),
    [
        ("system/*.rs", "system/Encounter.rs system/Patient.rs"), ("system/Encounter.r", "system/Encounter.r"), ("system/Encounter.cruds", "system/Encounter.rs"),
        ("system/*.read", "system/Encounter.rs system/Patient.rs"), ("system/Encounter.rs pathway/operate", "system/Encounter.rs"),
        ("system/Observation.rs system/Patient.s", "system/Patient.s"),
    ],
)  # fmt: skip
def test_a_token_has_no_more_than_the_client_may_have_and_says_so(ask: Ask, claims: Claims, asked: str, given: str) -> None:
    assert ask(signed(claims), asked).json["scope"] == given


@pytest.mark.parametrize("scope", ["", "system/Observation.rs", "user/*.rs", "system/Encounter.sr", "system/Encounter", "openid"])
def test_scopes_of_which_none_can_be_given_are_refused(ask: Ask, claims: Claims, scope: str) -> None:
    reply = ask(signed(claims), scope)
    assert (reply.status, reply.json["error"]) == (400, "invalid_scope")


@pytest.mark.parametrize(
    ("form", "error"),
    [
        ({"grant_type": "password"}, "unsupported_grant_type"), ({"client_assertion_type": "other"}, "invalid_request"), ({"client_assertion": ""}, "invalid_request"),
    ],
)  # fmt: skip
def test_a_request_of_another_kind_is_refused(ask: Ask, claims: Claims, form: dict[str, str], error: str) -> None:
    reply = ask(signed(claims), **form)
    assert (reply.status, reply.json["error"]) == (400, error)


def test_what_is_given_twice_and_what_is_no_form_is_refused(web: Any, client: Client) -> None:
    nobody = Http(web, None)
    twice = nobody("POST", "/oauth/token", b"grant_type=client_credentials&grant_type=x", Content_Type="application/x-www-form-urlencoded")
    assert (twice.status, twice.json["error"]) == (400, "invalid_request")
    assert nobody("POST", "/oauth/token", b"{}", Content_Type="application/json").status == 415


# --- keys by URL

JWKS = "https://gp.example/jwks.json"
BY_URL = Client("far", "A practice with keys of its own", 1, parse("system/*.rs"), jwks_url=JWKS)


@responses.activate
def test_keys_are_fetched_from_where_the_client_has_them_at_most_every_five_minutes() -> None:
    now = [1000.0]
    source = KeySource(now=lambda: now[0])
    responses.get(JWKS, json={"keys": [1]})
    assert source.keys(BY_URL) == source.keys(BY_URL) == {"keys": [1]} and len(responses.calls) == 1
    now[0] += JWKS_EVERY + 1
    responses.replace(responses.GET, JWKS, json={"keys": [2]})
    assert source.keys(BY_URL) == {"keys": [2]} and len(responses.calls) == 2


@responses.activate
@pytest.mark.parametrize(
    "answer",
    [
        {"status": 404}, {"status": 302, "headers": {"Location": "https://evil.example"}}, {"body": "no json"}, {"body": "[]"}, {"body": "x" * 200_000},
        {"body": requests.ConnectionError()},
    ],
)  # fmt: skip
def test_keys_that_cannot_be_had_are_refused_and_not_asked_for_again_at_once(answer: dict[str, Any]) -> None:
    source = KeySource(now=lambda: 1000.0)
    responses.get(JWKS, **answer)
    from service.security.assertions import InvalidClient

    for _ in range(3):
        with pytest.raises(InvalidClient):
            source.keys(BY_URL)
    assert len(responses.calls) == 1


def test_keys_come_over_https_alone() -> None:
    assert fetched("http://127.0.0.1:1/jwks") is None and fetched("file:///etc/passwd") is None


def test_a_slow_host_of_keys_keeps_no_other_client_waiting() -> None:
    import threading

    slow, entered = threading.Event(), threading.Event()

    def fetch(url: str) -> dict[str, Any]:
        if url == JWKS:
            entered.set()
            slow.wait(20)
        return {"keys": []}

    source = KeySource(fetch=fetch)
    waiting = threading.Thread(target=source.keys, args=(BY_URL,))
    waiting.start()
    entered.wait(5)
    began = time.monotonic()
    source.keys(replace(BY_URL, jwks_url="https://other.example/jwks"))
    assert time.monotonic() - began < 5
    slow.set()
    waiting.join()
