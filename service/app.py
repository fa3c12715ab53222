"""The one place where things are wired: settings in, a Flask application out."""

from collections.abc import Callable
from typing import Any

from flask import Flask, Request
from flask.sessions import NullSession, SessionInterface
from werkzeug.exceptions import HTTPException
from werkzeug.routing import MapAdapter, Rule

from service import logs
from service.api.routes import add_routes as add_api
from service.config import Settings, load
from service.fhir.routes import add_routes as add_fhir
from service.site import add_routes as add_site
from service.wiring import Service, wire


class Routed(Rule):
    """A rule that routes and never builds an address. What would build them is nine tenths of the time that all rules take at start (measured)."""

    def _compile_builder(self, append_unknown: bool = True) -> Callable[..., tuple[str, str]]:
        return _no_address


def _no_address(*_: object, **__: object) -> tuple[str, str]:
    raise NotImplementedError


class NoSessions(SessionInterface):
    """Who calls is said by a token, each time anew."""

    _none = NullSession()

    def open_session(self, app: Flask, request: Request) -> NullSession:
        return self._none


class App(Flask):
    """An application that routes by path alone: a Host of 8,000 letters is no error, and one of somebody else's is no matter.

    Its views answer whatever becomes of them (`service.web`). What Flask would do round each for hooks, signals, sessions and
    coroutines, of which there are none here, is left out ([decision 9](../docs/decisions/0009-what-a-request-does-itself.md)).
    """

    url_rule_class = Routed
    session_interface = NoSessions()

    def full_dispatch_request(self) -> Any:
        try:
            return self.dispatch_request()
        except HTTPException as error:  # no route takes it
            return self.handle_user_exception(error)

    def ensure_sync(self, func: Callable[..., Any]) -> Callable[..., Any]:
        return func

    def do_teardown_request(self, exc: BaseException | None = None) -> None:
        pass

    def do_teardown_appcontext(self, exc: BaseException | None = None) -> None:
        pass

    def create_url_adapter(self, request: Request | None) -> MapAdapter | None:
        return self.url_map.bind("localhost", path_info=request.path, default_method=request.method) if request is not None else None


def create_app(settings: Settings | None = None, service: Service | None = None) -> Flask:
    """The web application. Everything it needs is in `service`, which is made of the settings unless it is given."""
    settings = settings or (service.settings if service else load())
    logs.set_up(settings)
    service = service or wire(settings)
    app = App("pathway-fhir", static_folder=None)
    app.url_map.strict_slashes = app.url_map.merge_slashes = False  # no redirects: what a path says is what is meant
    app.config["PROVIDE_AUTOMATIC_OPTIONS"] = False
    app.extensions["pathway"] = service
    for add in (add_site, add_api, add_fhir):
        add(app, service)
    return app

