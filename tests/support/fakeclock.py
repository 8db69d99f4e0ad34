"""Clocks that a test sets, under a real process: libfaketime (Debian: `apt-get install faketime`).

The process asks for the time as ever, and is told the true one plus an offset that it finds in a
file. Where the library is not there, the tests that need it are left out and say so;
HOLDFAST_NEEDS=faketime (our CI sets it) makes that an error.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from support.needs import need

DAY_S: Final = 86_400
YEAR_S: Final = 365 * DAY_S
_PLACES: Final = (
    "/usr/lib/*/faketime/libfaketimeMT.so.1",
    "/usr/lib*/faketime/libfaketimeMT.so.1",
    "/usr/local/lib/faketime/libfaketimeMT.so.1",
)


def _found() -> Iterator[Path]:
    for place in _PLACES:
        yield from Path("/").glob(place.removeprefix("/"))


LIBRARY: Final = next(_found(), None)
"""None = it is not installed."""
MISSING: Final = "libfaketime is not installed: the clocks of a running daemon cannot be set"


def need_library() -> None:
    """See `support.needs`."""
    need("faketime", LIBRARY is not None, MISSING)


def remove_leftovers() -> None:
    """The library's shared memory, of processes that were killed."""
    for path in Path("/dev/shm").glob("*faketime_s*_*"):
        pid = path.name.rpartition("_")[2]
        if not Path(f"/proc/{pid}").exists():
            path.unlink(missing_ok=True)


class FakeClock:
    """The clocks of the processes that are started with its environment.

    Attribute offset_s: seconds that they are ahead of the true time; negative = behind.
    """

    def __init__(self, file: Path, *, is_monotonic_faked: bool = False):
        """file: where the offset stands. is_monotonic_faked: the monotonic clock moves as well."""
        self._file = file
        self._is_monotonic_faked = is_monotonic_faked
        self.offset_s = 0.0
        self.set(0)

    def set(self, offset_s: float) -> None:
        """From now on; the processes see it when they next ask."""
        new = self._file.with_suffix(".new")
        new.write_text(f"{offset_s:+f}\n")
        new.replace(self._file)  # nobody may read half of it
        self.offset_s = offset_s

    @property
    def environment(self) -> dict[str, str]:
        assert LIBRARY is not None
        faked = {
            "LD_PRELOAD": str(LIBRARY),
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            "FAKETIME_NO_CACHE": "1",
        }
        if not self._is_monotonic_faked:
            faked["FAKETIME_DONT_FAKE_MONOTONIC"] = "1"
        return {**os.environ, **faked}
