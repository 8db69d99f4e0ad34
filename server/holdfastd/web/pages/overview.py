"""The overview: what there is, how fast it goes, what is in trouble."""

from collections.abc import Mapping
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from holdfastd.access.rights import Identity
from holdfastd.web.guard import Need
from holdfastd.web.pages import actions, history, views, words
from holdfastd.web.pages.site import Site
from holdfastd.web.pages.sparks import Sparks
from holdfastd.web.pages.words import page_url

PARTS: Final = {
    "totals": "totals",
    "charts": "charts",
    "queue-tools": "tools",
    "queues": "queues",
    "troubles": "troubles",
}
"""By the element that they fill: those that are sent again when they change."""


class Overview:
    def __init__(self, site: Site, past: history.History, sparks: Sparks):
        self._site = site
        self._past = past
        self._sparks = sparks
        site.live.topics["overview"] = self.parts

    def routes(self) -> list[Route]:
        return [Route("/", self.show)]

    async def show(self, request: Request) -> Response:
        site = self._site
        identity = await site.guard.identify(request)
        site.guard.require(identity, Need.SEE_COUNTS)
        values = await self._values(identity, request.query_params)
        is_empty = "yes" if not values["overview"]["queues"] else ""
        live = page_url("/live", topic="overview", range=values["range_name"], empty=is_empty)
        return await site.rendering.page(
            request,
            identity,
            "overview.html",
            page="overview",
            live=live.partition("?")[2],
            first_job=views.first_job(site.rendering.origin(request)),
            action=await self._action(identity, request.query_params.get("action")),
            **values,
        )

    async def parts(self, identity: Identity, query: Mapping[str, str]) -> dict[str, str]:
        """For /live: of a page that was empty, all of it as soon as there is something.

        Raises:
            Refusal: not with this key.
        """
        self._site.guard.require(identity, Need.SEE_COUNTS)
        values = await self._values(identity, query)
        if not values["overview"]["queues"]:
            return {}
        parts = {"overview": "content"} if query.get("empty") else PARTS
        return await self._site.rendering.parts("overview.html", parts, **values)

    async def _action(self, identity: Identity, id: str | None) -> actions.ActionView | None:
        """The one that a form has begun, without JavaScript; None = it is forgotten."""
        action = await self._site.board.action(identity, id) if id else None
        return actions.view(action, self._site.now_ms()) if action else None

    async def _values(self, identity: Identity, query: Mapping[str, str]) -> dict[str, Any]:
        told = await self._site.board.overview(identity)
        now_ms = self._site.now_ms()
        queues = [views.queue(each, now_ms) for each in told["queues"]]
        oldest = views.queue(told["totals"], now_ms)["oldest_at_ms"]
        return {
            "overview": {**told, "queues": queues},
            "sparks": await self._sparks.of(identity, [queue["name"] for queue in queues]),
            "oldest_words": words.oldest(oldest, now_ms),
            "may_see_jobs": self._site.guard.allows(identity, Need.SEE_JOBS),
            "may_act": self._site.guard.allows(identity, Need.ACT),
            **await self._past.charts(identity, query, "/"),
        }
