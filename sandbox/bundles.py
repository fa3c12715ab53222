"""Transaction and batch: several interactions in one request (R4 http.html, "batch/transaction").

Entries are requests of their own, answered as if they had come alone. A transaction carries out all of them or none, deletes first,
then creates, updates and reads; its entries refer to what others of them create by `fullUrl`, and to what is there by a search.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from copy import deepcopy
from dataclasses import dataclass, replace
from urllib.parse import unquote

from sandbox import fhir_json
from sandbox.checks import resource_in
from sandbox.ehr import Ehr, Together
from sandbox.elements import Fhir, Walk
from sandbox.interactions import read_condition
from sandbox.outcome import Issue, Refused, outcome
from sandbox.personas.persona import BATCH, TRANSACTION
from sandbox.references import local
from sandbox.wire import Answer, Request, answer, refusal

ORDER = ("DELETE", "POST", "PUT", "PATCH", "GET")
"""In which the entries of a transaction are carried out."""
CONDITIONS = {"ifNoneExist": "If-None-Exist", "ifMatch": "If-Match"}
Respond = Callable[[Ehr, Request, list[str]], Answer]


@dataclass(frozen=True)
class Step:
    """One entry that can be carried out."""

    number: int
    method: str
    parts: list[str]
    query: str
    headers: Mapping[str, str]
    resource: Fhir | None
    full_url: str | None
    name: str | None
    """`Type/id` of what it creates, once that is known, or of what it is about."""


def carry_out(ehr: Ehr, request: Request, respond: Respond) -> Answer:
    bundle, base = resource_in(request, "Bundle"), ehr.base(request)
    entries = bundle.get("entry", [])
    if not isinstance(entries, list):
        raise Refused(400, Issue("structure", "entry is an array", "Bundle.entry"))
    if bundle.get("type") not in {TRANSACTION, BATCH} & ehr.persona.system:
        raise Refused(400, Issue("invalid", f"a Bundle of type {bundle.get('type')} is nothing that this server carries out", "Bundle.type"))
    steps = [_step(number, entry, base) for number, entry in enumerate(entries)]
    told = (_batch if bundle["type"] == BATCH else _transaction)(ehr, request, respond, steps)
    return answer(200, {"resourceType": "Bundle", "type": f"{bundle['type']}-response", **({"entry": told} if told else {})})


def _step(number: int, entry: object, base: str) -> Step | Refused:
    """The entry as a step, or why it cannot be one."""
    path = f"Bundle.entry[{number}]"
    asked = entry.get("request") if isinstance(entry, dict) else None
    if not isinstance(entry, dict) or not isinstance(asked, dict) or not isinstance(asked.get("url"), str):
        return Refused(400, Issue("required", f"{path}.request with a method and a url is required", f"{path}.request"))
    method, resource, url = asked.get("method"), entry.get("resource"), asked["url"].removeprefix(base)
    if method not in ORDER:
        return Refused(400, Issue("value", f"{method} is no method of an entry", f"{path}.request.method"))
    if method in ("POST", "PUT", "PATCH") and not isinstance(resource, dict):
        return Refused(400, Issue("required", f"{path}.resource is required for {method}", f"{path}.resource"))
    way, _, query = url.strip("/").partition("?")
    headers = {header: str(asked[name]) for name, header in CONDITIONS.items() if name in asked}
    parts = [unquote(part) for part in way.split("/")] if way else []
    return Step(number, method, parts, query, headers, resource, entry.get("fullUrl"), None if method == "POST" else local(way))


def _batch(ehr: Ehr, request: Request, respond: Respond, steps: Iterable[Step | Refused]) -> list[Fhir]:
    return [_refused(step) if isinstance(step, Refused) else _carried_out_or_refused(ehr, request, respond, step) for step in steps]


def _carried_out_or_refused(ehr: Ehr, request: Request, respond: Respond, step: Step) -> Fhir:
    try:
        return _carried_out(ehr, request, respond, step)
    except Refused as reason:
        return _refused(reason)


def _refused(reason: Refused) -> Fhir:
    return {"response": {"status": refusal(reason).status_line, "outcome": outcome(reason.issues)}}


def _transaction(ehr: Ehr, request: Request, respond: Respond, read: list[Step | Refused]) -> list[Fhir]:
    """Raises Refused with everything that is wrong with any entry, by its path, and then nothing was done."""
    steps = [step for step in read if isinstance(step, Step)]
    failed: dict[int, Refused] = {number: step for number, step in enumerate(read) if isinstance(step, Refused)}
    _raise(failed)
    told: dict[int, Fhir] = {}
    with ehr.records.all_or_nothing():
        steps = _named(ehr, request, steps)
        coming = frozenset(step.name for step in steps if step.method == "POST" and step.name)
        together = replace(ehr, together=Together(coming, frozenset(step.name for step in steps if step.method == "DELETE" and step.name)))
        names = {step.full_url: step.name for step in steps if step.full_url and step.name}
        for step in sorted(steps, key=lambda step: ORDER.index(step.method)):
            try:
                told[step.number] = _carried_out(together, request, respond, _resolved(ehr, request, step, names))
            except Refused as reason:
                failed[step.number] = reason
        _raise(failed)
    return [told[step.number] for step in steps]


def _named(ehr: Ehr, request: Request, steps: list[Step]) -> list[Step]:
    """The steps with the `Type/id` of what each creates or finds. Raises Refused for several that are about one resource."""
    conditional: dict[tuple[str, str], str] = {}
    named = []
    for step in steps:
        if step.method == "POST" and len(step.parts) == 1 and step.parts[0] in ehr.persona.types:
            kind, condition = step.parts[0], step.headers.get("If-None-Exist")
            there = read_condition(ehr, kind, condition, ehr.base(request)).meant(ehr) if condition and ehr.persona.conditional_create else None
            name = there.name if there else f"{kind}/{ehr.persona.new_id()}"
            named.append(replace(step, name=conditional.setdefault((kind, condition), name) if condition else name))
        else:
            named.append(step)
    counted = Counter(step.name for step in named if step.name and step.method in ("PUT", "PATCH", "DELETE"))
    if several := [name for name, count in counted.items() if count > 1]:
        raise Refused(400, Issue("invalid", f"more than one entry is about {', '.join(several)}", "Bundle.entry"))
    return named


def _resolved(ehr: Ehr, request: Request, step: Step, names: Mapping[str, str]) -> Step:
    """The step with literal references in place of those that only this transaction knows. Raises Refused for what one cannot mean."""
    if step.resource is None:
        return step
    resource = deepcopy(step.resource)
    if step.method == "POST" and step.name is not None:
        resource["id"] = step.name.partition("/")[2]
    for path, element in Walk(resource).references:
        reference = element["reference"]
        kind, is_search, query = reference.partition("?")
        if reference in names:
            element["reference"] = names[reference]
        elif is_search and kind in ehr.persona.types:
            there = read_condition(ehr, kind, query, ehr.base(request)).meant(ehr)
            if there is None:
                raise Refused(412, Issue("not-found", f"nothing meets {reference}, specified in path: {path}", path))
            element["reference"] = there.name
        elif reference.startswith("urn:"):
            raise Refused(400, Issue("processing", f"no entry has the fullUrl {reference}, specified in path: {path}", path))
    return replace(step, resource=resource)


def _carried_out(ehr: Ehr, request: Request, respond: Respond, step: Step) -> Fhir:
    """What the entry of one step is answered. Raises Refused."""
    body = _written(step.resource) if step.resource is not None else b""
    path = "/".join([ehr.persona.path, *step.parts])
    prefers = request.header("Prefer") or "return=minimal"
    with ehr.records.lock:
        said = respond(ehr, request.within(step.method, path, step.query, {"Prefer": prefers, **step.headers}, body), step.parts)
        base, location = ehr.base(request), said.headers.get("Location", "")
        told = {"status": said.status_line, "location": location.removeprefix(f"{base}/"), "etag": said.headers.get("ETag")}
        version = ehr.records.named(local(location.removeprefix(f"{base}/")) or step.name or "")
    if version is not None and not version.deleted:
        told["lastModified"] = version.updated
    response = {name: value for name, value in told.items() if value}
    if not said.body:
        return {"response": response}
    if request.prefers("return") == "OperationOutcome" and step.method != "GET":
        return {"response": {**response, "outcome": fhir_json.written(said.body)}}
    return {"resource": fhir_json.written(said.body), "response": response}


def _written(resource: Fhir) -> bytes:
    try:
        return fhir_json.write(resource)
    except ValueError as reason:
        raise Refused(400, Issue("value", f"the resource cannot be written as JSON again: {reason}")) from None


def _raise(failed: Mapping[int, Refused]) -> None:
    if failed:
        first = failed[min(failed)]
        raise Refused(first.status, *(_within(issue, number) for number in sorted(failed) for issue in failed[number].issues))


def _within(issue: Issue, number: int) -> Issue:
    """An issue of an entry by its path in the Bundle."""
    entry = f"Bundle.entry[{number}]"
    if issue.expression is None:
        return replace(issue, expression=entry)
    if issue.expression.startswith("Bundle."):
        return issue
    return replace(issue, expression=f"{entry}.resource.{issue.expression.partition('.')[2]}".removesuffix("."))
