"""A finding: what a clinical rule says of an entity. It travels with the record and changes nothing in it.

The rules themselves are in `mappings/rules/`. Here is what a finding is, and how it stands in FHIR: a DetectedIssue.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from mappings import codes
from mappings.disclosure import Level
from mappings.parts import narrative, system_of
from mappings.shape import Fhir, Writing

SEVERITY = {"info": "low", "warning": "moderate", "critical": "high"}


@dataclass(frozen=True)
class Finding:
    """`fields` are JSON pointers into the entity; `level` is the highest class of all that the rule may read, C1 at least."""

    rule: str
    severity: str
    gates: str
    fields: tuple[str, ...]
    source: str
    text: str
    level: Level

    def document(self) -> dict[str, Any]:
        return {
            "rule": self.rule, "severity": self.severity, "gates": self.gates, "fields": list(self.fields),
            "source": self.source, "text": self.text, "class": self.level.name,
        }


def detected_issue(finding: Finding, of: Writing, evidence: Sequence[Fhir]) -> Fhir:
    found = of.ids.id(of.kind, of.entity.id, "finding", finding.rule)
    of.written.setdefault("finding", {})[finding.rule] = of.ids.reference("DetectedIssue", of.kind, of.entity.id, "finding", finding.rule)
    issue: Fhir = {
        "resourceType": "DetectedIssue",
        "id": found,
        "meta": {"source": f"{codes.OURS}/pathway-fhir"},
        "text": narrative(f"Finding of rule {finding.rule}"),
        "identifier": [{"system": system_of("DetectedIssue"), "value": found}],
        "status": "final",
        "code": codes.concept(codes.coding(codes.own_system("rule"), finding.rule), text=finding.text),
        "severity": SEVERITY[finding.severity],
        "patient": of.ids.reference("Patient", "patient", of.entity.patient_id, "patient"),
        "identifiedDateTime": of.entity.recorded_at.isoformat(),
        "reference": f"{codes.OURS}/rules/{finding.rule}",
    }
    implicated = [r for r in evidence if r["reference"].startswith("MedicationRequest/")]
    detail = [r for r in evidence if r not in implicated]
    if implicated:
        issue["implicated"] = implicated
    if detail:
        issue["evidence"] = [{"detail": detail}]
    return issue
