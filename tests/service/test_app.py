"""What Flask is asked for, and what it is not."""

from typing import Any

import pytest
from werkzeug.wrappers import Request

from service.app import create_app
from service.wiring import Service


def test_nothing_is_registered_that_the_application_leaves_out(service: Service) -> None:
    app = create_app(service=service)
    assert not (app.before_request_funcs or app.after_request_funcs or app.teardown_request_funcs or app.url_value_preprocessors)
    assert not (app.teardown_appcontext_funcs or app.blueprints or app.error_handler_spec)


@pytest.mark.parametrize(("path", "type_"), [("/fhir/r4/broken", "application/fhir+json; charset=utf-8"), ("/api/v1/broken", "application/problem+json")])
def test_a_view_that_fails_is_answered_in_the_form_of_its_interface(service: Service, path: str, type_: str, capsys: Any) -> None:
    app = create_app(service=service)

    def broken(_asked: Request) -> Any:
        raise RuntimeError("what a patient said")

    app.add_url_rule(path, "broken", broken, methods=["GET"])
    answered = app.test_client().get(path)
    assert (answered.status_code, answered.content_type) == (500, type_)
    said = capsys.readouterr()
    assert b"patient said" not in answered.data and "patient said" not in said.out + said.err
    assert "RuntimeError" in said.out + said.err
