"""A real Chromium (Debian: `chromium`), driven by Playwright, that forgives a page nothing.

What it says on its console as an error (what the Content-Security-Policy refuses is said there), an
exception that nobody caught, a request that fails or is answered with an error, one that goes to
another server, a dialog of the browser: each is a problem, and a visit that ends with one fails.

Where it is not there, the tests that need it are left out and say so; HOLDFAST_NEEDS=chromium
(our CI sets it) makes that an error.
"""

import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from importlib.resources import files
from typing import Any, Final, Literal, TypedDict, Unpack

from playwright.async_api import (
    Browser,
    BrowserContext,
    ConsoleMessage,
    Dialog,
    Page,
    Request,
    Response,
    WebError,
    async_playwright,
)

from support.needs import need

CHROMIUM: Final = shutil.which("chromium")
MISSING: Final = "chromium is not in the PATH: no page can be seen as a person sees it"
FLAGS: Final = (
    "--no-sandbox",  # tests may be root, and open nothing but our own pages
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
"""Without the last ones it asks the network for updates."""
PATIENCE_MS: Final = 10_000
"""For anything that a page is waited for; the machine may be busy."""
DESKTOP: Final = {"width": 1280, "height": 900}
PHONE: Final = {"width": 390, "height": 844}
WCAG: Final = ("wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice")
"""Sets of rules of axe-core: WCAG 2.2 AA, and what its authors advise beyond it."""
AXE: Final = (files("axe_playwright_python") / "axe.min.js").read_text()


def need_chromium() -> None:
    """See `support.needs`."""
    need("chromium", CHROMIUM is not None, MISSING)


@asynccontextmanager
async def chromium() -> AsyncIterator[Browser]:
    """One for many tests: it takes a second to start, a context a hundredth."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=list(FLAGS))
        yield browser
        await browser.close()


class Look(TypedDict, total=False):
    """How somebody looks at pages: of `Browser.new_context`."""

    viewport: dict[str, int]
    color_scheme: Literal["light", "dark"]
    java_script_enabled: bool
    device_scale_factor: float
    storage_state: Any
    timezone_id: str
    reduced_motion: Literal["reduce", "no-preference"]


class Visit:
    """One person at our pages, with cookies of their own.

    Attributes:
        page: the first tab. problems: what went wrong. requests: method and address of each
        request, in order.
    """

    def __init__(self, context: BrowserContext, page: Page, origin: str):
        self.context = context
        self.page = page
        self.origin = origin
        self.problems: list[str] = []
        self.requests: list[str] = []
        self._expected: tuple[str, ...] = ()
        context.on("console", self._said)
        context.on("weberror", self._raised)
        context.on("request", self._asked)
        context.on("requestfailed", self._failed)
        context.on("response", self._answered)
        context.on("dialog", self._interrupted)

    def expect_problems(self, *texts: str) -> None:
        """Those that have one of these texts are part of the test."""
        self._expected += texts

    def check(self) -> None:
        """Raises AssertionError with all that went wrong."""
        found = [
            problem
            for problem in self.problems
            if not any(text in problem for text in self._expected)
        ]
        assert not found, "\n".join(["the browser complains:", *found])

    def requests_to(self, path: str) -> int:
        """How many there were to an address of ours that begins so."""
        return sum(f" {self.origin}{path}" in request for request in self.requests)

    async def trap(self, name: str) -> None:
        """Give every page a function of this name: that it is called is a problem."""

        def sprung(*arguments: object) -> None:
            self.problems.append(f"{name} was called with {arguments}")

        await self.context.expose_function(name, sprung)

    def _said(self, message: ConsoleMessage) -> None:
        if message.type == "error":
            self.problems.append(f"console: {message.text}")

    def _raised(self, error: WebError) -> None:
        raised = error.error
        self.problems.append(f"exception: {raised.name}: {raised.message} {raised.stack}")

    def _asked(self, request: Request) -> None:
        self.requests.append(f"{request.method} {request.url}")
        is_ours = request.url.startswith((f"{self.origin}/", "data:", "blob:", "about:"))
        if not is_ours:
            self.problems.append(f"request to a stranger: {request.url}")

    def _failed(self, request: Request) -> None:
        if request.failure != "net::ERR_ABORTED":  # a page that is left ends its stream so
            self.problems.append(f"request failed: {request.url}: {request.failure}")

    def _answered(self, response: Response) -> None:
        if response.status >= 400:
            self.problems.append(f"answer {response.status}: {response.url}")

    async def _interrupted(self, dialog: Dialog) -> None:
        self.problems.append(f"dialog: {dialog.type} {dialog.message!r}")
        await dialog.dismiss()


@asynccontextmanager
async def visiting(browser: Browser, origin: str, **look: Unpack[Look]) -> AsyncIterator[Visit]:
    """Somebody new at `origin` (http://HOST:PORT); at its end the visit is checked."""
    # Nothing fades: colours half way between two themes are nobody's.
    wanted: dict[str, Any] = {"viewport": DESKTOP, "reduced_motion": "reduce", **look}
    context = await browser.new_context(base_url=origin, **wanted)
    context.set_default_timeout(PATIENCE_MS)
    visit = Visit(context, await context.new_page(), origin)
    try:
        yield visit
        visit.check()
    finally:
        await context.close()


Visitor = Callable[..., Any]
"""`visiting` with browser and origin given."""


async def violations(page: Page, *rules: str) -> list[str]:
    """What axe-core finds against the page as it stands now, a line per element.

    rules: only these; none = all of `WCAG`.
    """
    await page.evaluate(AXE)
    only = {"type": "rule" if rules else "tag", "values": list(rules or WCAG)}
    # Without `preload` it does not load our style sheets a second time: no rule here needs it.
    options = {"runOnly": only, "resultTypes": ["violations"], "preload": False}
    found = await page.evaluate("options => axe.run(document, options)", options)
    return [
        f"{violation['id']}: {violation['help']}: {node['html'][:200]} {node['failureSummary']}"
        for violation in found["violations"]
        for node in violation["nodes"]
    ]


async def sideways_px(page: Page) -> int:
    """By how much the page is wider than its window."""
    wider: int = await page.evaluate(
        "document.documentElement.scrollWidth - document.documentElement.clientWidth"
    )
    return max(0, wider)


async def set_hidden(page: Page, is_hidden: bool) -> None:
    """As when another tab is in front. Headless windows are always seen, so the page is told."""
    await page.evaluate(
        """isHidden => {
          const state = isHidden ? "hidden" : "visible";
          Object.defineProperty(document, "hidden", {value: isHidden, configurable: true});
          Object.defineProperty(document, "visibilityState", {value: state, configurable: true});
          document.dispatchEvent(new Event("visibilitychange"));
        }""",
        is_hidden,
    )
