"""Server-sent events: what happens in a queue, or to one job, as it happens.

    GET /api/v1/queues/{queue}/events
    GET /api/v1/queues/{queue}/jobs/{id}/events

`id:` is the engine's number of an event, so that a reader that comes back with `Last-Event-ID` gets
what it missed, or is told (`missed`) that some is no longer kept. A stream of a job begins with the
job as it is and ends with the job as it became; who then comes back is answered 204, which tells a
browser to stop. A reader that is slow loses events, and is told so by `missed` too.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack
from typing import Any, Final

from starlette.responses import Response, StreamingResponse

from holdfast.wire.checks import Refusal
from holdfast.wire.constants import ErrorCode, EventKind
from holdfastd.engine.commands import Listen
from holdfastd.engine.events import QueueEvent
from holdfastd.engine.model import FailReason
from holdfastd.inside import Inside, InsideSession
from holdfastd.web import jsonable
from holdfastd.web.api.held import Held
from holdfastd.web.api.jobs import OVER
from holdfastd.web.api.operation import EVENTS, Call, Operation
from holdfastd.web.api.schema import text, whole
from holdfastd.web.board import Board
from holdfastd.web.guard import Guard, Need
from holdfastd.web.safe.redact import Redactor

QUIET_S: Final = 15.0
"""After so long without news a comment is sent, and the key looked at again: proxies end what is
silent for 30 to 60 s."""
LOOK_S: Final = 1.0
"""As often at most the key is looked at again while there is news; as on the TCP port."""
RETRY_MS: Final = 2_000
"""After that a browser comes back."""
NUMBER_MAX: Final = 2**63 - 1
ENDING: Final = frozenset(
    {EventKind.COMPLETED, EventKind.FAILED, EventKind.CANCELLED, EventKind.REMOVED, EventKind.MOVED}
)
"""After these there is nothing more to tell of a job in its queue."""
RESUME: Final = "Last-Event-ID"
_HEADERS: Final = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
_ALIVE: Final = b": \n\n"


class Streams:
    def __init__(self, inside: Inside, board: Board, guard: Guard, held: Held):
        self._inside = inside
        self._board = board
        self._guard = guard
        self._held = held

    def operations(self) -> list[Operation]:
        tag, of_queue = "events", "/queues/{queue}"
        after = {"after": whole("As `Last-Event-ID`, which goes before it.", 0, NUMBER_MAX)}
        resume = {RESUME: whole("The last event that was seen.", 0, NUMBER_MAX)}
        return [
            Operation(
                "GET",
                f"{of_queue}/events",
                "watch_queue",
                tag,
                "What happens in a queue",
                self._queue,
                {200: ("A stream without an end.", text())},
                query=after,
                headers=resume,
                media=EVENTS,
            ),
            Operation(
                "GET",
                f"{of_queue}/jobs/{{id}}/events",
                "watch_job",
                tag,
                "What happens to a job, until it is over",
                self._job,
                {
                    200: ("A stream that ends with the job.", text()),
                    204: ("It was over already when its last event was seen.", None),
                },
                query=after,
                headers=resume,
                media=EVENTS,
            ),
        ]

    async def _queue(self, call: Call) -> Response:
        await self._board.queue(call.identity, call.path["queue"])
        return await self._begin(call, None)

    async def _job(self, call: Call) -> Response:
        job = await self._board.job(call.identity, call.path["queue"], call.path["id"])
        if _after(call) is not None and job["state"] in OVER:
            return Response(status_code=204)
        return await self._begin(call, call.path["id"])

    async def _begin(self, call: Call, id: str | None) -> Response:
        """It is listened before the answer begins, so that it can still be refused."""
        after = _after(call)
        async with AsyncExitStack() as stack:
            stack.enter_context(self._guard.stream(call.request, call.identity))
            stack.enter_context(self._held.one_more())
            session = await stack.enter_async_context(self._inside.session())
            said = await session.call(Listen(call.path["queue"], after))
            stream = _Stream(self, call, session, id, after, said, stack.pop_all())
        return _Streamed(stream)

    def redactor(self, call: Call) -> Redactor:
        return self._guard.redactor(call.identity)

    async def job_as_it_is(self, call: Call) -> dict[str, Any] | None:
        """None = it is gone."""
        try:
            return await self._board.job(call.identity, call.path["queue"], call.path["id"])
        except Refusal:
            return None

    async def still_may(self, call: Call) -> bool:
        """Whether the key is still good; asked now and then."""
        try:
            identity = await self._guard.identify(call.request)
            self._guard.require(identity, Need.SEE_JOBS, call.path["queue"])
        except Refusal:
            return False
        return True

    async def next_event(self, session: InsideSession) -> tuple[str, QueueEvent] | None:
        """None: there will be none. Raises TimeoutError: there was none for QUIET_S."""
        getting = asyncio.ensure_future(session.events.get())
        stopping = asyncio.ensure_future(self._held.stopping.wait())
        both = {getting, stopping}
        try:
            done, _ = await asyncio.wait(both, timeout=QUIET_S, return_when=asyncio.FIRST_COMPLETED)
            if not done:
                raise TimeoutError
            return None if stopping in done else getting.result()
        finally:
            for each in both:
                each.cancel()


class _Stream:
    """One reader."""

    def __init__(
        self,
        streams: Streams,
        call: Call,
        session: InsideSession,
        id: str | None,
        after: int | None,
        said: Mapping[str, Any],
        stack: AsyncExitStack,
    ):
        """id: None = of the whole queue. said: what the engine answered to LISTEN. stack: what is
        to be given back at the end."""
        self._streams = streams
        self._call = call
        self._session = session
        self._id = id
        self._last: int = said["last"] if after is None or said["missed"] else after
        self._has_missed: bool = said["missed"]
        self._stack = stack

    async def close(self) -> None:
        await self._stack.aclose()

    async def messages(self) -> AsyncIterator[bytes]:
        yield f"retry: {RETRY_MS}\nid: {self._last}\n\n".encode()
        if self._has_missed:
            yield _event("missed", {})
        if self._id is not None:
            job = await self._streams.job_as_it_is(self._call)
            yield _event("job", job)
            if job is None or job["state"] in OVER:
                return
        async for message in self._news():
            yield message

    async def _news(self) -> AsyncIterator[bytes]:
        loop = asyncio.get_running_loop()
        looked_at = loop.time()
        while True:
            found, is_quiet = None, False
            try:
                found = await self._streams.next_event(self._session)
            except TimeoutError:
                is_quiet = True
            if is_quiet or loop.time() - looked_at >= LOOK_S:
                looked_at = loop.time()
                if not await self._streams.still_may(self._call):
                    return
            if is_quiet:
                yield _ALIVE
                continue
            if found is None:
                return
            for message in await self._told(*found):
                yield message
            if self._id == found[1].id and self._id is not None and found[1].kind in ENDING:
                return

    async def _told(self, queue: str, event: QueueEvent) -> list[bytes]:
        messages = []
        if event.number != self._last + 1:  # it was slow; numbers follow each other by 1
            messages.append(_event("missed", {}))
        self._last = event.number
        if self._id not in (None, event.id):
            return messages
        kind = EventKind(event.kind)
        name = kind.name.lower()
        details = _details(event.details, self._streams.redactor(self._call))
        data = {
            "queue": queue,
            "id": event.id,
            "name": event.name,
            "at_ms": event.at_ms,
            **details,
        }
        if self._id is not None and kind in ENDING:
            # Before the event: a browser that lost it would be told that it was the last.
            messages.append(_event("job", await self._streams.job_as_it_is(self._call)))
        messages.append(_event(name, data, event.number))
        return messages


class _Streamed(StreamingResponse):
    """Gives back what its stream holds, also where it was never begun."""

    def __init__(self, stream: _Stream):
        self._stream = stream
        super().__init__(stream.messages(), headers=_HEADERS, media_type=EVENTS)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        try:
            if scope["method"] != "HEAD":
                await super().__call__(scope, receive, send)
            else:
                head = Response(headers=_HEADERS, media_type=self.media_type)
                await head(scope, receive, send)
        finally:
            await self._stream.close()


def _after(call: Call) -> int | None:
    header = call.request.headers.get(RESUME)
    if not header:
        after: int | None = call.query["after"]
        return after
    if not header.isascii() or not header.isdecimal() or int(header[:20]) > NUMBER_MAX:
        raise Refusal(ErrorCode.BAD_REQUEST, f"{RESUME} must be the number of an event")
    return int(header)


def _details(details: Mapping[str, Any], redactor: Redactor) -> dict[str, Any]:
    """As JSON; what came from a handler is redacted as a job's data is."""
    told = dict(details)
    for name, value in details.items():
        if isinstance(value, bytes):
            told[name] = redactor(jsonable.shown(value))
    if "reason" in told:
        told["reason"] = FailReason(told["reason"]).name.lower()
    return told


def _event(name: str, data: Any, number: int | None = None) -> bytes:
    """JSON has no line breaks, so it is one line of data."""
    id = "" if number is None else f"id: {number}\n"
    return f"{id}event: {name}\ndata: {json.dumps(data)}\n\n".encode()
