"""EHRs over our API: how they fare, and what they are told to do."""

from typing import Any

from sqlalchemy import Connection

from service import operating
from service.api.envelope import JSON
from service.security.access import require_operator
from service.store import audit
from service.web import Answer, Call
from service.wire import encode


def listed(call: Call) -> Answer:
    """GET /api/v1/ehrs"""
    require_operator(call.who)
    with call.service.database.reading() as connection:
        return Answer(200, encode({"items": operating.ehrs(connection, call.now)}), JSON)


def one(call: Call) -> Answer:
    """GET /api/v1/ehrs/{name}"""
    require_operator(call.who)
    return Answer(200, encode(_ehr(call)), JSON)


def reconciliation(call: Call) -> Answer:
    """GET /api/v1/ehrs/{name}/reconciliation: what the last one found, in figures"""
    require_operator(call.who)
    with call.service.database.reading() as connection:
        found = operating.reconciliation(connection, call.args["name"])
    return Answer(200, encode(found), JSON)


def pause(call: Call) -> Answer:
    """POST /api/v1/ehrs/{name}/pause"""
    return _paused(call, paused=True)


def resume(call: Call) -> Answer:
    """POST /api/v1/ehrs/{name}/resume"""
    return _paused(call, paused=False)


def _paused(call: Call, *, paused: bool) -> Answer:
    require_operator(call.who)

    def work(tx: Connection) -> None:
        operating.pause(tx, call.args["name"], paused=paused)
        audit.record(tx, [call.event("pause ehr" if paused else "resume ehr", 200)])

    call.service.database.write(work)
    call.audited = True
    return Answer(200, encode(_ehr(call)), JSON)


def _ehr(call: Call) -> dict[str, Any]:
    with call.service.database.reading() as connection:
        return operating.one_ehr(connection, call.args["name"], call.now)
