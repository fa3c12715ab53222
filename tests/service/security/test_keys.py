"""Our own keys: published before they sign and until they are retired, and never with what signs."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from joserfc import jws
from joserfc.jwk import ECKey, KeySet, RSAKey

from service.errors import Conflict, NotFound
from service.security import keys
from service.security.secrets import NotOurs, open_sealed
from service.store import signing_keys, targets
from service.store.clock import micros
from service.store.signing_keys import SigningKey
from service.store.targets import Target
from service.wiring import Service
from tests.conftest import Clock, Http

Make = Callable[..., SigningKey]
PRIVATE = {"d", "p", "q", "dp", "dq", "qi", "oth", "k"}
MINUTE = 60 * 1_000_000


@pytest.fixture
def make(service: Service) -> Make:
    def make(alg: str = "ES384", target: str | None = None, overlap: int = 0) -> SigningKey:
        made = keys.made(service.tenant, alg, target, micros(service.tenant.now()), overlap=overlap)
        service.database.write(lambda tx: signing_keys.add(tx, made))
        return made

    return make


def signs(service: Service, alg: str = "ES384", target: str = "trust") -> str | None:
    with service.database.glance() as connection:
        found = signing_keys.signing(connection, alg, target, micros(service.tenant.now()))
    return found.kid if found else None


def published(web: Any) -> list[str]:
    return [one["kid"] for one in Http(web, None).get("/.well-known/jwks.json").json["keys"]]


def retire(service: Service, kid: str) -> None:
    service.database.write(lambda tx: keys.retire(tx, kid, micros(service.tenant.now())))


@pytest.mark.parametrize(("alg", "kty", "members"), [("RS384", "RSA", {"n", "e"}), ("ES384", "EC", {"crv", "x", "y"})])
def test_anybody_may_read_the_public_part_of_a_key_and_verify_with_it(service: Service, web: Any, make: Make, alg: str, kty: str, members: set[str]) -> None:
    made = make(alg)
    reply = Http(web, None).get("/.well-known/jwks.json")
    assert reply.status == 200 and reply.headers["Cache-Control"] == "public, max-age=300"
    [key] = reply.json["keys"]
    assert (key["kty"], key["alg"], key["use"], key["kid"]) == (kty, alg, "sig", made.kid) and set(key) == {"kty", "alg", "use", "kid"} | members
    signed = jws.serialize_compact({"alg": alg, "kid": made.kid}, b"who we are", keys.opened(service.tenant, made), algorithms=[alg])
    assert jws.deserialize_compact(signed, KeySet.import_key_set(reply.json), algorithms=[alg]).payload == b"who we are"


def test_a_key_is_named_by_its_thumbprint_and_is_long_enough(make: Make) -> None:
    rsa, curve = make("RS384").public, make("ES384").public
    assert rsa["kid"] == f"RS384-{RSAKey.import_key(rsa).thumbprint()}" and len(rsa["n"]) * 6 >= 3072 and curve["crv"] == "P-384"
    assert curve["kid"] == f"ES384-{ECKey.import_key(curve).thumbprint()}"


def test_what_signs_is_in_no_answer_and_is_kept_sealed_with_the_key_that_it_belongs_to(service: Service, web: Any, make: Make) -> None:
    one, other = make("RS384"), make("ES384")
    assert not any(PRIVATE & set(key) for key in Http(web, None).get("/.well-known/jwks.json").json["keys"])
    assert "private" not in repr(one) and not PRIVATE & set(one.public)
    assert set(json.loads(open_sealed(service.tenant, other.private, f"signing key {other.kid}"))) > {"d"}
    with pytest.raises(NotOurs):
        open_sealed(service.tenant, other.private, f"signing key {one.kid}")


def test_a_new_key_is_published_at_once_and_signs_after_the_overlap(service: Service, web: Any, make: Make, clock: Clock) -> None:
    old = make()
    new = make(overlap=10 * MINUTE)
    assert published(web) == [old.kid, new.kid] or published(web) == [new.kid, old.kid]
    clock.forward(minutes=9, seconds=59)
    assert signs(service) == old.kid
    clock.forward(seconds=1)
    assert signs(service) == new.kid and set(published(web)) == {old.kid, new.kid}
    retire(service, old.kid)
    assert published(web) == [new.kid] and signs(service) == new.kid


def test_a_key_of_an_ehrs_own_signs_for_it_alone(service: Service, make: Make) -> None:
    own, everyones = make(target="trust"), make()
    assert signs(service, target="trust") == own.kid and signs(service, target="another") == everyones.kid and signs(service, "RS384") is None


def test_a_retired_key_can_sign_nothing_any_more(service: Service, make: Make) -> None:
    made, other = make(), make()
    retire(service, made.kid[:16])
    with service.database.glance() as connection:
        kept = next(one for one in signing_keys.every(connection) if one.kid == made.kid)
    assert kept.private == "" and kept.retired_at == micros(service.tenant.now()) and signs(service) == other.kid
    with pytest.raises(NotFound):
        retire(service, made.kid)


def test_the_only_key_that_signs_for_an_ehr_is_not_retired(service: Service, make: Make, clock: Clock) -> None:
    auth = {"type": "smart", "alg": "ES384"}
    trust = Target("trust", "https://ehr.example.org/fhir", "4.0.1", 1, None, "ehr", False, 4, 0, 0, settings={"auth": auth})
    service.database.write(lambda tx: targets.add(tx, trust, 0))
    old = make()
    make("RS384")
    make(target="another")
    with pytest.raises(Conflict, match="trust"):
        retire(service, old.kid)
    make(overlap=MINUTE)
    with pytest.raises(Conflict, match="trust"):
        retire(service, old.kid)
    clock.forward(minutes=1)
    retire(service, old.kid)


def test_a_key_that_several_could_be_is_not_retired(service: Service, make: Make) -> None:
    make()
    make()
    with pytest.raises(Conflict):
        retire(service, "ES384-")


@pytest.mark.parametrize("kid", ["", "no such key"])
def test_a_key_that_is_not_there_is_not_retired(service: Service, make: Make, kid: str) -> None:
    make()
    with pytest.raises(NotFound):
        retire(service, kid)
