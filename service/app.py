"""The one place where things are wired: settings in, a Flask application out."""

from flask import Flask, Request
from werkzeug.routing import MapAdapter

from service import logs
from service.api.routes import add_routes as add_api
from service.config import Settings, load
from service.fhir.routes import add_routes as add_fhir
from service.site import add_routes as add_site
from service.wiring import Service, wire


class App(Flask):
    """An application that routes by path alone: a Host of 8,000 letters is no error, and one of somebody else's is no matter."""

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

