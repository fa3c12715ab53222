"""Links to further pages: sealed, so that nobody reads or makes one, and good for the state of the data that the first page saw."""

from dataclasses import dataclass
from hashlib import sha256

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESSIV

from service.errors import Unsearchable
from service.tenant import Tenant, derived
from service.wire import encode, read


@dataclass(frozen=True)
class Place:
    """Where a page begins: the commit that all pages show, and the (value, resource) after which it goes on."""

    seq: int
    value: int
    resource: int
    made_at: int


def seal(tenant: Tenant, place: Place, query: str) -> str:
    """The token of a place within one query. Equal places have equal tokens, which tells no more than the place does."""
    said = encode([place.seq, place.value, place.resource, place.made_at])
    return _cipher(tenant).encrypt(said, [_fingerprint(query)]).hex()


def unseal(tenant: Tenant, token: str, query: str, *, not_before: int) -> Place:
    """Raises Unsearchable for a token of another query, one that was tampered with, and one that is too old."""
    try:
        said = read(_cipher(tenant).decrypt(bytes.fromhex(token), [_fingerprint(query)]))
    except (InvalidTag, ValueError):
        raise Unsearchable("_page: is no link of this search") from None
    place = Place(*said)
    if place.made_at < not_before:
        raise Unsearchable("_page: is too old; search again from the first page")
    return place


def _cipher(tenant: Tenant) -> AESSIV:
    return AESSIV(derived(tenant.secret, "page links") + derived(tenant.secret, "page links, second half"))


def _fingerprint(query: str) -> bytes:
    return sha256(query.encode()).digest()
