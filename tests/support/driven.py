"""Clients that a script can drive: one small adapter for each.

An adapter starts calls and does not wait for them, since the script plays the server meanwhile. A
client of another language is driven by a program of its own that takes lines of JSON and answers
with such (`Foreign`); `protocol_js/driver.mjs` is the one for examples/protocol-js.
"""

import asyncio
import contextlib
import json
import threading
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final, NamedTuple, Protocol

import holdfast
from holdfast import aio
from holdfast.active import ActiveJob
from holdfast.worker import Worker

TIMEOUT_S: Final = 8.0
"""Of each call."""
NOTE_S: Final = 8.0


class Outcome(NamedTuple):
    """What came of a call: a value, or the text of an error."""

    value: Any = None
    error: str = ""


class Producer(Protocol):
    def add(self, name: str, data: Any, **options: Any) -> "asyncio.Future[Outcome]":
        """Value: the job's id."""

    def wait(self, id: str) -> "asyncio.Future[Outcome]":
        """Value: the job's result."""

    async def close(self) -> None: ...


class Working(Protocol):
    """A worker of the queue q. Its handlers, by name of the job: `echo` returns the data, `fail`
    raises an error with the text "no such file", `hold` runs until `let_go`, and then returns
    the data, or until it is cancelled.

    Attributes: notes, what its handlers did: "started ID", "cancelled ID".
    """

    notes: list[str]

    async def noted(self, note: str) -> None:
        """Wait for it."""

    def let_go(self) -> None: ...
    def stop(self) -> None:
        """As SIGTERM would."""

    async def ended(self) -> None:
        """Wait until it has left."""


class Client(Protocol):
    def producer(self, url: str) -> Producer:
        """Of the queue q."""

    def work(self, url: str, concurrency: int) -> Working: ...


async def _outcome(call: Awaitable[Any]) -> Outcome:
    try:
        return Outcome(await call)
    except Exception as error:
        return Outcome(error=f"{type(error).__name__}: {error}")


def _started(call: Awaitable[Any]) -> "asyncio.Future[Outcome]":
    return asyncio.ensure_future(_outcome(call))


# ---- the two clients of Python -----------------------------------------------------------------


class _AsyncProducer:
    def __init__(self, url: str):
        self._queue = aio.Queue("q", url=url, timeout=TIMEOUT_S)

    def add(self, name: str, data: Any, **options: Any) -> "asyncio.Future[Outcome]":
        async def add() -> str:
            return (await self._queue.add(name, data, **options)).id

        return _started(add())

    def wait(self, id: str) -> "asyncio.Future[Outcome]":
        async def wait() -> Any:
            return await _job(self._queue, id).wait(TIMEOUT_S)

        return _started(wait())

    async def close(self) -> None:
        await self._queue.close()


def _job(queue: aio.Queue, id: str) -> aio.Job:
    """One that was not added here."""
    return aio.Job(queue, queue="q", id=id, name="", state="waiting")


class _BlockingProducer:
    def __init__(self, url: str):
        self._queue = holdfast.Queue("q", url=url, timeout=TIMEOUT_S)

    def add(self, name: str, data: Any, **options: Any) -> "asyncio.Future[Outcome]":
        return self._in_thread(lambda: self._queue.add(name, data, **options).id)

    def wait(self, id: str) -> "asyncio.Future[Outcome]":
        def wait() -> Any:
            return holdfast.Job(_job(self._queue._queue, id)).wait(TIMEOUT_S)

        return self._in_thread(wait)

    def _in_thread(self, call: Callable[[], Any]) -> "asyncio.Future[Outcome]":
        return _started(asyncio.to_thread(call))

    async def close(self) -> None:
        await asyncio.to_thread(self._queue.close)


class _Notes:
    """Of handlers in whatever thread."""

    def __init__(self) -> None:
        self.notes: list[str] = []
        self._changed = asyncio.Event()
        self._loop = asyncio.get_running_loop()

    def note(self, text: str) -> None:
        self.notes.append(text)
        self._loop.call_soon_threadsafe(self._changed.set)

    async def noted(self, note: str) -> None:
        try:
            async with asyncio.timeout(NOTE_S):
                while note not in self.notes:
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            raise AssertionError(f"expected {note!r}, came {self.notes}") from None


class _AsyncWorking(_Notes):
    """Handlers are coroutines, on this loop."""

    def __init__(self, url: str, concurrency: int):
        super().__init__()
        self._may_go = asyncio.Event()
        handlers = {"echo": self._echo, "fail": self._fail, "hold": self._hold}
        self._worker = Worker("q", handlers, url=url, concurrency=concurrency)
        self._running = asyncio.ensure_future(self._worker.run_async())

    async def _echo(self, job: ActiveJob) -> Any:
        self.note(f"started {job.id}")
        return job.data

    async def _fail(self, job: ActiveJob) -> Any:
        raise ValueError("no such file")

    async def _hold(self, job: ActiveJob) -> Any:
        self.note(f"started {job.id}")
        try:
            await self._may_go.wait()
        except asyncio.CancelledError:
            self.note(f"cancelled {job.id}")
            raise
        return job.data

    def let_go(self) -> None:
        self._may_go.set()

    def stop(self) -> None:
        self._worker.stop()

    async def ended(self) -> None:
        async with asyncio.timeout(NOTE_S):
            await self._running


class _BlockingWorking(_Notes):
    """Handlers are plain functions, in threads; the worker has a thread and a loop of its own."""

    def __init__(self, url: str, concurrency: int):
        super().__init__()
        self._may_go = threading.Event()
        handlers = {"echo": self._echo, "fail": self._fail, "hold": self._hold}
        self._worker = Worker("q", handlers, url=url, concurrency=concurrency)
        self._running = asyncio.ensure_future(asyncio.to_thread(self._worker.run))

    def _echo(self, job: ActiveJob) -> Any:
        self.note(f"started {job.id}")
        return job.data

    def _fail(self, job: ActiveJob) -> Any:
        raise ValueError("no such file")

    def _hold(self, job: ActiveJob) -> Any:
        self.note(f"started {job.id}")
        while not self._may_go.wait(0.01):
            if job.cancelled:
                self.note(f"cancelled {job.id}")
                break
        return job.data

    def let_go(self) -> None:
        self._may_go.set()

    def stop(self) -> None:
        self._worker.stop()

    async def ended(self) -> None:
        async with asyncio.timeout(NOTE_S):
            await self._running


class Asyncio:
    def producer(self, url: str) -> Producer:
        return _AsyncProducer(url)

    def work(self, url: str, concurrency: int) -> Working:
        return _AsyncWorking(url, concurrency)


class Blocking:
    def producer(self, url: str) -> Producer:
        return _BlockingProducer(url)

    def work(self, url: str, concurrency: int) -> Working:
        return _BlockingWorking(url, concurrency)


# ---- a client of another language ----------------------------------------------------------------


class _Program(_Notes):
    """A process that is told and tells in lines of JSON.

    To it: `{"do": "add", "call": 1, "name", "data", "options"}`, `{"do": "wait", "call": 2, "id"}`,
    `{"do": "let_go"}`, `{"do": "stop"}`. From it: `{"call": 1, "value": …}` or
    `{"call": 1, "error": "text"}`, and `{"note": "started ID"}`. It ends when its work or its
    input does.
    """

    def __init__(self, command: Sequence[str]):
        super().__init__()
        self._calls: dict[int, asyncio.Future[Outcome]] = {}
        self._lines: asyncio.Queue[str] = asyncio.Queue()
        self._running = asyncio.ensure_future(self._run(command))

    async def _run(self, command: Sequence[str]) -> None:
        pipe = asyncio.subprocess.PIPE
        process = await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=pipe)
        assert process.stdin is not None
        assert process.stdout is not None
        telling = asyncio.create_task(self._tell(process.stdin))
        try:
            async for line in process.stdout:
                self._take(json.loads(line))
            await process.wait()
        finally:
            telling.cancel()
            with contextlib.suppress(ProcessLookupError):
                process.kill()

    async def _tell(self, stdin: asyncio.StreamWriter) -> None:
        while True:
            stdin.write((await self._lines.get()).encode() + b"\n")
            await stdin.drain()

    def _take(self, told: dict[str, Any]) -> None:
        if "note" in told:
            self.note(told["note"])
        else:
            outcome = Outcome(told.get("value"), told.get("error", ""))
            self._calls[told["call"]].set_result(outcome)

    def do(self, what: str, **fields: Any) -> None:
        self._lines.put_nowait(json.dumps({"do": what, **fields}))

    def call(self, what: str, **fields: Any) -> "asyncio.Future[Outcome]":
        number = len(self._calls) + 1
        future: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        self._calls[number] = future
        self.do(what, call=number, **fields)
        return future

    async def ended(self) -> None:
        async with asyncio.timeout(NOTE_S):
            await self._running


class _ForeignProducer:
    def __init__(self, command: Sequence[str]):
        self._program = _Program(command)

    def add(self, name: str, data: Any, **options: Any) -> "asyncio.Future[Outcome]":
        return self._program.call("add", name=name, data=data, options=options)

    def wait(self, id: str) -> "asyncio.Future[Outcome]":
        return self._program.call("wait", id=id)

    async def close(self) -> None:
        self._program.do("stop")
        await self._program.ended()


class _ForeignWorking(_Program):
    def let_go(self) -> None:
        self.do("let_go")

    def stop(self) -> None:
        self.do("stop")


class Foreign:
    """Any client: `command` is started with `produce` or `work`, the URL, and the concurrency."""

    def __init__(self, *command: str):
        self._command = command

    def producer(self, url: str) -> Producer:
        return _ForeignProducer([*self._command, "produce", url])

    def work(self, url: str, concurrency: int) -> Working:
        return _ForeignWorking([*self._command, "work", url, str(concurrency)])
