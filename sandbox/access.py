"""Who is let in: whoever has the persona's static token, where it has one.

SMART Backend Services (a token endpoint with private_key_jwt, tokens that end, E5 and E6) come here: then `admit` asks what was issued.
"""

import hmac

from sandbox.outcome import Issue, Refused
from sandbox.wire import Request


def admit(request: Request, token: str | None, parts: list[str]) -> None:
    """Raises Refused (401). `metadata` is for everyone: without it nobody could find out how to be let in."""
    if token is None or parts == ["metadata"]:
        return
    scheme, _, given = (request.header("Authorization") or "").partition(" ")
    if scheme.lower() != "bearer" or not hmac.compare_digest(given.strip().encode(), token.encode()):
        told = 'Bearer realm="sandbox"' + (', error="invalid_token"' if given else "")
        raise Refused(401, Issue("login", "a bearer token is needed"), headers={"WWW-Authenticate": told})
