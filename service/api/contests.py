"""Conflicts over our API: what both we and an EHR changed, shown side by side to who sees all of the patient, and settled by them."""

from typing import Any

from sqlalchemy import Connection

from mappings.disclosure import Level
from service import contending
from service.api import envelope, given
from service.api.envelope import JSON
from service.errors import Malformed, NotAllowed, NotFound
from service.exchange import Act
from service.security.access import require_operator
from service.store import audit, conflicts
from service.store.conflicts import Conflict, Filter
from service.web import Answer, Call, whole
from service.wire import encode

CHOSEN = ("ehr", "state", "type", "patient")


def listed(call: Call) -> Answer:
    """GET /api/v1/conflicts?ehr=&state=&type=&patient=&before=&limit=: which elements they are about; what both sides say is in each alone"""
    require_operator(call.who)
    asked = dict(call.request.args.items())
    states, wrong = given.states(asked, conflicts.STATES)
    if problems := [*given.problems(call, asked, CHOSEN), *wrong]:
        raise Malformed("The query cannot be carried out", problems)
    with call.service.database.reading() as connection:
        patient = envelope.patient(call, connection, asked.get("patient"))
        found = conflicts.listed(connection, Filter(asked.get("ehr"), states, asked.get("type"), patient, *given.place(call, asked)))
    return given.page(call, [one.num for one in found], [contending.described(one, words=False) for one in found])


def one(call: Call) -> Answer:
    """GET /api/v1/conflicts/{number}: with what both last agreed on, ours and theirs, for who sees all of the patient"""
    require_operator(call.who)
    with call.service.database.reading() as connection:
        found = _found(call, connection)
        words = envelope.sees(call, connection, found.patient)
    if words:
        call.patient, call.level = found.patient, int(Level.C3)
    return Answer(200, encode(contending.described(found, words=words)), JSON)


def settle(call: Call) -> Answer:
    """POST /api/v1/conflicts/{number}/settle: by who sees both sides, since theirs is taken into the record"""
    require_operator(call.who)
    keep = given.body(call, ("keep",), lambda body: contending.wrong_choice(body.get("keep")))["keep"]

    def work(tx: Connection) -> dict[str, Any]:
        found = _found(call, tx)
        if not envelope.sees(call, tx, found.patient):
            raise NotAllowed("A conflict is settled by a client of level C3 who sees both sides of it")
        problems = contending.settle(Act(call.service.tenant, tx, call.who.client), found.num, keep, call.now)
        call.patient, call.level, call.detail = found.patient, int(Level.C3), f"{keep} is kept"
        audit.record(tx, [call.event("settle conflict", 200)])
        return contending.described(_found(call, tx), words=True) | {"notTaken": contending.pathed(found, problems)}

    done = call.service.database.write(work)
    call.audited = True
    return Answer(200, encode(done), JSON)


def _found(call: Call, connection: Connection) -> Conflict:
    number = whole(call.args["number"], 0, given.MOST_NUMBERED)
    found = conflicts.one(connection, number) if number is not None else None
    if found is None:
        raise NotFound(f"There is no conflict {call.args['number'][:20]}")
    return found
