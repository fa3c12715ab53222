"""What the server says of itself: the CapabilityStatement, made from the route table and the search parameters, so it cannot lie."""

from typing import Any

from mappings.search import COMMON, EXTRA, PARAMETERS
from service.fhir import answers
from service.fhir.routes import INTERACTIONS, OPERATIONS
from service.security.clients import ALGORITHMS
from service.web import Answer, Call
from service.wire import encode

RELEASED = "2026-11-23"
SMART = "http://terminology.hl7.org/CodeSystem/restful-security-service"
SEARCH_PARAMETER = "http://hl7.org/fhir/SearchParameter/"


def metadata(call: Call) -> Answer:
    """GET [base]/metadata"""
    answers.check_format(call)
    return Answer(200, encode(statement(call.service.settings.base)), answers.FHIR_JSON, {"Cache-Control": "public, max-age=300"})


def statement(base: str) -> dict[str, Any]:
    return {
        "resourceType": "CapabilityStatement", "status": "active", "date": RELEASED, "kind": "instance",
        "software": {"name": "pathway-fhir"}, "implementation": {"description": "Ketamine-assisted EMDR pathways as FHIR R4", "url": f"{base}/fhir/r4"},
        "fhirVersion": "4.0.1", "format": ["application/fhir+json", "json"],
        "rest": [{"mode": "server", "security": _security(base), "resource": [_resource(type_) for type_ in sorted(PARAMETERS)]}],
    }  # fmt: skip


def _security(base: str) -> dict[str, Any]:
    return {
        "extension": [{
            "url": "http://fhir-registry.smarthealthit.org/StructureDefinition/oauth-uris",
            "extension": [{"url": "token", "valueUri": f"{base}/oauth/token"}],
        }],
        "service": [{"coding": [{"system": SMART, "code": "SMART-on-FHIR", "display": "SMART-on-FHIR"}]}],
        "description": "SMART Backend Services: private_key_jwt, scopes system/Type.rs",
    }  # fmt: skip


def _resource(type_: str) -> dict[str, Any]:
    found = {**COMMON, **PARAMETERS[type_]}
    made: dict[str, Any] = {
        "type": type_,
        "interaction": [{"code": code} for code in INTERACTIONS],
        "versioning": "versioned", "readHistory": True, "updateCreate": False, "conditionalCreate": False, "conditionalRead": "full-support",
        "conditionalUpdate": False, "conditionalDelete": "not-supported",
        "searchInclude": [f"{type_}:{p.name}" for p in found.values() if p.type == "reference"],
        "searchRevInclude": sorted(f"{other}:{p.name}" for other, ps in PARAMETERS.items() for p in ps.values() if type_ in p.targets),
        "searchParam": [_parameter(type_, p.name, p.type) for p in found.values()],
    }  # fmt: skip
    operations = [{"name": name, "definition": definition} for on, name, definition in OPERATIONS if on == type_]
    return {**made, "operation": operations} if operations else made


def _parameter(type_: str, name: str, kind: str) -> dict[str, str]:
    extra = (type_, name) in EXTRA or kind == "uri"
    documented = {"documentation": "An addition of this server to those of R4"} if extra else {}
    return {"name": name, "type": kind, **documented}


def smart_configuration(call: Call) -> Answer:
    """GET [base]/.well-known/smart-configuration (App Launch 2.0, section 4.0.4)"""
    base = call.service.settings.base
    said = {
        "issuer": base,
        "token_endpoint": f"{base}/oauth/token",
        "token_endpoint_auth_methods_supported": ["private_key_jwt"],
        "token_endpoint_auth_signing_alg_values_supported": list(ALGORITHMS),
        "grant_types_supported": ["client_credentials"],
        "scopes_supported": ["system/*.rs", *(f"system/{type_}.rs" for type_ in sorted(PARAMETERS))],
        "capabilities": ["client-confidential-asymmetric", "permission-v2"],
    }
    return Answer(200, encode(said), "application/json", {"Cache-Control": "public, max-age=300"})


