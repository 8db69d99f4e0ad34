"""The machine's clock and its limits."""

import ctypes
import re
import resource
from pathlib import Path
from typing import Any, Final, NamedTuple

from holdfastd.clock import Clock
from holdfastd.doctor.report import Finding, Status

APART_MS_MAX: Final = 50
"""Both clocks may be read that much apart on a busy machine; NTP steps from 128 ms on."""
RELEASED_AT_MS: Final = 1_764_000_000_000
"""November 2025: no clock that is right says anything earlier."""
AHEAD_MS_MAX: Final = 5_000
"""That a file may be younger than now: file systems round. Arbitrary."""


class Reading(NamedTuple):
    """Both clocks at once."""

    wall_ms: int
    monotonic_ms: float


def read_clocks(clock: Clock) -> Reading:
    return Reading(clock.now_ms(), clock.monotonic() * 1000)


def clock(before: Reading, after: Reading, written_at_ms: int | None) -> Finding:
    """written_at_ms: when the database was last written to, by its file; None = there is none."""
    apart_ms = (after.wall_ms - before.wall_ms) - (after.monotonic_ms - before.monotonic_ms)
    facts: dict[str, Any] = {"now_ms": after.wall_ms, "apart_ms": round(apart_ms, 1)}
    seconds = (after.monotonic_ms - before.monotonic_ms) / 1000
    if after.wall_ms < RELEASED_AT_MS:
        text = "the wall clock says a time before this version was made"
        return Finding("clock", Status.BAD, text, facts, "set the clock, and have NTP keep it")
    if written_at_ms is not None and written_at_ms > after.wall_ms + AHEAD_MS_MAX:
        ahead_s = (written_at_ms - after.wall_ms) / 1000
        text = f"the database was written {ahead_s:,.0f} s from now: the clock was set back"
        advice = "see that the clock is right: delayed jobs come due by it"
        return Finding("clock", Status.WARN, text, facts, advice)
    if abs(apart_ms) > APART_MS_MAX:
        text = f"the wall clock was moved by {apart_ms:+,.0f} ms within {seconds:.1f} s"
        advice = "see what sets it; delayed jobs come due by it, leases do not mind"
        return Finding("clock", Status.WARN, text, facts, advice)
    text = f"wall and monotonic clock agree within {abs(apart_ms):.1f} ms over {seconds:.1f} s"
    return Finding("clock", Status.OK, text, facts)


# ---- is it set by somebody -----------------------------------------------------------------------

STA_UNSYNC: Final = 0x0040
"""<sys/timex.h>"""


class _Timex(ctypes.Structure):
    """struct timex up to its status; adjtimex(2)."""

    _fields_ = (
        ("modes", ctypes.c_uint),
        ("offset", ctypes.c_long),
        ("freq", ctypes.c_long),
        ("maxerror", ctypes.c_long),
        ("esterror", ctypes.c_long),
        ("status", ctypes.c_int),
        ("rest", ctypes.c_byte * 256),
    )


def kernel_clock() -> tuple[int, int] | None:
    """Status bits and largest error in microseconds, as the kernel was told by who keeps its clock;
    None = it cannot be asked. With modes = 0 nothing is set."""
    try:
        adjtimex = ctypes.CDLL(None, use_errno=True).adjtimex
    except (AttributeError, OSError):
        return None
    found = _Timex()
    if adjtimex(ctypes.byref(found)) < 0:
        return None
    return found.status, found.maxerror


def ntp(found: tuple[int, int] | None) -> Finding:
    """found: of `kernel_clock`."""
    if found is None:
        text = "this system does not say whether its clock is synchronised"
        return Finding("ntp", Status.UNKNOWN, text)
    status, error_us = found
    if status & STA_UNSYNC:
        text = "the kernel does not know its clock to be synchronised"
        advice = "have NTP keep it (chrony, systemd-timesyncd), unless the host does without saying"
        return Finding("ntp", Status.WARN, text, {"is_synchronised": False}, advice)
    facts = {"is_synchronised": True, "error_ms": error_us / 1000}
    return Finding("ntp", Status.OK, f"synchronised to within {error_us / 1000:,.0f} ms", facts)


# ---- limits --------------------------------------------------------------------------------------


def open_files(pid: int | None, connections_max: int, own_files: int) -> Finding:
    """pid: of the daemon that runs there; None = there is none, or it is not known."""
    limit = None if pid is None else limit_of(pid)
    whose = f"the daemon's (pid {pid})"
    if limit is None:  # a daemon raises its own to the hard one
        _, limit = resource.getrlimit(resource.RLIMIT_NOFILE)
        whose = "this shell's; a service has its own"
    facts = {"limit": limit, "connections_max": connections_max}
    if limit != resource.RLIM_INFINITY and limit < connections_max + own_files:
        text = (
            f"{limit:,} ({whose}), fewer than tcp.connections_max = {connections_max:,} and "
            f"{own_files} for the daemon itself"
        )
        advice = "raise it (ulimit -n, LimitNOFILE), or lower tcp.connections_max"
        return Finding("open_files", Status.WARN, text, facts, advice)
    shown = "no limit" if limit == resource.RLIM_INFINITY else f"{limit:,}"
    text = f"{shown} ({whose}); tcp.connections_max = {connections_max:,}"
    return Finding("open_files", Status.OK, text, facts)


def limit_of(pid: int) -> int | None:
    """A process's limit of open files, proc(5); None = it cannot be seen."""
    try:
        text = Path(f"/proc/{pid}/limits").read_text()
    except OSError:
        return None
    found = re.search(r"^Max open files\s+(\d+)", text, re.MULTILINE)
    return int(found[1]) if found else None
