"""Links to further pages: sealed, so that nobody reads or makes one, and good for the state of the data that the first page saw."""

import struct
from dataclasses import astuple, dataclass
from hashlib import sha256

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESSIV

from service.errors import Unsearchable
from service.tenant import Tenant, derived

PLACE = struct.Struct(">4q")  # of one length, for a longer token would tell of how much there is that its reader does not see


@dataclass(frozen=True)
class Place:
    """Where a page begins: the commit that all pages show, and the (value, resource) after which it goes on."""

    seq: int
    value: int
    resource: int
    made_at: int


def seal(tenant: Tenant, place: Place, query: str) -> str:
    """The token of a place within one query. Equal places have equal tokens, and `made_at` is of one request: two tell nothing together."""
    return _cipher(tenant).encrypt(PLACE.pack(*astuple(place)), [_fingerprint(tenant, query)]).hex()


def unseal(tenant: Tenant, token: str, query: str, *, not_before: int) -> Place:
    """Raises Unsearchable for a token of another query, or of before a restore, one that was tampered with, and one that is too old."""
    try:
        said = PLACE.unpack(_cipher(tenant).decrypt(bytes.fromhex(token), [_fingerprint(tenant, query)]))
    except (InvalidTag, ValueError, struct.error):
        raise Unsearchable("_page: is no link of this search") from None
    place = Place(*said)
    if place.made_at < not_before:
        raise Unsearchable("_page: is too old; search again from the first page")
    return place


def _cipher(tenant: Tenant) -> AESSIV:
    return AESSIV(derived(tenant.secret, "page links") + derived(tenant.secret, "page links, second half"))


def _fingerprint(tenant: Tenant, query: str) -> bytes:
    """Of a query, in the data as it is since a backup was last restored: commits of before are others' now."""
    restores = tenant.restores.to_bytes((tenant.restores.bit_length() + 7) // 8)
    return sha256(query.encode() + restores).digest()
