"""Actions on many jobs and queues, workers, the past."""

from collections.abc import Callable
from typing import Any, Final, get_args

from starlette.responses import Response

from holdfast.wire.checks import Refusal
from holdfast.wire.constants import RUN_AT_MS_MAX, ErrorCode
from holdfastd.chronicle import Kind
from holdfastd.web.acting.acting import Acting, Jobs, Matching, unknown_action
from holdfastd.web.acting.everywhere import Queues
from holdfastd.web.api import shapes
from holdfastd.web.api.operation import JSON, Call, Operation, said
from holdfastd.web.api.schema import Schema, text, whole
from holdfastd.web.board import Board
from holdfastd.web.exporting import CSV, points_as_csv
from holdfastd.web.guard import Guard, Need

MINUTE_MS: Final = 60_000
HOUR_MS: Final = 60 * MINUTE_MS
TOPS_MAX: Final = 100
_FROM: Final = whole("Unix milliseconds. Without it: an hour before `to_ms`.", 0, RUN_AT_MS_MAX)
_FROM_DAY: Final = whole("Unix milliseconds. Without it: a day before `to_ms`.", 0, RUN_AT_MS_MAX)
_TO: Final = whole("Unix milliseconds, not included. Without it: now.", 0, RUN_AT_MS_MAX)


class Actions:
    """On some jobs, on all that match, on many queues."""

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
                "Act on some jobs, on all that match, or on many queues",
                self._start,
                {
                    200: ("It is done.", shapes.ACTION),
                    202: ("It begins in 5 s, and runs in the background.", shapes.ACTION),
                },
                body=shapes.NEW_ACTION,
                description="A job is touched only while it is in the state that was seen; others "
                "are counted as skipped. Of queues, those that this key may act on.",
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
                "Undo one that has not begun, or one on queues",
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
        if sum(name in body for name in ("jobs", "query", "queues")) != 1:
            raise Refusal(ErrorCode.BAD_REQUEST, "give jobs, a query or queues, one of the three")
        if "query" not in body and "expected_count" in body:
            raise Refusal(ErrorCode.BAD_REQUEST, "expected_count is of a query: leave it out")
        target: Jobs | Matching | Queues
        if "queues" in body:
            if body.get("params"):
                raise Refusal(ErrorCode.BAD_OPTION, "an action on queues takes no params")
            target = Queues(body["queues"])
        elif "jobs" in body:
            target = Jobs([(ref["queue"], ref["id"], ref["state"]) for ref in body["jobs"]])
        else:
            target = Matching(body["query"], body.get("expected_count"))
        params = body.get("params", {})
        action = await self._acting.act(call.identity, body["kind"], target, params)
        return said(action, 202 if "query" in body else 200)

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
    """All queues in short, and the past."""

    def __init__(self, board: Board, now_ms: Callable[[], int]):
        self._board = board
        self._now_ms = now_ms

    def operations(self) -> list[Operation]:
        tag = "server"
        step: Schema = whole("At least; longer for a long time.", MINUTE_MS, default=MINUTE_MS)
        past = {
            "queue": shapes.QUEUE_NAME,
            "name": text("Of jobs; needs its queue.", 1, 256),
            "from_ms": _FROM,
            "to_ms": _TO,
            "step_ms": step,
        }
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
            *(
                Operation("GET", path, name, tag, summary, handler, answer, query=past, media=media)
                for path, name, summary, handler, answer, media in (
                    (
                        "/history",
                        "get_history",
                        "What happened, step by step",
                        self._history,
                        {200: ("The steps, oldest first.", shapes.POINTS)},
                        JSON,
                    ),
                    (
                        "/history/export",
                        "export_history",
                        "The same as a file (CSV)",
                        self._export,
                        {200: ("A head, and a line a step, oldest first.", text())},
                        CSV,
                    ),
                )
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
        ]

    async def _overview(self, call: Call) -> Response:
        return said(await self._board.overview(call.identity))

    async def _history(self, call: Call) -> Response:
        return said({"points": await self._points(call)})

    async def _export(self, call: Call) -> Response:
        return Response(points_as_csv(await self._points(call)), media_type=CSV)

    async def _points(self, call: Call) -> list[dict[str, Any]]:
        query = call.query
        from_ms, to_ms = self._range(query["from_ms"], query["to_ms"], HOUR_MS)
        return await self._board.history(
            call.identity, query["queue"], query["name"], from_ms, to_ms, query["step_ms"]
        )

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
