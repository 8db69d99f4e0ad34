"""The nouns of schedules, and what can be said of one alone. The rules are `engine.scheduling`'s.

A schedule belongs to a queue and makes a job of it at each instant that it is due. The job's id has
the instant in it, so a second job for one instant cannot be, whatever happens to the daemon, its
machine or the clock.
"""

from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Final, NamedTuple, TypeAlias

from holdfastd.engine.model import (
    DEFAULT_OPTIONS,
    JobOptions,
    NewJob,
    QueueKey,
)
from holdfastd.engine.policy import describe_backoff
from holdfastd.engine.recurrence import (
    Cron,
    Recurrence,
    count_before,
    in_words,
    latest,
    next_after,
    upcoming,
)

SCHEDULES_MAX: Final = 10_000
"""In a daemon. All are in memory, at 0.7 KB without their payloads (measured); if all are due at
once, their jobs take some 4 s, between which everything else goes on."""
SCHEDULES_BYTES_MAX: Final = 64 * 1024 * 1024
"""Payloads of all of them, so that memory stays flat: 6 KB for each of SCHEDULES_MAX."""
MISSED_AFTER_MS: Final = 60_000
"""With `missed` = skip, an instant that cannot be served for longer than this is left out. A
restart or a full batch takes less."""
MISSED_COUNTED_MAX: Final = 1_000
"""Missed instants of a cron pattern that are counted one by one, at 5 us each; more of them
count as so many. Those of an interval are always all counted."""


class Missed(StrEnum):
    """What becomes of instants at which the daemon was down, or could not add jobs."""

    ONCE = "once"
    """The last one makes its job as soon as it can; those before are counted."""
    SKIP = "skip"
    """All are only counted."""


class Overlap(StrEnum):
    """What becomes of an instant while the job of the last one has not ended."""

    ALLOW = "allow"
    SKIP = "skip"


class Origin(StrEnum):
    """From where a schedule was put as it is."""

    CLIENT = "client"
    API = "api"
    DASHBOARD = "dashboard"


class ScheduleSpec(NamedTuple):
    """A schedule as somebody wants it: put as a whole, in place of one of that queue and id."""

    queue: str
    id: str
    """Unique in its queue; 1 to 90 printable characters (see `wire.schedules`)."""
    recurrence: Recurrence
    name: str
    """Of its jobs, as all below."""
    payload: bytes
    priority: int = 0
    lifo: bool = False
    options: JobOptions = DEFAULT_OPTIONS
    missed: Missed = Missed.ONCE
    overlap: Overlap = Overlap.ALLOW
    origin: Origin = Origin.CLIENT


class Schedule(NamedTuple):
    """A schedule as it is. A value: a change makes another one. It is its own row in the store."""

    key: QueueKey
    """Of its queue."""
    spec: ScheduleSpec
    is_paused: bool
    anchor_ms: int
    """Where an interval is counted from; a whole second."""
    next_at_ms: int | None
    """The first instant that has not been dealt with; None = paused, or never due again."""
    last_due_at_ms: int | None
    """The last instant that made a job; None = none did."""
    last_job_id: str | None
    """The last job, by an instant or by hand. It may be gone."""
    fired: int
    """Instants that made a job."""
    missed: int
    """Instants that made none, since the daemon was down or could not add jobs."""
    skipped: int
    """Instants that made none, since the last job had not ended, or since they had their job
    already (the clock was set back)."""
    created_at_ms: int
    changed_at_ms: int
    """When somebody last put, paused or resumed it."""

    @property
    def place(self) -> "ScheduleKey":
        return self.key, self.spec.id

    def next_after(self, after_ms: int) -> int | None:
        return next_after(self.spec.recurrence, self.anchor_ms, after_ms)

    def upcoming(self, now_ms: int, count: int) -> list[int]:
        """The next instants at which it is due; none while it is paused."""
        if self.next_at_ms is None:
            return []
        after_ms = min(now_ms, self.next_at_ms - 1)
        return upcoming(self.spec.recurrence, self.anchor_ms, after_ms, count)


ScheduleKey: TypeAlias = tuple[QueueKey, str]
"""Key of its queue, id."""


class Due(NamedTuple):
    """What has to be done for a schedule that is due."""

    schedule: Schedule
    """As it was when that was found out."""
    at_ms: int
    """The last instant that is due."""
    passed: int
    """Instants before it that were not dealt with."""
    is_missed: bool
    """Its own time is over, too."""
    job_id: str


def new_schedule(key: QueueKey, spec: ScheduleSpec, now_ms: int) -> Schedule:
    anchor_ms = now_ms - now_ms % 1000
    next_at_ms = next_after(spec.recurrence, anchor_ms, now_ms)
    return Schedule(key, spec, False, anchor_ms, next_at_ms, None, None, 0, 0, 0, now_ms, now_ms)


def put_over(old: Schedule, spec: ScheduleSpec, now_ms: int) -> Schedule:
    """Another spec for a schedule that exists: it stays paused if it is, and keeps its counts. Its
    plan goes on where that does not change, however often a program that starts puts it again."""
    if spec == old.spec:
        return old
    changed = old._replace(spec=spec, changed_at_ms=now_ms)
    if spec.recurrence == old.spec.recurrence:
        return changed
    anchor_ms = now_ms - now_ms % 1000
    next_at_ms = None if old.is_paused else next_after(spec.recurrence, anchor_ms, now_ms)
    return changed._replace(anchor_ms=anchor_ms, next_at_ms=next_at_ms)


def paused(old: Schedule, now_ms: int) -> Schedule:
    return old._replace(is_paused=True, next_at_ms=None, changed_at_ms=now_ms)


def resumed(old: Schedule, now_ms: int) -> Schedule:
    """It goes on from now: what was due meanwhile is not missed, it was not wanted."""
    return old._replace(is_paused=False, next_at_ms=old.next_after(now_ms), changed_at_ms=now_ms)


def planned_anew(old: Schedule, now_ms: int) -> Schedule:
    """By the time that it is now, after a start or a jump of the clock. What is due stays due; a
    plan that was made by a false time, or by other rules of a time zone, is put right."""
    is_due = old.next_at_ms is not None and old.next_at_ms <= now_ms
    if old.is_paused or is_due:
        return old
    next_at_ms = old.next_after(now_ms)
    return old if next_at_ms == old.next_at_ms else old._replace(next_at_ms=next_at_ms)


def due(schedule: Schedule, now_ms: int) -> Due | None:
    """What has to be done now; None = nothing yet."""
    first_ms = schedule.next_at_ms
    if first_ms is None or first_ms > now_ms:
        return None
    recurrence, anchor_ms = schedule.spec.recurrence, schedule.anchor_ms
    at_ms = latest(recurrence, anchor_ms, first_ms, now_ms)
    passed = count_before(recurrence, anchor_ms, first_ms, at_ms, MISSED_COUNTED_MAX)
    is_missed = schedule.spec.missed is Missed.SKIP and now_ms - at_ms > MISSED_AFTER_MS
    return Due(schedule, at_ms, passed, is_missed, job_id_of(schedule.spec.id, at_ms))


def job_id_of(id: str, due_at_ms: int) -> str:
    """Of the job for an instant: `nightly@2026-11-26T02:30:00Z`, with milliseconds if need be."""
    at = datetime.fromtimestamp(due_at_ms // 1000, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    fraction = f".{due_at_ms % 1000:03d}" if due_at_ms % 1000 else ""
    return f"{id}@{at}{fraction}Z"


def run_id_of(id: str, run: str) -> str:
    """Of a job that was asked for by hand. run: chosen by who asks, so that he can ask again."""
    return f"{id}@now-{run}"


def job_of(spec: ScheduleSpec, job_id: str) -> NewJob:
    return NewJob(
        job_id,
        False,
        spec.name,
        spec.payload,
        spec.priority,
        spec.lifo,
        options=spec.options,
    )


# ---- as it is told -------------------------------------------------------------------------------


def describe(schedule: Schedule) -> dict[str, Any]:
    """A schedule as SCHEDULES shows it; `when` and `options` as SCHEDULE takes them."""
    spec = schedule.spec
    return {
        "queue": spec.queue,
        "id": spec.id,
        "name": spec.name,
        "payload": spec.payload,
        "when": describe_recurrence(spec.recurrence),
        "words": in_words(spec.recurrence),
        "options": describe_options(spec),
        "origin": spec.origin.value,
        "paused": schedule.is_paused,
        "next_at_ms": schedule.next_at_ms,
        "last_due_at_ms": schedule.last_due_at_ms,
        "last_job": schedule.last_job_id,
        "fired": schedule.fired,
        "missed": schedule.missed,
        "skipped": schedule.skipped,
        "created_at_ms": schedule.created_at_ms,
        "changed_at_ms": schedule.changed_at_ms,
    }


def describe_recurrence(recurrence: Recurrence) -> dict[str, Any]:
    if isinstance(recurrence, Cron):
        return {"cron": recurrence.pattern, "tz": recurrence.tz}
    return {"every_ms": recurrence.every_ms}


def describe_options(spec: ScheduleSpec) -> dict[str, Any]:
    """Every option, whether it was given or not; `backoff` only if attempts wait for one."""
    options = spec.options
    told: dict[str, Any] = {
        "missed": spec.missed.value,
        "overlap": spec.overlap.value,
        "priority": spec.priority,
        "lifo": spec.lifo,
        "attempts": options.attempts,
        "max_crashes": options.max_crashes,
        "tags": list(options.tags),
    }
    backoff = describe_backoff(options.backoff)
    return told if backoff is None else told | {"backoff": backoff}
