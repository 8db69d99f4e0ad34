"""The worker: leases jobs, runs their handlers, and answers.

Theory of operation. Two loops: the connection lives on the process's IO thread, so heartbeats go on
whatever a handler does; handlers are started from the loop that `run` makes (or `run_async` is in).
Jobs cross over in batches, and so do answers: all that end in one tick of the handlers' loop leave
in one ACK, one FAIL and one RELEASE, which carry the credit for as many new jobs.

A job is *held* from its arrival until the server has confirmed the answer. Held leases are named
when a connection is resumed; the credit of a new subscription is what is not held.
"""

import asyncio
import inspect
import logging
import os
import signal
import socket
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, NamedTuple, TypeAlias

from holdfast.address import address_of
from holdfast.errors import HoldfastError, MisuseError, misuse, refused
from holdfast.iothread import IoThread, io_thread
from holdfast.link import Link
from holdfast.options import Duration, milliseconds
from holdfast.packing import pack, unpack
from holdfast.pool import ProcessSlots
from holdfast.wire import messages as wire
from holdfast.wire.checks import Refusal, check_payload, check_queue_name
from holdfast.wire.constants import CREDIT_MAX, PAYLOAD_BYTES_MAX, CancelReason, ErrorCode

__all__ = ["ActiveJob", "Release", "Retry", "Unrecoverable", "Worker"]

log = logging.getLogger("holdfast")

Handler: TypeAlias = Callable[["ActiveJob"], Any]
FLUSH_S: Final = 0.1
"""Progress and log lines leave within that, all together."""
DRAIN_TIMEOUT_S: Final = 25.0
"""What most supervisors grant between SIGTERM and SIGKILL, less a little."""
EVENTS: Final = ("active", "completed", "failed", "progress", "lost", "error")


class Retry(Exception):
    """Raised by a handler: it failed, run it again after so many seconds."""

    def __init__(self, after: Duration, message: str = "the handler asked for a retry"):
        self.after_ms = milliseconds("after", after)
        super().__init__(message)


class Unrecoverable(Exception):
    """Raised by a handler: it failed, never run it again, whatever attempts are left."""


class Release(Exception):
    """Raised by a handler: give the job back, no attempt is counted."""

    def __init__(self, delay: Duration = 0):
        self.delay_ms = milliseconds("delay", delay)
        super().__init__("released")


class ActiveJob:
    """What a handler gets. `progress` and `log` never block; they may be called from any thread.

    Attributes:
        token: of this lease. It rises with every run of the job: a handler can guard its own writes
            with it ("only if the stored token is not greater").
        attempt: number of this run, 1 = first. attempts: how many may fail.
        cancelled: the lease is lost or the job was removed; what is returned will be refused.
    """

    __slots__ = (
        "_reporter",
        "attempt",
        "attempts",
        "cancelled",
        "crashes",
        "created_at_ms",
        "data",
        "id",
        "name",
        "queue",
        "releases",
        "token",
    )

    def __init__(self, item: Sequence[Any], reporter: "_Reporter | None"):
        self.token: int = item[0]
        self.queue: str = item[1]
        self.id: str = item[2]
        self.name: str = item[3]
        self.data: Any = unpack(item[4])
        self.attempt: int = item[5]
        self.attempts: int = item[6]
        self.created_at_ms: int = item[7]
        self.crashes: int = item[8]
        self.releases: int = item[9]
        self.cancelled = False
        self._reporter = reporter

    def progress(self, value: Any) -> None:
        """Say how far it is: anything small that msgpack carries; the last one counts."""
        if self._reporter is not None:
            self._reporter.progress(self, pack(value, "progress"))

    def log(self, text: str) -> None:
        """Keep a line with the job."""
        if self._reporter is not None:
            self._reporter.log(self, str(text))

    def __repr__(self) -> str:
        return f"<job {self.id} of {self.queue}: {self.name}, attempt {self.attempt}>"


class _Answer(NamedTuple):
    """How a run ended, on its way to the server."""

    job: ActiveJob
    kind: type[Any]
    """wire.Ack, wire.Fail or wire.Release"""
    fields: tuple[Any, ...]
    """What follows token, queue, id in the item."""
    outcome: Any
    """The result, or the exception; for the callbacks."""


class _Reporter:
    """Collects progress and log lines; the connection sends them with the next heartbeat."""

    def __init__(self, wake: Callable[[], None], said: Callable[[ActiveJob, bytes], None]):
        self._wake = wake
        self._said = said
        self._lock = threading.Lock()
        self._reports: dict[int, list[Any]] = {}

    def progress(self, job: ActiveJob, value: bytes) -> None:
        with self._lock:
            self._report(job)[3] = value
        self._said(job, value)
        self._wake()

    def log(self, job: ActiveJob, text: str) -> None:
        with self._lock:
            self._report(job)[4].append([time.time_ns() // 1_000_000, text])
        self._wake()

    def _report(self, job: ActiveJob) -> list[Any]:
        return self._reports.setdefault(job.token, [job.token, job.queue, job.id, None, []])

    def take(self, token: int | None = None) -> list[list[Any]]:
        """The reports since the last call; of one job only if a token is given."""
        with self._lock:
            if token is not None:
                report = self._reports.pop(token, None)
                return [] if report is None else [report]
            reports, self._reports = self._reports, {}
            return list(reports.values())


class Worker:
    """Runs jobs of one or several queues.

    Args:
        queues: a name, or a list of names that are served in turn.
        handler: `async def` (runs on the loop), plain function (in a thread), or by job name a
            dict of them. It gets an ActiveJob and returns the result.
        concurrency: jobs at once.
        process: run plain functions in processes of their own; they must be importable.
        url: default $HOLDFAST_URL. name: shown to people; default host:pid.
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
        name: str | None = None,
        drain_timeout: Duration = DRAIN_TIMEOUT_S,
        prefetch: int = 0,
    ):
        names = [queues] if isinstance(queues, str) else list(queues)
        try:
            self.queues = [check_queue_name(queue) for queue in names]
        except Refusal as refusal:
            raise misuse(refusal) from None
        if not self.queues:
            raise MisuseError("give at least one queue")
        if not 1 <= concurrency + prefetch <= CREDIT_MAX or concurrency < 1 or prefetch < 0:
            raise MisuseError(f"concurrency must be 1 to {CREDIT_MAX:,}, not {concurrency!r}")
        self.concurrency = concurrency
        self.prefetch = prefetch
        self.name = name or f"{socket.gethostname()}:{os.getpid()}"
        self._handlers = handler
        self._is_process = process
        self._drain_timeout_s = milliseconds("drain_timeout", drain_timeout) / 1000
        self._address = address_of(url)
        self._callbacks: dict[str, list[Callable[..., Any]]] = {event: [] for event in EVENTS}
        self._runs: dict[int, _Run] = {}
        self._ready: deque[ActiveJob] = deque()
        self._arrived: deque[Sequence[Any]] = deque()
        self._is_arrival_scheduled = False
        self._answers: deque[_Answer] = deque()
        self._is_answering = False
        self._stop = asyncio.Event()
        self._cancel_now = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._threads: ThreadPoolExecutor | None = None
        self._processes: ProcessSlots | None = None
        self._uplink: _Uplink | None = None
        self._reporter = _Reporter(self._wake_uplink, self._said_progress)

    # ---- what users call -------------------------------------------------------------------

    def on(self, event: str, callback: Callable[..., Any]) -> None:
        """Call back on the worker's loop: "active" (job), "completed" (job, result), "failed" (job,
        error), "progress" (job, value), "lost" (job), "error" (exception; of the connection, or
        of a callback). completed and failed come when the server has confirmed them."""
        if event not in EVENTS:
            raise MisuseError(f"{event!r} is no event: use one of {', '.join(EVENTS)}")
        self._callbacks[event].append(callback)

    def run(self) -> None:
        """Run until SIGTERM or SIGINT (drain; a second one cancels at once), or `stop`."""
        asyncio.run(self._run_with_signals())

    async def run_async(self) -> None:
        """The same inside a running loop; signals are the caller's."""
        self._loop = asyncio.get_running_loop()
        self._threads = ThreadPoolExecutor(self.concurrency, thread_name_prefix="holdfast-job")
        if self._is_process:
            self._processes = ProcessSlots(self.concurrency)
        self._uplink = uplink = _Uplink(self, io_thread())
        uplink.start()
        try:
            await self._stop.wait()
            await self._drain()
        except asyncio.CancelledError:
            self._cancel_runs()
            raise
        finally:
            await asyncio.wrap_future(uplink.close())
            self._threads.shutdown(wait=False, cancel_futures=True)
            if self._processes is not None:
                self._processes.close()

    def stop(self) -> None:
        """Drain and leave; from any thread. A second call cancels what still runs."""
        loop = self._loop
        if loop is None:
            self._stop.set()
        else:
            loop.call_soon_threadsafe(self._stop_here)

    def _stop_here(self) -> None:
        if self._stop.is_set():
            self._cancel_now = True
            self._cancel_runs()
        self._stop.set()

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
                f"no handler for job name {job.name!r} here, only for {known}"
            )
        return handler

    async def execute(self, job: ActiveJob) -> Any:
        """Run the handler where it belongs."""
        handler = self.handler_of(job)
        if inspect.iscoroutinefunction(handler) or inspect.iscoroutinefunction(
            getattr(handler, "__call__", None)  # noqa: B004 - an object with an async __call__
        ):
            return await handler(job)
        assert self._loop is not None
        if self._processes is not None:
            return await self._processes.run(handler, job)
        return await self._loop.run_in_executor(self._threads, handler, job)

    # ---- answers go ----------------------------------------------------------------------------

    def ended(self, answer: _Answer) -> None:
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

    def take_answers(self) -> list[_Answer]:
        """For the IO thread."""
        self._is_answering = False
        answers = []
        while self._answers:
            answers.append(self._answers.popleft())
        return answers

    def cancel(self, token: int) -> None:
        """The lease is lost; called on the IO thread."""
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._cancel_here, token)

    def _cancel_here(self, token: int) -> None:
        run = self._runs.get(token)
        if run is not None:
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
            self.ended(_Answer(job, wire.Release, (0,), None))
        deadline = time.monotonic() + self._drain_timeout_s
        while self._runs and not self._cancel_now and time.monotonic() < deadline:
            tasks = [run.task for run in self._runs.values()]
            left_s = min(0.2, deadline - time.monotonic())
            await asyncio.wait(tasks, timeout=max(0.0, left_s))
        self._cancel_runs()
        await asyncio.wrap_future(self._uplink.flush())

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
            answer = _Answer(self.job, wire.Release, (0,), None)
        except Exception as error:
            answer = self._failed(error)
        if not self._is_over:
            self._is_over = True
            self._worker.ended(answer)

    def _completed(self, result: Any) -> _Answer:
        if result is None:
            return _Answer(self.job, wire.Ack, (None,), None)
        try:
            packed = check_payload(pack(result, "result"), PAYLOAD_BYTES_MAX, "result")
        except (HoldfastError, Refusal) as error:
            return self._failed(Unrecoverable(f"the handler is done, but its {error}"))
        return _Answer(self.job, wire.Ack, (packed,), result)

    def _failed(self, error: Exception) -> _Answer:
        if isinstance(error, Release):
            if error.__cause__ is not None:
                log.warning("job %s is given back: %s", self.job.id, error.__cause__)
            return _Answer(self.job, wire.Release, (error.delay_ms,), error)
        retry_ms: int | None = None
        if isinstance(error, Retry):
            retry_ms = error.after_ms
        elif isinstance(error, Unrecoverable):
            retry_ms = -1
        trace = "".join(traceback.format_exception(error))
        described = {
            "type": type(error).__qualname__,
            "message": str(error),
            "traceback": trace[-16_000:],
        }
        return _Answer(self.job, wire.Fail, (described, retry_ms), error)

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
            self._worker.ended(_Answer(self.job, wire.Release, (0,), None))
            self.task.cancel()


class _Uplink:
    """The worker's connection. Its methods run on the IO thread, unless they say otherwise."""

    def __init__(self, worker: Worker, thread: IoThread):
        self._worker = worker
        self._thread = thread
        self._held: set[int] = set()
        """Tokens from their arrival until their answer is confirmed."""
        self._unanswered: set[asyncio.Future[Any]] = set()
        self._is_taking = True
        self._wake = asyncio.Event()
        self._beats: asyncio.Task[None] | None = None
        identity = {"name": worker.name, "host": socket.gethostname(), "pid": os.getpid()}
        self._link = link = Link(worker._address, worker=identity)
        link.leases = lambda: list(self._held)
        link.on_open = self._opened
        link.on_lost = self._lost
        link.on_jobs = self._arrived
        link.on_cancel = self._cancelled

    # ---- from the worker's loop ------------------------------------------------------------

    def start(self) -> None:
        self._thread.loop.call_soon_threadsafe(self._start)

    def wake_for_answers(self) -> None:
        self._thread.loop.call_soon_threadsafe(self._send_answers)

    def wake_for_reports(self) -> None:
        """From any thread."""
        self._thread.loop.call_soon_threadsafe(self._wake.set)

    def give_credit_for(self, token: int) -> None:
        self._thread.loop.call_soon_threadsafe(self._give_credit_for, token)

    def stop_taking(self) -> None:
        self._thread.loop.call_soon_threadsafe(self._stop_taking)

    def flush(self) -> Any:
        """A concurrent future: every answer given so far is confirmed."""
        return asyncio.run_coroutine_threadsafe(self._flush(), self._thread.loop)

    def close(self) -> Any:
        return asyncio.run_coroutine_threadsafe(self._close(), self._thread.loop)

    # ---- on the IO thread ------------------------------------------------------------------

    def _start(self) -> None:
        self._link.start()
        self._beats = self._thread.loop.create_task(self._beat())

    def _opened(self, lost: list[int]) -> None:
        """Connected, again perhaps: what is held counts against the credit."""
        self._wake.set()  # the rhythm of heartbeats is known now
        for token in lost:
            self._worker.cancel(token)
        if self._is_taking:
            free = self._worker.concurrency + self._worker.prefetch - len(self._held)
            future = self._link.send(wire.Subscribe(0, list(self._worker.queues), max(0, free)))
            future.add_done_callback(_ignore)
        log.info("worker %s is connected to %s", self._worker.name, self._link.address.url)

    def _lost(self, why: str) -> None:
        log.warning(
            "worker %s has lost the server at %s (%s): running jobs go on, reconnecting",
            self._worker.name,
            self._link.address.url,
            why,
        )
        self._worker.tell("error", ConnectionError(why))

    def _arrived(self, items: list[Any]) -> None:
        if not self._is_taking:
            self._release_now(items)
            return
        fresh = [item for item in items if item[0] not in self._held]
        self._held.update(item[0] for item in fresh)
        if fresh:
            self._worker.arrived(fresh)

    def _release_now(self, items: list[Any]) -> None:
        """They were on their way while we stopped taking."""
        fields = [[item[0], item[1], item[2], None] for item in items]
        self._watch(self._link.send(wire.Release(0, fields, 0)), [])

    def _cancelled(self, items: list[Any]) -> None:
        for token, reason in items:
            log.warning(
                "a lease is taken back (%s): its handler is cancelled", CancelReason(reason).name
            )
            self._worker.cancel(token)

    def _give_credit_for(self, token: int) -> None:
        self._held.discard(token)
        if self._is_taking:
            self._link.say(wire.Credit(1))

    def _stop_taking(self) -> None:
        self._is_taking = False
        if self._link.is_open:
            self._link.send(wire.Subscribe(0, [], 0)).add_done_callback(_ignore)

    def _send_answers(self) -> None:
        """All answers since the last time, by kind; a frame gives back the credit of its jobs."""
        by_kind: dict[type[Any], list[_Answer]] = {}
        for answer in self._worker.take_answers():
            by_kind.setdefault(answer.kind, []).append(answer)
        for kind, answers in by_kind.items():
            self._report_before(answers)
            items = [
                [answer.job.token, answer.job.queue, answer.job.id, *answer.fields]
                for answer in answers
            ]
            credit = len(answers) if self._is_taking else 0
            self._watch(self._link.send(kind(0, items, credit)), answers)

    def _report_before(self, answers: list[_Answer]) -> None:
        """What a job still had to say must arrive before its end."""
        reports = [
            report for answer in answers for report in self._worker.take_reports(answer.job.token)
        ]
        if reports:
            self._watch(self._link.send(wire.Heartbeat(0, reports)), [])

    def _watch(self, future: "asyncio.Future[Any]", answers: list[_Answer]) -> None:
        self._unanswered.add(future)
        future.add_done_callback(lambda done: self._confirmed(done, answers))

    def _confirmed(self, future: "asyncio.Future[Any]", answers: list[_Answer]) -> None:
        self._unanswered.discard(future)
        self._held.difference_update([answer.job.token for answer in answers])
        if future.cancelled():
            return
        error = future.exception()
        if error is not None:
            self._worker.tell("error", error)
            log.error("an answer was refused: %s", error)
            return
        refusals = {item[0]: item for item in future.result() or ()}
        if not refusals and not self._worker.hears_answers:
            return
        for at, answer in enumerate(answers):
            if at in refusals:
                self._refused(answer, refusals[at])
            elif answer.kind is wire.Ack:
                self._worker.tell("completed", answer.job, answer.outcome)
            elif answer.kind is wire.Fail:
                self._worker.tell("failed", answer.job, answer.outcome)

    def _refused(self, answer: _Answer, item: list[Any]) -> None:
        error = refused(item[1], item[2])
        log.warning("the answer for job %s came too late: %s", answer.job.id, error)
        if error.code is ErrorCode.LEASE_LOST:
            self._worker.tell("lost", answer.job)
        else:
            self._worker.tell("error", error)

    async def _beat(self) -> None:
        """Heartbeats, at the server's rhythm, and sooner when there is something to report."""
        loop = asyncio.get_running_loop()
        beat_at = loop.time()
        while True:
            try:
                async with asyncio.timeout(
                    max(0.0, beat_at + self._link.heartbeat_s - loop.time())
                ):
                    await self._wake.wait()
                await asyncio.sleep(FLUSH_S)
            except TimeoutError:
                pass
            self._wake.clear()
            if not self._link.is_open:
                await asyncio.sleep(FLUSH_S)
                self._wake.set()
                continue
            beat_at = loop.time()
            future = self._link.send(wire.Heartbeat(0, self._worker.take_reports()))
            future.add_done_callback(_ignore)

    async def _flush(self) -> None:
        self._send_answers()
        while self._unanswered and self._link.is_open:
            await asyncio.wait(self._unanswered, timeout=1.0)

    async def _close(self) -> None:
        if self._beats is not None:
            self._beats.cancel()
            await asyncio.gather(self._beats, return_exceptions=True)
        await self._link.close()


def _ignore(future: "asyncio.Future[Any]") -> None:
    """Its failure is noticed otherwise; asyncio is not to complain."""
    if not future.cancelled():
        future.exception()
