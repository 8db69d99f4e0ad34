"""Jobs and events as a caller sees them."""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from holdfast.packing import unpack
from holdfast.wire.constants import EventKind, FailReason, State


@dataclass(frozen=True, slots=True)
class JobError:
    """How one attempt ended that did not complete."""

    attempt: int
    outcome: str
    """failed, lost, released or cancelled"""
    type: str
    message: str
    traceback: str
    worker: str
    started_at: datetime
    ended_at: datetime


@dataclass(slots=True)
class JobInfo:
    """A job as it was when it was read (`queue.get`, `queue.jobs`) or added."""

    queue: str
    id: str
    name: str
    state: str
    """waiting, delayed, active, blocked, completed, failed, cancelled; when it was read."""
    data: Any = None
    created: bool | None = True
    """False: it was there before `add`, which changed nothing. None: not known, since the answer
    was lost with the connection and the id is the caller's own: it was added now, or before."""
    priority: int = 0
    attempt: int = 1
    """Number of the run that is on, or comes next."""
    attempts: int = 1
    failures: int = 0
    crashes: int = 0
    releases: int = 0
    reason: str = ""
    """How a failed job came to fail: error, crashed, timed_out, expired, child_failed, damaged."""
    tags: list[str] = field(default_factory=list)
    progress: Any = None
    result: Any = None
    worker: str = ""
    created_at: datetime | None = None
    run_at: datetime | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None
    errors: list[JobError] = field(default_factory=list)
    """Of the attempts that did not complete, oldest first; filled by `get` and `wait`."""
    logs: list[str] = field(default_factory=list)
    error: str = ""
    """Message of the last attempt that did not complete; filled by a search."""


_OUTCOMES = {1: "failed", 2: "lost", 3: "released", 4: "cancelled"}


def fill(job: JobInfo, wire: dict[str, Any]) -> None:
    """Bring a job up to date from the wire's map (protocol.md, Job)."""
    job.queue = wire["queue"]  # it may have been moved
    job.name = wire["name"]
    job.state = State(wire["state"]).name.lower()
    job.data = unpack(wire["payload"])
    job.priority = wire["priority"]
    job.attempt = wire["attempt"]
    job.attempts = wire["attempts"]
    job.failures = wire["failures"]
    job.crashes = wire["crashes"]
    job.releases = wire["releases"]
    job.reason = FailReason(wire["reason"]).name.lower() if wire["reason"] else ""
    job.tags = list(wire["tags"])
    job.progress = unpack(wire["progress"])
    job.result = unpack(wire["result"])
    job.worker = wire["worker"]
    job.created_at = instant(wire["created_at_ms"])
    job.run_at = instant(wire["run_at_ms"])
    job.started_at = instant(wire["started_at_ms"])
    job.finished_at = instant(wire["finished_at_ms"])
    job.errors = [_job_error(error) for error in wire.get("errors", ())]
    job.logs = [text for _, _, text in wire.get("logs", ())]
    job.error = wire.get("error", job.errors[-1].message if job.errors else "")


def _job_error(error: dict[str, Any]) -> JobError:
    return JobError(
        error["attempt"],
        _OUTCOMES[error["outcome"]],
        error["type"],
        error["message"],
        error["traceback"],
        error["worker"],
        datetime.fromtimestamp(error["started_at_ms"] / 1000, UTC),
        datetime.fromtimestamp(error["ended_at_ms"] / 1000, UTC),
    )


def instant(at_ms: int) -> datetime | None:
    """0 = never."""
    return datetime.fromtimestamp(at_ms / 1000, UTC) if at_ms else None


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why a job is not running."""

    code: str
    """paused, no_workers, workers_busy, …: protocol.md lists them under EXPLAIN."""
    text: str
    details: dict[str, Any]
    """The numbers in the text."""


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened to a job or a queue."""

    number: int
    """Give it to `events(after=…)` to go on from here."""
    kind: str
    """added, active, progress, completed, failed, retrying, delayed, waiting, lost, removed,
    drained, paused, resumed, cancelled, moved; or missed: some events before the next one are no
    longer kept."""
    at: datetime | None
    queue: str
    id: str | None
    """None = of the whole queue."""
    name: str | None
    details: dict[str, Any]


def event_of(queue: str, wire: list[Any]) -> Event:
    number, kind, at_ms, id, name, details = wire[:6]
    if "progress" in details:
        details = {**details, "progress": unpack(details["progress"])}
    return Event(number, EventKind(kind).name.lower(), instant(at_ms), queue, id, name, details)
