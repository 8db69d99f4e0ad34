"""Schedules: all of them as a table, and each by itself with what became of its jobs."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from holdfastd.access.rights import Identity
from holdfastd.engine.zones import zone
from holdfastd.web.guard import Need
from holdfastd.web.pages import views, words
from holdfastd.web.pages.site import Site
from holdfastd.web.pages.terms import term
from holdfastd.web.pages.words import page_url
from holdfastd.web.schedules import runs_query

PATH: Final = "/schedules"
LIMIT: Final = 50
"""Schedules of a page."""
KEPT: Final = ("queue", "match", "after")
"""What of the address a live page watches."""
PARTS: Final = {
    "schedule-head": "head",
    "schedule-plan": "plan",
    "schedule-counts": "counts",
    "schedule-runs": "runs",
}
"""Blocks by the element that they fill. Data and options stay as they were seen."""
ORIGINS: Final = {
    "client": (
        "Code declares this schedule, as a rule each time that it starts. Then it is again as the "
        "code says, whatever was changed here or deleted: change it in the code."
    ),
    "api": (
        "A program made this schedule over the HTTP API. When it puts it again, it is as the "
        "program says, whatever was changed here or deleted."
    ),
    "dashboard": "It was made here, in the dashboard.",
}
MISSED: Final = {
    "once": "one job for all times that were missed",
    "skip": "nothing: it goes on with the next time",
}
OVERLAP: Final = {
    "allow": "the next one is made all the same",
    "skip": "the next one is left out",
}


class Schedules:
    def __init__(self, site: Site):
        self._site = site
        site.live.topics["schedules"] = self._live_list
        site.live.topics["schedule"] = self._live_one

    def routes(self) -> list[Route]:
        return [
            Route(PATH, self.show),
            Route(f"{PATH}/{{queue}}/", self.show_one),
            Route(f"{PATH}/{{queue}}/{{id:path}}", self.show_one),
        ]

    # ---- all -----------------------------------------------------------------------------------

    async def show(self, request: Request) -> Response:
        site = self._site
        identity = await site.guard.identify(request)
        query = {key: request.query_params.get(key, "") for key in KEPT}
        return await site.rendering.page(
            request,
            identity,
            "schedules.html",
            page="schedules",
            live=words.with_query({"topic": "schedules", **query}),
            **await self._listed(identity, query),
        )

    async def _live_list(self, identity: Identity, query: Mapping[str, str]) -> dict[str, str]:
        """Raises Refusal."""
        values = await self._listed(identity, query)
        if not values["schedules"]:
            return {}
        parts = {"schedule-table": "table"}
        return await self._site.rendering.parts("schedules.html", parts, **values)

    async def _listed(self, identity: Identity, query: Mapping[str, str]) -> dict[str, Any]:
        queue, match = query.get("queue", "").strip(), query.get("match", "").strip()
        self._site.guard.require(identity, Need.SEE_JOBS, queue or None)
        found = await self._site.timetable.page(
            identity, queue or None, match, query.get("after") or None, LIMIT
        )
        kept = {"queue": queue, "match": match}
        return {
            "schedules": found["schedules"],
            "queue": queue,
            "match": match,
            "next_url": page_url(PATH, **kept, after=found["next"]) if found["next"] else "",
            "first_url": page_url(PATH, **kept) if query.get("after") else "",
            "new_url": page_url(f"{PATH}/new", queue=queue),
            "may_act": self._site.guard.allows(identity, Need.ACT),
            "may_schedule": self._site.guard.allows(identity, Need.ADD),
        }

    # ---- one -----------------------------------------------------------------------------------

    async def show_one(self, request: Request) -> Response:
        site = self._site
        identity = await site.guard.identify(request)
        queue = request.path_params["queue"]
        # See `schedule_url`: the id is in the query where a path cannot have it.
        id = request.path_params.get("id") or request.query_params.get("id", "")
        return await site.rendering.page(
            request,
            identity,
            "schedule.html",
            page="schedules",
            live=words.with_query({"topic": "schedule", "queue": queue, "id": id}),
            **await self._one(identity, queue, id),
        )

    async def _live_one(self, identity: Identity, query: Mapping[str, str]) -> dict[str, str]:
        """Raises Refusal."""
        values = await self._one(identity, query.get("queue", ""), query.get("id", ""))
        return await self._site.rendering.parts("schedule.html", PARTS, **values)

    async def _one(self, identity: Identity, queue: str, id: str) -> dict[str, Any]:
        site = self._site
        site.guard.require(identity, Need.SEE_JOBS, queue)
        found = await site.timetable.one(identity, queue, id)
        return {
            "schedule": found,
            "plan": _plan(found),
            "following": [(at_ms, local_time(at_ms, found["tz"])) for at_ms in found["next_five"]],
            "runs": await site.timetable.runs(identity, queue, id),
            "runs_url": page_url("/jobs", q=f"{term('queue', queue)} {runs_query(id)}"),
            "origin": ORIGINS[found["origin"]],
            "options": views.options(found["options"]),
            "may_act": site.guard.allows(identity, Need.ACT, queue),
            "may_schedule": site.guard.allows(identity, Need.ADD, queue),
        }


def _plan(schedule: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """Name and value of each fact."""
    facts: list[tuple[str, Any]] = [("In words", schedule["words"])]
    if schedule["cron"] is not None:
        facts += [("Pattern", schedule["cron"]), ("Time zone", schedule["tz"])]
    return [
        *facts,
        ("Job", schedule["name"]),
        ("After a time out of service", MISSED[schedule["missed_policy"]]),
        ("While its last job goes on", OVERLAP[schedule["overlap"]]),
        ("Made", words.instant(schedule["created_at_ms"])),
        ("Changed", words.instant(schedule["changed_at_ms"])),
    ]


def local_time(at_ms: int, tz: str | None) -> str:
    """With the day of the week, as clocks there show it; "" = it goes by no clock but UTC."""
    if tz is None or tz == "UTC":
        return ""
    return datetime.fromtimestamp(at_ms / 1_000, zone(tz)).strftime("%a %Y-%m-%d %H:%M:%S %Z")
