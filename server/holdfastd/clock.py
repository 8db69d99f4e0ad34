"""The only reader of time on the server; everybody else is given a Clock or a number.

Two clocks, never mixed. `now_ms` is wall time: it is stored and compared after a restart, and it
may jump when somebody sets it. `monotonic` only rises: it times leases, rate limits, timers and
measurements of this process, and means nothing outside it.

What a jump of the wall clock changes, and nothing else:

- set forward, delayed jobs that are due by the new time run now, in order, some with each batch,
  within the limits of their queues; set back, those not yet due come due later by as much;
- nothing is removed for its age (finished jobs, sessions) until the clock has been steady for as
  long as that age, or an hour: a false time is put right before it costs anything.
"""

import time
from typing import Protocol


class Clock(Protocol):
    """Tests bring their own, which stands still until told to move."""

    def now_ms(self) -> int:
        """Wall time in Unix milliseconds."""

    def monotonic(self) -> float:
        """Seconds since some instant; on Linux not counting while the machine is suspended."""


class SystemClock:
    """The clocks of this machine."""

    def now_ms(self) -> int:
        return time.time_ns() // 1_000_000

    def monotonic(self) -> float:
        return time.monotonic()
