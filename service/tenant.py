"""The clinic for which the service runs: its secrets, its thresholds and its clock, in one place and handed to whoever needs them."""

import hmac
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from hashlib import sha256
from uuid import UUID

from mappings.ids import Ids, Key
from mappings.rules import Thresholds
from service.store.clock import Now, system_now
from service.store.index import Parameters


def derived(secret: bytes, purpose: str) -> bytes:
    """A key of 32 bytes for one purpose, from the one secret that an operator keeps."""
    return hmac.new(secret, purpose.encode(), sha256).digest()


@dataclass(frozen=True)
class Tenant:
    secret: bytes = field(repr=False)
    parameters: Parameters = field(repr=False)
    thresholds: Thresholds = field(default_factory=Thresholds)
    now: Now = system_now
    restores: int = 0

    @cached_property
    def namespace(self) -> UUID:
        return UUID(bytes=derived(self.secret, "resource ids")[:16])

    def ids(self, known: Iterable[tuple[str, Key]] = ()) -> Ids:
        return Ids(self.namespace, dict(known))

    @cached_property
    def _versions(self) -> bytes:
        return derived(self.secret, f"versions after {self.restores} restores")

    def version_token(self, uuid: bytes, before: str, digest: bytes) -> str:
        """A version that follows from what a view saw before and sees now, and tells nothing else: not how many there were."""
        said = uuid + before.encode() + b"\0" + digest
        return hmac.new(self._versions, said, sha256).hexdigest()[:20]
