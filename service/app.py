"""The one place where things are wired: settings in, a Flask application out."""

from service import logs
from service.api.routes import add_routes as add_api
from service.config import Settings, load
from service.fhir.routes import add_routes as add_fhir
from service.routing import App
from service.site import add_routes as add_site
from service.wiring import Service, wire


def create_app(settings: Settings | None = None, service: Service | None = None) -> App:
    """The web application. Everything it needs is in `service`, which is made of the settings unless it is given."""
    settings = settings or (service.settings if service else load())
    logs.set_up(settings)
    service = service or wire(settings)
    app = App()
    app.extensions["pathway"] = service
    for add in (add_site, add_api, add_fhir):
        add(app, service)
    return app
