"""Limits of a queue: how many jobs run at once, and how many start in a period.

Concurrency needs no state: it is the number of live leases, which the queue has anyway, so it
cannot drift. The rate is a GCRA (the leaky bucket as one timestamp, ITU-T I.371): `full_at_ms` is
the instant at which the bucket would be full again if no further job started.
"""

from holdfastd.engine.model import Rate


class RateLimiter:
    """Attributes:
    rate: None = no limit.
    full_at_ms: see above; wall clock, stored with the queue, so that a restart gives no burst.
    """

    def __init__(self, rate: Rate | None, full_at_ms: int = 0):
        self.rate = rate
        self.full_at_ms: float = full_at_ms

    def wait_ms(self, now_ms: int) -> float:
        """Milliseconds until one more job may start; 0 = now."""
        if self.rate is None:
            return 0
        window_ms = self._interval_ms(self.rate) * self.rate.burst
        # A wall clock that was set back must not stop the queue for longer than a whole bucket.
        self.full_at_ms = min(self.full_at_ms, now_ms + window_ms)
        early_ms = self.full_at_ms + self._interval_ms(self.rate) - window_ms - now_ms
        return max(0.0, early_ms)

    def start(self, now_ms: int) -> None:
        """Count one job that starts now (wait_ms was 0)."""
        if self.rate is not None:
            self.full_at_ms = max(self.full_at_ms, now_ms) + self._interval_ms(self.rate)

    @staticmethod
    def _interval_ms(rate: Rate) -> float:
        return rate.period_ms / rate.limit
