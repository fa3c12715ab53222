"""Deliveries over our API, for the integration engineer and the operator."""

from dataclasses import replace
from typing import Any

from sqlalchemy import Connection

from mappings.disclosure import Level
from service import attempts, operating
from service.api import envelope, given
from service.api.envelope import JSON, allow, kind_of
from service.errors import Conflict, Malformed, NotFound
from service.security.access import require_operator
from service.store import audit, deliveries, entities, levels, outbox
from service.store.deliveries import Delivery, Filter
from service.web import Answer, Call, whole
from service.wire import encode

CHOSEN = ("ehr", "state", "type", "patient", "reason", "olderThan")
STUCK = (outbox.PARKED, outbox.UNSUPPORTED)


def listed(call: Call) -> Answer:
    """GET /api/v1/deliveries?ehr=&state=&type=&patient=&reason=&olderThan=&before=&limit="""
    require_operator(call.who)
    wanted = dict(call.request.args.items())
    with call.service.database.reading() as connection:
        found = deliveries.listed(connection, _filter(call, connection, wanted))
        return given.page(call, [d.num for d in found], [_described(call, connection, d) for d in found])


def of_entity(call: Call) -> Answer:
    """GET /api/v1/{kind}/{id}/deliveries: did it arrive, and where?"""
    kind = kind_of(call)
    allow(call, kind, "r")
    with call.service.database.reading() as connection:
        stored = envelope.look_at(call, connection, entities.get(connection, kind.name, call.args["id"]), f"{kind.name} {call.args['id'][:64]}")
        found = deliveries.listed(connection, Filter(owner=stored.num, limit=call.service.settings.page_limit))
    newest: dict[tuple[str, bytes], Delivery] = {}
    for one in found:
        newest.setdefault((one.ehr, one.uuid), one)
    return Answer(200, encode({"items": [operating.described(d, words=True) for d in newest.values()]}), JSON)


def one(call: Call) -> Answer:
    """GET /api/v1/deliveries/{number}: with the log of its attempts"""
    require_operator(call.who)
    with call.service.database.reading() as connection:
        found = deliveries.one(connection, _number(call))
        if found is None:
            raise NotFound(f"There is no delivery {call.args['number'][:20]}")
        return Answer(200, encode(_described(call, connection, found)), JSON)


def attempt(call: Call) -> Answer:
    """GET /api/v1/deliveries/{number}/attempts/{attempt}: with the bodies of its calls, for who sees all of the patient"""
    require_operator(call.who)
    with call.service.database.reading() as connection:
        number, wanted = _number(call), whole(call.args["attempt"], 1, 2**31)
        found = deliveries.one(connection, number)
        if found is None or wanted is None or wanted > len(found.log):
            raise NotFound(f"There is no attempt {call.args['attempt'][:20]} of a delivery {number}")
        kept = found.log[wanted - 1]
        if not envelope.sees(call, connection, found.patient):
            return Answer(200, encode(attempts.described(wanted, kept, words=False)), JSON)
    call.patient, call.level = found.patient, int(Level.C3)
    return Answer(200, encode(attempts.with_bodies(call.service.tenant, number, wanted, kept)), JSON)


def replay(call: Call) -> Answer:
    """POST /api/v1/deliveries/{number}/replay: owed again, at its current content"""
    return _changed(call, "replay")


def cancel(call: Call) -> Answer:
    """POST /api/v1/deliveries/{number}/cancel"""
    return _changed(call, "cancel")


def _changed(call: Call, action: str) -> Answer:
    require_operator(call.who)
    number = _number(call)

    def work(tx: Connection) -> dict[str, Any]:
        done = (deliveries.replay if action == "replay" else deliveries.cancel)(tx, [number], call.now)
        found = deliveries.one(tx, number)
        if found is None:
            raise NotFound(f"There is no delivery {number}")
        if not done:
            states = "parked, unsupported or cancelled" if action == "replay" else "waiting, parked or unsupported"
            raise Conflict(f"Delivery {number} is {found.state}; what can be done this with is {states}")
        audit.record(tx, [call.event(f"{action} delivery", 200)])
        return _described(call, tx, found)

    found = call.service.database.write(work)
    call.audited = True
    return Answer(200, encode(found), JSON)


def replay_all(call: Call) -> Answer:
    """POST /api/v1/deliveries/replay?ehr=&state=&type=&patient=&reason=&olderThan=&limit="""
    return _changed_all(call, "replay")


def cancel_all(call: Call) -> Answer:
    """POST /api/v1/deliveries/cancel?ehr=&state=&type=&patient=&reason=&olderThan=&limit="""
    return _changed_all(call, "cancel")


def _changed_all(call: Call, action: str) -> Answer:
    """Replays or cancels what is chosen: of what is parked or unsupported, if no state is given. So many at a time."""
    require_operator(call.who)
    asked = dict(call.request.args.items())
    if not set(asked) & set(CHOSEN):
        raise Malformed("The query cannot be carried out", [(CHOSEN[0], f"is needed, or another of {', '.join(CHOSEN[1:])}")])
    if "before" in asked:
        raise Malformed("The query cannot be carried out", [("before", "is not offered here")])
    with call.service.database.reading() as connection:
        wanted = _filter(call, connection, {"limit": str(call.service.settings.page_limit), **asked})
        found = deliveries.listed(connection, replace(wanted, states=wanted.states or STUCK))

    def work(tx: Connection) -> list[int]:
        done = (deliveries.replay if action == "replay" else deliveries.cancel)(tx, [one.num for one in found], call.now)
        call.detail = f"{len(done)} deliveries"
        audit.record(tx, [call.event(f"{action} deliveries", 200)])
        return done

    done = call.service.database.write(work)
    call.audited = True
    return Answer(200, encode({"numbers": sorted(done), "more": len(found) == wanted.limit}), JSON)


def _filter(call: Call, connection: Connection, asked: dict[str, str]) -> Filter:
    problems = given.problems(call, asked, CHOSEN)
    states, wrong = given.states(asked, outbox.STATES)
    problems += wrong
    owed_before = None
    if "olderThan" in asked:
        age = operating.age(asked["olderThan"])
        owed_before = call.now - (age or 0)
        problems += [("olderThan", "should be a number and s, m, h or d, such as 10m")] if age is None else []
    if "reason" in asked and call.who.level < Level.C3:
        problems.append(("reason", "is for a client of level C3, who may read what is looked for here"))
    if problems:
        raise Malformed("The query cannot be carried out", problems)
    patient = envelope.patient(call, connection, asked.get("patient"))
    before, limit = given.place(call, asked)
    withheld = levels.below(call.who.reader, int(Level.C3), call.now) if "reason" in asked else None
    return Filter(asked.get("ehr"), states, asked.get("type"), patient, None, asked.get("reason"), before, limit, withheld, owed_before)


def _number(call: Call) -> int:
    found = whole(call.args["number"], 0, 2**53)
    if found is None:
        raise NotFound(f"There is no delivery {call.args['number'][:20]}")
    return found


def _described(call: Call, connection: Connection, found: Delivery) -> dict[str, Any]:
    """A delivery, with the EHR's own words for who sees all of the patient: they may repeat what was sent."""
    return operating.described(found, words=envelope.sees(call, connection, found.patient))
