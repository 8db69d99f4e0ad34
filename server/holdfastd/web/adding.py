"""Adding jobs over HTTP: JSON to what a Python client would have sent."""

from collections.abc import Callable, Mapping
from typing import Any, Final

from holdfast.wire.checks import (
    Refusal,
    check_job_id,
    check_job_name,
    check_options,
    check_payload,
    check_queue_name,
    shown,
)
from holdfast.wire.constants import ITEMS_MAX, ErrorCode
from holdfast.wire.ids import new_id
from holdfastd.access.rights import Identity, Need
from holdfastd.engine.commands import Enqueue
from holdfastd.engine.model import NewJob
from holdfastd.engine.outputs import ItemExisting
from holdfastd.inside import CommandRefused, Inside
from holdfastd.translation import new_job
from holdfastd.web import jsonable
from holdfastd.web.guard import Guard
from holdfastd.web.refusals import as_refusal

FIELDS: Final = ("name", "data", "id", "options")


class Adding:
    def __init__(
        self,
        inside: Inside,
        guard: Guard,
        now_ms: Callable[[], int],
        payload_bytes_max: Callable[[], int],
    ):
        self._inside = inside
        self._guard = guard
        self._now_ms = now_ms
        self._payload_bytes_max = payload_bytes_max

    async def add(self, identity: Identity, queue: str, job: Mapping[str, Any]) -> dict[str, Any]:
        """One job; see `add_many`."""
        return (await self.add_many(identity, queue, [job]))[0]

    async def add_many(
        self, identity: Identity, queue: str, jobs: list[Mapping[str, Any]]
    ) -> list[dict[str, Any]]:
        """Add all of them, or none.

        Args:
            jobs: `name`, `data` (any JSON), `id` (None or missing = one is made), `options` as
                the protocol has them (priority, delay_ms, attempts, …).

        Returns:
            `{queue, id, created}` of each, in order; not created: a job with the id was there.

        Raises:
            Refusal: `details` has the option that is wrong, and the item's index.
        """
        self._guard.require(identity, Need.ADD, check_queue_name(queue))
        if not 0 < len(jobs) <= ITEMS_MAX:
            text = f"give 1 to {ITEMS_MAX:,} jobs, not {len(jobs):,}"
            raise Refusal(ErrorCode.BAD_REQUEST, text)
        redactor = self._guard.redactor(identity)
        for job in jobs:
            redactor.check_new_data(job.get("data"))
        items = [(at, self._new(job, at)) for at, job in enumerate(jobs)]
        try:
            told = await self._inside.call(Enqueue(queue, items, []))
        except CommandRefused as refusal:
            raise as_refusal(refusal) from refusal
        existing = {item.at for item in told if isinstance(item, ItemExisting)}
        return [{"queue": queue, "id": new.id, "created": at not in existing} for at, new in items]

    def _new(self, job: Mapping[str, Any], at: int) -> NewJob:
        unknown = sorted(set(job) - set(FIELDS))
        try:
            if unknown:
                text = f"a job knows {', '.join(FIELDS)}; {shown(unknown[0])} is not one of them"
                raise Refusal(ErrorCode.BAD_REQUEST, text)
            given = job.get("id")
            id = new_id().hex() if given is None else check_job_id(given)
            name = check_job_name(job.get("name"))
            payload = check_payload(_packed(job.get("data")), self._payload_bytes_max())
            options = check_options(dict(job.get("options") or {}))
            return new_job(id, name, payload, options, self._now_ms(), is_generated=given is None)
        except Refusal as refusal:
            refusal.details.setdefault("index", at)
            raise


def _packed(data: Any) -> bytes:
    try:
        return jsonable.packed(data)
    except ValueError as error:
        raise Refusal(ErrorCode.BAD_REQUEST, f"data {error}", {"option": "data"}) from error
