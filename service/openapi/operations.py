"""What an operation is: a row of a route table at one kind, list or resource type, with everything that can come of it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from mappings import model
from mappings.kind import Kind
from service.openapi.schemas import Schema


@dataclass(frozen=True)
class Reply:
    """An answer: what it means, and its body, of which there may be none. `headers` are names of components."""

    description: str
    type: str = ""
    schema: Schema = field(default_factory=dict)
    headers: tuple[str, ...] = ()


@dataclass(frozen=True)
class Operation:
    """`interface` says how errors are told; `own` are the errors with an example of this very operation, all others share one."""

    id: str
    interface: str  # api, fhir, token, site
    name: str  # as the route table calls it
    method: str
    path: str
    tag: str
    summary: str
    scopes: tuple[str, ...]  # none where anybody may call
    replies: Mapping[int, Reply]
    errors: tuple[int, ...]
    own: tuple[int, ...] = ()
    parameters: tuple[Schema, ...] = ()
    body: Schema = field(default_factory=dict)  # media type -> schema
    description: str = ""
    kind: Kind | None = None
    list: model.Field | None = None
    type: str = ""

    @property
    def statuses(self) -> tuple[int, ...]:
        return tuple(sorted({*self.replies, *self.errors}))

    @property
    def main(self) -> int:
        """The status of the example that stands in the parameters and the body themselves."""
        return min(self.replies)


def is_shared(operation: Operation, status: int) -> bool:
    return status in operation.errors and status not in operation.own


@dataclass(frozen=True)
class Example:
    """A call as it was made and answered. `request` is how it differs from the operation's main example, as `x-request` tells it."""

    parameters: Mapping[str, Any]  # by name
    sent: Any  # the body, None where there is none
    received: Any
    request: Mapping[str, Any]
    summary: str = ""


Examples = Mapping[tuple[str, int], Example]  # (operation's id, status); of shared errors (interface, status)
