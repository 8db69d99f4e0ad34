"""Jobs and events as a caller sees them."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any


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
