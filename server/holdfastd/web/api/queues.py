"""Queues: seen, paused, limited, emptied."""

from starlette.responses import Response

from holdfastd.web.acting.acting import Acting
from holdfastd.web.api import shapes
from holdfastd.web.api.operation import Call, Operation, said
from holdfastd.web.api.schema import flag, record, text, whole
from holdfastd.web.board import LIMIT_MAX, SORTS, Board


class Queues:
    def __init__(self, board: Board, acting: Acting):
        self._board = board
        self._acting = acting

    def operations(self) -> list[Operation]:
        tag, one = "queues", "/queues/{queue}"
        sorts = [name for sort in SORTS for name in (sort, f"-{sort}")]
        return [
            Operation(
                "GET",
                "/queues",
                "list_queues",
                tag,
                "Queues, a page of them",
                self._list,
                {200: ("The page.", shapes.QUEUES)},
                query={
                    "match": text("Of their names; `*` stands for anything.", high=256),
                    "sort": text(
                        "The largest first; `-` turns it round.", enum=sorts, default="name"
                    ),
                    "after": shapes.AFTER,
                    "limit": whole(low=1, high=LIMIT_MAX, default=100),
                },
            ),
            Operation(
                "GET", one, "get_queue", tag, "One queue", self._show, {200: ("It.", shapes.QUEUE)}
            ),
            Operation(
                "DELETE",
                one,
                "obliterate_queue",
                tag,
                "Delete a queue with all its jobs",
                self._obliterate,
                {200: ("It is gone.", shapes.DONE)},
                query={"force": flag("Even while jobs are active.", default=False)},
            ),
            Operation(
                "POST",
                f"{one}/pause",
                "pause_queue",
                tag,
                "Start no more jobs",
                self._pause,
                {200: ("The queue.", shapes.QUEUE)},
            ),
            Operation(
                "POST",
                f"{one}/resume",
                "resume_queue",
                tag,
                "Start jobs again",
                self._resume,
                {200: ("The queue.", shapes.QUEUE)},
            ),
            Operation(
                "PATCH",
                f"{one}/settings",
                "configure_queue",
                tag,
                "Set limits and how long finished jobs are kept",
                self._configure,
                {200: ("The queue.", shapes.QUEUE)},
                body=shapes.SETTINGS,
            ),
            Operation(
                "POST",
                f"{one}/drain",
                "drain_queue",
                tag,
                "Remove the jobs that wait",
                self._drain,
                {200: ("How many were removed.", shapes.DONE)},
                body=record({"delayed": flag("Those that are delayed too.", default=True)}),
                is_body_needed=False,
            ),
        ]

    async def _list(self, call: Call) -> Response:
        query = call.query
        return said(
            await self._board.queues(
                call.identity, query["match"], query["sort"], query["after"], query["limit"]
            )
        )

    async def _show(self, call: Call) -> Response:
        return said(await self._board.queue(call.identity, call.path["queue"]))

    async def _pause(self, call: Call) -> Response:
        await self._board.queue(call.identity, call.path["queue"])
        await self._acting.act(call.identity, "pause", call.path["queue"], {})
        return await self._show(call)

    async def _resume(self, call: Call) -> Response:
        await self._board.queue(call.identity, call.path["queue"])
        await self._acting.act(call.identity, "resume", call.path["queue"], {})
        return await self._show(call)

    async def _configure(self, call: Call) -> Response:
        """A queue may be limited before its first job."""
        await self._acting.act(call.identity, "limits", call.path["queue"], call.body)
        return await self._show(call)

    async def _drain(self, call: Call) -> Response:
        return said(await self._acting.act(call.identity, "drain", call.path["queue"], call.body))

    async def _obliterate(self, call: Call) -> Response:
        params = {"force": call.query["force"]}
        return said(await self._acting.act(call.identity, "obliterate", call.path["queue"], params))
