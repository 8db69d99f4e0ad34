"""What a metrics page is written from: taken on the event loop, and changed by nobody afterwards.

Another thread writes the page, for which the loop must not stand still, and it may not look at what
the loop changes. So the loop takes copies, of a few queues at a time: those that count for
themselves one by one, the others summed up.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from itertools import islice
from operator import attrgetter
from typing import TYPE_CHECKING, Final, NamedTuple, TypeVar

from holdfastd.engine.broker import Engine
from holdfastd.engine.ledger import OTHER
from holdfastd.engine.model import QueueKey, QueueSettings, State
from holdfastd.engine.queue import STATE_COUNT, QueueState, ready_at_ms
from holdfastd.engine.stats import Histogram, QueueStats
from holdfastd.observed import Observed

if TYPE_CHECKING:
    from holdfastd.store.base import StoreStats

T = TypeVar("T")

COUNTED: Final = (
    "accepted",
    "duplicates",
    "rejected",
    "completed",
    "attempts_failed",
    "attempts_lost",
    "attempts_released",
    "attempts_snoozed",
    "attempts_cancelled",
    "jobs_failed",
    "jobs_cancelled",
    "retries",
    "retried",
    "promoted",
    "moved",
    "edited",
    "removed",
    "obliterated",
    "pruned",
    "throttled_concurrency",
    "throttled_rate",
)
"""The plain counters of QueueStats, in the order of `QueueSeen.counters`."""
_counters_of: Final = attrgetter(*COUNTED)

OWN_AT_ONCE: Final = 50
OTHERS_AT_ONCE: Final = 1_000
LEASES_AT_ONCE: Final = 5_000
"""Looked at before the event loop may do other things: some 1 ms on an idle machine."""
OTHERS_SHARE: Final = 0.02
"""Of the loop's time that goes into the gauges of queues without series: 100,000 of them take 90 ms
(bench.observing), so they are looked at every 5 s. The share is arbitrary."""
_WAITING: Final = int(State.WAITING)


class QueueSeen(NamedTuple):
    """One queue, or all that have no series of their own."""

    name: str
    counts: list[int]
    """Jobs by State number."""
    oldest_waiting_at_ms: int | None
    longest_active_at_ms: int | None
    """When the attempt that has run longest began; None = none runs."""
    is_paused: bool
    """For OTHER: one of them is."""
    workers: int
    slots: int
    limits: list[tuple[str, float]]
    """By kind; none for OTHER: limits do not add up."""
    counters: dict[str, int]
    """By the names in COUNTED."""
    wait: Histogram
    completed: Histogram
    failed: Histogram


class TaskSeen(NamedTuple):
    queue: str
    task: str
    duration: Histogram


class SchedulesSeen(NamedTuple):
    """All schedules together."""

    active: int
    paused: int
    fires: dict[str, int]
    """By what came of them."""
    lag: Histogram


class Snapshot(NamedTuple):
    now_ms: int
    is_ready: bool
    queues: list[QueueSeen]
    """OTHER is the last one, if there are such queues, or were: what they counted stays."""
    folded_queues: int
    """Times that something was counted for OTHER, since the start."""
    tasks: list[TaskSeen] | None
    """None = they are not timed."""
    folded_tasks: int
    schedules: SchedulesSeen
    observed: Observed
    connections: dict[str, int]
    storage: "StoreStats"


class Snapshots:
    def __init__(
        self,
        engine: Engine,
        observed: Observed,
        connections: Callable[[], dict[str, int]],
        store_stats: "Callable[[], Awaitable[StoreStats]]",
        is_ready: Callable[[], bool],
        now_ms: Callable[[], int],
        monotonic: Callable[[], float],
    ):
        """connections: open ones by role."""
        self._monotonic = monotonic
        self._gauges: _Gauges | None = None
        self._gauges_until = 0.0
        self._engine = engine
        self._observed = observed
        self._connections = connections
        self._store_stats = store_stats
        self._is_ready = is_ready
        self._now_ms = now_ms

    async def take(self) -> Snapshot:
        """Its parts are some milliseconds apart where there are thousands of queues."""
        storage = await self._store_stats()
        began = await self._longest_active()
        ledger = self._engine.ledger
        queues: list[QueueSeen] = []
        async for some in _slices(list(ledger.own.values()), OWN_AT_ONCE):
            # Some may have been folded or removed since the list was made.
            own = [queue for queue in some if queue.stats is not ledger.other]
            queues += [_seen(queue, began.get(queue.key)) for queue in own]
        other, tasks = ledger.other, ledger.tasks
        if ledger.others or other.obliterated or _observations(other):
            queues.append(await self._others(began))
        return Snapshot(
            self._now_ms(),
            self._is_ready(),
            queues,
            _observations(other),
            None if tasks is None else list(_task_series(tasks.by_queue, tasks.other)),
            0 if tasks is None else tasks.folded,
            _schedules_seen(self._engine),
            self._observed.copy(),
            self._connections(),
            storage,
        )

    async def _longest_active(self) -> dict[QueueKey, int]:
        """When the longest running attempt of each queue began: the one leased first."""
        began: dict[QueueKey, int] = {}
        async for some in _slices(list(self._engine.leased), LEASES_AT_ONCE):
            for job in some:
                if job.queue not in began:
                    began[job.queue] = job.started_at_ms
        return began

    async def _others(self, began: dict[QueueKey, int]) -> QueueSeen:
        """The queues without series of their own, summed up; ages are those of the worst."""
        ledger = self._engine.ledger
        gauges = await self._gauges_of_others()
        workers = {session for queue in gauges.worked_on for session in queue.subscribers}
        credit = sum(session.credit for session in workers)
        return QueueSeen(
            OTHER,
            gauges.counts,
            gauges.oldest_waiting_at_ms,
            min((at for key, at in began.items() if key in ledger.others), default=None),
            gauges.is_paused,
            len(workers),
            credit + gauges.counts[State.ACTIVE],
            [],
            *_copied(ledger.other),
        )

    async def _gauges_of_others(self) -> "_Gauges":
        """As they are now, or were when that was looked at last: so seldom that it takes
        OTHERS_SHARE of the loop's time. Of some hundred queues it is now."""
        before = self._gauges
        if before is not None and self._monotonic() < self._gauges_until:
            return before
        gauges = _Gauges([0] * STATE_COUNT, None, False, [])
        spent_s = 0.0
        async for some in _slices(list(self._engine.ledger.others.values()), OTHERS_AT_ONCE):
            started = self._monotonic()
            gauges = gauges.with_those(some)
            spent_s += self._monotonic() - started
        self._gauges = gauges
        self._gauges_until = self._monotonic() + spent_s / OTHERS_SHARE
        return gauges


class _Gauges(NamedTuple):
    """What many queues have together."""

    counts: list[int]
    oldest_waiting_at_ms: int | None
    is_paused: bool
    worked_on: list[QueueState]
    """Those that have subscribers."""

    def with_those(self, queues: list[QueueState]) -> "_Gauges":
        """And these. Written for speed: it is done for 100,000."""
        sums = map(sum, zip(*[queue.counts for queue in queues], strict=True))
        firsts = [queue.head.peek() for queue in queues if queue.counts[_WAITING]]
        oldest = [ready_at_ms(job) for job in firsts if job is not None]
        if self.oldest_waiting_at_ms is not None:
            oldest.append(self.oldest_waiting_at_ms)
        return _Gauges(
            [before + more for before, more in zip(self.counts, sums, strict=True)],
            min(oldest, default=None),
            self.is_paused or True in [queue.is_paused for queue in queues],
            self.worked_on + [queue for queue in queues if queue.subscribers],
        )


def _seen(queue: QueueState, longest_active_at_ms: int | None) -> QueueSeen:
    return QueueSeen(
        queue.name,
        queue.counts.copy(),
        queue.oldest_waiting_at_ms(),
        longest_active_at_ms,
        queue.is_paused,
        len(queue.subscribers),
        queue.slots,
        list(_limits(queue.settings)),
        *_copied(queue.stats),
    )


def _copied(stats: QueueStats) -> tuple[dict[str, int], Histogram, Histogram, Histogram]:
    return (
        dict(zip(COUNTED, _counters_of(stats), strict=True)),
        stats.wait_seconds.copy(),
        stats.duration_seconds_completed.copy(),
        stats.duration_seconds_failed.copy(),
    )


def _limits(settings: QueueSettings) -> Iterator[tuple[str, float]]:
    if settings.concurrency is not None:
        yield "concurrency", settings.concurrency
    if settings.rate is not None:
        yield "rate_per_second", settings.rate.limit * 1000 / settings.rate.period_ms


def _observations(stats: QueueStats) -> int:
    """Jobs that were to be added, and attempts that ended."""
    added = stats.accepted + stats.duplicates + stats.rejected
    failed = stats.attempts_failed + stats.attempts_lost + stats.attempts_cancelled
    return added + failed + stats.completed + stats.attempts_released + stats.attempts_snoozed


def _schedules_seen(engine: Engine) -> SchedulesSeen:
    stats = engine.schedule_stats
    paused = engine.paused_schedule_count
    fires = {
        "fired": stats.fired,
        "missed": stats.missed,
        "skipped": stats.skipped,
        "existing": stats.existing,
        "manual": stats.manual,
    }
    lag = stats.lag_seconds.copy()
    return SchedulesSeen(engine.schedule_count - paused, paused, fires, lag)


def _task_series(by_queue: dict[str, dict[str, Histogram]], other: Histogram) -> Iterator[TaskSeen]:
    for queue, tasks in by_queue.items():
        for task, histogram in tasks.items():
            yield TaskSeen(queue, task, histogram.copy())
    yield TaskSeen(OTHER, OTHER, other.copy())


async def _slices(items: Iterable[T], count: int) -> AsyncIterator[list[T]]:
    """So many at a time; in between, the loop does what else there is to do."""
    rest = iter(items)
    while some := list(islice(rest, count)):
        yield some
        await asyncio.sleep(0)
