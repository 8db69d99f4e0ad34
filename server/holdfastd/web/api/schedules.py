"""Schedules: seen, made, changed, paused, run now, deleted."""

from collections.abc import Mapping
from typing import Any, Final

from starlette.responses import Response

from holdfast.wire.constants import (
    CRON_LENGTH_MAX,
    DELAY_MS_MAX,
    EVERY_MS_MIN,
)
from holdfast.wire.schedules import NOT_OF_SCHEDULES, POLICIES
from holdfastd.engine.schedules import Origin
from holdfastd.web.acting.scheduling import WHEN, Scheduling
from holdfastd.web.api import shapes
from holdfastd.web.api.operation import Call, Operation, address, said
from holdfastd.web.api.schema import flag, listed, or_null, record, text, whole
from holdfastd.web.board import LIMIT_MAX
from holdfastd.web.schedules import Timetable

_AT_MS: Final = or_null(whole())
SCHEDULE: Final = shapes.told(
    queue=text(),
    id=text(),
    name=text("Of its jobs."),
    cron=or_null(text()),
    tz=or_null(text("Of a cron pattern.")),
    every_ms=or_null(whole()),
    words=text("The rule in English."),
    is_paused=flag(),
    next_at_ms=_AT_MS,
    last_due_at_ms=_AT_MS,
    last_job_id=or_null(text()),
    last_job_state=or_null(text("null = the job is gone.")),
    lag_ms=or_null(whole("By how much its last job came after it was due.")),
    fired=whole("Jobs that it has made."),
    missed=whole("Times that it was due while the daemon was down, and made no job."),
    skipped=whole("Times that its last job was not over yet."),
    missed_policy=text(enum=list(POLICIES["missed"])),
    overlap=text(enum=list(POLICIES["overlap"])),
    origin=text(enum=[each.value for each in Origin]),
    created_at_ms=whole(),
    changed_at_ms=whole(),
)
WHOLE: Final = {
    **SCHEDULE,
    "properties": {
        **SCHEDULE["properties"],
        "next_five": listed(whole(), "When it is due; none while it is paused."),
        "options": {"type": "object"},
        "data": {},
    },
}
_OPTIONS: Final = tuple(name for name in shapes.OPTIONS if name not in NOT_OF_SCHEDULES)
"""When a job is due is for its schedule to say."""
NEW: Final = record(
    {
        **{name: shapes.NEW_JOB["properties"][name] for name in ("name", "data", *_OPTIONS)},
        "cron": text(
            "Five fields, such as `30 2 * * 1-5`. Give it or `every_ms`.", 1, CRON_LENGTH_MAX
        ),
        "tz": text("Of the pattern, such as `Europe/Berlin`.", 1, CRON_LENGTH_MAX, default="UTC"),
        "every_ms": whole("Milliseconds between two jobs.", EVERY_MS_MIN, DELAY_MS_MAX),
        "missed": text(
            "Of a time in which the daemon was down: one job for all that were due, or none.",
            enum=list(POLICIES["missed"]),
            default="once",
        ),
        "overlap": text(
            "While its last job is not over: make the next all the same, or leave it out.",
            enum=list(POLICIES["overlap"]),
            default="allow",
        ),
    },
    ["name"],
)


class Schedules:
    def __init__(self, timetable: Timetable, scheduling: Scheduling):
        self._timetable = timetable
        self._scheduling = scheduling

    def operations(self) -> list[Operation]:
        tag, one = "schedules", "/queues/{queue}/schedules/{id}"
        whole_one = {200: ("The schedule.", WHOLE)}
        return [
            Operation(
                "GET",
                "/schedules",
                "list_schedules",
                tag,
                "Schedules, a page of them, by queue and id",
                self._list,
                {
                    200: (
                        "The page.",
                        shapes.told(schedules=listed(SCHEDULE), next=or_null(text())),
                    )
                },
                query={
                    "queue": shapes.QUEUE_NAME,
                    "match": text(
                        "What stands in their ids or names; with `*` for anything, all of it.",
                        high=256,
                    ),
                    "after": shapes.AFTER,
                    "limit": whole(low=1, high=LIMIT_MAX, default=100),
                },
            ),
            Operation("GET", one, "get_schedule", tag, "One schedule", self._show, whole_one),
            Operation(
                "PUT",
                one,
                "put_schedule",
                tag,
                "Make a schedule, or replace it as a whole",
                self._put,
                {200: ("It is replaced.", WHOLE), 201: ("It is made.", WHOLE)},
                body=NEW,
                description="Putting the same again changes nothing of when it is due.",
            ),
            Operation(
                "DELETE",
                one,
                "delete_schedule",
                tag,
                "Delete a schedule; its jobs stay",
                self._delete,
                {204: ("It is gone.", None)},
            ),
            Operation(
                "POST",
                f"{one}/pause",
                "pause_schedule",
                tag,
                "Make no more jobs",
                self._pause,
                whole_one,
            ),
            Operation(
                "POST",
                f"{one}/resume",
                "resume_schedule",
                tag,
                "Make jobs again, from the next time on",
                self._resume,
                whole_one,
            ),
            Operation(
                "POST",
                f"{one}/run",
                "run_schedule",
                tag,
                "Make one job now; when it is due stays as it is",
                self._run,
                {201: ("The job is on disk.", shapes.told(queue=text(), id=text()))},
            ),
        ]

    async def _list(self, call: Call) -> Response:
        query = call.query
        return said(
            await self._timetable.page(
                call.identity, query["queue"], query["match"], query["after"], query["limit"]
            )
        )

    async def _show(self, call: Call) -> Response:
        return said(await self._one(call))

    async def _put(self, call: Call) -> Response:
        is_new = await self._scheduling.put(
            call.identity, call.path["queue"], call.path["id"], _given(call.body), "api"
        )
        return said(await self._one(call), 201 if is_new else 200)

    async def _delete(self, call: Call) -> Response:
        await self._act(call, "delete")
        return Response(status_code=204)

    async def _pause(self, call: Call) -> Response:
        await self._act(call, "pause")
        return await self._show(call)

    async def _resume(self, call: Call) -> Response:
        await self._act(call, "resume")
        return await self._show(call)

    async def _run(self, call: Call) -> Response:
        queue, job = call.path["queue"], (await self._act(call, "run"))["job"]
        where = {"Location": address("queues", queue, "jobs", job)}
        return said({"queue": queue, "id": job}, 201, where)

    async def _one(self, call: Call) -> dict[str, Any]:
        return await self._timetable.one(call.identity, call.path["queue"], call.path["id"])

    async def _act(self, call: Call, kind: str) -> dict[str, Any]:
        return await self._scheduling.act(call.identity, kind, call.path["queue"], call.path["id"])


def _given(body: Mapping[str, Any]) -> dict[str, Any]:
    """Options stand beside name and data, where people look for them."""
    given = {name: body[name] for name in ("name", "data", *WHEN, *POLICIES) if name in body}
    return {**given, "options": {name: body[name] for name in _OPTIONS if name in body}}
