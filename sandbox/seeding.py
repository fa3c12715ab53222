"""Records that are simply there: people and places that were an EHR's own before anyone sent it anything.

    curl -d '{"resourceType": "Patient", "identifier": [{"system": "https://fhir.nhs.uk/Id/nhs-number", "value": "9000000009"}],
              "name": [{"family": "Example"}], "birthDate": "1980-05-01"}' localhost:8001/_sandbox/epic/seed

Takes a resource, a list of them, or a Bundle. No rule of the persona holds: ids may be given, elements and references may be missing.
"""

from typing import Any

from sandbox import fhir_json
from sandbox.ehr import Ehr
from sandbox.options import Malformed, Option, Problem, problems_in
from sandbox.rest import ID

ID_GIVEN = Option("an id of FHIR", lambda value: isinstance(value, str) and bool(ID.fullmatch(value)))


def seed(ehr: Ehr, given: Any) -> list[str]:
    """Writes all of them, each as a new version where its id is there already, and says `Type/id` of each. Raises Malformed, and then writes none."""
    listed = _listed(given)
    problems = [problem for pointer, one in listed for problem in problems_of(ehr, pointer, one)]
    if problems or not listed:
        raise Malformed(problems or [("", "has to have a resource in it")])
    with ehr.records.all_or_nothing():
        return [ehr.records.write(one, one.get("id") or ehr.persona.new_id()).name for _, one in listed]


def _listed(given: Any) -> list[tuple[str, Any]]:
    """Every resource with its JSON pointer."""
    if isinstance(given, dict) and given.get("resourceType") == "Bundle":
        entries = given.get("entry")
        return [(f"/entry/{number}/resource", _resource(one)) for number, one in enumerate(entries if isinstance(entries, list) else [])]
    return [(f"/{number}", one) for number, one in enumerate(given)] if isinstance(given, list) else [("", given)]


def _resource(entry: Any) -> Any:
    return entry.get("resource") if isinstance(entry, dict) else None


def a_type(ehr: Ehr) -> Option:
    return Option(f"a type that {ehr.persona.title} has", lambda value: isinstance(value, str) and value in ehr.persona.types, needed=True)


def problems_of(ehr: Ehr, pointer: str, one: Any) -> list[Problem]:
    """Why this is no resource that an EHR can hold."""
    known = {name: value for name, value in one.items() if name in ("resourceType", "id")} if isinstance(one, dict) else one
    if problems := problems_in(known, {"resourceType": a_type(ehr), "id": ID_GIVEN}, pointer):
        return problems
    if not isinstance(one.get("meta", {}), dict):
        return [(f"{pointer}/meta", "has to be an object")]
    try:
        fhir_json.write(one)
    except ValueError as reason:  # half a surrogate pair, an integer of more than 64 bits
        return [(pointer, f"cannot be written as JSON again: {reason}")]
    return []
