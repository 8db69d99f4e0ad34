"""All queues as a table that sorts, filters and groups; all of it in the address."""

import re
from collections.abc import Mapping
from itertools import groupby
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from holdfastd.access.rights import Identity
from holdfastd.web.guard import Need
from holdfastd.web.pages import views
from holdfastd.web.pages.site import Site
from holdfastd.web.pages.sparks import Sparks
from holdfastd.web.pages.words import page_url

PATH: Final = "/queues"
LIMIT: Final = 100
"""Queues of a page."""
SORTS: Final = ("name", "waiting", "active", "delayed", "failed", "oldest", "completed")
DELIMITER: Final = re.compile(r"[.:_-]")
"""What ends a prefix: `mail:eu` and `mail.us` are of the group `mail`."""
KEPT: Final = ("match", "sort", "group", "after")
"""What of the address a live page watches."""


class Queues:
    def __init__(self, site: Site, sparks: Sparks):
        self._site = site
        self._sparks = sparks
        site.live.topics["queues"] = self.parts

    def routes(self) -> list[Route]:
        return [Route(PATH, self.show)]

    async def show(self, request: Request) -> Response:
        site = self._site
        identity = await site.guard.identify(request)
        site.guard.require(identity, Need.SEE_COUNTS)
        query = {key: request.query_params.get(key, "") for key in KEPT}
        return await site.rendering.page(
            request,
            identity,
            "queues.html",
            page="queues",
            live=page_url("/live", topic="queues", **query).partition("?")[2],
            first_job=views.first_job(site.rendering.origin(request)),
            **await self._values(identity, query),
        )

    async def parts(self, identity: Identity, query: Mapping[str, str]) -> dict[str, str]:
        """For /live. Raises Refusal."""
        self._site.guard.require(identity, Need.SEE_COUNTS)
        values = await self._values(identity, query)
        if not values["queues"]:
            return {}
        return await self._site.rendering.parts("queues.html", {"queue-table": "table"}, **values)

    async def _values(self, identity: Identity, query: Mapping[str, str]) -> dict[str, Any]:
        match, group = query.get("match", "").strip(), query.get("group", "")
        sort = query.get("sort", "")
        sort = sort if sort.lstrip("-") in SORTS else ""
        told = await self._site.board.queues(
            identity, _pattern(match), sort or "name", query.get("after") or None, LIMIT
        )
        now_ms = self._site.now_ms()
        queues = [views.queue(each, now_ms) for each in told["queues"]]
        kept = {"match": match, "sort": sort, "group": group}
        return {
            "queues": queues,
            "groups": _grouped(queues) if group else [(None, queues)],
            "sparks": await self._sparks.of(identity, [queue["name"] for queue in queues]),
            "match": match,
            "sort": sort or "name",
            "is_grouped": bool(group),
            "groupings": [
                ("One list", page_url(PATH, **{**kept, "group": ""}), not group),
                ("By prefix", page_url(PATH, **{**kept, "group": "yes"}), bool(group)),
            ],
            "urls": {name: _sorter(kept) for name in SORTS},
            "next_url": page_url(PATH, **kept, after=told["next"]) if told["next"] else "",
            "first_url": page_url(PATH, **kept) if query.get("after") else "",
            "may_act": self._site.guard.allows(identity, Need.ACT),
        }


def _pattern(match: str) -> str | None:
    """A name without a `*` is looked for anywhere in names."""
    if not match:
        return None
    return match if "*" in match else f"*{match}*"


def _sorter(kept: Mapping[str, str]) -> Any:
    """Address of this list in another order."""
    return lambda sort: page_url(PATH, **{**kept, "sort": sort})


def _grouped(queues: list[dict[str, Any]]) -> list[tuple[str, list[dict[str, Any]]]]:
    """By prefix, in the order of prefixes; within one as they are."""

    def prefix(queue: Mapping[str, Any]) -> str:
        found = DELIMITER.search(queue["name"], 1)
        return queue["name"][: found.start()] if found else ""

    ordered = sorted(queues, key=prefix)
    return [(name, list(members)) for name, members in groupby(ordered, prefix)]
