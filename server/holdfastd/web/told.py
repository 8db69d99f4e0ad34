"""What the engine and the store know, as the board tells it: plain maps that JSON can hold."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from holdfastd.engine.changes import AttemptRow, JobRow
from holdfastd.engine.model import (
    FailReason,
    Job,
    State,
)
from holdfastd.engine.policy import describe_backoff
from holdfastd.engine.producing import describe_settings
from holdfastd.engine.queue import QueueState
from holdfastd.engine.session import Session
from holdfastd.store.base import JobDetail
from holdfastd.web import jsonable
from holdfastd.web.safe.redact import Redactor

RUNNING_SHOWN_MAX: Final = 1_000
"""Jobs of one worker that are listed."""
EDITABLE: Final = frozenset({State.WAITING, State.DELAYED})
COUNTED: Final = tuple(state for state in State)


# ---- jobs ----------------------------------------------------------------------------------------


def job(queue: str, row: JobRow, worker: str, error: str, redact: Redactor) -> dict[str, Any]:
    """A job as in lists. worker: name of who runs it; error: message of its last bad attempt."""
    started, finished = row.started_at_ms or None, row.finished_at_ms or None
    return {
        "queue": queue,
        "id": row.id,
        "name": row.name,
        "state": row.state.name.lower(),
        "priority": row.priority,
        "tags": list(row.options.tags),
        "created_at_ms": row.created_at_ms,
        "run_at_ms": row.run_at_ms or None,
        "started_at_ms": started,
        "finished_at_ms": finished,
        "attempt": row.attempt,
        "attempts": row.options.attempts,
        "failures": row.failures,
        "crashes": row.crashes,
        "releases": row.releases,
        "max_crashes": row.options.max_crashes,
        "progress": redact.progress(jsonable.shown(row.progress)),
        "reason": None if row.fail_reason is FailReason.NONE else row.fail_reason.name.lower(),
        "worker": worker,
        "error": error,
        "wait_ms": _wait_ms(row),
        "run_ms": None if started is None or finished is None else max(0, finished - started),
    }


def _wait_ms(row: JobRow) -> int | None:
    """Between being ready and the last start; of one that was tried before that is not known."""
    if not row.started_at_ms or row.failures or row.crashes or row.releases:
        return None
    return max(0, row.started_at_ms - max(row.created_at_ms, row.run_at_ms))


def whole_job(
    queue: str, detail: JobDetail, worker: str, why: Mapping[str, Any] | None, redact: Redactor
) -> dict[str, Any]:
    """A job with all that is kept of it."""
    row = detail.row
    errors = [_attempt(attempt) for attempt in detail.attempts]
    error = next((each["message"] or each["type"] for each in reversed(errors)), "")
    return {
        **job(queue, row, worker, error, redact),
        "data": None if row.is_damaged else redact(jsonable.shown(row.payload)),
        "is_damaged": row.is_damaged,
        "is_editable": row.state in EDITABLE and jsonable.survives(row.payload),
        "result": redact(jsonable.shown(row.result)),
        "errors": errors,
        "logs": [{"number": n.number, "at_ms": n.at_ms, "text": n.text} for n in detail.logs],
        "log_lines": row.log_lines,
        "token": int(row.token),
        "backoff": describe_backoff(row.options.backoff),
        "timeline": _timeline(row, detail.attempts, worker),
        "why": dict(why) if why else None,
    }


def _attempt(attempt: AttemptRow) -> dict[str, Any]:
    return {
        "attempt": attempt.attempt,
        "outcome": attempt.outcome.name.lower(),
        "started_at_ms": attempt.started_at_ms,
        "ended_at_ms": attempt.ended_at_ms,
        "type": attempt.error_type,
        "message": attempt.error_message,
        "traceback": attempt.error_traceback,
        "worker": attempt.worker,
    }


def _timeline(row: JobRow, attempts: Iterable[AttemptRow], worker: str) -> list[dict[str, Any]]:
    """What is known to have happened, in order. Of a job that was put back, only what came since is
    kept by the row; its attempts are kept all."""
    steps = [_step(row.created_at_ms, "created")]
    for attempt in attempts:
        by = f"by {attempt.worker}" if attempt.worker else ""
        steps.append(_step(attempt.started_at_ms, "leased", attempt.attempt, by))
        text = ": ".join(part for part in (attempt.error_type, attempt.error_message) if part)
        outcome = attempt.outcome.name.lower()
        steps.append(_step(attempt.ended_at_ms, outcome, attempt.attempt, text.split("\n")[0]))
    number = row.failures + row.crashes + 1
    if row.state is State.ACTIVE:
        by = f"by {worker}" if worker else ""
        steps.append(_step(row.started_at_ms, "leased", number, by))
    elif row.state is State.COMPLETED:
        steps.append(_step(row.started_at_ms, "leased", number))
        steps.append(_step(row.finished_at_ms, "completed", number))
    elif row.state is State.CANCELLED and steps[-1]["event"] != "cancelled":
        steps.append(_step(row.finished_at_ms, "cancelled"))
    elif row.state is State.DELAYED:
        steps.append(_step(steps[-1]["at_ms"], "delayed"))
    return steps


def _step(at_ms: int, event: str, attempt: int | None = None, text: str = "") -> dict[str, Any]:
    return {"at_ms": at_ms, "event": event, "attempt": attempt, "text": text}


# ---- queues --------------------------------------------------------------------------------------


def counts(numbers: Iterable[int]) -> dict[str, int]:
    """By the name of the state. numbers: by State number, from 0."""
    by_number = list(numbers)
    return {state.name.lower(): by_number[state] for state in COUNTED}


def queue(state: QueueState, per_min: Mapping[str, int], now_ms: int) -> dict[str, Any]:
    oldest = state.oldest_waiting_at_ms()
    return {
        "name": state.name,
        "counts": counts(state.counts),
        "is_paused": state.is_paused,
        "workers": len(state.subscribers),
        "slots": state.slots,
        "active": state.active_count,
        "oldest_waiting_age_ms": None if oldest is None else max(0, now_ms - oldest),
        "settings": describe_settings(state.settings),
        "per_min": dict(per_min),
        "badges": badges(state),
    }


def badges(state: QueueState) -> list[str]:
    """What explains why its jobs wait; the gravest first."""
    waits = bool(state.counts[State.WAITING])
    found = []
    if state.is_paused:
        found.append("paused")
    if state.is_clearing:
        found.append("clearing")
    if waits and not state.subscribers:
        found.append("no workers")
    if waits and state.is_at_concurrency_limit:
        found.append("throttled")
    elif waits and state.subscribers and not state.ready and not state.is_paused:
        found.append("saturated")
    return found


# ---- workers -------------------------------------------------------------------------------------


def worker(
    session: Session, queue_of: Callable[[Job], str], shows: Callable[[str], bool]
) -> dict[str, Any]:
    """A worker with what it runs. shows: which queues may be seen, by name."""
    origin = session.origin
    leased = list(session.leases.values())[:RUNNING_SHOWN_MAX]
    running = [_running(queue_of(each), each) for each in leased if shows(queue_of(each))]
    return {
        "session": str(session.key),
        "name": session.worker,
        "host": str(origin.get("host", "")),
        "pid": str(origin.get("pid", "")),
        "client": str(origin.get("client", "")),
        "is_connected": session.connection is not None,
        "is_quiet": session.is_quiet,
        "queues": [name for name in session.queues or session.left if shows(name)],
        "credit": session.credit,
        "running": running,
        "seen_at_ms": session.seen_at_ms,
    }


def _running(queue: str, job: Job) -> dict[str, Any]:
    return {
        "queue": queue,
        "id": job.id,
        "name": job.name,
        "started_at_ms": job.started_at_ms,
    }
