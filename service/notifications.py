"""Notifications of the Subscriptions that an EHR keeps for us, read as hints (Subscriptions R5 Backport 1.1; FHIR R4 rest-hook).

Whatever a notification says of a resource is not taken from it: the pull of its type is made due, and reads what is there. So
one that comes twice, late, out of order or empty does no harm, and what one that never came would have told is found by the next pull.
"""

import hmac
import re
from hashlib import sha256
from typing import Any

from service.errors import NotAuthenticated, Unprocessable, WrongMediaType
from service.store import cursors, targets
from service.sync.outcomes import objects
from service.tenant import Tenant, derived
from service.web import Answer, Call
from service.wire import decode

PATH, HEADER = "/notifications", "X-Notification-Token"
LONGEST = 1_000_000
REFERENCE = re.compile(r"(?:.*/)?([A-Z][A-Za-z]{2,63})/[A-Za-z0-9.-]{1,64}(?:/_history/.*)?")
FHIR = ("application/fhir+json", "application/json")


def token(tenant: Tenant, name: str) -> str:
    """What an EHR says who it is with: the Subscription's `channel.header` is `X-Notification-Token:` and this. It follows from our secret."""
    return hmac.new(derived(tenant.secret, "notifications"), name.encode(), sha256).hexdigest()


def heard(call: Call) -> Answer:
    """POST /notifications/{ehr}: what it tells of is pulled next"""
    service, name = call.service, call.args["name"]
    with service.database.glance() as connection:
        target = targets.get(connection, name)
    given = call.header(HEADER) or ""
    if not hmac.compare_digest(given.encode(), token(service.tenant, name).encode()) or target is None:
        raise NotAuthenticated("No EHR says who it is with this token")
    types = told(_bundle(call))
    if types is not None:
        service.database.write(lambda tx: cursors.make_due(tx, name, types, call.now))
    return Answer(200, b"{}")


def _bundle(call: Call) -> Any:
    """The notification, None where it is empty (rest-hook without a payload). Raises what a wrong body raises."""
    body = call.body(LONGEST)
    if not body:
        return None
    if (call.request.mimetype or "").lower() not in FHIR:
        raise WrongMediaType(f"A notification is {' or '.join(FHIR)}")
    return decode(body)


def told(bundle: Any) -> set[str] | None:
    """The types that a notification tells of; none for all that are pulled. None where it only shows that the connection stands.

    Raises Unprocessable where it is no notification.
    """
    if bundle is None:
        return set()
    if not isinstance(bundle, dict) or not isinstance(bundle.get("resourceType"), str):
        raise Unprocessable("A notification is a Bundle, or the resource itself", [("", "should be a FHIR resource")])
    if bundle["resourceType"] != "Bundle":
        return {bundle["resourceType"]}  # R4 rest-hook with the resource itself
    entries = [one.get("resource") for one in objects(bundle.get("entry"))]
    statuses = [status for status in (_status(one) for one in entries) if status is not None]
    if statuses and all(status.get("type") in ("handshake", "heartbeat") for status in statuses):
        return None
    named = [focus for status in statuses for focus in status["focus"]]
    for one in objects(bundle.get("entry")):
        named += [str(one.get("fullUrl")), *(str(asked.get("url")) for asked in objects([one.get("request")]))]
    return {match[1] for match in map(REFERENCE.fullmatch, named) if match} - {"SubscriptionStatus", "Parameters", "Subscription"}


def _status(resource: Any) -> dict[str, Any] | None:
    """(type, focus) of a SubscriptionStatus, or of the Parameters that stand for one in R4."""
    if not isinstance(resource, dict):
        return None
    if resource.get("resourceType") == "SubscriptionStatus":
        events = objects(resource.get("notificationEvent"))
        return {"type": resource.get("type"), "focus": [_reference(one.get("focus")) for one in events]}
    if resource.get("resourceType") != "Parameters":
        return None
    said: dict[str, Any] = {"type": None, "focus": []}
    for one in objects(resource.get("parameter")):
        if one.get("name") == "type":
            said["type"] = one.get("valueCode")
        elif one.get("name") == "notification-event":
            said["focus"] += [_reference(part.get("valueReference")) for part in objects(one.get("part")) if part.get("name") == "focus"]
    return said


def _reference(found: Any) -> str:
    return str(found.get("reference", "")) if isinstance(found, dict) else ""
