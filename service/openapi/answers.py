"""The errors, each in the form of its interface: what a status means, and what all operations that have it share."""

from collections.abc import Sequence

from service.errors import (
    Conflict,
    Gone,
    Malformed,
    NotAcceptable,
    NotAllowed,
    NotAuthenticated,
    NotFound,
    ServiceError,
    Stale,
    TooLarge,
    TooMany,
    Unprocessable,
    WrongMediaType,
)
from service.openapi.operations import Operation, Reply, is_shared
from service.openapi.schemas import ref

FORMS = {
    "api": ("application/problem+json", "Problem"), "site": ("application/problem+json", "Problem"),
    "fhir": ("application/fhir+json", "FhirOperationOutcome"), "token": ("application/json", "TokenError"),
}  # fmt: skip
ERRORS: tuple[type[ServiceError], ...] = (
    Malformed, NotAuthenticated, NotAllowed, NotFound, NotAcceptable, Conflict, Gone, Stale, TooLarge, WrongMediaType, Unprocessable, TooMany,
)  # fmt: skip
NAMES = {error.status: error.__name__ for error in ERRORS}
MEANINGS = {
    400: "The request cannot be read: a body that is no JSON, a query or a header that is not understood, all problems at once.",
    401: "A valid access token is needed.",
    403: "The token's scopes do not allow this, or its client's level is too low for this interface.",
    404: "There is nothing here, or nothing that you may know of.",
    406: "None of the media types that you accept is offered.",
    409: "This contradicts what is there.",
    410: "It was deleted.",
    412: "The condition of your If-Match or If-None-Match does not hold: somebody else was quicker.",
    413: "The body is too large.",
    415: "The body is not of the media type that is taken, or it is compressed.",
    422: "The body cannot be represented: every problem at once, by its place.",
    429: "More requests than a client may make in a second.",
}
TOKEN_MEANINGS = {400: "The request lacks something, or asks for what is not given here.", 401: "The client's assertion does not hold."}
HEADERS = {401: ("WWW-Authenticate",), 403: ("WWW-Authenticate",), 429: ("Retry-After",)}


def name_of(interface: str, status: int) -> str:
    return f"{interface.capitalize()}{NAMES[status]}"


def error(interface: str, status: int) -> Reply:
    type_, schema = FORMS[interface]
    meaning = TOKEN_MEANINGS.get(status, MEANINGS[status]) if interface == "token" else MEANINGS[status]
    return Reply(meaning, type_, ref(schema), () if interface in ("token", "site") else HEADERS.get(status, ()))


def shared_errors(operations: Sequence[Operation]) -> list[tuple[str, int]]:
    return sorted({(o.interface, status) for o in operations for status in o.errors if is_shared(o, status)})
