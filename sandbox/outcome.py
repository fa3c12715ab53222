"""What the EHR says when it does not do what it was asked: issues, and the OperationOutcome that carries them."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Issue:
    code: str
    """A code of HL7's issue-type."""
    words: str
    expression: str | None = None
    severity: str = "error"


class Refused(Exception):
    """A request that is not done, with its HTTP status and every reason at once."""

    def __init__(self, status: int, *issues: Issue, headers: Mapping[str, str] | None = None) -> None:
        super().__init__("; ".join(issue.words for issue in issues))
        self.status, self.issues, self.headers = status, issues, dict(headers or {})


def outcome(issues: Iterable[Issue]) -> dict[str, Any]:
    return {"resourceType": "OperationOutcome", "issue": [_issue(issue) for issue in issues]}


def _issue(issue: Issue) -> dict[str, Any]:
    told: dict[str, Any] = {"severity": issue.severity, "code": issue.code, "diagnostics": issue.words}
    if issue.expression is not None:
        told["expression"] = [issue.expression]
    return told
