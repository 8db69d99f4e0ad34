"""Jobs added by one producer at full speed and completed by one worker at the same time."""

from typing import Any

from bench.daemon import DaemonProcess
from bench.lab import Figures, Lab, new_queue
from bench.processes import role, run_together

CREDIT = 500


def ask(lab: Lab) -> Figures:
    figures = {}
    for name, jobs, per_call in (
        ("100 per call", lab.jobs(150_000, 100), 100),
        ("one job per frame", lab.jobs(75_000), 1),
    ):
        with lab.daemon() as daemon:
            figures[f"end to end jobs/s, {name}"] = end_to_end(daemon, new_queue(), jobs, per_call)
    return figures


def end_to_end(daemon: DaemonProcess, queue: str, jobs: int, per_call: int) -> float:
    """Jobs a second, from the first sent until the last is confirmed, as added and as completed."""
    return rate_through(both(daemon, queue, jobs, per_call))


def both(daemon: DaemonProcess, queue: str, jobs: int, per_call: int) -> list[dict[str, Any]]:
    """What producer and worker found, in this order."""
    spec = {"port": daemon.port, "queues": [queue], "jobs": jobs}
    producer = role("add", per_call=per_call, in_flight=2_000 // per_call, **spec)
    worker = role("work", credit=CREDIT, **spec)
    return run_together(producer, worker)


def rate_through(found: list[dict[str, Any]]) -> float:
    producer, worker = found
    ended_at_s = max(producer["ended_at_s"], worker["ended_at_s"])
    return float(worker["jobs"] / (ended_at_s - producer["started_at_s"]))
