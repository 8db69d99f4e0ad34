"""Workers: who is connected, what each of them runs."""

from collections.abc import Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from holdfastd.access.rights import Identity
from holdfastd.web.guard import Need
from holdfastd.web.pages import views
from holdfastd.web.pages.site import Site


class Workers:
    def __init__(self, site: Site):
        self._site = site
        site.live.topics["workers"] = self.parts

    def routes(self) -> list[Route]:
        return [Route("/workers", self.show)]

    async def show(self, request: Request) -> Response:
        site = self._site
        identity = await site.guard.identify(request)
        return await site.rendering.page(
            request,
            identity,
            "workers.html",
            page="workers",
            live="topic=workers",
            **await self._values(identity),
        )

    async def parts(self, identity: Identity, query: Mapping[str, str]) -> dict[str, str]:
        """For /live. Raises Refusal."""
        ids = {"workers-lead": "lead", "worker-table": "table"}
        return await self._site.rendering.parts("workers.html", ids, **await self._values(identity))

    async def _values(self, identity: Identity) -> dict[str, Any]:
        site = self._site
        site.guard.require(identity, Need.SEE_COUNTS)
        workers = await site.board.workers(identity)
        return {
            "workers": workers,
            "running_count": sum(len(worker["running"]) for worker in workers),
            "may_act": site.guard.allows(identity, Need.ACT),
            "may_see_jobs": site.guard.allows(identity, Need.SEE_JOBS),
            "first_job": views.first_job(""),
        }
