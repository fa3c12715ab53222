"""What a persona says of itself: a CapabilityStatement made of what it is built from, so that it cannot say anything else."""

from dataclasses import dataclass
from typing import Any

from sandbox.personas.persona import CREATE, HISTORY, INTERACTIONS, PATCH, SYSTEM_INTERACTIONS, UPDATE, VREAD, Persona

OAUTH_URIS = "http://fhir-registry.smarthealthit.org/StructureDefinition/oauth-uris"
SERVICES = "http://terminology.hl7.org/CodeSystem/restful-security-service"


@dataclass(frozen=True, slots=True)
class Security:
    """How one is let in."""

    words: str
    token_url: str | None = None

    def told(self) -> dict[str, Any]:
        if self.token_url is None:
            return {"description": self.words}
        uris = {"url": OAUTH_URIS, "extension": [{"url": "token", "valueUri": self.token_url}]}
        return {"extension": [uris], "service": [{"coding": [{"system": SERVICES, "code": "SMART-on-FHIR"}]}], "description": self.words}


def capability_statement(persona: Persona, base: str, started: str, security: Security | None) -> dict[str, Any]:
    return {
        "resourceType": "CapabilityStatement",
        "status": "active",
        "date": started,
        "kind": "instance",
        "software": {"name": "pathway-fhir sandbox"},
        "implementation": {"description": f"{persona.title}: a sandbox with made-up records", "url": base},
        "fhirVersion": "4.0.1",
        "format": ["application/fhir+json", "json"],
        **({"patchFormat": ["application/json-patch+json"]} if any(PATCH in offered for offered in persona.types.values()) else {}),
        "rest": [{
            "mode": "server",
            **({"security": security.told()} if security else {}),
            "resource": [_resource(persona, kind) for kind in sorted(persona.types)],
            **({"interaction": [{"code": code} for code in SYSTEM_INTERACTIONS if code in persona.system]} if persona.system else {}),
        }],
    }  # fmt: skip


def _resource(persona: Persona, kind: str) -> dict[str, Any]:
    offered = persona.types[kind]
    return {
        "type": kind,
        **_documentation(persona, kind),
        "interaction": [{"code": code} for code in INTERACTIONS if code in offered],
        "versioning": "versioned-update" if {UPDATE, PATCH, VREAD} & offered else "no-version",
        "readHistory": HISTORY in offered,
        "updateCreate": False,
        "conditionalCreate": persona.conditional_create and CREATE in offered,
        "conditionalRead": "not-supported",
        "conditionalUpdate": False,
        "conditionalDelete": "not-supported",
        "searchParam": [{"name": one.name, "type": one.kind} for one in sorted(persona.parameters[kind].values(), key=lambda one: one.name)],
    }


def _documentation(persona: Persona, kind: str) -> dict[str, str]:
    words = []
    if kind in persona.needs:
        words.append(f"A search needs `{persona.needs[kind]}`.")
    if kind in persona.always:
        words.append("A search finds only what has `{}={}`.".format(*persona.always[kind]))
    words += [f"A search by {name} refuses {', '.join(sorted(values))}." for (of, name), values in persona.refused_values.items() if of == kind]
    return {"documentation": " ".join(words)} if words else {}
