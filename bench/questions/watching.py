"""What a hundred open dashboards cost the daemon: the same work with and without them, in turn."""

from statistics import median
from typing import Final

from bench.browsing import Browsing, stream_of
from bench.daemon import DaemonProcess
from bench.lab import Figures, Lab, cpu_s, new_queue
from bench.processes import role
from bench.questions.end_to_end import both, rate_through

DASHBOARDS: Final = 100
ROUNDS: Final = 5
QUEUES: Final = 20
"""That the overview shows, beside the one at work."""


def ask(lab: Lab) -> Figures:
    with lab.daemon() as daemon:
        with Browsing(daemon.http_address) as browsing:
            stream = stream_of(browsing.page("/"))
        _add_some_queues(daemon)
        alone: list[tuple[float, float]] = []
        watched: list[tuple[float, float]] = []
        read_bytes: list[float] = []
        spec = {"address": daemon.http_address, "path": stream, "streams": DASHBOARDS}
        for _ in range(ROUNDS if lab.scale == 1 else 1):
            alone.append(_work(lab, daemon))
            with role("watch", **spec) as watching:
                watching.wait_ready().go()
                watched.append(_work(lab, daemon))
                watching.go()
                read_bytes.append(watching.result()["bytes"])
    rates = [median(rate for rate, _ in found) for found in (alone, watched)]
    used = [median(us for _, us in found) for found in (alone, watched)]
    return {
        "end to end jobs/s, nobody looks": rates[0],
        f"end to end jobs/s, {DASHBOARDS} dashboards": rates[1],
        f"% of throughput left, {DASHBOARDS} dashboards": 100 * rates[1] / rates[0],
        "daemon µs of CPU per job, nobody looks": used[0],
        f"daemon µs of CPU per job, {DASHBOARDS} dashboards": used[1],
        "KB that a dashboard was sent meanwhile": median(read_bytes) / DASHBOARDS / 1000,
    }


def _add_some_queues(daemon: DaemonProcess) -> None:
    queues = [f"shop-{number}" for number in range(QUEUES)]
    with role("fill_records", port=daemon.port, queues=queues, jobs=200 * QUEUES) as filling:
        filling.wait_ready().go()
        filling.result()


def _work(lab: Lab, daemon: DaemonProcess) -> tuple[float, float]:
    """Jobs a second, and microseconds of the daemon's CPU per job."""
    jobs = lab.jobs(200_000, 100)
    before_s = cpu_s(daemon.pid)
    found = both(daemon, new_queue(), jobs, 100)
    return rate_through(found), (cpu_s(daemon.pid) - before_s) / jobs * 1e6
