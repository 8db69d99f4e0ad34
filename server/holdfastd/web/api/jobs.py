"""Jobs: added, found, waited for, acted on one by one."""

import asyncio
from collections.abc import Mapping
from typing import Any, Final

from starlette.responses import Response, StreamingResponse

from holdfast.wire.checks import Refusal, check_queue_name, shown
from holdfast.wire.constants import ErrorCode
from holdfastd.engine.broker import Engine
from holdfastd.engine.commands import Wait
from holdfastd.engine.model import FINISHED
from holdfastd.inside import Inside
from holdfastd.store.base import Store
from holdfastd.web import jsonable
from holdfastd.web.acting.acting import Acting
from holdfastd.web.acting.acting import Jobs as Refs
from holdfastd.web.adding import Adding
from holdfastd.web.api import idempotency, shapes
from holdfastd.web.api.held import Held
from holdfastd.web.api.operation import Call, Operation, address, said
from holdfastd.web.api.schema import flag, text, whole
from holdfastd.web.board import LIMIT_MAX, Board
from holdfastd.web.exporting import JOBS_MAX, NDJSON, WHOLE_MAX, Exporting
from holdfastd.web.guard import Guard, Need

WAIT_MS: Final = 30_000
WAIT_MS_MAX: Final = 300_000
"""Proxies end what is silent for longer; ask again."""
OVER: Final = frozenset(state.name.lower() for state in FINISHED)


class JobsApi:
    def __init__(
        self,
        engine: Engine,
        store: Store,
        inside: Inside,
        board: Board,
        acting: Acting,
        adding: Adding,
        guard: Guard,
        held: Held,
    ):
        self._engine = engine
        self._store = store
        self._inside = inside
        self._board = board
        self._acting = acting
        self._adding = adding
        self._guard = guard
        self._held = held
        self._exporting = Exporting(board, guard)

    def operations(self) -> list[Operation]:
        tag, of_queue, one = "jobs", "/queues/{queue}", "/queues/{queue}/jobs/{id}"
        job = {200: ("The job, as it is then.", shapes.WHOLE_JOB)}
        return [
            Operation(
                "GET",
                "/jobs",
                "find_jobs",
                tag,
                "Jobs that a query finds, a page of them",
                self._find,
                {200: ("The page.", shapes.JOBS)},
                query={
                    "q": shapes.QUERY,
                    "after": shapes.AFTER,
                    "limit": whole(low=1, high=LIMIT_MAX, default=50),
                },
            ),
            Operation(
                "GET",
                "/jobs/facets",
                "count_jobs",
                tag,
                "How many a query finds, and of what kinds",
                self._count,
                {200: ("The counts.", shapes.FACETS)},
                query={"q": shapes.QUERY},
            ),
            Operation(
                "GET",
                "/jobs/export",
                "export_jobs",
                tag,
                "Jobs that a query finds as a file, a job a line (NDJSON)",
                self._export,
                {200: ("As in lists, or whole.", text())},
                query={
                    "q": shapes.QUERY,
                    "after": shapes.AFTER,
                    "whole": flag("With data, result, errors and logs.", default=False),
                },
                description=f"At most {JOBS_MAX:,} jobs, {WHOLE_MAX:,} whole ones; the last line "
                "has `next` if there are more, `error` if it ended before.",
                media=NDJSON,
            ),
            Operation(
                "POST",
                f"{of_queue}/jobs",
                "add_job",
                tag,
                "Add a job",
                self._add,
                {
                    200: (
                        "A job with this id is there already; it was left as it is.",
                        shapes.ADDED,
                    ),
                    201: ("It is on disk.", shapes.ADDED),
                },
                headers={
                    idempotency.HEADER: text(
                        "Repeated with the same key, it adds nothing and answers the same; with "
                        "another job, 409.",
                        1,
                        idempotency.LENGTH_MAX,
                    )
                },
                body=shapes.NEW_JOB,
            ),
            Operation(
                "POST",
                f"{of_queue}/batches",
                "add_jobs",
                tag,
                "Add many jobs, all or none",
                self._add_many,
                {201: ("They are on disk, in this order.", shapes.told(jobs=_listed_added()))},
                body=shapes.NEW_JOBS,
            ),
            Operation(
                "GET", one, "get_job", tag, "One job with all that is kept of it", self._show, job
            ),
            Operation(
                "GET",
                f"{one}/wait",
                "wait_for_job",
                tag,
                "Wait until a job is over",
                self._wait,
                {
                    200: ("It is over.", shapes.WHOLE_JOB),
                    202: ("The time is over and it is not: ask again.", shapes.WHOLE_JOB),
                },
                query={"timeout_ms": whole(low=0, high=WAIT_MS_MAX, default=WAIT_MS)},
            ),
            Operation(
                "PATCH",
                one,
                "change_job",
                tag,
                "Change a job that waits",
                self._change,
                job,
                body=shapes.JOB_CHANGES,
            ),
            Operation(
                "DELETE",
                one,
                "delete_job",
                tag,
                "Delete a job, whatever its state",
                self._delete,
                {204: ("It is gone.", None)},
                query={"expected": shapes.EXPECTED},
            ),
            *(
                Operation(
                    "POST",
                    f"{one}/{kind}",
                    f"{kind}_job",
                    tag,
                    summary,
                    handler,
                    job,
                    body=shapes.ON_JOB,
                    is_body_needed=False,
                )
                for kind, summary, handler in (
                    ("retry", "Run a finished job again", self._retry),
                    ("cancel", "Cancel a job, a running one too", self._cancel),
                    ("promote", "Run a delayed job now", self._promote),
                )
            ),
            Operation(
                "POST",
                f"{one}/move",
                "move_job",
                tag,
                "Move a waiting job to another queue",
                self._move,
                job,
                body=shapes.MOVE,
            ),
        ]

    # ---- seeing --------------------------------------------------------------------------------

    async def _find(self, call: Call) -> Response:
        query = call.query
        return said(
            await self._board.jobs(call.identity, query["q"], query["after"], query["limit"])
        )

    async def _count(self, call: Call) -> Response:
        return said(await self._board.facets(call.identity, call.query["q"]))

    async def _export(self, call: Call) -> Response:
        query = call.query
        lines = await self._exporting.matching(
            call.identity, query["q"], query["after"], is_whole=query["whole"]
        )
        return StreamingResponse(lines, media_type=NDJSON)

    async def _show(self, call: Call) -> Response:
        return said(await self._job(call))

    async def _job(self, call: Call, queue: str | None = None) -> dict[str, Any]:
        return await self._board.job(call.identity, queue or call.path["queue"], call.path["id"])

    async def _wait(self, call: Call) -> Response:
        job = await self._job(call)
        if job["state"] in OVER or not call.query["timeout_ms"]:
            return said(job, 200 if job["state"] in OVER else 202)
        queue, id = call.path["queue"], call.path["id"]
        with self._guard.stream(call.request, call.identity), self._held.one_more():
            async with self._inside.session() as session:
                waiting = asyncio.ensure_future(session.call(Wait(queue, id)))
                await self._held.until(waiting, call.request, call.query["timeout_ms"] / 1000)
        job = await self._job(call)
        return said(job, 200 if job["state"] in OVER else 202)

    # ---- adding --------------------------------------------------------------------------------

    async def _add(self, call: Call) -> Response:
        queue = check_queue_name(call.path["queue"])
        job = _as_adding_has_it(call.body)
        key = call.request.headers.get(idempotency.HEADER)
        if key is None:
            added = await self._adding.add(call.identity, queue, job)
            return _added(added, 201 if added["created"] else 200)
        if not 0 < len(key) <= idempotency.LENGTH_MAX:
            text = f"{idempotency.HEADER} must have 1 to {idempotency.LENGTH_MAX} characters"
            raise Refusal(ErrorCode.BAD_REQUEST, text)
        if job.get("id") is not None:
            text = f"give an id or an {idempotency.HEADER}: each makes the job one of a kind"
            raise Refusal(ErrorCode.BAD_REQUEST, text)
        job["id"] = idempotency.job_id(queue, key)
        added = await self._adding.add(call.identity, queue, job)
        if added["created"]:
            return _added(added, 201)
        await self._check_same(queue, job, key)
        return _added(added, 201, idempotency.REPLAYED)

    async def _check_same(self, queue: str, job: Mapping[str, Any], key: str) -> None:
        """Raises Refusal: what was added with this key is another job."""
        known = self._engine.queues.get(queue)
        found = None if known is None else await self._store.job(known.key, job["id"])
        payload = jsonable.packed(job.get("data"))
        if found is not None and not idempotency.is_same(found, job["name"], payload):
            raise Refusal(
                ErrorCode.JOB_EXISTS,
                f"another job was added with the {idempotency.HEADER} {shown(key)}: use a new one",
            )

    async def _add_many(self, call: Call) -> Response:
        jobs: list[Mapping[str, Any]] = [_as_adding_has_it(job) for job in call.body["jobs"]]
        queue = check_queue_name(call.path["queue"])
        return said({"jobs": await self._adding.add_many(call.identity, queue, jobs)}, 201)

    # ---- acting on one -------------------------------------------------------------------------

    async def _retry(self, call: Call) -> Response:
        return await self._act(call, "retry")

    async def _cancel(self, call: Call) -> Response:
        return await self._act(call, "cancel")

    async def _promote(self, call: Call) -> Response:
        return await self._act(call, "promote")

    async def _move(self, call: Call) -> Response:
        await self._do(call, "move", {"to": call.body["to"]}, call.body.get("expected"))
        return said(await self._job(call, call.body["to"]))

    async def _delete(self, call: Call) -> Response:
        await self._do(call, "delete", {}, call.query["expected"])
        return Response(status_code=204)

    async def _change(self, call: Call) -> Response:
        body = call.body
        expected = body.get("expected")
        changes = [
            ("edit", "data"),
            ("priority", "priority"),
            ("reschedule", "run_at_ms"),  # last: it may change the state
        ]
        for kind, name in changes:
            if name in body:
                await self._do(call, kind, {name: body[name]}, expected)
        return await self._show(call)

    async def _act(self, call: Call, kind: str) -> Response:
        await self._do(call, kind, {}, call.body.get("expected"))
        return await self._show(call)

    async def _do(
        self, call: Call, kind: str, params: Mapping[str, Any], expected: str | None
    ) -> None:
        """Raises Refusal: it was not done."""
        queue, id = call.path["queue"], call.path["id"]
        self._guard.require(call.identity, Need.ACT, check_queue_name(queue))
        is_state = (await self._job(call))["state"]
        if expected not in (None, is_state):
            text = f"job {shown(id)} is {is_state}, not {expected}: look at it again"
            raise Refusal(ErrorCode.WRONG_STATE, text)
        action = await self._acting.act(call.identity, kind, Refs([(queue, id, is_state)]), params)
        if not action["done"]:
            why = next(
                (failed["why"] for failed in action["failed"]),
                f"a job that is {is_state} takes no {kind}, or it has moved on just now",
            )
            raise Refusal(ErrorCode.WRONG_STATE, f"nothing was done to job {shown(id)}: {why}")


def _listed_added() -> dict[str, Any]:
    return {"type": "array", "items": shapes.ADDED}


def _as_adding_has_it(body: Mapping[str, Any]) -> dict[str, Any]:
    """Options stand beside name and data, where people look for them."""
    options = {name: body[name] for name in shapes.OPTIONS if name in body}
    rest = {name: value for name, value in body.items() if name not in options}
    return {**rest, "options": options}


def _added(
    added: Mapping[str, Any], status: int, headers: Mapping[str, str] | None = None
) -> Response:
    where = address("queues", added["queue"], "jobs", added["id"])
    return said(dict(added), status, {"Location": where, **(headers or {})})
