"""All pages together, and what is shown when one cannot be."""

from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus
from typing import Any, TypeAlias

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute

from holdfast.wire.checks import Refusal
from holdfast.wire.constants import ErrorCode
from holdfastd.access.rights import Identity
from holdfastd.web.assets import Assets
from holdfastd.web.pages.adding import Adding
from holdfastd.web.pages.controlling import Controlling
from holdfastd.web.pages.doing import Doing
from holdfastd.web.pages.errors import error_page, is_from_htmx
from holdfastd.web.pages.everywhere import Everywhere
from holdfastd.web.pages.history import History
from holdfastd.web.pages.job import JobPage
from holdfastd.web.pages.jobs import JobsPages
from holdfastd.web.pages.keeping import Keeping
from holdfastd.web.pages.overview import Overview
from holdfastd.web.pages.planning import Planning
from holdfastd.web.pages.queue import Queue
from holdfastd.web.pages.queues import Queues
from holdfastd.web.pages.schedules import Schedules
from holdfastd.web.pages.server import Server
from holdfastd.web.pages.site import Site
from holdfastd.web.pages.sparks import Sparks
from holdfastd.web.pages.words import page_url
from holdfastd.web.pages.workers import Workers
from holdfastd.web.safe.login import Login
from holdfastd.web.safe.refusing import as_text, headers_of, refused, status_of

Handler: TypeAlias = Callable[[Request, Exception], Awaitable[Response]]
_NOT_PAGES = ("/api/", "/metrics", "/live", "/static/", "/livez", "/readyz", "/events")
"""What asks for these is a program, and wants no page: /live is the page's own script."""


def routes(site: Site, assets: Assets, monotonic: Callable[[], float]) -> list[BaseRoute]:
    past = History(site, monotonic)
    sparks = Sparks(site.board, site.now_ms, monotonic)

    async def show_login(request: Request, error: str, following: str, status: int) -> Response:
        values = {"error": error, "next": following}
        return await site.rendering.page(request, None, "login.html", status=status, **values)

    parts = (
        Login(site.guard, show_login),
        Overview(site, past, sparks),
        Queues(site, sparks),
        Queue(site, past),
        Workers(site),
        Planning(site),
        Schedules(site),
        past,
        Server(site),
        Controlling(site),
        Everywhere(site),
        Keeping(site),
        # Its own addresses are below /jobs, and so is any queue's name.
        Adding(site),
        Doing(site),
        JobsPages(site),
        JobPage(site),
    )
    own = (route for part in parts for route in part.routes())
    return [*assets.routes(), *site.live.routes(), *own]


def handlers(site: Site) -> Mapping[Any, Handler]:
    """By kind of exception, for Starlette."""

    async def on_refusal(request: Request, error: Exception) -> Response:
        assert isinstance(error, Refusal)
        if not _is_page(request):
            return await refused(request, error)
        if error.code is ErrorCode.NOT_AUTHENTICATED:
            return _to_login(request)
        page = await error_page(
            site.rendering, request, status_of(error), error.message, await _who(site, request)
        )
        page.headers.update(headers_of(error))
        return page

    async def on_http_exception(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        if not _is_page(request):
            code = HTTPStatus(error.status_code).name
            return as_text(request, error.status_code, code, error.detail, error.headers)
        # What Starlette says by itself is the status in words; the page has better ones.
        text = "" if error.status_code in (404, 405) and len(error.detail) < 20 else error.detail
        return await error_page(
            site.rendering, request, error.status_code, text, await _who(site, request)
        )

    async def on_bug(request: Request, error: Exception) -> Response:
        if not _is_page(request):
            return as_text(request, 500, "INTERNAL", "a bug: see the daemon's log")
        return await error_page(site.rendering, request, 500)

    return {Refusal: on_refusal, HTTPException: on_http_exception, Exception: on_bug}


def _is_page(request: Request) -> bool:
    return not request.url.path.startswith(_NOT_PAGES) or request.url.path == "/metrics-history"


def _to_login(request: Request) -> Response:
    """And back again: what was asked for, unless it was to change something."""
    path = request.url.path if request.method == "GET" else "/"
    query = f"?{request.url.query}" if request.url.query and request.method == "GET" else ""
    where = page_url("/login", next=f"{path}{query}" if path != "/" else None)
    if is_from_htmx(request):
        return Response(headers={"HX-Redirect": where})
    return RedirectResponse(where, 303)


async def _who(site: Site, request: Request) -> Identity | None:
    """For the frame around an error."""
    try:
        return await site.guard.identify(request)
    except Refusal:
        return None
