"""Secrets at rest: encrypted, and bound to what they belong to, so that one cannot be put in the place of another."""

import base64

from cryptography.fernet import Fernet as Cipher
from cryptography.fernet import InvalidToken, MultiFernet

from service.tenant import Tenant, derived


class NotOurs(ValueError):
    """A sealed secret that this deployment's key does not open, or that belongs to something else."""


def _ciphers(tenant: Tenant) -> MultiFernet:
    return MultiFernet([Cipher(base64.urlsafe_b64encode(derived(tenant.secret, "secrets at rest")))])


def seal(tenant: Tenant, secret: str, belongs_to: str) -> str:
    return _ciphers(tenant).encrypt(f"{belongs_to}\0{secret}".encode()).decode()


def open_sealed(tenant: Tenant, sealed: str, belongs_to: str) -> str:
    try:
        owner, _, secret = _ciphers(tenant).decrypt(sealed.encode()).decode().partition("\0")
    except InvalidToken:
        raise NotOurs("The secret cannot be opened with this deployment's key") from None
    if owner != belongs_to:
        raise NotOurs("The secret belongs to something else")
    return secret
