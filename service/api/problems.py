"""Errors as problem documents (RFC 9457): every problem at once, by JSON pointer."""

from service.errors import MOST_PROBLEMS, ServiceError
from service.web import Answer, Call
from service.wire import encode

PROBLEM_JSON = "application/problem+json"


class Problems:
    def error(self, error: ServiceError, call: Call) -> Answer:
        said = {"type": "about:blank", "title": error.title, "status": error.status}
        if error.detail and error.detail != error.title:
            said["detail"] = error.detail
        if error.problems:
            said["errors"] = [{"pointer": pointer, "detail": problem} for pointer, problem in error.problems[:MOST_PROBLEMS]]
        return Answer(error.status, encode({**said, "instance": call.request.path, "requestId": call.id}), PROBLEM_JSON, dict(error.headers))
