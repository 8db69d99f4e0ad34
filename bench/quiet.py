"""A machine that several people share: measure alone, let them in between, and say how alone.

They agree on a file, and whoever works takes a shared lock of it (`flock -s FILE make test`); a
benchmark with BENCH_LOCK=FILE takes the exclusive one.
"""

import fcntl
import os
import resource
import time
from pathlib import Path
from typing import Final, TextIO

TURN_S: Final = 300.0
"""So long nobody else gets in; arbitrary."""


class Turns:
    """Nothing, unless BENCH_LOCK names a file."""

    def __init__(self) -> None:
        path = os.environ.get("BENCH_LOCK")
        self._file: TextIO | None = Path(path).open("a") if path else None  # noqa: SIM115
        self._ends_at_s = 0.0

    def take(self) -> None:
        """Before each measurement: waits for a turn, or goes on with the one that it has."""
        if self._file is None or time.monotonic() < self._ends_at_s:
            return
        fcntl.flock(self._file, fcntl.LOCK_UN)
        if self._ends_at_s:
            time.sleep(1)  # for those who wait: the lock is not handed over in order
        fcntl.flock(self._file, fcntl.LOCK_EX)
        self._ends_at_s = time.monotonic() + TURN_S

    def end(self) -> None:
        if self._file is not None:
            self._file.close()


class Others:
    """How many cores everybody else used since it was made: figures with much of it are worthless.

    What the kernel does for our own files counts as theirs, and so does a process of ours that was
    not waited for; a tenth of a core is nothing.
    """

    def __init__(self) -> None:
        self._started_at_s = time.monotonic()
        self._all_s = _all_cpu_s()
        self._own_s = _own_cpu_s()

    def cores(self) -> float:
        took_s = time.monotonic() - self._started_at_s
        theirs_s = (_all_cpu_s() - self._all_s) - (_own_cpu_s() - self._own_s)
        return max(0.0, theirs_s / took_s)


def _all_cpu_s() -> float:
    """CPU seconds of the machine since its start, idle and waiting for disks left out."""
    user, nice, system, _, _, *rest = Path("/proc/stat").read_text().splitlines()[0].split()[1:]
    ticks = sum(map(int, (user, nice, system, *rest[:3])))  # interrupts, soft ones, stolen time
    return ticks / os.sysconf("SC_CLK_TCK")


def _own_cpu_s() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)
