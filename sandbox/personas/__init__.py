"""The EHRs that this server can stand for, by name."""

from sandbox.personas.epic import EPIC
from sandbox.personas.nhs import NHS
from sandbox.personas.oracle import ORACLE
from sandbox.personas.persona import Persona
from sandbox.personas.plain import PLAIN

PERSONAS: dict[str, Persona] = {persona.name: persona for persona in (PLAIN, EPIC, ORACLE, NHS)}
