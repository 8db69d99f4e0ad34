"""The whole API, put together."""

from collections.abc import Callable

from starlette.responses import Response
from starlette.routing import Route

from holdfastd.engine.broker import Engine
from holdfastd.inside import Inside
from holdfastd.store.base import Store
from holdfastd.web.acting.acting import Acting
from holdfastd.web.acting.scheduling import Scheduling
from holdfastd.web.acting.upkeep import Upkeep
from holdfastd.web.adding import Adding
from holdfastd.web.api import openapi
from holdfastd.web.api.held import Held
from holdfastd.web.api.jobs import JobsApi
from holdfastd.web.api.keeping import Keeping
from holdfastd.web.api.operation import Call, Operation, routes, said
from holdfastd.web.api.queues import Queues
from holdfastd.web.api.rest import Actions, Server, Workers
from holdfastd.web.api.schedules import Schedules
from holdfastd.web.api.streams import Streams
from holdfastd.web.board import Board
from holdfastd.web.guard import Guard
from holdfastd.web.schedules import Timetable


class Api:
    """Attributes: operations: all of them."""

    def __init__(
        self,
        engine: Engine,
        store: Store,
        inside: Inside,
        board: Board,
        acting: Acting,
        adding: Adding,
        timetable: Timetable,
        scheduling: Scheduling,
        upkeep: Upkeep,
        guard: Guard,
        now_ms: Callable[[], int],
        prefix: str,
    ):
        self._guard = guard
        self._prefix = prefix
        self._held = Held()
        parts = (
            Queues(board, acting),
            JobsApi(engine, store, inside, board, acting, adding, guard, self._held),
            Schedules(timetable, scheduling),
            Streams(inside, board, guard, self._held),
            Actions(board, acting),
            Workers(board, acting, guard),
            Server(board, now_ms),
            Keeping(board, upkeep),
        )
        self.operations = [each for part in parts for each in part.operations()]
        self.operations.append(
            Operation(
                "GET",
                "/openapi.json",
                "get_description",
                "server",
                "This description",
                self._describe,
                {200: ("It.", {"type": "object"})},
            )
        )

    def routes(self) -> list[Route]:
        return routes(self.operations, self._guard)

    def stop(self) -> None:
        """End what is held open, at once, and hold nothing more."""
        self._held.stopping.set()

    async def _describe(self, call: Call) -> Response:
        return said(openapi.document(self.operations, self._prefix))
