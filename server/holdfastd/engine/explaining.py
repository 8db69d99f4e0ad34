"""Why a job is not running: one code and one sentence, from what the engine knows of it.

The questions are those that `Dispatcher.dispatch` asks before it leases a job, in its order: what
holds back the whole queue comes first, then its workers, then its limits, then the jobs before it.
Nothing is changed by asking.
"""

from typing import Any, Final, NamedTuple

from holdfastd.engine.model import FINISHED, FailReason, Job, State
from holdfastd.engine.partition import Moment, Partition
from holdfastd.engine.queue import QueueState
from holdfastd.engine.session import Session


class Explanation(NamedTuple):
    code: str
    """Stable, for programs; protocol.md lists them."""
    text: str
    """For people: one sentence without a full stop."""
    details: dict[str, Any]
    """The numbers in it, by the names of protocol.md; may be empty."""


CODES: Final = (
    "draining",
    "clearing",
    "paused",
    "no_workers",
    "workers_away",
    "workers_quiet",
    "workers_busy",
    "concurrency",
    "rate",
    "behind",
    "next",
    "delayed",
    "blocked",
    "active",
    "completed",
    "failed",
    "cancelled",
)
"""As in protocol.md; a test compares them."""

_HOW_FAILED: Final = {
    FailReason.NONE: "it failed",
    FailReason.ERROR: "its last attempt ended in an error",
    FailReason.CRASHED: "its workers were lost too often while they ran it",
    FailReason.TIMED_OUT: "it ran for too long",
    FailReason.EXPIRED: "it was not run in time",
    FailReason.CHILD_FAILED: "a job that it waits for failed",
    FailReason.DAMAGED: "the disk gave back other data than was written",
}


def explain(partition: Partition, queue: QueueState, job: Job, moment: Moment) -> Explanation:
    """Of a job that exists, in whatever state."""
    if job.state is State.WAITING:
        return _of_waiting(partition, queue, job, moment)
    if job.state is State.DELAYED:
        return _of_delayed(job, moment)
    if job.state is State.ACTIVE:
        return _of_active(partition, job, moment)
    if job.state in FINISHED:
        return _of_finished(job, moment)
    return Explanation("blocked", "it waits for the end of other jobs", {})


# ---- waiting -------------------------------------------------------------------------------------


def _of_waiting(partition: Partition, queue: QueueState, job: Job, moment: Moment) -> Explanation:
    """What holds the queue back, and how many jobs are before it."""
    count, is_exact = _jobs_before(queue, job)
    before = {"before": count, "is_exact": is_exact}
    held = (
        _held_by_queue(partition, queue)
        or _held_by_workers(partition, queue, moment)
        or _held_by_limits(queue, moment)
    )
    line = _line(count, is_exact)
    if held is not None:
        text = f"{held.text}; {line}" if line else held.text
        return Explanation(held.code, text, held.details | before)
    if line:
        return Explanation("behind", line, before)
    return Explanation("next", "nothing holds it back: it is the next to run", before)


def _jobs_before(queue: QueueState, job: Job) -> tuple[int, bool]:
    """How many jobs run before it, and whether there may be more: of a job that is only on disk it
    is known that all of the head are."""
    if job.place is None:
        return queue.head.count, False
    return queue.head.count_before(job), True


def _line(count: int, is_exact: bool) -> str:
    if is_exact and not count:
        return ""
    line = f"{_jobs(count)} {'is' if count == 1 else 'are'} before it"
    return line if is_exact else f"at least {line}"


def _held_by_queue(partition: Partition, queue: QueueState) -> Explanation | None:
    if partition.is_draining:
        text = "the server is going down: jobs start again when it is back"
        return Explanation("draining", text, {})
    if queue.clearing is not None:
        what = "obliterated" if queue.clearing.forget_queue else "drained"
        text = f"queue {queue.name} is being {what}: no job starts meanwhile"
        return Explanation("clearing", text, {})
    if queue.is_paused:
        return Explanation("paused", f"queue {queue.name} is paused", {})
    return None


def _held_by_workers(partition: Partition, queue: QueueState, moment: Moment) -> Explanation | None:
    workers = list(queue.subscribers)
    if not workers:
        return _without_workers(partition, queue, moment)
    heard = [worker for worker in workers if worker.deadline > moment.monotonic]
    taking = [worker for worker in heard if not worker.is_held]
    if not taking:
        text = f"{_workers(workers)} connected and silent: jobs go to who is heard of"
        return Explanation("workers_away", text, {"workers": len(workers)})
    awake = [worker for worker in taking if not (worker.is_quiet or worker.is_stopping)]
    if not awake:
        text = f"{_workers(workers)} quiet: told to take no more jobs"
        return Explanation("workers_quiet", text, {"workers": len(workers)})
    if any(worker.credit > 0 for worker in awake):
        return None
    running = sum(len(worker.leases) for worker in awake)
    text = f"all workers are busy: they run {_jobs(running)}, and have room for no more"
    return Explanation("workers_busy", text, {"workers": len(awake), "slots": running})


def _without_workers(partition: Partition, queue: QueueState, moment: Moment) -> Explanation:
    away = [session for session in partition.sessions.values() if queue.name in session.left]
    if not away:
        return Explanation("no_workers", f"no worker takes jobs of queue {queue.name}", {})
    seen_at_ms = max(session.seen_at_ms for session in away)
    ago = span(moment.now_ms - seen_at_ms)
    text = f"no worker of queue {queue.name} is connected: the last one left {ago} ago"
    return Explanation("workers_away", text, {"workers": len(away), "seen_at_ms": seen_at_ms})


def _workers(workers: list[Session]) -> str:
    return "its worker is" if len(workers) == 1 else f"its {len(workers):,} workers are"


def _held_by_limits(queue: QueueState, moment: Moment) -> Explanation | None:
    limit, active = queue.settings.concurrency, queue.active_count
    if limit is not None and queue.is_at_concurrency_limit:
        text = f"queue {queue.name} may run {_jobs(limit)} at once, and runs {active:,}"
        return Explanation("concurrency", text, {"limit": limit, "active": active})
    rate, wait_ms = queue.settings.rate, queue.rate.wait_ms(moment.monotonic)
    if rate is not None and wait_ms > 0:
        text = (
            f"queue {queue.name} may start {_jobs(rate.limit)} per {span(rate.period_ms)}: "
            f"the next one in {span(wait_ms)}"
        )
        return Explanation("rate", text, {"wait_ms": round(wait_ms)})
    return None


# ---- the other states ----------------------------------------------------------------------------


def _of_delayed(job: Job, moment: Moment) -> Explanation:
    left_ms = max(0, job.run_at_ms - moment.now_ms)
    why = f"it failed {_times(job.failures)} and runs again" if job.failures else "it is delayed"
    text = f"{why}: due in {span(left_ms)}"
    return Explanation("delayed", text, {"run_at_ms": job.run_at_ms, "wait_ms": left_ms})


def _of_active(partition: Partition, job: Job, moment: Moment) -> Explanation:
    session = partition.sessions_by_key[job.session]
    who = f"worker {session.worker}" if session.worker else "a worker"
    ran = span(moment.now_ms - job.started_at_ms)
    text = f"it runs: attempt {job.attempt} by {who}, for {ran} by now"
    left_ms = round(max(0.0, session.deadline - moment.monotonic) * 1000)
    if session.connection is None:
        text += f"; its worker has lost its connection, and has {span(left_ms)} to come back"
    return Explanation(
        "active",
        text,
        {
            "worker": session.worker,
            "attempt": job.attempt,
            "started_at_ms": job.started_at_ms,
            "is_connected": session.connection is not None,
            "lease_left_ms": left_ms,
        },
    )


def _of_finished(job: Job, moment: Moment) -> Explanation:
    ago = f"{span(moment.now_ms - job.finished_at_ms)} ago"
    details: dict[str, Any] = {"finished_at_ms": job.finished_at_ms}
    if job.state is State.COMPLETED:
        return Explanation("completed", f"it was completed {ago}", details)
    if job.state is State.CANCELLED:
        return Explanation("cancelled", f"it was cancelled {ago}", details)
    text = f"it failed {ago}: {_HOW_FAILED[job.fail_reason]}"
    return Explanation("failed", text, details | {"reason": int(job.fail_reason)})


# ---- words ---------------------------------------------------------------------------------------


def _jobs(count: int) -> str:
    return "1 job" if count == 1 else f"{count:,} jobs"


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count:,} times"


_UNITS: Final = (
    (86_400_000, "d", 3_600_000, "h"),
    (3_600_000, "h", 60_000, "min"),
    (60_000, "min", 1_000, "s"),
)


def span(ms: float) -> str:
    """A length of time in its two largest units: `250 ms`, `4.2 s`, `3 min 5 s`, `2 d 4 h`."""
    ms = max(0, round(ms))
    if ms < 1_000:
        return f"{ms} ms"
    if ms < 60_000:
        return f"{ms / 1000:.1f} s"
    size, name, smaller, smaller_name = next(units for units in _UNITS if ms >= units[0])
    return f"{ms // size:,} {name} {ms % size // smaller} {smaller_name}"
