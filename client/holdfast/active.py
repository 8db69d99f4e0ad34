"""A job while it runs: what its handler gets, what it may raise, how its answer travels."""

import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple

from holdfast.errors import misuse
from holdfast.options import Duration, milliseconds
from holdfast.packing import pack, sendable, unpack
from holdfast.wire.checks import Refusal, check_payload
from holdfast.wire.constants import (
    LOG_LINE_LENGTH_MAX,
    LOG_LINES_PER_JOB_MAX,
    PROGRESS_BYTES_MAX,
)
from holdfast.wire.parts import text_bytes_max

__all__ = [
    "ActiveJob",
    "Answer",
    "Release",
    "Reporter",
    "Retry",
    "Unrecoverable",
    "bytes_of_report",
]


LINES_PER_REPORT_MAX: Final = 100
"""A report of the longest lines fits a frame with room to spare."""


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
        queue, id, name, data, created_at_ms: of the job; data as it was added.
        crashes, releases: how often its worker was lost, and how often it was given back.
        token: of this lease. It rises with every run of the job: a handler can guard its own writes
            with it ("only if the stored token is not greater").
        attempt: number of this run, 1 = first. attempts: how many may fail.
        cancelled: the lease is lost, or the job was removed or cancelled; what is returned will be
            refused.
    """

    __slots__ = (
        "_line_count",
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
        self._line_count = 0
        self._reporter = reporter

    def progress(self, value: Any) -> None:
        """Say how far it is: anything small that msgpack carries; the last one counts.

        Raises MisuseError: over 4 KiB.
        """
        try:
            packed = check_payload(pack(value, "progress"), PROGRESS_BYTES_MAX, "progress")
        except Refusal as refusal:
            raise misuse(refusal) from None
        if self._reporter is not None:
            self._reporter.progress(self, packed)

    def log(self, text: str) -> None:
        """Keep a line with the job, cut to 4,096 characters. A job keeps its first 1,000."""
        self._line_count += 1
        if self._reporter is not None and self._line_count <= LOG_LINES_PER_JOB_MAX:
            self._reporter.log(self, sendable(str(text)[:LOG_LINE_LENGTH_MAX]))

    @property
    def told(self) -> str:
        """Which one it is, for people."""
        return f"job {self.id} in queue {self.queue}"

    def __repr__(self) -> str:
        return f"<{self.told}: {self.name}, attempt {self.attempt}>"


class Answer(NamedTuple):
    """How a run ended, on its way to the server."""

    job: ActiveJob
    kind: type[Any]
    """wire.Ack, wire.Fail or wire.Release"""
    fields: tuple[Any, ...]
    """What follows token, queue, id in the item."""
    outcome: Any
    """The result, or the exception; for the callbacks."""

    @property
    def item(self) -> list[Any]:
        return [self.job.token, self.job.queue, self.job.id, *self.fields]

    @property
    def bytes_max(self) -> int:
        """Upper bound of the item on the wire."""
        what = self.fields[0]
        if isinstance(what, dict):  # what a handler raised
            what_bytes = sum(text_bytes_max(text) + 32 for text in what.values())
        else:
            what_bytes = len(what) if isinstance(what, bytes) else 0
        return len(self.job.queue) + text_bytes_max(self.job.id) + what_bytes


class Reporter:
    """Collects progress and log lines; the connection sends them with the next heartbeat."""

    def __init__(self, wake: Callable[[], None], said: Callable[[ActiveJob, bytes], None]):
        self._wake = wake
        self._said = said
        self._lock = threading.Lock()
        self._reports: dict[int, list[list[Any]]] = {}
        """By token, in order; several of a job that says much."""

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
        reports = self._reports.setdefault(job.token, [])
        if not reports or len(reports[-1][4]) >= LINES_PER_REPORT_MAX:
            reports.append([job.token, job.queue, job.id, None, []])
        return reports[-1]

    def take(self, token: int | None = None) -> list[list[Any]]:
        """The reports since the last call; of one job only if a token is given."""
        with self._lock:
            if token is not None:
                return self._reports.pop(token, [])
            taken, self._reports = self._reports, {}
            return [report for reports in taken.values() for report in reports]


def bytes_of_report(report: list[Any]) -> int:
    """Upper bound on the wire."""
    _, queue, id, progress, lines = report
    lines_bytes = sum(text_bytes_max(text) + 16 for _, text in lines)
    return len(queue) + text_bytes_max(id) + len(progress or b"") + lines_bytes
