"""The past as charts: of everything, of a queue, of one name of jobs; and the page Metrics."""

from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from holdfast.wire.checks import Refusal
from holdfastd.access.rights import Identity
from holdfastd.web.exporting import COUNTS, CSV, points_as_csv
from holdfastd.web.guard import Need
from holdfastd.web.pages import series, words
from holdfastd.web.pages.series import RANGES, Past, Range, range_named
from holdfastd.web.pages.site import Site
from holdfastd.web.remembered import Remembered, rights_key

PATH: Final = "/metrics-history"
CHARTED_S: Final = 10.0
"""Charts are read from the disk so often at most; a point is a minute at least."""
TOPS: Final = 50
KINDS: Final = {"busiest": "Busiest", "failing": "Failing most", "slowest": "Slowest"}


class Total(NamedTuple):
    """A number of a time, and of the time of the same length before it."""

    name: str
    now: str
    before: str


class History:
    def __init__(self, site: Site, monotonic: Callable[[], float]):
        self._site = site
        self._pasts: Remembered[Past] = Remembered(CHARTED_S, monotonic)
        site.live.topics["metrics"] = self.parts

    def routes(self) -> list[Route]:
        return [
            Route(PATH, self.show),
            Route(f"{PATH}/export", self.export),
        ]

    async def charts(
        self,
        identity: Identity,
        query: Mapping[str, str],
        path: str,
        queue: str | None = None,
    ) -> dict[str, Any]:
        """What a template needs for the charts of a page at this path. query: has its range."""
        chosen = range_named(query.get("range", ""))
        now_ms = self._site.now_ms()
        past = await self._past(identity, queue, None, chosen, now_ms)
        return {
            "throughput": series.throughput(past),
            "latency": series.latency(past),
            **_picker(query, path, chosen),
        }

    async def show(self, request: Request) -> Response:
        site, query = self._site, request.query_params
        identity = await site.guard.identify(request)
        site.guard.require(identity, Need.SEE_COUNTS)
        values = await self._values(identity, query)
        shown = words.with_query({}, queue=query.get("queue"), name=query.get("name"))
        live = f"topic=metrics&range={values['range_name']}&kind={values['kind']}&{shown}"
        queues = await site.board.queues(identity, None, "name", None, TOPS)
        return await site.rendering.page(
            request,
            identity,
            "metrics.html",
            page="metrics",
            live=live.rstrip("&"),
            queue_names=[queue["name"] for queue in queues["queues"]],
            csv_url=words.page_url(f"{PATH}/export", **dict(query)),
            **values,
        )

    async def parts(self, identity: Identity, query: Mapping[str, str]) -> dict[str, str]:
        """For /live. Raises Refusal."""
        self._site.guard.require(identity, Need.SEE_COUNTS)
        values = await self._values(identity, query)
        return await self._site.rendering.parts("metrics.html", {"metrics": "charts"}, **values)

    async def export(self, request: Request) -> Response:
        """The points of the charts, as CSV."""
        site, query = self._site, request.query_params
        identity = await site.guard.identify(request)
        site.guard.require(identity, Need.SEE_COUNTS)
        chosen = range_named(query.get("range", ""))
        past = await self._past(
            identity,
            query.get("queue") or None,
            (query.get("name") or None) if query.get("queue") else None,
            chosen,
            site.now_ms(),
        )
        headers = {"Content-Disposition": f'attachment; filename="holdfast-{chosen.name}.csv"'}
        return Response(points_as_csv(past.points), media_type=CSV, headers=headers)

    async def _values(self, identity: Identity, query: Mapping[str, str]) -> dict[str, Any]:
        site, now_ms = self._site, self._site.now_ms()
        chosen = range_named(query.get("range", ""))
        queue = query.get("queue", "").strip()
        # Names of jobs are those of a queue.
        name = query.get("name", "").strip() if queue else ""
        kind = query.get("kind", "busiest")
        kind = kind if kind in KINDS else "busiest"
        from_ms, to_ms = chosen.bounds(now_ms)
        past = await self._past(identity, queue or None, name or None, chosen, now_ms)
        earlier = await self._past(
            identity, queue or None, name or None, chosen, now_ms - chosen.length_ms
        )
        tops = await site.board.top(identity, kind, from_ms, to_ms, TOPS)
        chosen_only = {key: query.get(key, "") for key in ("queue", "name", "range")}
        return {
            "queue": queue,
            "name": name,
            "kind": kind,
            "totals": _totals(past.points, earlier.points),
            "throughput": series.throughput(past),
            "latency": series.latency(past),
            "added": series.added(past),
            "tops": [top for top in tops if not queue or top["queue"] == queue],
            "orders": [
                (
                    text,
                    words.page_url("/metrics-history", **{**chosen_only, "kind": each}),
                    each == kind,
                )
                for each, text in KINDS.items()
            ],
            **_picker(query, PATH, chosen),
        }

    async def _past(
        self, identity: Identity, queue: str | None, name: str | None, chosen: Range, now_ms: int
    ) -> Past:
        from_ms, to_ms = chosen.bounds(now_ms)
        step_ms = chosen.step_ms

        async def read() -> Past:
            try:
                points = await self._site.board.history(
                    identity, queue, name, from_ms, to_ms, step_ms
                )
            except Refusal:  # sums over all queues are for who may see all
                points = []
            return Past(points, chosen, now_ms)

        return await self._pasts.get(
            (rights_key(identity), queue, name, from_ms, to_ms, step_ms), read
        )


def _picker(query: Mapping[str, str], path: str, chosen: Range) -> dict[str, Any]:
    """For ui.segmented; a choice keeps what else stands in the address."""
    kept = {key: value for key, value in query.items() if key not in ("range", "topic")}
    return {
        "ranges": [
            (each.text, words.page_url(path, **{**kept, "range": each.name}), each is chosen)
            for each in RANGES
        ],
        "range_name": chosen.name,
        "range_text": f"in the last {chosen.text}",
    }


def _totals(points: series.Points, earlier: series.Points) -> list[Total]:
    def total(name: str) -> Total:
        counted = (sum(point[name] for point in each) for each in (points, earlier))
        return Total(name.capitalize(), *map(words.short, counted))

    def worst(name: str, text: str) -> Total:
        highest = (_highest(each, name) for each in (points, earlier))
        return Total(text, *map(words.duration, highest))

    return [
        *map(total, COUNTS),
        worst("wait_ms", "Wait p95, worst"),
        worst("run_ms", "Run p95, worst"),
    ]


def _highest(points: series.Points, name: str) -> float | None:
    measured = ((point[name] or {}).get("p95") for point in points)
    return max((value for value in measured if value is not None), default=None)
