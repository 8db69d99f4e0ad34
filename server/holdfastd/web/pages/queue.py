"""One queue: its jobs by state, its history, what is in force, who works on it."""

from collections.abc import Mapping
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from holdfastd.access.rights import Identity
from holdfastd.web.guard import Need
from holdfastd.web.pages import history, views
from holdfastd.web.pages.site import Site
from holdfastd.web.pages.words import page_url

JOBS: Final = 10
"""Shown of the chosen state."""
SCHEDULES: Final = 10
"""Shown of those that add to it; the others are one link away."""
STATES: Final = ("failed", "active", "waiting", "delayed", "completed", "cancelled")
PARTS: Final = {
    "queue-badges": "badges",
    "queue-tools": "tools",
    "totals": "totals",
    "charts": "charts",
    "queue-settings": "settings",
    "queue-workers": "workers",
    "queue-schedules": "schedules",
}
"""By the element that they fill. Its jobs are not live: they would move away below the pointer."""


class Queue:
    def __init__(self, site: Site, past: history.History):
        self._site = site
        self._past = past
        site.live.topics["queue"] = self.parts

    def routes(self) -> list[Route]:
        return [Route("/queues/{queue}", self.show)]

    async def show(self, request: Request) -> Response:
        site, name = self._site, request.path_params["queue"]
        identity = await site.guard.identify(request)
        values = await self._values(identity, name, request.query_params)
        state = request.query_params.get("state", "")
        state = state if state in STATES else _first_with_jobs(values["queue"]["counts"])
        live = page_url("/live", topic="queue", name=name, range=values["range_name"])
        return await site.rendering.page(
            request,
            identity,
            "queue.html",
            page="queues",
            live=live.partition("?")[2],
            states=STATES,
            state=state,
            jobs=await self._jobs(identity, name, state),
            **values,
        )

    async def parts(self, identity: Identity, query: Mapping[str, str]) -> dict[str, str]:
        """For /live. Raises Refusal; HTTPException: the queue is gone."""
        values = await self._values(identity, query.get("name", ""), query)
        return await self._site.rendering.parts("queue.html", PARTS, **values)

    async def _values(
        self, identity: Identity, name: str, query: Mapping[str, str]
    ) -> dict[str, Any]:
        site = self._site
        site.guard.require(identity, Need.SEE_COUNTS, name)
        told = await site.board.queue(identity, name)
        workers = await site.board.workers(identity)
        kept = {key: value for key, value in query.items() if key in ("range", "state")}
        return {
            "queue": views.queue(told, site.now_ms()),
            "workers": [worker for worker in workers if name in worker["queues"]],
            "schedules": await self._schedules(identity, name),
            "may_see_jobs": site.guard.allows(identity, Need.SEE_JOBS, name),
            "may_schedule": site.guard.allows(identity, Need.ADD, name),
            "may_add": site.guard.allows(identity, Need.ADD, name),
            "may_act": site.guard.allows(identity, Need.ACT, name),
            "may_destroy": site.guard.allows(identity, Need.DESTROY, name),
            **await self._past.charts(identity, kept, page_url("/queues", name), name),
        }

    async def _schedules(self, identity: Identity, name: str) -> list[dict[str, Any]]:
        if not self._site.guard.allows(identity, Need.SEE_JOBS, name):
            return []
        found = await self._site.timetable.page(identity, name, None, None, SCHEDULES)
        schedules: list[dict[str, Any]] = found["schedules"]
        return schedules

    async def _jobs(self, identity: Identity, name: str, state: str) -> list[dict[str, Any]]:
        if not self._site.guard.allows(identity, Need.SEE_JOBS, name):
            return []
        found = await self._site.board.jobs(identity, f"queue:{name} state:{state}", None, JOBS)
        jobs: list[dict[str, Any]] = found["jobs"]
        return jobs


def _first_with_jobs(counts: Mapping[str, int]) -> str:
    return next((state for state in STATES if counts.get(state)), "waiting")
