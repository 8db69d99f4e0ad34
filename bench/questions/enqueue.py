"""How fast jobs are taken, each confirmed on disk."""

from typing import Final

from bench.lab import Figures, Lab, add, new_queue, rate, rate_of_all
from bench.processes import role, run_together

IN_FLIGHT_JOBS: Final = 2_000
"""Unanswered at most, in each form but one by one. From 1,000 on more changes nothing here."""


def ask(lab: Lab) -> Figures:
    with lab.daemon() as daemon:
        singly = add(daemon, new_queue(), lab.jobs(3_000), per_call=1, in_flight=1)
        pipelined = add(
            daemon, new_queue(), lab.jobs(100_000), per_call=1, in_flight=IN_FLIGHT_JOBS
        )
        bulk = add(
            daemon,
            new_queue(),
            lab.jobs(300_000, 100),
            per_call=100,
            in_flight=IN_FLIGHT_JOBS // 100,
        )
    return {
        "enqueues/s, one by one": rate(singly),
        "enqueues/s, one job per frame, pipelined": rate(pipelined),
        "enqueues/s, 100 per call": rate(bulk),
        **_by_eight(lab),
    }


def _by_eight(lab: Lab) -> Figures:
    """Eight processes with a connection each."""
    figures = {}
    for name, jobs, in_flight in (
        ("enqueues/s, 8 producers, one by one", lab.jobs(16_000, 8), 1),
        ("enqueues/s, 8 producers, pipelined", lab.jobs(100_000, 8), IN_FLIGHT_JOBS // 8),
    ):
        with lab.daemon() as daemon:
            spec = {"port": daemon.port, "queues": [new_queue()], "per_call": 1}
            spec |= {"jobs": jobs // 8, "in_flight": in_flight}
            producers = [role("add", **spec) for _ in range(lab.producers)]
            figures[name] = rate_of_all(run_together(*producers))
    return figures
