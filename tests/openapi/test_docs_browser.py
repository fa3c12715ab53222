"""The page at /docs in a browser: it shows every operation, breaks no rule of its policy, and calls what it is told to call."""

import json
import shutil
import socket
import subprocess
import threading
import time
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest
from werkzeug.serving import make_server

from service.openapi.document import operations
from tests.openapi.world import World, bearer

BROWSER, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
pytestmark = [pytest.mark.browser, pytest.mark.skipif(not (BROWSER and DRIVER), reason="needs chromium and chromedriver")]
ARGUMENTS = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--window-size=1300,1600"]
OPEN = "const tag = [...document.querySelectorAll('.opblock-tag')].find(t => t.textContent.includes('dosing-encounters')); tag.click();"
BLOCK = "[...document.querySelectorAll('.opblock')].find(block => block.id.endsWith('-getDosingEncounter'))"
TYPE = """const field = document.querySelector('.auth-container input');
Object.getOwnPropertyDescriptor(HTMLInputElement.prototype, 'value').set.call(field, arguments[0]);
field.dispatchEvent(new Event('input', {bubbles: true}));"""  # sic: a field of React's notices no other way of setting it


class Page:
    """A browser at a page, by the WebDriver protocol."""

    def __init__(self, driver: str):
        options = {"binary": BROWSER, "args": ARGUMENTS}
        wanted = {"browserName": "chrome", "goog:loggingPrefs": {"browser": "ALL"}, "goog:chromeOptions": options, "timeouts": {"script": 120_000}}
        self._session = driver + "/session"
        self._session += "/" + self._asked("POST", "", {"capabilities": {"alwaysMatch": wanted}})["sessionId"]

    def _asked(self, method: str, path: str, body: Any = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        with urllib.request.urlopen(urllib.request.Request(self._session + path, data, method=method), timeout=150) as answer:
            return json.load(answer)["value"]

    def open(self, url: str) -> None:
        self._asked("POST", "/url", {"url": url})

    def run(self, script: str, *arguments: str) -> Any:
        return self._asked("POST", "/execute/sync", {"script": script, "args": list(arguments)})

    def wait(self, expression: str) -> Any:
        until = time.monotonic() + 120
        while not (found := self.run(f"return {expression}")):
            assert time.monotonic() < until, expression
            time.sleep(0.1)
        return found

    def complaints(self) -> list[str]:
        return [line["message"] for line in self._asked("POST", "/se/log", {"type": "browser"})]

    def close(self) -> None:
        self._asked("DELETE", "")


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@pytest.fixture
def served(world: World) -> Iterator[str]:
    server = make_server("127.0.0.1", 0, world.app, threaded=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.port}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def page() -> Iterator[Page]:
    port = free_port()
    process = subprocess.Popen([str(DRIVER), f"--port={port}"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        until = time.monotonic() + 30
        while time.monotonic() < until:
            with socket.socket() as knocking:
                if knocking.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.1)
        made = Page(f"http://127.0.0.1:{port}")
        yield made
        made.close()
    finally:
        process.terminate()
        process.wait(30)


def test_the_page_shows_the_operations_and_calls_one_with_a_token(served: str, page: Page) -> None:
    page.open(f"{served}/docs")
    page.wait("document.querySelectorAll('.opblock-tag').length")
    assert page.run("return document.querySelectorAll('.opblock-tag').length") == len({operation.tag for operation in operations()})
    page.run("document.querySelector('.btn.authorize').click()")
    page.wait("document.querySelector('.auth-container input') !== null")
    page.run(TYPE, bearer("clinic"))
    page.run("document.querySelector('.auth-btn-wrapper .authorize').click()")
    page.wait("document.querySelector('.auth-btn-wrapper .btn-done') !== null")
    page.run("document.querySelector('.auth-btn-wrapper .btn-done').click()")
    page.run(OPEN)
    page.wait(f"{BLOCK} !== undefined")
    page.run(f"{BLOCK}.querySelector('.opblock-summary-control').click()")
    page.wait(f"{BLOCK}.querySelector('.execute') !== null")
    page.wait(f"{BLOCK}.querySelector('input').value === 'ann-dose-1'")
    page.run(f"{BLOCK}.querySelector('.execute').click()")
    status = page.wait(f"{BLOCK}.querySelector('.live-responses-table tbody .response-col_status')?.textContent")
    assert status.startswith("200"), status
    assert '"id": "ann-dose-1"' in page.run(f"return {BLOCK}.querySelector('.live-responses-table').textContent")
    assert page.complaints() == []
