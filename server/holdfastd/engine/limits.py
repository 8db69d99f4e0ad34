"""Limits of a queue: how many jobs run at once, and how many start in a period.

Concurrency needs no state: it is the number of live leases, which the queue has anyway, so it
cannot drift. The rate is a GCRA (the leaky bucket as one timestamp, ITU-T I.371): the instant at
which the bucket would be full again if no further job started. It is timed by the monotonic clock:
with the wall clock, each jump forward would be worth a whole bucket.
"""

from math import ceil
from typing import Final

from holdfastd.engine.model import Rate

EARLY_MS: Final = 0.001
"""So much too early counts as in time: what is left of a wait when sums of floats are compared."""


class RateLimiter:
    """Attributes:
    rate: None = no limit.
    full_at_ms: see above, in Unix milliseconds as they were at the last start; stored with the
        queue, so that a restart gives no burst.
    """

    def __init__(self, rate: Rate | None):
        self.rate = rate
        self.full_at_ms = 0
        self._full_at = 0.0
        """The same in milliseconds of the monotonic clock."""

    def resume(self, full_at_ms: int, now_ms: int, monotonic: float) -> None:
        """Go on from what is stored, after a restart."""
        self.full_at_ms = full_at_ms
        self._full_at = monotonic * 1000 + full_at_ms - now_ms

    def wait_ms(self, monotonic: float) -> float:
        """Milliseconds until one more job may start; 0 = now."""
        if self.rate is None:
            return 0
        at = monotonic * 1000
        window_ms = self._interval_ms(self.rate) * self.rate.burst
        # A wall clock set back before a restart must not stop the queue for more than one bucket.
        self._full_at = min(self._full_at, at + window_ms)
        early_ms = self._full_at + self._interval_ms(self.rate) - window_ms - at
        return early_ms if early_ms > EARLY_MS else 0

    def start(self, now_ms: int, monotonic: float) -> None:
        """Count one job that starts now (wait_ms was 0)."""
        if self.rate is None:
            return
        at = monotonic * 1000
        self._full_at = max(self._full_at, at) + self._interval_ms(self.rate)
        # Rounded down, a restart could let a job run too early.
        self.full_at_ms = ceil(now_ms + self._full_at - at)

    @staticmethod
    def _interval_ms(rate: Rate) -> float:
        return rate.period_ms / rate.limit
