"""How an EHR lets us in, on the command line: registered, tried, and refused with every reason at once."""

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from service.app import create_app
from service.config import Settings
from service.wiring import wire
from tests.cli.conftest import Said
from tests.conftest import Http
from tests.sync.authority import CLIENT, Authority, authority
from tests.sync.certified import Issuer, over_tls
from tests.sync.scripted import Script
from tests.sync.small import Small, small

Run = Callable[..., Said]
STATEMENT = {"resourceType": "CapabilityStatement", "fhirVersion": "4.0.1", "rest": [{"mode": "server", "resource": [
    {"type": "Patient", "interaction": [{"code": "create"}, {"code": "read"}], "searchParam": [{"name": "identifier"}]},
]}]}  # fmt: skip


@pytest.fixture
def trust(given: Settings) -> Iterator[Authority]:
    service = wire(given)
    web = create_app(service=service).test_client()
    with authority(lambda: datetime.now(UTC), lambda: Http(web, None).get("/.well-known/jwks.json").json) as made:
        yield made
    service.close()


@pytest.fixture
def ehr(trust: Authority) -> Iterator[Small]:
    """An EHR that gives tokens by SMART Backend Services, and says so."""
    with small() as made:
        made.configuration, made.allows = {"token_endpoint": trust.token_url}, trust.allows
        yield made


@pytest.fixture
def add(run: Run, ehr: Small) -> Callable[..., Said]:
    return lambda *more: run("ehr", "add", "trust", ehr.base, "--private", "--client-id", CLIENT, *more)


def row(run: Run) -> dict[str, Any]:
    (found,) = run("ehr", "list").rows
    return found


def test_an_ehr_that_says_where_it_gives_tokens_is_added_and_lets_us_in(run: Run, add: Any, trust: Authority, ehr: Small) -> None:
    run("ehr", "keys", "generate")
    said = add()
    assert said.code == 0 and trust.origin in said.out and CLIENT in said.out and not trust.asked, said
    assert run("ehr", "test", "trust").code == 0
    assert len(trust.given) == 1 and trust.asked[0]["scope"] == "system/*.cruds"
    [call] = [(method, path) for method, path, headers in ehr.asked if headers.get("Authorization") == f"Bearer {trust.given[0]}"]
    assert call[0] == "GET" and "identifier=urn:uuid:" in call[1], "one call, which needs the token and changes nothing"
    assert (row(run)["state"], row(run)["problem"], row(run)["lacking"]) == ("open", None, [])


def test_the_scopes_that_are_asked_for_follow_the_types(run: Run, add: Any, trust: Authority) -> None:
    run("ehr", "keys", "generate")
    add("--types", "Observation,Encounter")
    run("ehr", "test", "trust")
    assert trust.asked[0]["scope"] == "system/Observation.cruds system/Encounter.cruds"


@pytest.mark.parametrize(
    ("taken", "ours", "asked", "signs"),
    [
        (["RS384", "ES384"], ["ES384"], (), "ES384"),
        (["RS384", "ES384"], ["ES384", "RS384"], (), "RS384"),
        (["ES384"], ["ES384", "RS384"], (), "ES384"),
        (["RS384", "ES384"], ["ES384", "RS384"], ("--alg", "ES384"), "ES384"),
    ],
)
def test_what_we_sign_with_is_what_the_ehr_takes_and_there_is_a_key_for(
    run: Run, add: Any, trust: Authority, ehr: Small, taken: list[str], ours: list[str], asked: tuple[str, ...], signs: str
) -> None:
    for alg in ours:
        run("ehr", "keys", "generate", "--alg", alg)
    trust.algorithms = taken
    ehr.configuration["token_endpoint_auth_signing_alg_values_supported"] = taken
    assert add(*asked).code == 0
    assert run("ehr", "test", "trust").code == 0 and not trust.refused
    assert f'"{signs}"' in json.dumps(_header(trust))


def _header(trust: Authority) -> dict[str, Any]:
    from tests.sync.authority import unpacked

    return dict(json.loads(unpacked(trust.asked[0]["client_assertion"].split(".")[0])))


def test_an_ehr_that_grants_less_is_shown_as_degraded_with_what_is_lacking(run: Run, add: Any, trust: Authority) -> None:
    run("ehr", "keys", "generate")
    add("--types", "Observation,Encounter")
    trust.scope = "system/Observation.rs system/Encounter.cruds"
    found = {one["type"]: one["lacking"] for one in run("ehr", "test", "trust").rows}
    assert found["Observation"] == ["create", "update", "delete"] and found["Encounter"] == []
    assert (row(run)["state"], row(run)["lacking"]) == ("degraded", ["system/Observation.cud"])


@pytest.mark.parametrize(
    ("words", "problems"),
    [
        (("--scope", 'system/*.rs "', "--client-id", "\n"), ("/clientId", "/scope")),
        (
            ("--token-url", "http://user:x@127.0.0.1/token", "--header", "Authorization=x", "--header", "X-A={y}"),
            ("/tokenUrl", "/headers/Authorization", "/headers/X-A"),
        ),
        (("--media-type", "text/html", "--header", "X-Org={organisation}", "--cert", "none.pem"), ("/mediaType", "/headers/X-Org", "/cert")),
        (("--header", "X-A=1", "--header", "x-a=2"), ("/headers/X-A", "/headers/x-a")),
    ],
)
def test_everything_that_is_wrong_is_said_at_once_and_nothing_is_asked(
    run: Run, add: Any, ehr: Small, words: tuple[str, ...], problems: tuple[str, ...]
) -> None:
    said = add(*words)
    assert said.code == 4 and all(f"  {one}: " in said.err for one in problems), said
    assert not ehr.asked and run("ehr", "list").rows == []


@pytest.mark.parametrize("words", [("--token", "static"), ("--header", "no template"), ("--alg", "HS256"), ("--prefer", "everything")])
def test_what_cannot_be_understood_is_wrong_use(add: Any, words: tuple[str, ...]) -> None:
    assert add(*words).code == 2


def test_an_algorithm_or_a_scope_is_of_no_use_without_a_client(run: Run, ehr: Small) -> None:
    said = run("ehr", "add", "trust", ehr.base, "--private", "--scope", "system/*.rs")
    assert said.code == 4 and "/clientId" in said.err


@pytest.mark.parametrize(
    ("configuration", "code", "said"),
    [
        (None, 1, "--token-url"),
        ({"token_endpoint": "http://auth.example.org/token"}, 4, "/tokenUrl"),
        ({"token_endpoint": "ftp://auth.example.org/token"}, 4, "/tokenUrl"),
        ({"token_endpoint_auth_methods_supported": ["client_secret_basic"]}, 4, "private_key_jwt"),
        ({"token_endpoint_auth_signing_alg_values_supported": ["RS256"]}, 4, "RS256"),
        ({"token_endpoint_auth_signing_alg_values_supported": ["RS384"]}, 4, "keys generate --alg RS384"),
    ],
)
def test_an_ehr_that_gives_no_tokens_in_our_way_is_not_added(run: Run, ehr: Small, configuration: Any, code: int, said: str) -> None:
    run("ehr", "keys", "generate")
    ehr.configuration = configuration and {**ehr.configuration, **configuration}
    url = ehr.base.replace("127.0.0.1", "localhost") if "http://auth" in str(configuration) else ehr.base
    found = run("ehr", "add", "trust", url, "--client-id", CLIENT)
    assert found.code == code and said in found.err, found
    assert run("ehr", "list").rows == []


def test_an_ehr_that_says_nothing_of_tokens_is_added_with_their_endpoint(run: Run, add: Any, ehr: Small, trust: Authority) -> None:
    run("ehr", "keys", "generate")
    ehr.configuration = None
    assert add("--token-url", trust.token_url).code == 0
    assert run("ehr", "test", "trust").code == 0 and not any("well-known" in path for _, path, _ in ehr.asked)


def test_a_key_may_be_made_for_an_ehr_before_it_is_added(run: Run, add: Any, trust: Authority) -> None:
    (made,) = run("ehr", "keys", "generate", "--ehr", "trust").rows
    assert add().code == 0 and run("ehr", "test", "trust").code == 0
    assert _header(trust)["kid"] == made["keys"][0]


# --- tried


def test_an_ehr_that_does_not_know_us_is_said_not_to_in_plain_words(run: Run, add: Any, trust: Authority) -> None:
    run("ehr", "keys", "generate")
    add()
    published, trust.keys = trust.keys, lambda: {"keys": []}
    said = run("ehr", "test", "trust")
    assert said.code == 1 and "does not know us by this client id and key, or not yet" in said.err and CLIENT in said.err, said
    assert row(run)["state"] == "snoozed" and "does not know us" in row(run)["problem"]
    trust.keys = published
    assert run("ehr", "test", "trust").code == 0
    assert (row(run)["state"], row(run)["problem"]) == ("open", None)


@pytest.mark.parametrize(
    ("status", "said"),
    [
        (401, "It does not accept our token (401)"),
        (403, "It does not allow us to search"),
        (500, "It fails (500)"),
        (429, "It fails (429)"),
        (404, None),
        (400, None),
    ],
)
def test_what_an_ehr_answers_to_a_call_with_a_token_says_whether_it_lets_us_in(run: Run, ehr: Small, status: int, said: str | None) -> None:
    ehr.allows = lambda headers: True
    run("ehr", "add", "one", ehr.base, "--private", "--token", "static")
    ehr.answers = lambda method, path: (status, {}) if path != "/metadata" else None
    found = run("ehr", "test", "one")
    assert (found.code, said is None or said in found.err) == (0 if said is None else 1, True), found


def test_an_ehr_that_wants_a_token_and_has_given_us_none_says_so(run: Run, ehr: Small) -> None:
    run("ehr", "add", "one", ehr.base, "--private")
    found = run("ehr", "test", "one")
    assert found.code == 1 and "It wants a token, and has given us none (401)" in found.err


def test_no_token_assertion_or_template_is_shown_or_kept_as_it_is(run: Run, add: Any, trust: Authority, ehr: Small, tmp_path: Path) -> None:
    run("ehr", "keys", "generate")
    said = [add("--header", "apikey=a-gateways-key"), run("ehr", "test", "trust"), run("ehr", "list"), run("deliveries", "plan", "--ehr", "trust")]
    assert {headers.get("apikey") for _, path, headers in ehr.asked if "well-known" not in path} == {"a-gateways-key"}
    secret = ["a-gateways-key", trust.given[0], trust.asked[0]["client_assertion"]]
    assert not any(word in one.out + one.err for one in said for word in secret)
    assert not [path for path in tmp_path.iterdir() if path.is_file() and any(word.encode() in path.read_bytes() for word in secret)]


def test_a_client_id_that_is_set_has_the_ehr_asked_anew_where_it_gives_tokens(run: Run, add: Any, trust: Authority, ehr: Small) -> None:
    run("ehr", "keys", "generate")
    ehr.configuration = {"token_endpoint": "http://127.0.0.1:9/token"}
    add("--types", "Observation,Encounter")
    ehr.configuration = {"token_endpoint": trust.token_url}
    assert run("ehr", "set", "trust", "--client-id", CLIENT).rows[0]["changed"] == ["auth"]
    assert run("ehr", "test", "trust").code == 0 and trust.asked[-1]["scope"] == "system/Observation.cruds system/Encounter.cruds"
    assert run("ehr", "set", "trust", "--types", "Encounter").rows[0]["changed"] == ["auth", "types"], "what is asked for follows the types"
    assert run("ehr", "test", "trust").code == 0 and trust.asked[-1]["scope"] == "system/Encounter.cruds"
    assert run("ehr", "set", "trust", "--token", "static").rows[0]["changed"] == ["auth"]


# --- certificates


def answering(connection: Any, asked: bytes) -> None:
    body = STATEMENT if b"/metadata" in asked else {"resourceType": "Bundle", "type": "searchset"}
    said = json.dumps(body).encode()
    connection.sendall(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%b" % (len(said), said))


ANSWERING: Script = answering


def test_an_ehr_that_asks_for_our_certificate_is_shown_it(run: Run, tmp_path: Path) -> None:
    issuer = Issuer(tmp_path, "trusted")
    cert, key = issuer.issue("pathway")
    with over_tls(ANSWERING, *issuer.issue("ehr"), clients=issuer.ca) as ehr:
        assert run("ehr", "add", "one", ehr.base, "--private", "--ca", str(issuer.ca)).code == 1
        assert run("ehr", "add", "one", ehr.base, "--private", "--ca", str(issuer.ca), "--cert", str(cert), "--key", str(key)).code == 0
        assert run("ehr", "test", "one").code == 0
    assert ehr.known_as == ["pathway"] * 3


def test_certificates_are_looked_at_when_an_ehr_is_added(run: Run, tmp_path: Path) -> None:
    issuer, other = Issuer(tmp_path, "trusted"), tmp_path / "other.pem"
    other.write_text("no certificate")
    cert, key = issuer.issue("pathway")
    outdated, _ = issuer.issue("outdated", days=-1)
    _, another = issuer.issue("another")
    _, hidden = issuer.issue("hidden", passphrase=b"secret")
    both = tmp_path / "both.pem"
    both.write_bytes(cert.read_bytes() + key.read_bytes())
    for words, problem in (
        (("--cert", cert), "  /cert: holds no private key in PEM"),
        (("--cert", cert, "--key", another), "  /key: is not the key of the certificate"),
        (("--cert", cert, "--key", hidden), "  /key: has a passphrase"),
        (("--cert", cert, "--key", tmp_path / "none.key"), "  /key: cannot be read: No such file"),
        (("--cert", outdated, "--key", key), "  /cert: is good from "),
        (("--key", key), "  /cert: should be given with its key"),
        (("--cert", other, "--key", key), "  /cert: holds no certificate in PEM"),
        (("--ca", other), "  /ca: holds no certificate in PEM"),
        (("--ca", tmp_path), "  /ca: cannot be read: Is a directory"),
    ):
        said = run("ehr", "add", "one", "https://127.0.0.1:9/fhir", "--private", *map(str, words))
        assert said.code == 4 and problem in said.err, (words, said)
    assert run("ehr", "add", "one", "https://127.0.0.1:9/fhir", "--private", "--cert", str(both)).code == 1, "nobody is there, and all else is well"
