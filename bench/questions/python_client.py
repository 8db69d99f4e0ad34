"""The same through the Python client, as users have it."""

from typing import Any

from bench.daemon import DaemonProcess
from bench.lab import Figures, Lab, add, new_queue, rate
from bench.processes import python_role, run_together


def ask(lab: Lab) -> Figures:
    with lab.daemon() as daemon:
        return {
            "Python Queue: enqueues/s, 100 per call": _add(daemon, lab.jobs(50_000, 100), 100, 1),
            "Python Queue: enqueues/s, one by one": _add(daemon, lab.jobs(2_000), 1, 1),
            "Python Queue: enqueues/s, 8 threads, one by one": _add(
                daemon, lab.jobs(8_000, 8), 1, 8
            ),
            "Python Worker: jobs/s, async, concurrency 10": _work(
                daemon, lab.jobs(20_000, 100), "async", 10
            ),
            "Python Worker: jobs/s, async, concurrency 100": _work(
                daemon, lab.jobs(50_000, 100), "async", 100
            ),
            "Python Worker: jobs/s, threads, concurrency 50": _work(
                daemon, lab.jobs(20_000, 100), "thread", 50
            ),
        }


def _add(daemon: DaemonProcess, jobs: int, per_call: int, threads: int) -> float:
    spec = {"url": daemon.url, "queue": new_queue(), "jobs": jobs, "per_call": per_call}
    (found,) = run_together(python_role("python_add", threads=threads, **spec))
    return rate(found)


def _work(daemon: DaemonProcess, jobs: int, kind: str, concurrency: int) -> float:
    queue = new_queue()
    add(daemon, queue, jobs)
    spec: dict[str, Any] = {"url": daemon.url, "queue": queue, "jobs": jobs}
    (found,) = run_together(python_role("python_work", kind=kind, concurrency=concurrency, **spec))
    return rate(found)
