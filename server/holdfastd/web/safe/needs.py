"""What each route of the HTTP port asks for at least: one table, so that none is open by mistake.

`guarded` puts a look at it in front of every route. One that is not in the table is for admins
only; a test finds it. A route asks for more by itself where that depends on what is asked for: the
queue of a job, the kind of an action.
"""

from collections.abc import Iterable, Iterator, MutableMapping
from enum import Enum
from typing import Any, Final, TypeAlias

from starlette.requests import Request
from starlette.routing import BaseRoute, Mount, Route

from holdfastd.access.rights import Need
from holdfastd.web.guard import Guard
from holdfastd.web.safe.shield import App, Receive, Send


class Open(Enum):
    """Nobody has to say who he is."""

    TO_ALL = "to all"


Asked: TypeAlias = Need | Open
EVERYBODY: Final = Open.TO_ALL

NEEDS: Final[dict[tuple[str, str], Asked]] = {
    ("GET", "/livez"): EVERYBODY,
    ("GET", "/readyz"): EVERYBODY,
    ("GET", "/robots.txt"): EVERYBODY,
    ("GET", "/login"): EVERYBODY,
    ("POST", "/login"): EVERYBODY,
    ("POST", "/logout"): EVERYBODY,
    ("GET", "/static/{version}/{name:path}"): EVERYBODY,
    ("GET", "/metrics"): Need.SEE_COUNTS,
    # Pages.
    ("GET", "/"): Need.SEE_COUNTS,
    ("GET", "/queues"): Need.SEE_COUNTS,
    ("GET", "/queues/{queue}"): Need.SEE_COUNTS,
    ("GET", "/workers"): Need.SEE_COUNTS,
    ("GET", "/metrics-history"): Need.SEE_COUNTS,
    ("GET", "/metrics-history/export"): Need.SEE_COUNTS,
    ("GET", "/server"): Need.SEE_COUNTS,
    ("GET", "/server/doctor"): Need.SEE_COUNTS,
    ("GET", "/live"): Need.SEE_COUNTS,
    ("GET", "/jobs"): Need.SEE_JOBS,
    ("GET", "/jobs/facets"): Need.SEE_JOBS,
    ("GET", "/jobs/complete"): Need.SEE_JOBS,
    ("GET", "/jobs/export"): Need.SEE_JOBS,
    ("POST", "/jobs/export"): Need.SEE_JOBS,  # of those that are ticked
    ("GET", "/jobs/confirm"): Need.SEE_JOBS,
    ("POST", "/jobs/confirm"): Need.SEE_JOBS,
    ("GET", "/jobs/{queue}/"): Need.SEE_JOBS,
    ("GET", "/jobs/{queue}/{id:path}"): Need.SEE_JOBS,
    ("GET", "/schedules"): Need.SEE_JOBS,
    ("GET", "/schedules/{queue}/"): Need.SEE_JOBS,
    ("GET", "/schedules/{queue}/{id:path}"): Need.SEE_JOBS,
    ("GET", "/actions/{id}"): Need.SEE_JOBS,
    # What pages do.
    ("GET", "/queues/{queue}/add"): Need.ADD,
    ("POST", "/queues/{queue}/add"): Need.ADD,
    ("POST", "/do/jobs"): Need.ACT,
    ("POST", "/do/undo"): Need.ACT,
    ("GET", "/do/all-queues/{kind}"): Need.ACT,
    ("POST", "/do/all-queues/{kind}"): Need.ACT,
    ("GET", "/do/server/{kind}"): Need.KEEP,
    ("POST", "/do/server/{kind}"): Need.KEEP,
    ("GET", "/do/queues/{kind}"): Need.ACT,
    ("POST", "/do/queues/{kind}"): Need.ACT,
    ("GET", "/do/workers/{kind}"): Need.ACT,
    ("POST", "/do/workers/{kind}"): Need.ACT,
    ("GET", "/schedules/new"): Need.ADD,
    ("POST", "/schedules/new"): Need.ADD,
    ("GET", "/schedules/edit"): Need.ADD,
    ("POST", "/schedules/edit"): Need.ADD,
    ("GET", "/do/schedules/{kind}"): Need.ACT,
    ("POST", "/do/schedules/{kind}"): Need.ACT,
    ("GET", "/do/schedules/delete"): Need.ADD,
    ("POST", "/do/schedules/delete"): Need.ADD,
    # The API.
    ("GET", "/api/v1/openapi.json"): Need.SEE_COUNTS,
    ("GET", "/api/v1/overview"): Need.SEE_COUNTS,
    ("GET", "/api/v1/server"): Need.SEE_COUNTS,
    ("GET", "/api/v1/server/doctor"): Need.SEE_COUNTS,
    ("POST", "/api/v1/server/backup"): Need.KEEP,
    ("POST", "/api/v1/server/reload"): Need.KEEP,
    ("GET", "/api/v1/history"): Need.SEE_COUNTS,
    ("GET", "/api/v1/history/export"): Need.SEE_COUNTS,
    ("GET", "/api/v1/top"): Need.SEE_COUNTS,
    ("GET", "/api/v1/workers"): Need.SEE_COUNTS,
    ("GET", "/api/v1/workers/{session}"): Need.SEE_COUNTS,
    ("POST", "/api/v1/workers/{session}/quiet"): Need.ACT,
    ("POST", "/api/v1/workers/{session}/unquiet"): Need.ACT,
    ("POST", "/api/v1/workers/{session}/stop"): Need.ACT,
    ("GET", "/api/v1/queues"): Need.SEE_COUNTS,
    ("GET", "/api/v1/queues/{queue}"): Need.SEE_COUNTS,
    ("DELETE", "/api/v1/queues/{queue}"): Need.DESTROY,
    ("POST", "/api/v1/queues/{queue}/pause"): Need.ACT,
    ("POST", "/api/v1/queues/{queue}/resume"): Need.ACT,
    ("PATCH", "/api/v1/queues/{queue}/settings"): Need.ACT,
    ("POST", "/api/v1/queues/{queue}/drain"): Need.DESTROY,
    ("GET", "/api/v1/queues/{queue}/events"): Need.SEE_JOBS,
    ("POST", "/api/v1/queues/{queue}/jobs"): Need.ADD,
    ("POST", "/api/v1/queues/{queue}/batches"): Need.ADD,
    ("GET", "/api/v1/jobs"): Need.SEE_JOBS,
    ("GET", "/api/v1/jobs/facets"): Need.SEE_JOBS,
    ("GET", "/api/v1/jobs/export"): Need.SEE_JOBS,
    ("GET", "/api/v1/queues/{queue}/jobs/{id}"): Need.SEE_JOBS,
    ("GET", "/api/v1/queues/{queue}/jobs/{id}/wait"): Need.SEE_JOBS,
    ("GET", "/api/v1/queues/{queue}/jobs/{id}/events"): Need.SEE_JOBS,
    ("PATCH", "/api/v1/queues/{queue}/jobs/{id}"): Need.ACT,
    ("DELETE", "/api/v1/queues/{queue}/jobs/{id}"): Need.ACT,
    ("POST", "/api/v1/queues/{queue}/jobs/{id}/retry"): Need.ACT,
    ("POST", "/api/v1/queues/{queue}/jobs/{id}/cancel"): Need.ACT,
    ("POST", "/api/v1/queues/{queue}/jobs/{id}/promote"): Need.ACT,
    ("POST", "/api/v1/queues/{queue}/jobs/{id}/move"): Need.ACT,
    ("GET", "/api/v1/schedules"): Need.SEE_JOBS,
    ("GET", "/api/v1/queues/{queue}/schedules/{id}"): Need.SEE_JOBS,
    ("PUT", "/api/v1/queues/{queue}/schedules/{id}"): Need.ADD,
    ("DELETE", "/api/v1/queues/{queue}/schedules/{id}"): Need.ADD,
    ("POST", "/api/v1/queues/{queue}/schedules/{id}/run"): Need.ACT,
    ("POST", "/api/v1/queues/{queue}/schedules/{id}/pause"): Need.ACT,
    ("POST", "/api/v1/queues/{queue}/schedules/{id}/resume"): Need.ACT,
    ("GET", "/api/v1/actions"): Need.SEE_JOBS,
    ("GET", "/api/v1/actions/{id}"): Need.SEE_JOBS,
    ("POST", "/api/v1/actions"): Need.ACT,
    ("POST", "/api/v1/actions/{id}/undo"): Need.ACT,
    ("POST", "/api/v1/actions/{id}/stop"): Need.ACT,
}
"""By method and path, as the route has it. GET stands for HEAD too."""


def need_of(method: str, path: str) -> Asked:
    return NEEDS.get(("GET" if method == "HEAD" else method, path), Need.DESTROY)


def guarded(routes: Iterable[BaseRoute], guard: Guard) -> list[BaseRoute]:
    """The same, each asking for what the table says before it sees a request."""
    routes = list(routes)
    for path, route in walk(routes):
        route.app = _Guarded(route.app, path, guard)
    return routes


def walk(routes: Iterable[BaseRoute], before: str = "") -> Iterator[tuple[str, Route]]:
    """Every route with its whole path.

    Raises:
        TypeError: there is a kind of which it does not know how to guard it.
    """
    for route in routes:
        if isinstance(route, Mount) and route.routes:
            yield from walk(route.routes, before + route.path)
        elif isinstance(route, Route):
            yield before + route.path, route
        else:
            raise TypeError(f"{route!r} cannot be guarded: give routes")


class _Guarded:
    def __init__(self, app: App, path: str, guard: Guard):
        self._app = app
        self._path = path
        self._guard = guard

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        """Raises Refusal."""
        need = need_of(scope["method"], self._path)
        if isinstance(need, Need):
            identity = await self._guard.identify(Request(scope))
            self._guard.require(identity, need, _queue_of(scope))
        await self._app(scope, receive, send)


def _queue_of(scope: MutableMapping[str, Any]) -> str | None:
    """The queue that the path names as {queue}; None = it names none."""
    queue = scope.get("path_params", {}).get("queue")
    return queue if isinstance(queue, str) else None
