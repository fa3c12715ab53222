"""The one place where things are wired: settings in, a Flask application out."""

from collections.abc import Callable

from flask import Flask, Request
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


class App(Flask):
    """An application that routes by path alone: a Host of 8,000 letters is no error, and one of somebody else's is no matter."""

    url_rule_class = Routed

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

