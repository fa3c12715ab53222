"""Who is let in: whoever has the persona's static token, or one that its token endpoint issued, where it asks for one at all."""

import hmac

from sandbox.ehr import Ehr
from sandbox.outcome import Issue, Refused
from sandbox.scopes import permits
from sandbox.wire import Request


def admit(ehr: Ehr, request: Request) -> None:
    """Notes what the bearer may do. Raises Refused (401)."""
    if ehr.token is None and not ehr.smart.on:
        return
    scheme, _, given = (request.header("Authorization") or "").partition(" ")
    given = given.strip() if scheme.lower() == "bearer" else ""
    if ehr.token is not None and hmac.compare_digest(given.encode(), ehr.token.encode()):
        return
    grant = ehr.smart.grant(given)
    if grant is None:
        told = 'Bearer realm="sandbox"' + (', error="invalid_token"' if given else "")
        raise Refused(401, Issue("login", "a bearer token is needed"), headers={"WWW-Authenticate": told})
    request.scopes = grant.scopes


def permit(request: Request, kind: str | None, interaction: str) -> None:
    """Raises Refused (403) where the bearer's scopes do not let this be done."""
    if request.scopes is None or permits(request.scopes, kind, interaction):
        return
    issue = Issue("forbidden", f"the scopes of the token do not have {interaction} of {kind or 'everything'}")
    raise Refused(403, issue, headers={"WWW-Authenticate": 'Bearer realm="sandbox", error="insufficient_scope"'})
