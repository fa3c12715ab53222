"""The page at /docs: everything on it comes from us, and nothing else may run on it."""

import re

import pytest

from tests.openapi.world import World

TYPES = {"css": "text/css", "js": "text/javascript", "png": "image/png"}


def got(world: World, path: str) -> tuple[int, str, str, dict[str, str]]:
    answer = world.send("GET", path, headers={}, body=None)
    return answer.status_code, answer.mimetype, answer.get_data().decode("utf-8", "replace"), dict(answer.headers)


def policy(headers: dict[str, str]) -> dict[str, list[str]]:
    return {name: sources for name, *sources in (part.split() for part in headers["Content-Security-Policy"].split(";"))}


def test_everything_that_the_page_names_is_served_by_us_with_its_type(world: World) -> None:
    status, type_, page, _ = got(world, "/docs")
    assert (status, type_) == (200, "text/html")
    named = re.findall(r'(?:href|src)="([^"]+)"', page)
    assert named == ["/docs/swagger-ui.css", "/docs/favicon-32x32.png", "/docs/swagger-ui-bundle.js", "/docs/start.js"]
    for path in named:
        status, type_, body, headers = got(world, path)
        assert (status, type_) == (200, TYPES[path.rpartition(".")[2]]) and body, path
        assert headers["X-Content-Type-Options"] == "nosniff"


def test_the_page_has_no_script_of_its_own_and_may_run_none_but_ours(world: World) -> None:
    _, _, page, headers = got(world, "/docs")
    assert re.findall(r"<script[^>]*>([^<]+)", page) == [] and not re.search(r"\son\w+=|javascript:", page)
    said = policy(headers)
    assert (said["default-src"], said["script-src"], said["connect-src"], said["frame-ancestors"]) == (["'none'"], ["'self'"], ["'self'"], ["'none'"])
    assert [name for name, sources in said.items() if any("unsafe" in source or "*" in source or "http" in source for source in sources)] == ["style-src"]


def test_the_page_begins_with_our_document_and_asks_nobody_else(world: World) -> None:
    _, _, start, _ = got(world, "/docs/start.js")
    assert re.findall(r'url: "([^"]+)"', start) == ["/docs/openapi.json"] and "validatorUrl: null" in start
    assert got(world, "/docs/openapi.json")[:2] == (200, "application/json")


@pytest.mark.parametrize("name", ["nothing.js", "swagger-ui.css.map", "..%2f__init__.py", "index.html"])
def test_nothing_else_is_served_beside_it(world: World, name: str) -> None:
    assert got(world, f"/docs/{name}")[:2] == (404, "application/problem+json")
