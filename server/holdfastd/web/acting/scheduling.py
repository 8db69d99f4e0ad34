"""Making, changing and ending schedules, and running their jobs now, for pages and programs."""

from collections.abc import Callable, Mapping
from typing import Any, Final

from holdfast.wire.checks import (
    Refusal,
    check_job_name,
    check_payload,
    check_queue_name,
)
from holdfast.wire.constants import ErrorCode
from holdfast.wire.schedules import (
    POLICIES,
    check_schedule_id,
    check_schedule_options,
    check_when,
)
from holdfastd.access.rights import Identity, Need
from holdfastd.engine.broker import Engine
from holdfastd.engine.commands import Command, PutSchedule
from holdfastd.engine.schedules import Origin
from holdfastd.inside import CommandRefused, Inside
from holdfastd.translation import schedule_spec
from holdfastd.web import jsonable
from holdfastd.web.acting import kinds
from holdfastd.web.acting.noting import Noting
from holdfastd.web.guard import Guard
from holdfastd.web.refusals import as_refusal

WHEN: Final = ("cron", "tz", "every_ms")
NEED_OF: Final = {
    "pause": Need.ACT,
    "resume": Need.ACT,
    "run": Need.ACT,
    "delete": Need.ADD,
}
"""As RIGHTS has it for the messages of the protocol."""
_NAMES: Final = {"delete": "unschedule"}
"""In the audit log they are called as over TCP."""


class Scheduling:
    def __init__(
        self,
        engine: Engine,
        inside: Inside,
        guard: Guard,
        noting: Noting,
        payload_bytes_max: Callable[[], int],
        now_ms: Callable[[], int],
        new_id: Callable[[], str],
    ):
        """payload_bytes_max: in force. new_id: gives another text each time."""
        self._engine = engine
        self._inside = inside
        self._guard = guard
        self._noting = noting
        self._payload_bytes_max = payload_bytes_max
        self._now_ms = now_ms
        self._new_id = new_id

    async def put(
        self,
        identity: Identity,
        queue: str,
        id: str,
        given: Mapping[str, Any],
        origin: str,
        *,
        keeps_data: bool = False,
    ) -> bool:
        """Make it, or replace the one that is there as a whole.

        Args:
            given: `name`, `data` (any JSON), `options` of its jobs, and beside them `cron` and
                `tz` or `every_ms`, `missed`, `overlap`.
            origin: of `engine.schedules.Origin`.
            keeps_data: its jobs go on to get what they get.

        Returns:
            Whether it is new.

        Raises:
            Refusal: nothing was changed; `details` has the option that is wrong.
        """
        self._guard.require(identity, Need.ADD, check_queue_name(queue))
        before = self._engine.schedule(queue, check_schedule_id(id))
        if keeps_data and before is not None:
            payload = before.spec.payload
        else:
            self._guard.redactor(identity).check_new_data(given.get("data"))
            payload = check_payload(_packed(given.get("data")), self._payload_bytes_max())
        name = check_job_name(given.get("name"))
        when = check_when({key: given[key] for key in WHEN if key in given})
        policies = {key: given[key] for key in POLICIES if key in given}
        options = check_schedule_options({**given.get("options", {}), **policies})
        now_ms = self._now_ms()
        spec = schedule_spec(queue, id, name, payload, when, options, Origin(origin), now_ms)
        said = {"name": name, "when": when, "options": options, "payload_bytes": len(payload)}
        await self._call(identity, "schedule", queue, id, PutSchedule(spec), said)
        return before is None

    async def act(self, identity: Identity, kind: str, queue: str, id: str) -> dict[str, Any]:
        """Do what kinds.SCHEDULES knows. Returns `{job}`: the id of the job that was run, else
        None. Raises Refusal."""
        if kind not in kinds.SCHEDULES:
            raise Refusal(ErrorCode.BAD_REQUEST, f"there is no action {kind!r} on schedules")
        self._guard.require(identity, NEED_OF[kind], check_queue_name(queue))
        command = kinds.SCHEDULES[kind](queue, check_schedule_id(id), self._new_id())
        name = _NAMES.get(kind, f"{kind}_schedule")
        result = await self._call(identity, name, queue, id, command, {})
        return {"job": result if kind == "run" else None}

    async def _call(
        self,
        identity: Identity,
        kind: str,
        queue: str,
        id: str,
        command: Command,
        said: Mapping[str, Any],
    ) -> Any:
        entry = {"queue": queue, "id": id, **said}
        try:
            result = await self._inside.call(command)
        except CommandRefused as refusal:
            why = as_refusal(refusal)
            self._noting.write(
                identity, kind, {**entry, "result": why.code.name, "why": why.message}
            )
            raise why from refusal
        self._noting.write(identity, kind, {**entry, "result": "ok"})
        return result


def _packed(data: Any) -> bytes:
    try:
        return jsonable.packed(data)
    except ValueError as error:
        raise Refusal(ErrorCode.BAD_REQUEST, f"data {error}", {"option": "data"}) from error
