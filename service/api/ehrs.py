"""EHRs over our API: how they fare, what comes in from them, and what they are told to do."""

from collections.abc import Callable, Mapping
from typing import Any

from sqlalchemy import Connection

from mappings.search import PARAMETERS
from service import operating, registering
from service.api import envelope, given
from service.api.envelope import JSON, MERGE_PATCH
from service.errors import Malformed, NotFound
from service.security.access import require_operator
from service.store import audit, entities
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


def change(call: Call) -> Answer:
    """PATCH /api/v1/ehrs/{name}: a JSON merge patch of what it is sent; how it lets us in is changed on the command line alone"""
    require_operator(call.who)
    told = given.body(call, registering.PATCHED, registering.wrong_patch, MERGE_PATCH)
    tenant, name = call.service.tenant, call.args["name"]

    def work(tx: Connection) -> None:
        before = operating.there(tx, name)
        registering.change(tenant, tx, before, registering.patched(registering.opened(tenant, before), told), call.now)

    _done(call, "change ehr", work, ", ".join(sorted(told)))
    return Answer(200, encode(_ehr(call)), JSON)


def remove(call: Call) -> Answer:
    """DELETE /api/v1/ehrs/{name}: it is sent and asked nothing more"""
    require_operator(call.who)
    given_up = list[int]()
    _done(call, "remove ehr", lambda tx: given_up.append(registering.remove(tx, call.args["name"], call.now)))
    return Answer(200, encode({"ehr": call.args["name"], "givenUp": given_up[-1]}), JSON)


def pause(call: Call) -> Answer:
    """POST /api/v1/ehrs/{name}/pause"""
    return _paused(call, paused=True)


def resume(call: Call) -> Answer:
    """POST /api/v1/ehrs/{name}/resume"""
    return _paused(call, paused=False)


def catch_up(call: Call) -> Answer:
    """POST /api/v1/ehrs/{name}/catch-up: a worker looks through everything again for what it lacks"""
    require_operator(call.who)
    _done(call, "catch up ehr", lambda tx: operating.catch_up(tx, call.args["name"]))
    return Answer(200, encode(_ehr(call)), JSON)


def _paused(call: Call, *, paused: bool) -> Answer:
    require_operator(call.who)
    _done(call, "pause ehr" if paused else "resume ehr", lambda tx: operating.pause(tx, call.args["name"], paused=paused))
    return Answer(200, encode(_ehr(call)), JSON)


def _ehr(call: Call) -> dict[str, Any]:
    with call.service.database.reading() as connection:
        return operating.one_ehr(connection, call.args["name"], call.now)


def pulls(call: Call) -> Answer:
    """GET /api/v1/ehrs/{name}/pulls: how far each has come, and why one does not go on"""
    require_operator(call.who)
    return _pulls(call)


def set_pulls(call: Call) -> Answer:
    """PUT /api/v1/ehrs/{name}/pulls: changes of these types come in, so often, and of no others"""
    require_operator(call.who)
    wanted = given.body(call, ("types", "every"), lambda body: operating.wrong_pulls(body.get("types"), _every(body)))
    types, every = wanted["types"], _every(wanted)
    said = f"{','.join(types)} every {every} s"
    _done(call, "set pulls", lambda tx: operating.set_pulls(tx, call.args["name"], types, every, call.now), said)
    return _pulls(call)


def pull_now(call: Call) -> Answer:
    """POST /api/v1/ehrs/{name}/pulls/now?type=: made due, so that a worker does it next"""
    require_operator(call.who)
    asked = dict(call.request.args.items())
    types = asked["type"].split(",") if "type" in asked else []
    problems = given.unoffered(asked, ("type",))
    problems += [("type", f"{one[:64]} is no type that is ever sent") for one in types if one not in PARAMETERS]
    if problems:
        raise Malformed("The query cannot be carried out", problems)
    _done(call, "pull now", lambda tx: operating.pull_now(tx, call.args["name"], types, call.now))
    return _pulls(call)


def _every(body: Mapping[str, Any]) -> Any:
    return body.get("every", operating.EVERY)


def _pulls(call: Call) -> Answer:
    with call.service.database.reading() as connection:
        return Answer(200, encode({"items": operating.pulls(connection, call.args["name"])}), JSON)


def link(call: Call) -> Answer:
    """PUT /api/v1/ehrs/{name}/links/{type}/{id}: a person or place of ours is one that the EHR has already"""
    require_operator(call.who)
    told = given.body(call, ("remoteId", "samePerson"), _wrong_link)
    remote_id, same_person = told["remoteId"], bool(told.get("samePerson"))
    name, type_, key = (call.args[one] for one in ("name", "type", "id"))

    if type_ not in operating.LINKED:
        raise NotFound(f"{type_[:64]} is not linked; {', '.join(operating.LINKED)} are")

    def work(tx: Connection) -> None:
        kind, _ = operating.LINKED[type_]
        envelope.look_at(call, tx, entities.get(tx, kind, key), f"{kind} {key[:64]}")
        operating.link(call.service.tenant, tx, name, f"{type_}/{key}", remote_id, same_person=same_person)

    _done(call, "link", work, f"{type_}/{key} is {remote_id}")
    return Answer(200, encode({"ehr": name, "type": type_, "id": key, "remoteId": remote_id}), JSON)


def _wrong_link(body: Mapping[str, Any]) -> given.Problems:
    same = body.get("samePerson", False)
    return [*operating.wrong_link(body.get("remoteId")), *([] if isinstance(same, bool) else [("/samePerson", "should be true or false")])]


def _done(call: Call, action: str, work: Callable[[Connection], None], detail: str = "") -> None:
    """Does it, and says so in the audit trail, in one transaction."""
    call.detail = detail[:500]

    def run(tx: Connection) -> None:
        work(tx)
        audit.record(tx, [call.event(action, 200)])

    call.service.database.write(run)
    call.audited = True
