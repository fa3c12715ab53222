"""What an EHR's Subscription tells of is pulled at once, and nothing that it says is taken for true."""

from collections.abc import Callable
from typing import Any

import pytest
import requests

from service import notifications, operating
from service.store import cursors
from service.store.clock import micros
from service.wiring import Service
from tests.conftest import Clock, Http, Reply
from tests.service.test_accepting import plan
from tests.sync.conftest import Sandbox, all_there, sandbox, synced, work

__all__ = ["all_there", "sandbox", "synced", "work"]
Json = dict[str, Any]
DAY = 86_400


@pytest.fixture
def pulled(service: Service, synced: Http, work: Callable[[], int]) -> Http:
    """The example pathway, held by an EHR from which care plans and goals are pulled once a day, and just were."""
    service.database.write(lambda tx: operating.set_pulls(tx, "one", ["CarePlan", "Goal"], DAY, micros(service.tenant.now())))
    work()
    assert due(service) == set()
    return synced


def due(service: Service) -> set[str]:
    with service.database.glance() as connection:
        return {one.type for one in cursors.of(connection, "one") if one.next_at <= micros(service.tenant.now())}


def tell(web: Any, service: Service, body: Any, *, name: str = "one", token: str | None = None, **headers: str) -> Reply:
    said = notifications.token(service.tenant, "one") if token is None else token
    given = {"Content-Type": "application/fhir+json", notifications.HEADER: said, **headers}
    return Http(web, None)("POST", f"/notifications/{name}", body, **given)


def r4(type_: str, *focus: str) -> Json:
    events = [{"name": "notification-event", "part": [{"name": "event-number", "valueString": "1"}, {"name": "focus", "valueReference": {"reference": one}}]} for one in focus]
    status = {"resourceType": "Parameters", "parameter": [{"name": "type", "valueCode": type_}, *events]}
    return {"resourceType": "Bundle", "type": "history", "entry": [{"fullUrl": "urn:uuid:b21e4fae-ce73-45cb-8e37-1e203362b2ae", "resource": status}]}


def r5(type_: str, *focus: str) -> Json:
    status = {"resourceType": "SubscriptionStatus", "type": type_, "notificationEvent": [{"eventNumber": "1", "focus": {"reference": one}} for one in focus]}
    return {"resourceType": "Bundle", "type": "subscription-notification", "entry": [{"resource": status}]}


@pytest.mark.parametrize("body", [
    r4("event-notification", "https://ehr.example/fhir/r4/CarePlan/1"), r5("event-notification", "CarePlan/1/_history/2"), r5("event-notification", "CarePlan/1", "CarePlan/1"),
    {"resourceType": "CarePlan", "id": "1", "status": "revoked"},
    {"resourceType": "Bundle", "entry": [{"fullUrl": "https://ehr.example/fhir/r4/CarePlan/1"}, {"request": {"url": "CarePlan/1"}}]},
], ids=["R4", "R5", "twice", "the resource itself", "by its address"])  # fmt: skip
def test_what_is_told_of_is_pulled_next_and_nothing_else(web: Any, pulled: Http, service: Service, body: Json) -> None:
    """B4, B6."""
    assert tell(web, service, body).status == 200
    assert due(service) == {"CarePlan"}


@pytest.mark.parametrize("body", [None, r5("event-notification"), r4("event-notification"), {"resourceType": "Bundle"}])
def test_what_tells_of_nothing_in_particular_may_be_of_everything(web: Any, pulled: Http, service: Service, body: Json | None) -> None:
    """B1: whatever was missed is found by the pull, which asks for all that changed since the last one."""
    assert tell(web, service, body).status == 200
    assert due(service) == {"CarePlan", "Goal"}


@pytest.mark.parametrize("body", [r4("handshake"), r4("heartbeat"), r5("handshake"), r5("heartbeat")])
def test_a_handshake_and_a_heartbeat_are_answered_and_nothing_is_pulled_for_them(web: Any, pulled: Http, service: Service, body: Json) -> None:
    """B3."""
    assert tell(web, service, body).status == 200
    assert due(service) == set()


def test_what_changed_there_is_here_as_soon_as_a_worker_looks(
    web: Any, pulled: Http, service: Service, sandbox: Sandbox, work: Callable[[], int], clock: Clock
) -> None:
    """B7: what was answered is kept; B6: what the notification itself says is not believed."""
    there = sandbox.all("plain", "CarePlan")[0]
    url = f"{sandbox.url('plain')}/CarePlan/{there['id']}"
    assert requests.put(url, json={**there, "status": "on-hold"}, timeout=10).status_code == 200
    assert tell(web, service, {**there, "status": "revoked", "title": "Another one"}).status == 200
    work()
    here = plan(pulled)[1]
    assert here["status"] == "on-hold" and here.get("title") == there.get("title")
    assert due(service) == set()


@pytest.mark.parametrize(("name", "token"), [("one", "wrong"), ("one", ""), ("nowhere", None), ("two", None), ("one\udcff", "wrong")])
def test_who_does_not_say_who_it_is_is_not_heard(web: Any, pulled: Http, service: Service, name: str, token: str | None) -> None:
    assert tell(web, service, r5("event-notification", "CarePlan/1"), name=name.encode("utf-8", "replace").decode(), token=token).status == 401
    assert due(service) == set()


@pytest.mark.parametrize(("body", "status"), [([], 422), ("CarePlan", 422), (3, 422), ({}, 422), ({"resourceType": 3}, 422), (b"{", 400), (b"\xff", 400)])
def test_what_is_no_notification_is_refused(web: Any, pulled: Http, service: Service, body: Any, status: int) -> None:
    assert tell(web, service, body).status == status
    assert due(service) == set()


@pytest.mark.parametrize("inner", [None, 3, [], [None], [{"resource": []}], [{"resource": {"resourceType": "Parameters", "parameter": {}}}], [{"request": 3}]])
def test_whatever_shape_it_has_it_breaks_nothing(web: Any, pulled: Http, service: Service, inner: Any) -> None:
    assert tell(web, service, {"resourceType": "Bundle", "entry": inner}).status == 200


def test_a_notification_of_another_media_type_is_refused(web: Any, pulled: Http, service: Service) -> None:
    assert tell(web, service, r5("heartbeat"), **{"Content-Type": "text/plain"}).status == 415
