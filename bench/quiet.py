"""A machine that several people share: measure alone, and let them in between.

They agree on a file, and whoever works takes a shared lock of it (`flock -s FILE make test`); a
benchmark with BENCH_LOCK=FILE takes the exclusive one.
"""

import fcntl
import os
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
