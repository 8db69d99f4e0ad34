"""What a backlog costs: throughput, memory, disk, and the restart after SIGKILL."""

import time
from pathlib import Path

from bench.daemon import DaemonProcess
from bench.lab import Figures, Lab, add, new_queue, rate, resident_mb
from bench.processes import role, run_together
from bench.questions.end_to_end import end_to_end


def ask(lab: Lab) -> Figures:
    figures: Figures = {}
    for waiting in lab.backlogs:
        with lab.daemon() as daemon:
            for name, value in _at(lab, daemon, waiting).items():
                figures[f"{waiting:,} waiting: {name}"] = value
    return figures


def _at(lab: Lab, daemon: DaemonProcess, waiting: int) -> Figures:
    """The same work on every size: the queue that has the backlog is added to and drained, and is
    as long afterwards."""
    queue = new_queue()
    run_together(role("fill", port=daemon.port, queue=queue, jobs=waiting))
    memory_mb = resident_mb(daemon.pid)
    disk_bytes = _disk_bytes(daemon.directory)
    enqueues_per_s = rate(add(daemon, queue, lab.jobs(200_000, 100)))
    through_per_s = end_to_end(daemon, queue, lab.jobs(100_000, 100), 100)
    working_mb = resident_mb(daemon.pid)
    daemon.kill()
    started = time.perf_counter()
    daemon.start()
    ready_s = time.perf_counter() - started
    return {
        "enqueues/s, 100 per call": enqueues_per_s,
        "end to end jobs/s, 100 per call": through_per_s,
        "daemon MB, filled": memory_mb,
        "daemon MB, after the work": working_mb,
        "disk bytes per job": disk_bytes / waiting,
        "s to READY after SIGKILL": ready_s,
        "daemon MB, restarted": resident_mb(daemon.pid),
    }


def _disk_bytes(directory: Path) -> float:
    """The database and its log; not the reserve, which has the same size always."""
    return sum(path.stat().st_size for path in directory.glob("*.db*"))
