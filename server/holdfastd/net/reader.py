"""Answers that need the disk only: GET, LIST, and the job shown at the end of a WAIT.

They see durable facts and nothing else, on the store's own reading connection, so they neither wait
for a batch nor delay one. One at a time, in order of arrival; those of a client that does not read
what it is sent wait until it does.
"""

import asyncio
from collections.abc import Callable
from typing import Any, Final, NamedTuple

from holdfast.wire import messages as wire
from holdfast.wire.checks import Refusal, check_integer, check_job_id, check_queue_name
from holdfast.wire.constants import FRAME_BYTES_MAX, LIST_LIMIT_MAX, ErrorCode
from holdfastd.engine.broker import Engine
from holdfastd.engine.model import QueueKey
from holdfastd.engine.outputs import unknown_job, unknown_queue
from holdfastd.net.answers import job_detail_map, job_map
from holdfastd.net.requests import check_state
from holdfastd.store.base import JobCursor, Store

PAGE_BYTES_MAX: Final = FRAME_BYTES_MAX // 2
"""A page is cut after the row that passes this, so that one more payload still fits the frame."""
KEY_MAX: Final = 2**63 - 1
"""Of a cursor: what SQLite's integers hold. The store would fail for more, and we with it."""
READS_WAITING_MAX: Final = 10_000
"""Of all connections together; more are refused as BUSY."""


class _Asked(NamedTuple):
    connection: int
    message: wire.Get | wire.List
    queue: QueueKey | None
    """Known already for a WAIT that has ended; else looked up by name."""


class Reader:
    def __init__(
        self,
        store: Store,
        engine: Engine,
        say: Callable[[int, wire.Message], None],
        is_full: Callable[[int], bool],
    ):
        """say: sends a message to a connection, which may have gone. is_full: it does not read."""
        self._store = store
        self._engine = engine
        self._say = say
        self._is_full = is_full
        self._asked: asyncio.Queue[_Asked] = asyncio.Queue()
        self._held: dict[int, list[_Asked]] = {}
        """Of connections that were full when their turn came."""
        self._waiting = 0

    def ask(self, connection: int, message: wire.Get | wire.List) -> None:
        self._put(_Asked(connection, message, None))

    def show(self, connection: int, request: int, queue: QueueKey, id: str) -> None:
        """A job that has just ended, to one who waited for that."""
        self._put(_Asked(connection, wire.Get(request, "", id), queue))

    def _put(self, asked: _Asked) -> None:
        if self._waiting < READS_WAITING_MAX:
            self._waiting += 1
            self._asked.put_nowait(asked)
            return
        text = f"{READS_WAITING_MAX:,} reads are waiting already: send it again later"
        busy = wire.Error(asked.message.request, int(ErrorCode.BUSY), text, {})
        self._say(asked.connection, busy)

    def go_on(self, connection: int) -> None:
        """It reads again, or it is gone."""
        for asked in self._held.pop(connection, ()):
            self._asked.put_nowait(asked)

    async def run(self) -> None:
        """Until cancelled. Raises what the store raises when it is broken."""
        while True:
            asked = await self._asked.get()
            if self._is_full(asked.connection):
                self._held.setdefault(asked.connection, []).append(asked)
                continue
            self._waiting -= 1
            request = asked.message.request
            try:
                result = await self._answer(asked)
            except Refusal as refusal:
                error = wire.Error(request, int(refusal.code), refusal.message, refusal.details)
                self._say(asked.connection, error)
            else:
                self._say(asked.connection, wire.Reply(request, result))

    async def _answer(self, asked: _Asked) -> dict[str, Any]:
        if isinstance(asked.message, wire.List):
            return await self._list(asked.message)
        return await self._get(asked.message, asked.queue)

    async def _get(self, message: wire.Get, key: QueueKey | None) -> dict[str, Any]:
        if key is None:
            key = self._key_of(check_queue_name(message.queue))
        name = self._name_of(key)
        detail = await self._store.job(key, check_job_id(message.id))
        if detail is None:
            raise Refusal(ErrorCode.UNKNOWN_JOB, unknown_job(message.id, name))
        holder = self._engine.session_name(detail.row.session)
        return job_detail_map(name, detail, holder)

    async def _list(self, message: wire.List) -> dict[str, Any]:
        name = check_queue_name(message.queue)
        key = self._key_of(name)
        state = check_state(message.state)
        if state is None:
            raise Refusal(ErrorCode.BAD_REQUEST, "LIST needs a state, a number from 1 to 7")
        limit = check_integer("limit", message.limit, 1, LIST_LIMIT_MAX)
        after = _cursor(message.after)
        rows, next_after = await self._store.jobs(key, state, after, limit, PAGE_BYTES_MAX)
        holder = self._engine.session_name
        maps = [job_map(name, row, holder(row.session)) for row in rows]
        return {"jobs": maps, "next": next_after}

    def _key_of(self, name: str) -> QueueKey:
        queue = self._engine.queues.get(name)
        if queue is None:
            raise Refusal(ErrorCode.UNKNOWN_QUEUE, unknown_queue(name))
        return queue.key

    def _name_of(self, key: QueueKey) -> str:
        name = self._engine.queue_name(key)
        if name is None:
            raise Refusal(ErrorCode.UNKNOWN_JOB, "the job's queue has been removed")
        return name


def _cursor(after: list[Any] | None) -> JobCursor | None:
    if after is None:
        return None
    if len(after) == 2 and all(type(key) is int and abs(key) <= KEY_MAX for key in after):
        return JobCursor(*after)
    raise Refusal(ErrorCode.BAD_REQUEST, "after must be what the page before gave as next")
