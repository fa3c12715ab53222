"""What can go wrong, and the one table of what a caller is told: exception -> (HTTP status, FHIR issue code)."""

from collections.abc import Sequence

from mappings.kind import MappingError
from mappings.schema import Refused

Problems = Sequence[tuple[str, str]]
MOST_PROBLEMS = 1000  # that are told of at once


class ServiceError(Exception):
    """Something a caller can be told. `problems` are (path, problem): JSON pointers in our API, FHIRPaths in FHIR."""

    status = 500
    code = "exception"
    title = "Something went wrong"

    def __init__(self, detail: str = "", problems: Problems = (), headers: dict[str, str] | None = None):
        super().__init__(detail or self.title)
        self.detail, self.problems, self.headers = detail, list(problems), headers or {}


class Malformed(ServiceError):
    status, code, title = 400, "structure", "The request cannot be read"


class Unsearchable(ServiceError):
    status, code, title = 400, "not-supported", "The search cannot be carried out"


class NotAuthenticated(ServiceError):
    status, code, title = 401, "login", "A valid access token is needed"


class NotAllowed(ServiceError):
    status, code, title = 403, "forbidden", "The token's scopes do not allow this"


class NotFound(ServiceError):
    status, code, title = 404, "not-found", "There is nothing here"


class NotOffered(ServiceError):
    status, code, title = 405, "not-supported", "This is not offered here"


class NotAcceptable(ServiceError):
    status, code, title = 406, "not-supported", "None of the asked-for media types is offered"


class Conflict(ServiceError):
    status, code, title = 409, "conflict", "This contradicts what is there"


class Gone(ServiceError):
    status, code, title = 410, "deleted", "This was deleted"


class Stale(ServiceError):
    status, code, title = 412, "conflict", "The record has changed since it was read"


class TooLarge(ServiceError):
    status, code, title = 413, "too-long", "The body is too large"


class WrongMediaType(ServiceError):
    status, code, title = 415, "not-supported", "The body's media type is not taken"


class Unprocessable(ServiceError):
    status, code, title = 422, "processing", "The body cannot be represented"


class TooMany(ServiceError):
    status, code, title = 429, "throttled", "Too many requests"


def as_service_error(error: Exception) -> ServiceError | None:
    """The error as one that a caller can be told of, or None for what nobody foresaw."""
    if isinstance(error, ServiceError):
        return error
    if isinstance(error, Refused | MappingError):
        return Unprocessable(problems=error.problems)
    return None
