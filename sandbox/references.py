"""Literal references: which of this server's resources one means, if any."""

import re

LOCAL = re.compile(r"([A-Z][A-Za-z]+)/([A-Za-z0-9.-]{1,64})(?:/_history/[A-Za-z0-9.-]{1,64})?")


def local(reference: str) -> str | None:
    """`Type/id` of a relative reference, whatever version it names; None for contained ones, urn: and other servers'."""
    found = LOCAL.fullmatch(reference)
    return f"{found[1]}/{found[2]}" if found else None


def relative(reference: str, base: str) -> str:
    """A reference to what is below our own base without that base, any other as it is."""
    return reference.removeprefix(f"{base}/")
