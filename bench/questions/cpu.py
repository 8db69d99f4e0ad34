"""Where the processor's time goes: seconds per million jobs, by process."""

from bench.lab import Figures, Lab, cpu_s, new_queue
from bench.questions.end_to_end import both


def ask(lab: Lab) -> Figures:
    figures = {}
    for name, jobs, per_call in (
        ("100 per call", lab.jobs(150_000, 100), 100),
        ("one job per frame", lab.jobs(75_000), 1),
    ):
        with lab.daemon() as daemon:
            before_s = cpu_s(daemon.pid)
            producer, worker = both(daemon, new_queue(), jobs, per_call)
            used_s = cpu_s(daemon.pid) - before_s
        for who, seconds in (
            ("daemon", used_s),
            ("raw producer", producer["cpu_s"]),
            ("raw worker", worker["cpu_s"]),
        ):
            figures[f"CPU s per million, {name}: {who}"] = seconds * 1e6 / jobs
    return figures
