"""A thousand queues instead of one."""

from typing import Final

from bench.lab import Figures, Lab, rate, resident_mb
from bench.processes import role, run_together

QUEUES: Final = 1_000
"""A worker may subscribe to so many (SUBSCRIBED_QUEUES_MAX)."""


def ask(lab: Lab) -> Figures:
    names = [f"queue-{number}" for number in range(QUEUES)]
    jobs = lab.jobs(100_000, QUEUES * 10)
    with lab.daemon() as daemon:
        spec = {"port": daemon.port, "queues": names, "jobs": jobs}
        (single,) = run_together(role("add", per_call=1, in_flight=2_000, **spec))
        (drained,) = run_together(role("work", credit=500, **spec))
        (bulk,) = run_together(role("add", per_call=10, in_flight=200, **spec))
        memory_mb = resident_mb(daemon.pid)
    return {
        "1,000 queues: enqueues/s, one job per frame": rate(single),
        "1,000 queues: enqueues/s, 10 per call": rate(bulk),
        "1,000 queues: drain jobs/s": rate(drained),
        "1,000 queues: daemon MB": memory_mb,
    }
