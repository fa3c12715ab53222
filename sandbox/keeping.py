"""All that an EHR ever held, to be kept and put back: a state that took long to reach is there again at once.

    curl -o kept.json localhost:8001/_sandbox/plain/versions
    curl -T kept.json localhost:8001/_sandbox/plain/versions

What is put back has the ids, versions and times that it had; what the EHR held before is gone, and keys for once with it.
"""

from itertools import pairwise
from typing import Any

from sandbox import dates, fhir_json
from sandbox.ehr import Ehr
from sandbox.elements import Fhir
from sandbox.options import OBJECT, Malformed, Option, Problem, problems_in, whole
from sandbox.records import Version
from sandbox.seeding import ID_GIVEN, a_type, problems_of

NUMBER = whole("a number", 1, 10**9).always()
INSTANT = Option("an instant", lambda value: isinstance(value, str) and dates.second(value) is not None, needed=True)
OPTIONS = {"id": ID_GIVEN.always(), "number": NUMBER, "sequence": NUMBER, "updated": INSTANT, "resource": OBJECT}


def kept(ehr: Ehr) -> list[Fhir]:
    """Every version, the oldest first; one without a resource is a deletion."""
    found = []
    for v in reversed(ehr.records.versions()):
        said = {"type": v.type, "id": v.id, "number": v.number, "sequence": v.sequence, "updated": v.updated}
        found.append({**said, "resource": fhir_json.written(v.body)} if v.body else said)
    return found


def given(ehr: Ehr, said: Any) -> list[Version]:
    """The versions of such a list. Raises Malformed, naming everything that is wrong with it."""
    if not isinstance(said, list):
        raise Malformed([("", "has to be a list")])
    problems = [problem for n, one in enumerate(said) for problem in _problems(ehr, f"/{n}", one)]
    if not problems:
        after = "has to be greater than the one before"
        problems = [(f"/{n}/sequence", after) for n, (one, other) in enumerate(pairwise(said), 1) if one["sequence"] >= other["sequence"]]
    if problems:
        raise Malformed(problems)
    return [Version(v["type"], v["id"], v["number"], v["sequence"], v["updated"], fhir_json.write(v["resource"]) if "resource" in v else b"") for v in said]


def _problems(ehr: Ehr, at: str, one: Any) -> list[Problem]:
    if problems := problems_in(one, {"type": a_type(ehr), **OPTIONS}, at):
        return problems
    resource = one.get("resource", {"resourceType": one["type"], "id": one["id"]})
    if (resource.get("resourceType"), resource.get("id")) != (one["type"], one["id"]):
        return [(f"{at}/resource", f"has to be {one['type']}/{one['id']}")]
    return problems_of(ehr, f"{at}/resource", resource)
