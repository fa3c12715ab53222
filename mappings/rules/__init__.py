"""The clinical rules: what is worth a clinician's eye in an entity and what it refers to. They refuse and change nothing.

A rule declares every field that it may read; from those follows its class, so that a finding tells a reader nothing that
the fields would not (a test watches what each rule really reads). Its text is the same whatever the values are.
"""

from collections.abc import Iterator
from functools import cache
from typing import Any

from mappings.disclosure import Level, level_of
from mappings.findings import Finding
from mappings.kind import Kind
from mappings.model import field_at
from mappings.rules import dosing, emdr, monitoring, other, screening
from mappings.rules.rule import SEVERITIES, Around, Rule, Thresholds

RULES: tuple[Rule, ...] = (*screening.RULES, *dosing.RULES, *monitoring.RULES, *emdr.RULES, *other.RULES)

__all__ = ["RULES", "Around", "Rule", "Thresholds", "findings", "level_of_rule"]


def findings(kind: Kind, entity: Any, around: Around, thresholds: Thresholds, kinds: dict[str, Kind]) -> tuple[Finding, ...]:
    """What the rules of a kind say of an entity, in the order of the rules."""
    return tuple(found for rule in RULES if rule.kind == kind.name for found in _judged(rule, entity, around, thresholds, kinds))


def _judged(rule: Rule, entity: Any, around: Around, thresholds: Thresholds, kinds: dict[str, Kind]) -> Iterator[Finding]:
    said = list(rule.judge(entity, around, thresholds))
    if said:
        severity = max((severity for severity, _ in said), key=SEVERITIES.index)
        fields = tuple(dict.fromkeys(pointer for _, pointer in said))
        yield Finding(rule.id, severity, rule.gates, fields, rule.source, rule.text, level_of_rule(rule, kinds))


def level_of_rule(rule: Rule, kinds: dict[str, Kind]) -> Level:
    """The highest class of all that a rule may read, C1 at least."""
    return max(Level.C1, *(_level(kinds[kind].entity, path) for kind, path in map(_split, rule.reads)))


def _split(read: str) -> tuple[str, str]:
    kind, _, path = read.partition(":")
    return kind, path


@cache
def _level(cls: Any, path: str) -> Level:
    level = Level.C0
    for name in path.split("."):
        field = field_at(cls, name)
        level, cls = max(level, level_of(field)), field.group or cls
    return level
