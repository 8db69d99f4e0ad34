"""Threads for handlers that are plain functions."""

import asyncio
import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any, TypeAlias

_Call: TypeAlias = tuple["asyncio.Future[Any]", Callable[..., Any], tuple[Any, ...]]


class JobThreads:
    """As many threads as run at once, kept for the next jobs.

    They are daemon threads: a handler that never ends must not keep the process from leaving after
    a drain. Those of concurrent.futures would; they are joined when the interpreter ends.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop):
        self._loop = loop
        self._calls: SimpleQueue[_Call | None] = SimpleQueue()
        self._threads = 0
        self._busy = 0

    async def run(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Call it in a thread; returns or raises what it does. On the loop only."""
        future: asyncio.Future[Any] = self._loop.create_future()
        self._busy += 1
        if self._busy > self._threads:
            self._threads += 1
            name = f"holdfast-job-{self._threads}"
            threading.Thread(target=self._work, name=name, daemon=True).start()
        self._calls.put((future, function, arguments))
        return await future

    def close(self) -> None:
        """Idle threads end now, the others after their call."""
        for _ in range(self._threads):
            self._calls.put(None)

    def _work(self) -> None:
        while (call := self._calls.get()) is not None:
            future, function, arguments = call
            result: Any = None
            error: BaseException | None = None
            try:
                result = function(*arguments)
            except BaseException as raised:
                error = raised
            try:
                self._loop.call_soon_threadsafe(self._finish, future, result, error)
            except RuntimeError:
                return  # the loop is closed: nobody waits any more
            del call, future, function, arguments, result, error  # not kept until the next call

    def _finish(
        self, future: "asyncio.Future[Any]", result: Any, error: BaseException | None
    ) -> None:
        self._busy -= 1
        if future.done():  # cancelled meanwhile
            return
        if isinstance(error, StopIteration):  # it would end the coroutine that awaits it
            error = RuntimeError(f"the handler raised {error!r}")
        if error is None:
            future.set_result(result)
        else:
            future.set_exception(error)
