"""How long a job is on its way, from the producer's send to its arrival in the worker."""

from bench.lab import Figures, Lab, new_queue
from bench.processes import role, run_together
from bench.questions.end_to_end import end_to_end

CREDIT = 500


def ask(lab: Lab) -> Figures:
    """At half of the maximum: of what end to end with one job per frame gave just before."""
    figures = {**_at(lab, 100, lab.jobs(1_000), "at 100 jobs/s")}
    with lab.daemon() as daemon:
        maximum_per_s = end_to_end(daemon, new_queue(), lab.jobs(40_000), 1)
    half_per_s = maximum_per_s / 2
    half = _at(lab, half_per_s, int(half_per_s * 5 * lab.scale), "at half of the maximum")
    return {**figures, **half}


def _at(lab: Lab, per_s: float, jobs: int, name: str) -> Figures:
    with lab.daemon() as daemon:
        spec = {"port": daemon.port, "queue": new_queue(), "jobs": jobs}
        producer, worker = run_together(
            role("timed_add", per_s=per_s, **spec), role("timed_work", credit=CREDIT, **spec)
        )
    waits_ms = sorted(wait * 1000 for wait in worker["waits_s"])
    took_s = producer["ended_at_s"] - producer["started_at_s"]
    return {
        f"enqueue to start p50 ms, {name}": percentile(waits_ms, 0.5),
        f"enqueue to start p99 ms, {name}": percentile(waits_ms, 0.99),
        f"enqueue to start p99.9 ms, {name}": percentile(waits_ms, 0.999),
        f"jobs/s sent, {name}": jobs / took_s,
    }


def percentile(ordered: list[float], share: float) -> float:
    """The smallest value that is not exceeded by so many of them."""
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]
