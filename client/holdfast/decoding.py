"""What the server tells of jobs and events (protocol.md, Job and EVENTS), as a caller sees it."""

from datetime import UTC, datetime
from typing import Any

from holdfast.models import Event, JobError, JobInfo
from holdfast.packing import unpack
from holdfast.wire.constants import EventKind, FailReason, State

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


def event_of(queue: str, wire: list[Any]) -> Event:
    number, kind, at_ms, id, name, details = wire[:6]
    if "progress" in details:
        details = {**details, "progress": unpack(details["progress"])}
    return Event(number, EventKind(kind).name.lower(), instant(at_ms), queue, id, name, details)
