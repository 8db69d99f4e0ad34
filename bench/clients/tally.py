"""What workers have handled, in files: any worker of any framework can count so, in any process.

One file per process, three doubles: jobs handled, when the first was, when the last (Unix seconds).
Beside it, where latency is asked for, a file of doubles with the seconds that each job waited.
Only the standard library: this runs in the peers' own environments. The folder is $BENCH_TALLY.
"""

import mmap
import os
import threading
import time
from pathlib import Path
from struct import Struct
from typing import BinaryIO, Final

PAYLOAD_LENGTH: Final = 200
PAYLOAD: Final = "x" * PAYLOAD_LENGTH
_COUNTED: Final = Struct("=ddd")
_WAIT: Final = Struct("=d")


def stamped() -> str:
    """A payload of the same length that begins with the instant (Unix seconds)."""
    return f"{time.time():.6f} ".ljust(PAYLOAD_LENGTH, "x")


class Tally:
    """The counter of this process; made with its first job, since many workers fork."""

    def __init__(self) -> None:
        self._pid = 0
        self._count = 0
        self._first_at_s = 0.0
        self._map: mmap.mmap | None = None
        self._waits: BinaryIO | None = None
        self._lock = threading.Lock()

    def handled(self, payload: str) -> None:
        """From any thread."""
        with self._lock:
            self._handled(payload, time.time())

    def _handled(self, payload: str, now: float) -> None:
        if self._map is None or self._pid != os.getpid():
            self._open(now)
        assert self._map is not None
        self._count += 1
        _COUNTED.pack_into(self._map, 0, self._count, self._first_at_s, now)
        if payload[0] != "x":
            assert self._waits is not None
            self._waits.write(_WAIT.pack(now - float(payload.partition(" ")[0])))

    def _open(self, now: float) -> None:
        self._pid, self._count, self._first_at_s = os.getpid(), 0, now
        folder = Path(os.environ["BENCH_TALLY"])
        path = folder / f"handled-{self._pid}"
        path.write_bytes(bytes(_COUNTED.size))
        with path.open("r+b") as file:
            self._map = mmap.mmap(file.fileno(), _COUNTED.size)
        self._waits = (folder / f"waits-{self._pid}").open("wb", buffering=0)


tally: Final = Tally()


class Counted:
    """What all workers of a folder have handled. count; first_at_s, last_at_s: Unix seconds."""

    def __init__(self, folder: Path):
        found = [path.read_bytes() for path in folder.glob("handled-*")]
        rows = [_COUNTED.unpack(data) for data in found if len(data) == _COUNTED.size]
        rows = [row for row in rows if row[0]]
        self.count = int(sum(row[0] for row in rows))
        self.first_at_s = min((row[1] for row in rows), default=0.0)
        self.last_at_s = max((row[2] for row in rows), default=0.0)

    @property
    def per_s(self) -> float:
        """Jobs a second between the first and the last."""
        return (self.count - 1) / (self.last_at_s - self.first_at_s)


def waits_s(folder: Path) -> list[float]:
    """How long each job waited, in order of length."""
    return sorted(
        wait for path in folder.glob("waits-*") for (wait,) in _WAIT.iter_unpack(path.read_bytes())
    )
