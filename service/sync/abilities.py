"""What an EHR says that it can do, read from its CapabilityStatement: pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from service.sync.outcomes import objects


@dataclass(frozen=True)
class Abilities:
    """What an EHR says that it can do (its CapabilityStatement): interactions, search parameters and conditional create by type."""

    interactions: Mapping[str, frozenset[str]] = field(default_factory=dict)
    conditional_create: frozenset[str] = frozenset()
    searched: Mapping[str, frozenset[str]] = field(default_factory=dict)
    versioned: frozenset[str] = frozenset()
    system: frozenset[str] = frozenset()  # interactions of the whole system: transaction, batch

    def can(self, type_: str, interaction: str) -> bool:
        return interaction in self.interactions.get(type_, frozenset())

    def searches(self, type_: str, *parameters: str) -> bool:
        return set(parameters) <= self.searched.get(type_, frozenset())


def abilities(statement: Mapping[str, Any]) -> Abilities:
    """What a CapabilityStatement allows, read without trusting its shape."""
    interactions: dict[str, frozenset[str]] = {}
    searched: dict[str, frozenset[str]] = {}
    conditional, versioned, system = set(), set(), set()
    for rest in objects(statement.get("rest")):
        if rest.get("mode") != "client":
            system |= {str(i.get("code")) for i in objects(rest.get("interaction"))}
        common = frozenset(str(p.get("name")) for p in objects(rest.get("searchParam")))
        for found in objects(rest.get("resource")) if rest.get("mode") != "client" else []:
            type_ = str(found.get("type"))
            interactions[type_] = frozenset(str(i.get("code")) for i in objects(found.get("interaction")))
            if found.get("conditionalCreate") is True:
                conditional.add(type_)
            searched[type_] = common | frozenset(str(p.get("name")) for p in objects(found.get("searchParam")))
            if found.get("versioning") in ("versioned", "versioned-update"):
                versioned.add(type_)
    return Abilities(interactions, frozenset(conditional), searched, frozenset(versioned), frozenset(system))
