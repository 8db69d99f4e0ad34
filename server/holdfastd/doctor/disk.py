"""The disk of the data directory: its kind, its room, and how long it takes to keep a promise.

Nothing that is there is touched. The latency is measured on a file that has lost its name by the
time that anything is written to it, so that nothing stays behind however the doctor ends.
"""

import os
import re
import stat
import time
from contextlib import closing
from math import ceil
from pathlib import Path
from typing import Any, Final, NamedTuple

from holdfastd.doctor.report import Finding, Status
from holdfastd.store.backup import LOG_BYTES_USUAL
from holdfastd.store.files import CHECKPOINT_BYTES
from holdfastd.store.reserve import Reserve

PROBES: Final = 100
PROBE_BYTES: Final = 4096
"""A page of the log."""
PROBE_PAUSE_S: Final = 0.002
"""After each: a daemon at work is the first to have the disk."""
PROBE_S_MAX: Final = 3.0
"""For all of them; of a slow disk fewer tell enough."""
MEDIAN_MS_SLOW: Final = 10.0
"""A disk that turns takes 8 ms; a job that is added alone waits for one."""
P99_MS_SLOW: Final = 100.0
"""Many times what any sound disk takes. Arbitrary."""
MEDIAN_MS_IMPLAUSIBLE: Final = 0.005
"""Even memory that outlives a power cut takes longer by way of the kernel and a file system."""

NETWORK: Final = re.compile(
    # fuseblk is not among them: it is a local disk.
    r"nfs\d?|cifs|smb\w*|9p|virtiofs|afs|ceph|lustre|glusterfs|beegfs|ocfs2|gfs2|fuse\..+"
)
IN_MEMORY: Final = ("tmpfs", "ramfs")
MOUNTS: Final = Path("/proc/self/mountinfo")


def directory(path: Path) -> Finding:
    facts: dict[str, Any] = {"path": str(path.absolute())}
    if not path.exists():
        text = f"{path.absolute()} is not there yet: holdfastd serve makes it"
        return Finding("directory", Status.WARN, text, facts, "is it the one that you mean?")
    if not path.is_dir():
        return Finding("directory", Status.BAD, f"{path} is no directory", facts, "name another")
    mode = stat.S_IMODE(path.stat().st_mode)
    facts["mode"] = f"{mode:04o}"
    if not os.access(path, os.R_OK | os.W_OK | os.X_OK):
        text = f"{path.absolute()} cannot be written by this user ({os.geteuid()})"
        advice = "run the doctor as the daemon's user; if this is it, give it the directory"
        return Finding("directory", Status.BAD, text, facts, advice)
    if mode & stat.S_IRWXO:
        text = f"{path.absolute()} is open to every user of the machine (mode {mode:04o})"
        return Finding("directory", Status.WARN, text, facts, f"chmod 700 {path.absolute()}")
    return Finding("directory", Status.OK, str(path.absolute()), facts)


# ---- what kind of file system --------------------------------------------------------------------


class Mount(NamedTuple):
    point: str
    kind: str
    """Such as ext4."""


def file_system(path: Path, mounts: Path = MOUNTS) -> Finding:
    """mounts: the kernel's list, proc(5), /proc/pid/mountinfo."""
    try:
        mount = mount_of(existing(path).resolve(), mounts.read_text())
    except OSError as error:
        text = f"{mounts} cannot be read ({error.strerror}), so its kind is not known"
        return Finding("file_system", Status.UNKNOWN, text)
    facts = {"kind": mount.kind, "mounted_on": mount.point}
    text = f"{mount.kind}, mounted on {mount.point}"
    if mount.kind in IN_MEMORY:
        advice = "put data.dir on a disk: here, all jobs are gone with the machine"
        return Finding("file_system", Status.WARN, f"{text}: it is memory", facts, advice)
    if mount.kind == "overlay":
        advice = "if this is a container, mount a volume there: its own layer is gone with it"
        return Finding("file_system", Status.WARN, text, facts, advice)
    if NETWORK.fullmatch(mount.kind):
        advice = "put data.dir on a local disk: SQLite's log and locks may not hold over a network"
        return Finding("file_system", Status.WARN, f"{text}: not a local disk", facts, advice)
    return Finding("file_system", Status.OK, text, facts)


def existing(path: Path) -> Path:
    """It, or the nearest directory above it that is there."""
    path = path.absolute()
    while not path.exists():
        path = path.parent
    return path


def mount_of(path: Path, mountinfo: str) -> Mount:
    """The mount that a path is on: the longest point above it, the last one of the same length.

    mountinfo: the kernel's text.
    """
    found = Mount("/", "unknown")
    for line in mountinfo.splitlines():
        before, _, after = line.partition(" - ")
        mount = Mount(_unescape(before.split()[4]), after.split()[0])
        if path.is_relative_to(mount.point) and len(mount.point) >= len(found.point):
            found = mount
    return found


def _unescape(text: str) -> str:
    return re.sub(r"\\([0-7]{3})", lambda found: chr(int(found[1], 8)), text)


# ---- how fast ------------------------------------------------------------------------------------


class Latency(NamedTuple):
    probes: int
    median_ms: float
    p99_ms: float


def fsync(path: Path) -> Finding:
    if not path.is_dir():
        return Finding("fsync", Status.UNKNOWN, "not measured: there is no directory yet")
    try:
        return judge_latency(measure(path))
    except OSError as error:
        text = f"not measured: nothing can be written there ({error.strerror})"
        return Finding("fsync", Status.UNKNOWN, text)


def measure(path: Path) -> Latency:
    """Overwrite a page of a file and sync it, again and again, as the log is written. OSError."""
    seconds: list[float] = []
    with closing(_Nameless(path)) as file:
        file.write_page()
        began = time.perf_counter()
        while len(seconds) < PROBES and time.perf_counter() - began < PROBE_S_MAX:
            time.sleep(PROBE_PAUSE_S)
            before = time.perf_counter()
            file.write_page()
            seconds.append(time.perf_counter() - before)
    seconds.sort()
    return Latency(
        len(seconds),
        seconds[len(seconds) // 2] * 1000,
        seconds[ceil(len(seconds) * 0.99) - 1] * 1000,
    )


class _Nameless:
    """A file in a directory, without a name."""

    def __init__(self, directory: Path):
        name = directory / f".holdfast-doctor-{os.getpid()}"
        self._file = os.open(name, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        name.unlink()

    def write_page(self) -> None:
        os.pwrite(self._file, bytes(PROBE_BYTES), 0)
        _fdatasync(self._file)

    def close(self) -> None:
        os.close(self._file)


_fdatasync: Final = getattr(os, "fdatasync", os.fsync)
"""macOS has the other one only."""


def judge_latency(found: Latency) -> Finding:
    facts = {
        "probes": found.probes,
        "median_ms": round(found.median_ms, 3),
        "p99_ms": round(found.p99_ms, 3),
    }
    text = (
        f"{found.median_ms:.2f} ms (median), {found.p99_ms:.2f} ms (p99) of {found.probes} "
        "fdatasyncs of a page"
    )
    if found.median_ms < MEDIAN_MS_IMPLAUSIBLE:
        advice = "does the disk, or the virtual machine's host, really write? See its cache mode"
        return Finding("fsync", Status.WARN, f"{text}: no disk is as fast", facts, advice)
    if found.median_ms > MEDIAN_MS_SLOW or found.p99_ms > P99_MS_SLOW:
        advice = "each confirmation waits for one: use a faster disk, or one that others use less"
        return Finding("fsync", Status.WARN, f"{text}: slow", facts, advice)
    return Finding("fsync", Status.OK, text, facts)


# ---- how much room -------------------------------------------------------------------------------


def space(path: Path, reserve_bytes: int) -> Finding:
    found = os.statvfs(existing(path))
    is_held = path.is_dir() and Reserve(path, reserve_bytes).is_held
    inodes = found.f_favail if found.f_files else None  # some file systems do not count them
    return judge_space(found.f_bavail * found.f_frsize, reserve_bytes, inodes, is_held=is_held)


def judge_space(
    free_bytes: int, reserve_bytes: int, inodes: int | None, *, is_held: bool
) -> Finding:
    """inodes: free ones; None = there is no such limit. is_held: the reserve is allocated."""
    wanted = LOG_BYTES_USUAL + (0 if is_held else reserve_bytes * 5 // 4)
    facts = {
        "free_bytes": free_bytes,
        "wanted_bytes": wanted,
        "reserve_bytes": reserve_bytes,
        "is_reserve_held": is_held,
    }
    text = (
        f"{free_bytes:,} bytes free; {wanted:,} for the log"
        f"{' (the reserve is taken)' if is_held else ' and the reserve'}"
    )
    advice = "free some space, or move data.dir to a larger disk"
    if free_bytes < CHECKPOINT_BYTES:
        return Finding("space", Status.BAD, f"{text}: jobs are refused soon", facts, advice)
    if inodes is not None and inodes < 100:
        return Finding("space", Status.BAD, f"{inodes} inodes free", facts, "remove some files")
    if free_bytes < wanted:
        return Finding("space", Status.WARN, text, facts, advice)
    return Finding("space", Status.OK, text, facts)
