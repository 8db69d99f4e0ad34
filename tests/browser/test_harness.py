"""What the other tests of this folder rely on: that a page which does wrong is found out."""

import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Final

import pytest
from playwright.async_api import Browser

from support.browser import sideways_px, violations, visiting

pytestmark = pytest.mark.asyncio(loop_scope="session")

POLICY: Final = "default-src 'none'; script-src 'self'; connect-src 'self'"
WRONG: Final = {
    "console: it is broken": "console.error('it is broken')",
    "exception: ReferenceError: nothing is not defined": "nothing()",
    "answer 404: ": "fetch('/missing')",
    "dialog: alert 'boo'": "alert('boo')",
    "marker was called with ('x',)": "marker('x')",
    "violates the following Content Security Policy directive": (
        "document.body.setAttribute('style', 'color: red')"
    ),
    "request to a stranger: http://localhost": "location = 'http://localhost:9/'",
}
"""What a script does, and what is told of it."""


class Pages(BaseHTTPRequestHandler):
    """/?KEY is a page with a script that does one of `WRONG`; its text is at /script.js?KEY."""

    def do_GET(self) -> None:
        path, _, key = self.path.partition("?")
        if path == "/script.js":
            self._answer(200, "text/javascript", list(WRONG.values())[int(key)])
        elif path in ("/", "/favicon.ico"):
            script = f'<script src="/script.js?{key}"></script>' if key else ""
            self._answer(200, "text/html", f"<!doctype html><title>t</title><body>{script}")
        elif path == "/wide":
            page = '<!doctype html><title>t</title><img width="900" height="9"><p>wide'
            self._answer(200, "text/html", page)
        else:
            self._answer(404, "text/plain", "")

    def _answer(self, status: int, kind: str, body: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Security-Policy", POLICY)
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, format: str, *arguments: object) -> None:
        """Nobody reads it."""


@pytest.fixture
def origin() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Pages) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("problem", WRONG)
async def test_what_a_page_does_wrong_fails_the_visit(
    browser: Browser, origin: str, problem: str
) -> None:
    number = list(WRONG).index(problem)
    visiting_it = visiting(browser, origin)
    visit = await visiting_it.__aenter__()
    await visit.trap("marker")
    await visit.page.goto(f"/?{number}")
    while not visit.problems:
        await visit.page.wait_for_timeout(20)
    with pytest.raises(AssertionError, match=re.escape(problem)):
        await visiting_it.__aexit__(None, None, None)


async def test_a_page_that_does_nothing_wrong_passes_and_its_requests_are_counted(
    browser: Browser, origin: str
) -> None:
    async with visiting(browser, origin) as visit:
        await visit.page.goto("/")
        assert visit.requests_to("/") == 1


async def test_axe_finds_an_image_without_words_and_a_page_that_scrolls_sideways_is_measured(
    browser: Browser, origin: str
) -> None:
    async with visiting(browser, origin, viewport={"width": 390, "height": 800}) as visit:
        await visit.page.goto("/wide")
        found = await violations(visit.page)
        assert any(line.startswith("image-alt") for line in found)
        assert await sideways_px(visit.page) > 400
