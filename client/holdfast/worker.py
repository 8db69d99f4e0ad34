"""The worker: leases jobs, runs their handlers, and answers.

Theory of operation. Two loops: the connection lives on the process's IO thread, so heartbeats go on
whatever a handler does; handlers are started from the loop that `run` makes (or `run_async` is in).
Jobs cross over in batches, and so do answers: all that end in one tick of the handlers' loop leave
in one ACK, one FAIL and one RELEASE, which carry the credit for as many new jobs.
"""

import asyncio
import logging
import os
import signal
import socket
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final

from holdfast.access import FilePath, access_of
from holdfast.active import ActiveJob, Answer, Release, Reporter, Retry, Unrecoverable
from holdfast.errors import HoldfastError, MisuseError, misuse
from holdfast.handlers import Handler, check_handlers, is_async
from holdfast.iothread import io_thread
from holdfast.options import Duration, milliseconds
from holdfast.packing import Unreadable, pack, sendable, unpack
from holdfast.pool import ProcessSlots
from holdfast.threads import JobThreads
from holdfast.uplink import Uplink
from holdfast.wire import messages as wire
from holdfast.wire.checks import Refusal, check_integer, check_payload, check_queue_name
from holdfast.wire.constants import (
    CREDIT_MAX,
    ERROR_MESSAGE_LENGTH_MAX,
    ERROR_TRACEBACK_LENGTH_MAX,
    ERROR_TYPE_LENGTH_MAX,
    PAYLOAD_BYTES_MAX,
)

__all__ = ["Worker"]

log = logging.getLogger("holdfast")

LAST_WORDS_S: Final = 5.0
"""What a worker has to say is waited for so long at least, also when its jobs took all of the drain
timeout: one that is killed 30 s after SIGTERM still has it. Arbitrary."""
DRAIN_TIMEOUT_S: Final = 25.0
"""What most supervisors grant between SIGTERM and SIGKILL, less a little."""
EVENTS: Final = ("active", "completed", "failed", "progress", "lost", "error")


class Worker:
    """Runs jobs of one or several queues.

    Args:
        queues: a name, or a list of names, whose jobs come in turn.
        handler: `async def` (runs on the loop), plain function (in a thread), or by job name a
            dict of them. It gets an ActiveJob and returns the result.
        concurrency: jobs at once.
        process: run plain functions in processes of their own; they must be importable.
        url, key, key_file, ca_file, cert_file: as of `holdfast.aio.Queue`.
        name: shown to people; default host:pid.
        drain_timeout: seconds that running jobs get after stop or SIGTERM; then they are released.
        prefetch: jobs leased beyond those that run; 0 keeps none waiting here.
    """

    def __init__(
        self,
        queues: str | Sequence[str],
        handler: Handler | Mapping[str, Handler],
        *,
        concurrency: int = 1,
        process: bool = False,
        url: str | None = None,
        key: str | None = None,
        key_file: FilePath | None = None,
        ca_file: FilePath | None = None,
        cert_file: FilePath | None = None,
        name: str | None = None,
        drain_timeout: Duration = DRAIN_TIMEOUT_S,
        prefetch: int = 0,
    ):
        try:
            self.queues = [check_queue_name(queue) for queue in _names(queues)]
            check_integer("concurrency", concurrency, 1, CREDIT_MAX)
            check_integer("prefetch", prefetch, 0, CREDIT_MAX - concurrency)
        except Refusal as refusal:
            raise misuse(refusal) from None
        if not self.queues:
            raise MisuseError("a worker of no queue has nothing to do: name one at least")
        check_handlers(handler, process=process)
        self.concurrency = concurrency
        self.prefetch = prefetch
        self.name = name or f"{socket.gethostname()}:{os.getpid()}"
        self._handlers = handler
        self._is_process = process
        self._drain_timeout_s = milliseconds("drain_timeout", drain_timeout) / 1000
        self.access = access_of(
            url, key=key, key_file=key_file, ca_file=ca_file, cert_file=cert_file
        )
        self._callbacks: dict[str, list[Callable[..., Any]]] = {event: [] for event in EVENTS}
        self._runs: dict[int, _Run] = {}
        self._ready: deque[ActiveJob] = deque()
        self._arrived: deque[Sequence[Any]] = deque()
        self._is_arrival_scheduled = False
        self._answers: deque[Answer] = deque()
        self._is_answering = False
        self._stop = asyncio.Event()
        self._cancel_now = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._threads: JobThreads | None = None
        self._processes: ProcessSlots | None = None
        self._uplink: Uplink | None = None
        self._reporter = Reporter(self._wake_uplink, self._said_progress)

    # ---- what users call -------------------------------------------------------------------

    def on(self, event: str, callback: Callable[..., Any]) -> None:
        """Call back on the worker's loop: "active" (job), "completed" (job, result), "failed" (job,
        error), "progress" (job, value), "lost" (job), "error" (exception; of the connection, or
        of a callback). completed and failed come when the server has confirmed them."""
        if event not in EVENTS:
            raise MisuseError(f"{event!r} is no event: use one of {', '.join(EVENTS)}")
        self._callbacks[event].append(callback)

    def run(self) -> None:
        """Run until SIGTERM or SIGINT (drain; a second one cancels at once), `stop`, or until an
        operator of the server tells it to stop."""
        asyncio.run(self._run_with_signals())

    async def run_async(self) -> None:
        """The same inside a running loop; signals are the caller's."""
        self._loop = asyncio.get_running_loop()
        self._threads = JobThreads(self._loop)
        if self._is_process:
            self._processes = ProcessSlots(self.concurrency)
        self._uplink = uplink = Uplink(self, io_thread())
        uplink.start()
        try:
            await self._stop.wait()
            await self._drain()
        except asyncio.CancelledError:
            self._cancel_runs()
            raise
        finally:
            await asyncio.wrap_future(uplink.close())
            self._threads.close()
            if self._processes is not None:
                self._processes.close()

    def stop(self) -> None:
        """Drain and leave; from any thread. A second call cancels what still runs; one after the
        worker has left does nothing."""
        loop = self._loop
        if loop is None:
            self._stop.set()
        else:
            with suppress(RuntimeError):  # its loop is closed
                loop.call_soon_threadsafe(self._stop_here)

    def _stop_here(self) -> None:
        if self._stop.is_set():
            self._cancel_now = True
            self._cancel_runs()
        self._stop.set()

    def told_to_stop(self) -> None:
        """By the server, perhaps more than once; called on the IO thread."""
        if self._loop is not None:
            with suppress(RuntimeError):  # its loop is closed
                self._loop.call_soon_threadsafe(self._stop.set)

    async def _run_with_signals(self) -> None:
        loop = asyncio.get_running_loop()
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGTERM, signal.SIGINT):
                loop.add_signal_handler(number, self._stop_here)
        await self.run_async()

    # ---- jobs come ---------------------------------------------------------------------------

    def arrived(self, items: list[Any]) -> None:
        """Jobs were pushed; called on the IO thread."""
        self._arrived.extend(items)
        if not self._is_arrival_scheduled and self._loop is not None:
            self._is_arrival_scheduled = True
            self._loop.call_soon_threadsafe(self._start_arrived)

    def _start_arrived(self) -> None:
        self._is_arrival_scheduled = False
        while self._arrived:
            item = self._arrived.popleft()
            if item[0] not in self._runs:  # pushed again after a resume that crossed
                self._ready.append(ActiveJob(item, self._reporter))
        self._start_ready()

    def _start_ready(self) -> None:
        while self._ready and len(self._runs) < self.concurrency:
            job = self._ready.popleft()
            self._runs[job.token] = _Run(self, job)

    def handler_of(self, job: ActiveJob) -> Handler:
        if not isinstance(self._handlers, Mapping):
            return self._handlers
        handler = self._handlers.get(job.name)
        if handler is None:
            known = ", ".join(sorted(self._handlers))
            raise Release(delay=1.0) from LookupError(
                f"there is no handler for job name {job.name!r} here, only for {known}: add one, "
                "or give those jobs a queue of their own"
            )
        return handler

    async def execute(self, job: ActiveJob) -> Any:
        """Run the handler where it belongs."""
        if isinstance(job.data, Unreadable):
            raise Unrecoverable(f"the job's data is not msgpack: {job.data.why}: mend its producer")
        handler = self.handler_of(job)
        if is_async(handler):
            return await handler(job)
        if self._processes is not None:
            return await self._processes.run(handler, job)
        assert self._threads is not None
        return await self._threads.run(handler, job)

    # ---- answers go ----------------------------------------------------------------------------

    def ended(self, answer: Answer) -> None:
        """A run is over: send the answer with those that end in the same tick."""
        self._runs.pop(answer.job.token, None)
        self._answers.append(answer)
        if not self._is_answering and self._uplink is not None:
            self._is_answering = True
            self._uplink.wake_for_answers()
        self._start_ready()

    def dropped(self, job: ActiveJob) -> None:
        """A run was cancelled since its lease is lost: there is nothing to answer."""
        self._runs.pop(job.token, None)
        if self._uplink is not None:
            self._uplink.give_credit_for(job.token)
        self._start_ready()

    def take_answers(self) -> list[Answer]:
        """For the IO thread."""
        self._is_answering = False
        answers = []
        while self._answers:
            answers.append(self._answers.popleft())
        return answers

    def cancel(self, token: int, why: str) -> None:
        """The lease is lost; called on the IO thread."""
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._cancel_here, token, why)

    def _cancel_here(self, token: int, why: str) -> None:
        run = self._runs.get(token)
        if run is not None:
            log.warning("%s: %s: its handler is cancelled", run.job.told, why)
            run.lose()
            self.emit("lost", run.job)
            return
        for job in self._ready:
            if job.token == token:
                self._ready.remove(job)
                self.dropped(job)
                self.emit("lost", job)
                return

    # ---- the end -------------------------------------------------------------------------------

    async def _drain(self) -> None:
        """Take no new jobs, let those that run end, release the rest."""
        assert self._uplink is not None
        self._uplink.stop_taking()
        while self._ready:
            job = self._ready.popleft()
            self.ended(Answer(job, wire.Release, (0,), None))
        deadline = time.monotonic() + self._drain_timeout_s
        while self._runs and not self._cancel_now and time.monotonic() < deadline:
            tasks = [run.task for run in self._runs.values()]
            left_s = min(0.2, deadline - time.monotonic())
            await asyncio.wait(tasks, timeout=max(0.0, left_s))
        self._cancel_runs()
        await self._say_the_rest(max(deadline, time.monotonic() + LAST_WORDS_S))

    async def _say_the_rest(self, deadline: float) -> None:
        """Wait until all answers are confirmed, if need be for a server that is away: what it does
        not hear of runs again."""
        assert self._uplink is not None
        flushing = asyncio.wrap_future(self._uplink.flush())
        while not (flushing.done() or self._cancel_now) and time.monotonic() < deadline:
            await asyncio.wait([flushing], timeout=0.2)
        flushing.cancel()

    def _cancel_runs(self) -> None:
        """Give up what still runs: it is released and starts anew elsewhere."""
        for run in list(self._runs.values()):
            run.give_up()

    # ---- telling -------------------------------------------------------------------------------

    def _wake_uplink(self) -> None:
        if self._uplink is not None:
            self._uplink.wake_for_reports()

    def take_reports(self, token: int | None = None) -> list[list[Any]]:
        return self._reporter.take(token)

    def _said_progress(self, job: ActiveJob, value: bytes) -> None:
        if self._callbacks["progress"] and self._loop is not None:
            self._loop.call_soon_threadsafe(self.emit, "progress", job, unpack(value))

    @property
    def hears_answers(self) -> bool:
        return bool(self._callbacks["completed"] or self._callbacks["failed"])

    def tell(self, event: str, *arguments: Any) -> None:
        """Emit on the worker's loop, from the IO thread."""
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self.emit, event, *arguments)

    def emit(self, event: str, *arguments: Any) -> None:
        for callback in self._callbacks[event]:
            try:
                callback(*arguments)
            except Exception:
                log.exception("a callback for %r raised", event)


def _names(queues: str | Sequence[str]) -> Sequence[str]:
    """One name or several; what is neither is refused as the name that it is not."""
    is_several = isinstance(queues, Sequence) and not isinstance(queues, str | bytes)
    return queues if is_several else [queues]  # type: ignore[list-item]  # told apart


class _Run:
    """One run of one handler."""

    def __init__(self, worker: Worker, job: ActiveJob):
        self.job = job
        self._worker = worker
        self._is_over = False
        assert worker._loop is not None
        self.task = worker._loop.create_task(self._run())

    async def _run(self) -> None:
        if self._worker._callbacks["active"]:
            self._worker.emit("active", self.job)
        try:
            result = await self._worker.execute(self.job)
            answer = self._completed(result)
        except asyncio.CancelledError:
            if self._is_over:
                return
            answer = Answer(self.job, wire.Release, (0,), None)
        except (Exception, SystemExit) as error:  # sys.exit() in a handler ends its job only
            answer = self._failed(error)
        if not self._is_over:
            self._is_over = True
            self._worker.ended(answer)

    def _completed(self, result: Any) -> Answer:
        if result is None:
            return Answer(self.job, wire.Ack, (None,), None)
        try:
            packed = check_payload(pack(result, "result"), PAYLOAD_BYTES_MAX, "result")
        except (HoldfastError, Refusal) as error:
            return self._failed(Unrecoverable(f"the handler is done, but its {error}"))
        return Answer(self.job, wire.Ack, (packed,), result)

    def _failed(self, error: Exception | SystemExit) -> Answer:
        if isinstance(error, Release):
            if error.__cause__ is not None:
                log.warning("%s is released: %s", self.job.told, error.__cause__)
            return Answer(self.job, wire.Release, (error.delay_ms,), error)
        retry_ms: int | None = None
        if isinstance(error, Retry):
            retry_ms = error.after_ms
        elif isinstance(error, Unrecoverable):
            retry_ms = -1
        trace = "".join(traceback.format_exception(error))
        described = {
            "type": type(error).__qualname__[:ERROR_TYPE_LENGTH_MAX],
            "message": sendable(str(error)[:ERROR_MESSAGE_LENGTH_MAX]),
            "traceback": sendable(trace[-ERROR_TRACEBACK_LENGTH_MAX:]),
        }
        return Answer(self.job, wire.Fail, (described, retry_ms), error)

    def lose(self) -> None:
        """The lease is gone: stop, and answer nothing. A thread cannot be stopped; it is told, and
        what it returns is dropped."""
        self.job.cancelled = True
        if not self._is_over:
            self._is_over = True
            self._worker.dropped(self.job)
            self.task.cancel()

    def give_up(self) -> None:
        """Time is up: give the job back now."""
        self.job.cancelled = True
        if not self._is_over:
            self._is_over = True
            self._worker.ended(Answer(self.job, wire.Release, (0,), None))
            self.task.cancel()
