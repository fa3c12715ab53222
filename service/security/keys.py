"""Our own keys (SMART Backend Services, App Launch 2.0, section 4): an EHR has the public parts, and we sign who we are with the private ones.

An EHR may keep our key set for a while, so a new key is published before it signs, and an old one until it is retired:

    generate    published at once, signs at once               the first, or one in the place of a key that is known to others
    rotate      published at once, signs after an overlap      the one before it signs until then, and stays published
    retire      neither published nor of any use from now on
"""

import json
from typing import Any

from joserfc.jwk import ECKey, RSAKey
from sqlalchemy import Connection

from service.errors import Conflict, NotFound
from service.security.secrets import open_sealed, seal
from service.store import signing_keys, targets
from service.store.signing_keys import SigningKey
from service.store.targets import Target
from service.tenant import Tenant

ALGORITHMS = ("RS384", "ES384")
RSA_BITS = 3072
PUBLISHED_FOR = 300  # seconds that our key set may be kept


def made(tenant: Tenant, alg: str, target: str | None, now: int, *, overlap: int = 0) -> SigningKey:
    """A new key, which signs after `overlap` microseconds. An RSA key takes a while: make it before a transaction, not in one."""
    key = RSAKey.generate_key(RSA_BITS) if alg == "RS384" else ECKey.generate_key("P-384")
    kid = f"{alg}-{key.thumbprint()}"
    public = {**key.as_dict(private=False), "kid": kid, "alg": alg, "use": "sig"}
    return SigningKey(kid, alg, target, public, seal(tenant, json.dumps(key.as_dict(private=True)), _owner(kid)), now, now + overlap)


def key_set(connection: Connection) -> dict[str, Any]:
    """The public parts of all that are published, a JWK Set."""
    return {"keys": [one.public for one in signing_keys.published(connection)]}


def opened(tenant: Tenant, found: SigningKey) -> RSAKey | ECKey:
    """A key that signs."""
    said = json.loads(open_sealed(tenant, found.private, _owner(found.kid)))
    return RSAKey.import_key(said) if found.alg == "RS384" else ECKey.import_key(said)


def algorithms(connection: Connection, target: str | None) -> list[str]:
    """The algorithms for which there are keys of a target's own, or of all targets'."""
    return sorted({one.alg for one in signing_keys.published(connection) if one.target == target})


def retire(tx: Connection, kid: str, now: int) -> SigningKey:
    """Ends a key, given by its id or the beginning of it. Raises NotFound and Conflict."""
    found = [one for one in signing_keys.published(tx) if kid and one.kid.startswith(kid)]
    if len(found) != 1:
        raise NotFound(f"There is no key {kid[:60]}, or it was retired before") if not found else Conflict(f"Several keys begin with {kid[:60]}")
    left = [target.id for target in targets.all_targets(tx) if _signs_for(tx, found[0], target, now)]
    if left:
        raise Conflict(f"Nothing else could sign for {', '.join(left)} yet: generate a key first, or wait until the newer one signs")
    signing_keys.retire(tx, found[0].kid, now)
    return found[0]


def _signs_for(tx: Connection, key: SigningKey, target: Target, now: int) -> bool:
    """Whether a target relies on a key alone."""
    alg = (target.settings.get("auth") or {}).get("alg")
    if alg != key.alg or key.target not in (None, target.id):
        return False
    return signing_keys.signing(tx, alg, target.id, now, without=key.kid) is None


def _owner(kid: str) -> str:
    return f"signing key {kid}"
