"""What a retry, a delay and a priority cost, against a job without them."""

import time

from bench.lab import Figures, Lab, add, new_queue, rate
from bench.processes import role, run_together

CREDIT = 500


def ask(lab: Lab) -> Figures:
    return {**_plain(lab), **_retry(lab), **_priority(lab), **_delayed(lab)}


def _plain(lab: Lab) -> Figures:
    added, drained = _add_and_drain(lab)
    return {"plain: enqueues/s": added, "plain: drain jobs/s": drained}


def _retry(lab: Lab) -> Figures:
    """Each job fails once and is completed the second time."""
    _, drained = _add_and_drain(lab, {"attempts": 2}, fails_first=True)
    return {"each job fails once: drain jobs/s": drained}


def _priority(lab: Lab) -> Figures:
    """Ten priorities, one per call at random."""
    added, drained = _add_and_drain(lab, {"priority": "random"})
    return {"ten priorities: enqueues/s": added, "ten priorities: drain jobs/s": drained}


def _add_and_drain(
    lab: Lab, options: dict[str, object] | None = None, fails_first: bool = False
) -> tuple[float, float]:
    jobs = lab.jobs(60_000, 100)
    with lab.daemon() as daemon:
        queue = new_queue()
        producer = add(daemon, queue, jobs, options=options)
        spec = {"port": daemon.port, "queues": [queue], "jobs": jobs, "credit": CREDIT}
        (worker,) = run_together(role("work", fails_first=fails_first, **spec))
    return rate(producer), rate(worker)


def _delayed(lab: Lab) -> Figures:
    """All due at one instant, with a worker waiting: the rate from there to the last one."""
    jobs = lab.jobs(60_000, 100)
    due_in_s = 1 + jobs / 15_000  # packing and adding them is faster than that
    with lab.daemon() as daemon:
        queue = new_queue()
        spec = {"port": daemon.port, "queues": [queue], "jobs": jobs, "credit": CREDIT}
        with role("work", **spec) as worker:
            worker.wait_ready()
            producer = add(daemon, queue, jobs, due_in_s=due_in_s)
            due_at_s = producer["due_at_ms"] / 1000
            if time.time() > due_at_s:
                raise RuntimeError("too slow: the jobs were due before all were added")
            worker.go()
            worker.result()
            took_s = time.time() - due_at_s
    return {"delayed: enqueues/s": rate(producer), "delayed: jobs/s once due": jobs / took_s}
