"""The EHRs that this server can stand for, by name. `oracle` and `nhs` come next, below `/oracle/fhir/r4` and `/nhs/fhir/r4`."""

from sandbox.personas.epic import EPIC
from sandbox.personas.persona import Persona
from sandbox.personas.plain import PLAIN

PERSONAS: dict[str, Persona] = {persona.name: persona for persona in (PLAIN, EPIC)}
