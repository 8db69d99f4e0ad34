"""What a question gets to work with: daemons, load processes, and how large to ask."""

import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any, TypeAlias

import psutil

from bench.daemon import DaemonProcess
from bench.filling import fill
from bench.processes import role, run_together

Figures: TypeAlias = dict[str, float]
"""Name of a figure, with its unit, and its value."""


@dataclass(frozen=True)
class Lab:
    """directory: on the disk that is measured. scale: 1.0 in full; a question asks for so many
    jobs times scale. backlogs: how many jobs wait in the questions about backlogs. producers: less
    than the eight of the questions' names only to try this out."""

    directory: Path
    scale: float = 1.0
    backlogs: tuple[int, ...] = (1_000, 1_000_000)
    idle_s: float = 20.0
    producers: int = 8

    def jobs(self, full: int, multiple: int = 1) -> int:
        """So many at full scale, as a multiple of so many per call."""
        return max(1, round(full * self.scale / multiple)) * multiple

    @contextmanager
    def daemon(self) -> Iterator[DaemonProcess]:
        """A new one on an empty directory, which is removed with it."""
        with (
            tempfile.TemporaryDirectory(dir=self.directory, prefix="daemon-") as folder,
            DaemonProcess(Path(folder) / "data") as daemon,
        ):
            yield daemon

    @contextmanager
    def filled(self, jobs: int) -> Iterator[DaemonProcess]:
        """A new one on a directory with so many jobs in all states (`bench.filling`)."""
        with tempfile.TemporaryDirectory(dir=self.directory, prefix="filled-") as folder:
            data = Path(folder) / "data"
            fill(data, jobs, time.time_ns() // 1_000_000)
            with DaemonProcess(data) as daemon:
                yield daemon


_names = count()


def new_queue() -> str:
    return f"queue-{next(_names)}"


def add(daemon: DaemonProcess, queue: str, jobs: int, **spec: Any) -> dict[str, Any]:
    """One producer; by default 100 jobs per call. Returns what its process found."""
    wanted = {"per_call": 100, "in_flight": 20, **spec}
    (found,) = run_together(role("add", port=daemon.port, queues=[queue], jobs=jobs, **wanted))
    return found


def rate(found: dict[str, Any]) -> float:
    """Jobs a second of one load process."""
    return float(found["jobs"] / (found["ended_at_s"] - found["started_at_s"]))


def rate_of_all(found: list[dict[str, Any]]) -> float:
    """Jobs a second of several that started together."""
    started = min(one["started_at_s"] for one in found)
    ended = max(one["ended_at_s"] for one in found)
    return float(sum(one["jobs"] for one in found) / (ended - started))


def resident_mb(pid: int) -> float:
    """MiB."""
    return float(psutil.Process(pid).memory_info().rss) / 1024**2


def cpu_s(pid: int) -> float:
    """CPU seconds so far, in user space and kernel."""
    times = psutil.Process(pid).cpu_times()
    return float(times.user + times.system)
