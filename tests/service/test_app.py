"""What Flask is asked for, and what it is not."""

from service.app import create_app
from service.wiring import Service


def test_nothing_is_registered_that_the_application_leaves_out(service: Service) -> None:
    app = create_app(service=service)
    assert not (app.before_request_funcs or app.after_request_funcs or app.teardown_request_funcs or app.url_value_preprocessors)
    assert not (app.teardown_appcontext_funcs or app.blueprints)
