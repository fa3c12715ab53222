"""One running persona with what it holds."""

from dataclasses import dataclass, field
from datetime import UTC, datetime

from sandbox.once import Once
from sandbox.paging import Pages
from sandbox.personas.persona import Persona
from sandbox.records import Records
from sandbox.settings import Settings
from sandbox.smart import Smart
from sandbox.wire import Request


@dataclass(frozen=True, slots=True)
class Together:
    """What the entries of a transaction that is being carried out know of each other: `Type/id` of what it makes and of what it deletes."""

    coming: frozenset[str]
    going: frozenset[str]


@dataclass(frozen=True)
class Ehr:
    persona: Persona
    records: Records
    token: str | None = None
    """The bearer token that it asks for; None where it asks for none."""
    smart: Smart = field(default_factory=Smart)
    pages: Pages = field(default_factory=Pages)
    once: Once = field(default_factory=Once)
    settings: Settings = field(default_factory=Settings)
    started: str = field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="seconds"))
    together: Together | None = None

    def base(self, request: Request) -> str:
        return request.origin + self.persona.path

    def holds(self, name: str) -> bool:
        """Whether `Type/id` can be referred to: it is there, or will be when this transaction is done."""
        return self.records.holds(name) or (self.together is not None and name in self.together.coming)
