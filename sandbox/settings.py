"""What a site asks of its callers beside its vendor's rules, as `PUT /_sandbox/PERSONA/settings` sets it.

curl -X PUT -d '{"requiredHeaders": ["NHSD-Session-URID"], "readOnly": false}' localhost:8001/_sandbox/nhs/settings
"""

from dataclasses import dataclass
from typing import Any

from sandbox.options import FLAG, NAMES, Malformed, problems_in
from sandbox.outcome import Issue, Refused
from sandbox.wire import Request

OPTIONS = {"requiredHeaders": NAMES.or_else([]), "readOnly": FLAG}


@dataclass(slots=True)
class Settings:
    required_headers: tuple[str, ...] = ()
    """Headers that every request has, whatever is in them (N6)."""
    read_only: bool = False
    """Whether writes are 403, as for an application without a user (N4)."""

    def set(self, given: Any) -> None:
        """Sets all of them: what is not given is as it was at the start. Raises Malformed."""
        if problems := problems_in(given, OPTIONS):
            raise Malformed(problems)
        self.required_headers, self.read_only = tuple(given.get("requiredHeaders", ())), given.get("readOnly", False)

    def told(self) -> dict[str, Any]:
        return {"requiredHeaders": self.required_headers, "readOnly": self.read_only}

    def check(self, request: Request) -> None:
        """Raises Refused: 400 for a header that is not there, 403 for a write where there are none."""
        if absent := [name for name in self.required_headers if not request.header(name)]:
            raise Refused(400, *(Issue("required", f"the header {name} is needed") for name in absent))
        if self.read_only and request.writes:
            raise Refused(403, Issue("forbidden", "this application may read and not write"))
