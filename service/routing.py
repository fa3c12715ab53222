"""The application as Flask knows it: rules and views. What Flask does round each view, and what nobody here asks it for, is left out."""

from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import TYPE_CHECKING

from flask import Flask
from werkzeug.exceptions import HTTPException
from werkzeug.routing import Rule
from werkzeug.wrappers import Request

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE")


class Routed(Rule):
    """A rule that routes and never builds an address. What would build them is nine tenths of the time that all rules take at start (measured)."""

    def _compile_builder(self, append_unknown: bool = True) -> Callable[..., tuple[str, str]]:
        return _no_address


def _no_address(*_: object, **__: object) -> tuple[str, str]:
    raise NotImplementedError


class App(Flask):
    """An application that routes by path alone: a Host of 8,000 letters is no error, and one of somebody else's is no matter.

    A view is given the request and what its rule found in the path, and returns what a WSGI server takes; `otherwise` answers where
    no route leads, or a view fails. Hooks, signals, sessions, coroutines and Flask's contexts (`request`, `g`, `current_app`) are
    left out ([decision 9](../docs/decisions/0009-what-a-request-does-itself.md)).
    """

    url_rule_class = Routed
    view_functions: "dict[str, Callable[..., WSGIApplication]]"  # type: ignore[assignment]
    otherwise: "Callable[[Request, Exception], WSGIApplication]"

    def __init__(self) -> None:
        super().__init__("pathway-fhir", static_folder=None)
        self.url_map.strict_slashes = self.url_map.merge_slashes = False  # no redirects: what a path says is what is meant
        self.config["PROVIDE_AUTOMATIC_OPTIONS"] = False
        self._routes = self.url_map.bind("localhost")

    def wsgi_app(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        request = Request(environ, populate_request=False)  # which would have the two hold each other until a collection
        try:
            endpoint, args = self._routes.match(request.path, request.method)
            answer = self.view_functions[endpoint](request, **args)
        except Exception as error:  # noqa: BLE001 (whatever it is, somebody waits for an answer)
            answer = self.otherwise(request, error)
        return answer(environ, start_response)

    def offered(self, path: str) -> list[str]:
        """The methods with which a path is known."""
        found = set()
        for method in METHODS:
            with suppress(HTTPException):
                endpoint, _ = self._routes.match(path, method)
                if not getattr(self.view_functions[endpoint], "refuses", False):
                    found |= {method, "HEAD"} if method == "GET" else {method}
        return sorted(found)
