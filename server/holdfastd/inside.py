"""Commands from inside the process: the pipeline's clients that have no socket.

What HTTP asks goes the way of everything else: a session of the engine, a command, and an answer
once its batch is durable. Connection numbers of the inside are below 0, those of the TCP port
above; each is told all outputs and takes its own.

    result = await inside.call(command)
    async with inside.session() as session:       # one that may be left: its waits and events go
        await session.call(Wait(queue, id))
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final

from holdfastd.engine.commands import Attach, Command, Detach, End
from holdfastd.engine.outputs import Answer, AnswerItems, Notify, Output, Refusal, Refuse, Show
from holdfastd.pipeline import Pipeline

if TYPE_CHECKING:
    from holdfastd.engine.events import QueueEvent

CALLS_MAX: Final = 10_000
"""Unanswered, of one session: as many as the engine lets wait."""
EVENTS_WAITING_MAX: Final = 10_000
"""Events that a session has not taken; as many as the engine keeps of a queue."""


class CommandRefused(Exception):
    """Attributes: refusal: why, as a kind; message: for people, what and what to do."""

    def __init__(self, refusal: Refusal, message: str):
        self.refusal = refusal
        self.message = message
        super().__init__(message)


class Inside:
    """All sessions of the inside, and one that is always there."""

    def __init__(self, pipeline: Pipeline):
        self._pipeline = pipeline
        self._sessions: dict[int, InsideSession] = {}
        self._last_number = 0
        self._own: InsideSession | None = None
        pipeline.connect(self)

    async def call(self, command: Command) -> Any:
        """Apply a command; see `InsideSession.call`."""
        if self._own is None:
            self._own = self._open()
        return await self._own.call(command)

    @asynccontextmanager
    async def session(self) -> AsyncIterator["InsideSession"]:
        """A session that is over with the block, whatever it still waits for."""
        session = self._open()
        try:
            yield session
        finally:
            self._sessions.pop(session.number, None)  # after `close` it is gone already
            session.leave()

    def _open(self) -> "InsideSession":
        self._last_number -= 1
        session = InsideSession(self._pipeline, self._last_number)
        self._sessions[session.number] = session
        return session

    def close(self) -> None:
        """Nothing more will be answered: the daemon stops."""
        for session in self._sessions.values():
            session.leave()
        self._sessions.clear()
        self._own = None

    def send(self, outputs: list[Output]) -> None:
        """What a durable batch leads to."""
        if not self._sessions:
            return
        for output in outputs:
            if output.connection < 0:
                session = self._sessions.get(output.connection)
                if session is not None:
                    session.take(output)


class InsideSession:
    """Attributes:
    number: of its connection, below 0.
    events: (queue, event) of the queues it listens to; None at the end. A session that does not
        take them loses the newest, and learns that by the gap in their numbers.
    """

    def __init__(self, pipeline: Pipeline, number: int):
        self.number = number
        self.events: asyncio.Queue[tuple[str, QueueEvent] | None] = asyncio.Queue()
        self._pipeline = pipeline
        self._last_request = 0
        self._calls: dict[int, asyncio.Future[Any]] = {}
        self._is_left = False
        id = f"inside:{pipeline.epoch}:{-number}"
        pipeline.attach(number, Attach(id, "", (), {"client": "http"}))

    async def call(self, command: Command) -> Any:
        """Apply a command; the answer, once it is durable.

        Returns what the engine answers: the result of an Answer, the items of an AnswerItems (those
        that did not simply succeed), or of a Wait the JobDetail, None if it is gone already.

        Raises:
            CommandRefused: the engine said no; nothing was changed.
        """
        if self._is_left:
            raise CommandRefused(Refusal.DRAINING, "the server is going down: try again")
        if len(self._calls) >= CALLS_MAX:
            text = f"{CALLS_MAX:,} commands wait for their answers already: try again later"
            raise CommandRefused(Refusal.BUSY, text)
        self._last_request += 1
        request = self._last_request
        answer = self._calls[request] = asyncio.get_running_loop().create_future()
        try:
            self._pipeline.submit(self.number, request, command, self._pipeline.moment())
            result = await answer
        finally:
            self._calls.pop(request, None)
        if isinstance(result, Show):
            return await self._pipeline.store.job(result.queue, result.id)
        return result

    def take(self, output: Output) -> None:
        """What is said to it."""
        match output:
            case Notify():
                for event in output.events:
                    if self.events.qsize() < EVENTS_WAITING_MAX:
                        self.events.put_nowait((output.queue, event))
            case Answer():
                self._answer(output.request, output.result)
            case AnswerItems():
                self._answer(output.request, output.items)
            case Show():
                self._answer(output.request, output)
            case Refuse():
                call = self._calls.get(output.request)
                if call is not None and not call.done():
                    call.set_exception(CommandRefused(output.refusal, output.message))
            case _:
                pass  # a greeting; nothing is pushed to one that takes no jobs

    def _answer(self, request: int, result: Any) -> None:
        call = self._calls.get(request)
        if call is not None and not call.done():
            call.set_result(result)

    def leave(self) -> None:
        """Over; who waits for an answer learns that none will come."""
        if self._is_left:
            return
        self._is_left = True
        moment = self._pipeline.moment()
        # One that has changed something has a row, which is to go; any other leaves no trace.
        self._pipeline.submit(self.number, 0, End(), moment)
        self._pipeline.submit(self.number, 0, Detach(), moment)
        for call in self._calls.values():
            if not call.done():
                text = "the server is going down: whether it was done is not known"
                call.set_exception(CommandRefused(Refusal.DRAINING, text))
        self.events.put_nowait(None)
