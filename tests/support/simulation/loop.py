"""An event loop in virtual time, and processes on it that can be stopped and killed.

Time moves only when nothing is left to run: then it jumps to the next timer. All processes of a
simulation share the loop and the thread, so the order of everything follows from the program and
from the random numbers it is given. A process is told by the context in which its callbacks run:
what a task of it starts is of the same process.

The loop replaces `_run_once` of asyncio's base loop, which is where that would wait for sockets.
"""

import asyncio
import hashlib
from collections import deque
from collections.abc import Callable, Coroutine
from contextvars import ContextVar, copy_context
from heapq import heapify, heappop
from typing import Any, Final

INBOX_AFTER_S: Final = 0.002
"""Long enough for tasks that a timer wakes; arbitrary."""
CANCELLED_TIMERS_MAX: Final = 1_000
"""So many cancelled timers are let be before they are swept out; arbitrary."""


class Deadlock(Exception):
    """Nothing is left to run, now or ever."""


class Process:
    """Attributes:
    is_alive: else nothing of it runs any more, not even what would clean up.
    is_paused: as by SIGSTOP; what falls due waits in `held`, what the network brings in `inbox`.
    on_death: called once when it is killed, for those who hold its ends of connections.
    """

    def __init__(self, loop: "SimLoop", name: str):
        self.name = name
        self.is_alive = True
        self.is_paused = False
        self.held: list[asyncio.Handle] = []
        self.inbox: list[asyncio.Handle] = []
        self.on_death: list[Callable[[], None]] = []
        self._loop = loop
        self.context = copy_context()
        self.context.run(PROCESS.set, self)

    def start(self, coroutine: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        task: asyncio.Task[Any] = self._loop.create_task(coroutine, context=self.context)
        return task

    def kill(self) -> None:
        if self.is_alive:
            self.is_alive = False
            self.held.clear()
            self.inbox.clear()
            for die in self.on_death:
                die()

    def pause(self) -> None:
        self.is_paused = True

    def go_on(self) -> None:
        """What was due runs first and a while later what has come: so does a loop that finds its
        timers late and then looks at its sockets."""
        if self.is_paused:
            self.is_paused = False
            held, self.held = self.held, []
            inbox, self.inbox = self.inbox, []
            self._loop.run_soon(held)
            self._loop.call_later(INBOX_AFTER_S, self._loop.run_soon, inbox)


PROCESS: Final[ContextVar[Process | None]] = ContextVar("process", default=None)
"""Whose code runs now; None = the simulation's own."""


class SimLoop(asyncio.BaseEventLoop):
    """Attributes:
    network: what `create_server` and `create_connection` go to; see `network.Network`.
    """

    _ready: deque[asyncio.Handle]
    _scheduled: list[asyncio.TimerHandle]
    _timer_cancelled_count: int

    def __init__(self) -> None:
        super().__init__()
        self.network: Any = None
        self.steps = 0
        """Callbacks run so far."""
        self.after_step: Callable[[], None] | None = None
        """Called after each of them while it is set."""
        self._now = 0.0
        self._tasks: list[asyncio.Task[Any]] = []
        """All of them: a coroutine of a killed process that was let go would run its clean-up."""
        self._trace = hashlib.blake2b(digest_size=16)

    def time(self) -> float:
        return self._now

    def note(self, what: bytes) -> None:
        """Add to the trace: what happens, and when."""
        self._trace.update(b"%.9f" % self._now)
        self._trace.update(what)

    @property
    def trace(self) -> str:
        """Digest of everything noted: the same for the same run."""
        return self._trace.hexdigest()

    def create_task(self, *arguments: Any, **named: Any) -> Any:
        task: Any = super().create_task(*arguments, **named)
        self._tasks.append(task)
        return task

    def run_soon(self, handles: list[asyncio.Handle]) -> None:
        self._ready.extend(handles)

    def end(self) -> None:
        """Nothing runs any more. What is cleaned up later may still call it, to no effect."""
        self._tasks.clear()
        self._ready.clear()
        self.network = self.after_step = None
        self.close()
        self._check_closed = lambda: None  # see above

    # ---- what asyncio calls ----------------------------------------------------------------

    def _write_to_self(self) -> None:
        """There is no other thread that could wait in select."""

    def _run_once(self) -> None:
        self._let_time_pass()
        for _ in range(len(self._ready)):
            self._run_handle(self._ready.popleft())

    def _let_time_pass(self) -> None:
        scheduled = self._without_cancelled()
        if not self._ready:
            if not scheduled:
                raise Deadlock
            self._now = max(self._now, scheduled[0].when())
        while scheduled and scheduled[0].when() <= self._now:
            handle: Any = heappop(scheduled)
            handle._scheduled = False
            self._ready.append(handle)

    def _without_cancelled(self) -> list[asyncio.TimerHandle]:
        scheduled = self._scheduled
        if self._timer_cancelled_count > CANCELLED_TIMERS_MAX:
            scheduled[:] = [handle for handle in scheduled if not handle.cancelled()]
            heapify(scheduled)
            self._timer_cancelled_count = 0
        while scheduled and scheduled[0].cancelled():
            handle: Any = heappop(scheduled)
            handle._scheduled = False
            self._timer_cancelled_count -= 1
        return scheduled

    def _run_handle(self, handle: Any) -> None:
        if handle._cancelled:
            return
        process = handle._context.get(PROCESS)
        if process is not None:
            if not process.is_alive:
                return
            if process.is_paused:
                is_io = isinstance(getattr(handle._callback, "__self__", None), asyncio.Transport)
                (process.inbox if is_io else process.held).append(handle)
                return
        self.steps += 1
        handle._run()
        if self.after_step is not None:
            self.after_step()

    async def create_server(self, factory: Any, *_: Any, **__: Any) -> Any:  # type: ignore[override]  # all that is needed of it
        return self.network.listen(factory)

    async def create_connection(self, factory: Any, host: Any, *_: Any, **__: Any) -> Any:  # type: ignore[override]  # likewise
        return await self.network.connect(factory, host)
