"""Counters of one queue since the daemon's start, kept by the engine for the metrics page.

Plain numbers, so that counting costs nanoseconds; `web.families` gives them their Prometheus names.
Which queue has them for itself is the ledger's (`engine.ledger`).
"""

from bisect import bisect_left
from dataclasses import dataclass, field
from typing import Final

WAIT_SECONDS: Final = (0.005, 0.025, 0.1, 0.25, 0.5, 1, 2.5, 5, 15, 60, 300, 1800)
DURATION_SECONDS: Final = (0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 15, 60, 300, 1800)


class Histogram:
    """Counts of observations by upper bound (included); the last bucket is everything above.

    Attributes:
        bounds: upper bounds, rising, without infinity.
        counts: one more than bounds; not cumulative.
        total: sum of all observed values.
    """

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: tuple[float, ...]):
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    def observe(self, value: float) -> None:
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value

    def copy(self) -> "Histogram":
        """As it is now."""
        copy = Histogram.__new__(Histogram)
        copy.bounds, copy.counts, copy.total = self.bounds, self.counts.copy(), self.total
        return copy


LAG_SECONDS: Final = (0.005, 0.025, 0.1, 0.25, 0.5, 1, 2.5, 5, 15, 60, 300, 3600)


@dataclass(slots=True)
class ScheduleStats:
    """Of all schedules together, so that their number makes no series."""

    fired: int = 0
    """Instants that made a job."""
    missed: int = 0
    """Instants that made none, since the daemon was down or could not add jobs."""
    skipped: int = 0
    """Instants that made none, since the last job had not ended."""
    existing: int = 0
    """Instants that had their job already: the clock was set back."""
    manual: int = 0
    """Jobs made by hand."""
    lag_seconds: Histogram = field(default_factory=lambda: Histogram(LAG_SECONDS))
    """Due to added, of the instants that made a job."""


@dataclass(slots=True)
class QueueStats:
    accepted: int = 0
    """Jobs added."""
    duplicates: int = 0
    """Items of an enqueue whose id existed."""
    rejected: int = 0
    """Items of an enqueue that were refused: by themselves, or with the whole of it."""
    completed: int = 0
    """Attempts, and jobs: a completed attempt ends its job."""
    attempts_failed: int = 0
    attempts_lost: int = 0
    attempts_released: int = 0
    """Given back, to run again at once."""
    attempts_snoozed: int = 0
    """Given back, to run again later."""
    attempts_cancelled: int = 0
    """Taken away: the job was removed or cancelled while it ran."""
    jobs_failed: int = 0
    jobs_cancelled: int = 0
    retries: int = 0
    """Failed attempts after which the job runs again."""
    retried: int = 0
    """Jobs put back by a person: redrive."""
    promoted: int = 0
    moved: int = 0
    """Jobs taken over to another queue."""
    edited: int = 0
    """Jobs given other data."""
    removed: int = 0
    """Jobs removed by a person or program, one by one or by a drain."""
    obliterated: int = 0
    """Jobs removed with their queue."""
    pruned: int = 0
    throttled_concurrency: int = 0
    """Times that a ready job and a ready worker were held back by the limit."""
    throttled_rate: int = 0
    wait_seconds: Histogram = field(default_factory=lambda: Histogram(WAIT_SECONDS))
    """Ready to leased; the delay that was asked for is not counted."""
    duration_seconds_completed: Histogram = field(
        default_factory=lambda: Histogram(DURATION_SECONDS)
    )
    duration_seconds_failed: Histogram = field(default_factory=lambda: Histogram(DURATION_SECONDS))
