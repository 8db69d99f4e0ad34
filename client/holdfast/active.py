"""A job while it runs: what its handler gets, what it may raise, how its answer travels."""

import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from holdfast.options import Duration, milliseconds
from holdfast.packing import pack, unpack

__all__ = ["ActiveJob", "Answer", "Release", "Reporter", "Retry", "Unrecoverable"]


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

    def __init__(self, item: Sequence[Any], reporter: "Reporter | None"):
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


class Answer(NamedTuple):
    """How a run ended, on its way to the server."""

    job: ActiveJob
    kind: type[Any]
    """wire.Ack, wire.Fail or wire.Release"""
    fields: tuple[Any, ...]
    """What follows token, queue, id in the item."""
    outcome: Any
    """The result, or the exception; for the callbacks."""


class Reporter:
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
