"""Actions on many jobs, workers, the past, the daemon itself."""

from collections.abc import Callable
from typing import Final, get_args

from starlette.responses import Response

from holdfast.wire.checks import Refusal
from holdfast.wire.constants import RUN_AT_MS_MAX, ErrorCode
from holdfastd.chronicle import Kind
from holdfastd.web.acting.acting import Acting, Jobs, Matching, unknown_action
from holdfastd.web.api import shapes
from holdfastd.web.api.operation import Call, Operation, said
from holdfastd.web.api.schema import Schema, text, whole
from holdfastd.web.board import Board
from holdfastd.web.guard import Guard, Need

MINUTE_MS: Final = 60_000
HOUR_MS: Final = 60 * MINUTE_MS
TOPS_MAX: Final = 100
_FROM: Final = whole("Unix milliseconds. Without it: an hour before `to_ms`.", 0, RUN_AT_MS_MAX)
_FROM_DAY: Final = whole("Unix milliseconds. Without it: a day before `to_ms`.", 0, RUN_AT_MS_MAX)
_TO: Final = whole("Unix milliseconds, not included. Without it: now.", 0, RUN_AT_MS_MAX)


class Actions:
    """On some jobs, or on all that match."""

    def __init__(self, board: Board, acting: Acting):
        self._board = board
        self._acting = acting

    def operations(self) -> list[Operation]:
        tag = "actions"
        one = {200: ("The action.", shapes.ACTION)}
        return [
            Operation(
                "POST",
                "/actions",
                "start_action",
                tag,
                "Act on some jobs, or on all that match",
                self._start,
                {
                    200: ("It is done.", shapes.ACTION),
                    202: ("It begins in 5 s, and runs in the background.", shapes.ACTION),
                },
                body=shapes.NEW_ACTION,
                description="A job is touched only while it is in the state that was seen; others "
                "are counted as skipped.",
            ),
            Operation(
                "GET",
                "/actions",
                "list_actions",
                tag,
                "The last 100 actions, the newest first",
                self._list,
                {200: ("Them.", shapes.ACTIONS)},
            ),
            Operation("GET", "/actions/{id}", "get_action", tag, "One action", self._show, one),
            Operation(
                "POST",
                "/actions/{id}/undo",
                "undo_action",
                tag,
                "Undo one that has not begun",
                self._undo,
                one,
            ),
            Operation(
                "POST",
                "/actions/{id}/stop",
                "stop_action",
                tag,
                "End one that runs; what is done stays done",
                self._stop,
                one,
            ),
        ]

    async def _start(self, call: Call) -> Response:
        body = call.body
        if ("jobs" in body) == ("query" in body):
            raise Refusal(ErrorCode.BAD_REQUEST, "give jobs or a query, one of the two")
        if "jobs" in body and "expected_count" in body:
            raise Refusal(ErrorCode.BAD_REQUEST, "expected_count is of a query: leave it out")
        target: Jobs | Matching
        if "jobs" in body:
            target = Jobs([(ref["queue"], ref["id"], ref["state"]) for ref in body["jobs"]])
        else:
            target = Matching(body["query"], body.get("expected_count"))
        params = body.get("params", {})
        action = await self._acting.act(call.identity, body["kind"], target, params)
        return said(action, 200 if "jobs" in body else 202)

    async def _list(self, call: Call) -> Response:
        return said({"actions": await self._board.actions(call.identity)})

    async def _show(self, call: Call) -> Response:
        action = await self._board.action(call.identity, call.path["id"])
        if action is None:
            raise Refusal(ErrorCode.UNKNOWN_JOB, unknown_action(call.path["id"]))
        return said(action)

    async def _undo(self, call: Call) -> Response:
        return said(await self._acting.undo(call.identity, call.path["id"]))

    async def _stop(self, call: Call) -> Response:
        return said(await self._acting.stop(call.identity, call.path["id"]))


class Workers:
    def __init__(self, board: Board, acting: Acting, guard: Guard):
        self._board = board
        self._acting = acting
        self._guard = guard

    def operations(self) -> list[Operation]:
        tag, worker = "workers", {200: ("The worker.", shapes.WORKER)}
        return [
            Operation(
                "GET",
                "/workers",
                "list_workers",
                tag,
                "Workers and what they run",
                self._list,
                {200: ("Them, at most 1,000.", shapes.WORKERS)},
            ),
            Operation(
                "GET", "/workers/{session}", "get_worker", tag, "One worker", self._show, worker
            ),
            *(
                Operation(
                    "POST",
                    f"/workers/{{session}}/{kind}",
                    f"{kind}_worker",
                    tag,
                    summary,
                    handler,
                    worker,
                )
                for kind, summary, handler in (
                    ("quiet", "Give a worker no more jobs", self._quiet),
                    ("unquiet", "Give a worker jobs again", self._unquiet),
                    ("stop", "Tell a worker to finish what it runs, and to leave", self._stop),
                )
            ),
        ]

    async def _list(self, call: Call) -> Response:
        return said({"workers": await self._board.workers(call.identity)})

    async def _show(self, call: Call) -> Response:
        return said(await self._board.worker(call.identity, call.path["session"]))

    async def _quiet(self, call: Call) -> Response:
        return await self._act(call, "quiet")

    async def _unquiet(self, call: Call) -> Response:
        return await self._act(call, "unquiet")

    async def _stop(self, call: Call) -> Response:
        return await self._act(call, "stop")

    async def _act(self, call: Call, kind: str) -> Response:
        """Answered with the worker as it was just before it may have left."""
        worker = await self._board.worker(call.identity, call.path["session"])
        for queue in worker["queues"]:
            self._guard.require(call.identity, Need.ACT, queue)
        await self._acting.act(call.identity, kind, call.path["session"], {})
        return said(
            {**worker, "is_quiet": worker["is_quiet"] if kind == "stop" else kind == "quiet"}
        )


class Server:
    """The past, and the daemon."""

    def __init__(self, board: Board, guard: Guard, now_ms: Callable[[], int]):
        self._board = board
        self._guard = guard
        self._now_ms = now_ms

    def operations(self) -> list[Operation]:
        tag = "server"
        step: Schema = whole("At least; longer for a long time.", MINUTE_MS, default=MINUTE_MS)
        return [
            Operation(
                "GET",
                "/overview",
                "get_overview",
                tag,
                "All queues in short, those in trouble first",
                self._overview,
                {200: ("It.", shapes.OVERVIEW)},
            ),
            Operation(
                "GET",
                "/history",
                "get_history",
                tag,
                "What happened, step by step",
                self._history,
                {200: ("The steps, oldest first.", shapes.POINTS)},
                query={
                    "queue": shapes.QUEUE_NAME,
                    "name": text("Of jobs; needs its queue.", 1, 256),
                    "from_ms": _FROM,
                    "to_ms": _TO,
                    "step_ms": step,
                },
            ),
            Operation(
                "GET",
                "/top",
                "get_top",
                tag,
                "Names of jobs that fail most, take longest or are most",
                self._top,
                {200: ("Them.", shapes.TOPS)},
                query={
                    "kind": text(enum=list(get_args(Kind)), default="failing"),
                    "from_ms": _FROM_DAY,
                    "to_ms": _TO,
                    "limit": whole(low=1, high=TOPS_MAX, default=10),
                },
            ),
            Operation(
                "GET",
                "/server",
                "get_server",
                tag,
                "The daemon",
                self._server,
                {200: ("It.", {"type": "object"})},
            ),
        ]

    async def _overview(self, call: Call) -> Response:
        return said(await self._board.overview(call.identity))

    async def _history(self, call: Call) -> Response:
        query = call.query
        from_ms, to_ms = self._range(query["from_ms"], query["to_ms"], HOUR_MS)
        points = await self._board.history(
            call.identity, query["queue"], query["name"], from_ms, to_ms, query["step_ms"]
        )
        return said({"points": points})

    async def _top(self, call: Call) -> Response:
        query = call.query
        from_ms, to_ms = self._range(query["from_ms"], query["to_ms"], 24 * HOUR_MS)
        top = await self._board.top(call.identity, query["kind"], from_ms, to_ms, query["limit"])
        return said({"top": top})

    def _range(self, from_ms: int | None, to_ms: int | None, length_ms: int) -> tuple[int, int]:
        to_ms = self._now_ms() if to_ms is None else to_ms
        from_ms = max(0, to_ms - length_ms) if from_ms is None else from_ms
        if from_ms > to_ms:
            raise Refusal(ErrorCode.BAD_REQUEST, f"from_ms {from_ms} is after to_ms {to_ms}")
        return from_ms, to_ms

    async def _server(self, call: Call) -> Response:
        return said(await self._board.server(call.identity))
