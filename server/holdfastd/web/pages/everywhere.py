"""Pausing and resuming all queues from the overview: the question, the act, the answer."""

from typing import Any, Final

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route

from holdfastd.web.acting.everywhere import Chosen, Queues
from holdfastd.web.pages import actions
from holdfastd.web.pages.controls import Asked, jobs
from holdfastd.web.pages.errors import is_from_htmx
from holdfastd.web.pages.kinds import QUEUES, queues_in_words
from holdfastd.web.pages.site import Site
from holdfastd.web.pages.words import page_url

ALL: Final = Queues("*")
BACK: Final = "/"
"""The overview, where the buttons are."""
_TO_DIALOG: Final = {"HX-Retarget": "#dialog-content", "HX-Reswap": "innerHTML"}
_TO_TOASTS: Final = {"HX-Retarget": "#toasts", "HX-Reswap": "beforeend"}
_NO_STORE: Final = {"Cache-Control": "no-store"}


class Everywhere:
    def __init__(self, site: Site):
        self._site = site

    def routes(self) -> list[Route]:
        return [Route("/do/all-queues/{kind}", self.serve, methods=["GET", "POST"])]

    async def serve(self, request: Request) -> Response:
        """GET asks, POST acts. Raises Refusal."""
        kind = request.path_params["kind"]
        if kind not in QUEUES:
            raise HTTPException(404)
        site = self._site
        identity = await site.guard.identify(request)
        if request.method == "POST":
            action = await site.acting.act(identity, kind, ALL, {})
            if not is_from_htmx(request):
                return RedirectResponse(page_url(BACK, action=action["id"]), 303)
            view = actions.view(action, site.now_ms())
            html = site.rendering.text("action.html", action=view, back=BACK)
            return HTMLResponse(html, headers={**_NO_STORE, **_TO_TOASTS})
        asked = ask(kind, await site.acting.chosen(identity, kind, ALL))
        values: dict[str, Any] = {
            "title": asked.title,
            "asked": asked,
            "action": request.url.path,
            "hidden": {},
            "back": BACK,
            "error": "",
        }
        if is_from_htmx(request):
            html = site.rendering.text("control_inside.html", **values)
            return HTMLResponse(html, headers={**_NO_STORE, **_TO_DIALOG})
        return await site.rendering.page(
            request, identity, "control.html", page="overview", **values
        )


def ask(kind: str, chosen: Chosen) -> Asked:
    """With how many queues it will touch, and how many jobs wait in them."""
    words = QUEUES[kind]
    count = len(chosen.names)
    whom = "this one queue" if count == 1 else f"all {queues_in_words(count)}"
    asks = words.asks.format(queues=whom)
    text = words.explains.format(jobs=jobs(chosen.waiting))
    if chosen.others:
        is_so = "paused" if kind == "pause" else "running"
        others = f"{queues_in_words(chosen.others)} {'is' if chosen.others == 1 else 'are'}"
        text += f" {others} {is_so} already and stays so."
    text += " It can be undone afterwards."
    return Asked(f"{asks}?", text, asks)
