"""The worker's connection, on the IO thread: jobs in, answers, reports and heartbeats out.

A job is *held* from its arrival until the server has confirmed the answer. Held leases are named
when a connection is resumed; the credit of a new subscription is what is not held.
"""

import asyncio
import logging
import os
import socket
from typing import Any, Final, Protocol

from holdfast.access import Access
from holdfast.active import Answer, bytes_of_report
from holdfast.errors import Refused, refused
from holdfast.iothread import IoThread
from holdfast.link import Link
from holdfast.wire import messages as wire
from holdfast.wire.constants import ErrorCode, RevokeReason
from holdfast.wire.parts import parts

log = logging.getLogger("holdfast")

FLUSH_S: Final = 0.1
"""Progress and log lines leave within that, all together."""


class Owner(Protocol):
    """Whose connection it is: `holdfast.worker.Worker`. All of it is called on the IO thread."""

    name: str
    queues: list[str]
    concurrency: int
    prefetch: int
    access: Access

    @property
    def hears_answers(self) -> bool:
        """Somebody wants to know which answers were confirmed."""

    def arrived(self, items: list[Any]) -> None:
        """Jobs were pushed."""

    def cancel(self, token: int, why: str) -> None:
        """The lease is lost; why: for the log."""

    def told_to_stop(self) -> None:
        """By the server, perhaps more than once."""

    def take_answers(self) -> list[Answer]:
        """Those given since the last call."""

    def take_reports(self, token: int | None = None) -> list[list[Any]]:
        """Those made since the last call; of one job only if a token is given."""

    def tell(self, event: str, *arguments: Any) -> None:
        """Emit it, on the worker's loop."""


class Uplink:
    """The worker's connection. Its methods run on the IO thread, unless they say otherwise."""

    def __init__(self, worker: Owner, thread: IoThread):
        self._worker = worker
        self._thread = thread
        self._held: set[int] = set()
        """Tokens from their arrival until their answer is confirmed."""
        self._unanswered: set[asyncio.Future[Any]] = set()
        self._is_taking = True
        self._wake = asyncio.Event()
        self._beats: asyncio.Task[None] | None = None
        identity = {"name": worker.name, "host": socket.gethostname(), "pid": os.getpid()}
        self._link = link = Link(worker.access, worker=identity)
        link.leases = lambda: list(self._held)
        link.on_open = self._opened
        link.on_lost = self._lost
        link.on_goaway = self._left
        link.on_jobs = self._arrived
        link.on_revoke = self._revoked
        link.on_stop = self._told_to_stop

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
            self._worker.cancel(token, LOST)
        if self._is_taking:
            free = self._worker.concurrency + self._worker.prefetch - len(self._held)
            future = self._link.send(wire.Subscribe(0, list(self._worker.queues), max(0, free)))
            future.add_done_callback(self._subscribed)
        log.info("worker %s is connected to %s", self._worker.name, self._link.address.url)

    def _subscribed(self, future: "asyncio.Future[Any]") -> None:
        """A worker that may not take jobs is idle for ever: that must be seen."""
        if future.cancelled():
            return
        error = future.exception()
        if isinstance(error, Refused):
            log.error("worker %s gets no jobs: %s", self._worker.name, error)
            self._worker.tell("error", error)

    def _lost(self, why: str) -> None:
        log.warning(
            "worker %s has lost the server at %s (%s): running jobs go on, reconnecting",
            self._worker.name,
            self._link.address.url,
            why,
        )
        self._worker.tell("error", ConnectionError(why))

    def _left(self) -> None:
        log.info(
            "the server at %s is going down: worker %s keeps its jobs and waits for it",
            self._link.address.url,
            self._worker.name,
        )

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

    def _revoked(self, items: list[Any]) -> None:
        for token, reason in items:
            self._worker.cancel(token, _WHY_REVOKED.get(reason, LOST))

    def _told_to_stop(self) -> None:
        log.info("worker %s is told to stop by an operator of the server", self._worker.name)
        self._worker.told_to_stop()

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
        by_kind: dict[type[Any], list[Answer]] = {}
        for answer in self._worker.take_answers():
            by_kind.setdefault(answer.kind, []).append(answer)
        for kind, answers in by_kind.items():
            self._report_before(answers)
            for part in parts(answers, lambda answer: answer.bytes_max):
                items = [answer.item for answer in part]
                credit = len(part) if self._is_taking else 0
                self._watch(self._link.send(kind(0, items, credit)), part)

    def _report_before(self, answers: list[Answer]) -> None:
        """What a job still had to say must arrive before its end."""
        reports = [
            report for answer in answers for report in self._worker.take_reports(answer.job.token)
        ]
        for part in parts(reports, bytes_of_report):
            self._watch(self._link.send(wire.Heartbeat(0, part)), [])

    def _watch(self, future: "asyncio.Future[Any]", answers: list[Answer]) -> None:
        self._unanswered.add(future)
        future.add_done_callback(lambda done: self._confirmed(done, answers))

    def _confirmed(self, future: "asyncio.Future[Any]", answers: list[Answer]) -> None:
        self._unanswered.discard(future)
        self._held.difference_update([answer.job.token for answer in answers])
        if future.cancelled():
            return
        error = future.exception()
        if error is not None:
            self._worker.tell("error", error)
            whose = ", ".join(answer.job.told for answer in answers) or "reports of running jobs"
            log.error("what was answered for %s was refused: %s", whose, error)
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

    def _refused(self, answer: Answer, item: list[Any]) -> None:
        error = refused(item[1], item[2])
        log.warning("%s: its answer was refused: %s", answer.job.told, error)
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
            for reports in list(parts(self._worker.take_reports(), bytes_of_report)) or [[]]:
                future = self._link.send(wire.Heartbeat(0, reports))
                future.add_done_callback(_ignore)

    async def _flush(self) -> None:
        self._send_answers()
        while self._unanswered:
            await asyncio.wait(self._unanswered)

    async def _close(self) -> None:
        if self._beats is not None:
            self._beats.cancel()
            await asyncio.gather(self._beats, return_exceptions=True)
        await self._link.close()


LOST: Final = "its lease is lost"
"""Also of a reason that a newer server may have."""
_WHY_REVOKED: Final[dict[int, str]] = {
    RevokeReason.REMOVED: "it was removed",
    RevokeReason.CANCELLED: "it was cancelled",
}


def _ignore(future: "asyncio.Future[Any]") -> None:
    """Its failure is noticed otherwise; asyncio is not to complain."""
    if not future.cancelled():
        future.exception()
