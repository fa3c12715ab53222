"""What an EHR looks at before it takes a body: lightly, as real ones do, with everything that is wrong said at once."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from sandbox import fhir_json
from sandbox.elements import Fhir, Walk, at
from sandbox.outcome import Issue, Refused
from sandbox.personas.persona import Persona
from sandbox.references import local, relative
from sandbox.required import missing
from sandbox.wire import Request

WRITABLE = {"application/fhir+json", "application/json+fhir", "application/json"}
PATCHES = {"application/json-patch+json", "application/merge-patch+json", *WRITABLE}


def resource_in(request: Request, kind: str) -> Fhir:
    """The resource of that type in the body. Raises Refused: 415, 413, 400 for what is no such resource."""
    resource = _json_in(request, WRITABLE, "application/fhir+json")
    if not isinstance(resource, dict):
        raise Refused(400, Issue("structure", "the body is not a JSON object"))
    if resource.get("resourceType") != kind:
        raise Refused(400, Issue("invalid", f"the body is a {resource.get('resourceType')}, the URL says {kind}", "resourceType"))
    return resource


def patch_in(request: Request) -> Any:
    """The changes in the body, whatever they are. Raises Refused: 415, 413, 400 for what is no JSON."""
    return _json_in(request, PATCHES, "application/json-patch+json")


def _json_in(request: Request, takes: set[str], named: str) -> Any:
    media = (request.header("Content-Type") or named).partition(";")[0].strip().lower()
    if media not in takes:
        raise Refused(415, Issue("not-supported", f"this server takes {named}, not {media}"))
    try:
        return fhir_json.read(request.body)
    except ValueError as reason:
        raise Refused(400, Issue("structure", f"the body is not JSON: {reason}")) from None


def check(resource: Fhir, base: str, holds: Callable[[str], bool], persona: Persona) -> Fhir:
    """The resource as the persona takes it. Raises Refused: 400 for a shape that FHIR does not have and for a reference to nothing,
    422 for what is missing or not taken, unless the persona has another status for it.

    References to what is below our own base are made relative, as HAPI does: the base is this server's to change.
    """
    walk = Walk(resource)
    if not isinstance(resource.get("meta", {}), dict):
        walk.issues.append(Issue("structure", "meta is an object", f"{resource['resourceType']}.meta"))
    contained = {f"#{found}" for found in at(resource, "contained.id")}
    for path, element in walk.references:
        element["reference"] = reference = relative(element["reference"], base)
        walk.issues += _dangling(path, reference, contained, holds)
    if walk.issues:
        raise Refused(400, *walk.issues)
    kind, (status, severity) = resource["resourceType"], persona.missing
    if absent := missing(resource):
        raise Refused(status, *(replace(issue, severity=severity) for issue in absent))
    unwanted = [f"{kind}.{name}" for name in sorted(persona.refused_elements.get(kind, ())) if name in resource]
    if not persona.takes_modifiers:
        unwanted += walk.modifiers
    if unwanted:
        raise Refused(422, *(Issue("not-supported", f"{path} is not supported by {persona.title}", path) for path in unwanted))
    return {name: value for name, value in resource.items() if name not in persona.ignored.get(kind, ())}


def _dangling(path: str, reference: str, contained: set[str], holds: Callable[[str], bool]) -> list[Issue]:
    name = local(reference)
    if name is not None and not holds(name):
        return [Issue("processing", f"resource {name} not found, specified in path: {path}", path)]
    if reference.startswith("#") and reference != "#" and reference not in contained:
        return [Issue("processing", f"nothing contained has the id {reference[1:]}, specified in path: {path}", path)]
    return []
