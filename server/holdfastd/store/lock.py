"""One daemon per directory: a lock file of our own, and the mark of a start without a clean stop.

The database file itself is never opened here while SQLite has it: closing any descriptor of it
would drop SQLite's POSIX locks (sqlite.org/howtocorrupt.html, 2.2).
"""

import fcntl
import os
import time
from contextlib import suppress
from pathlib import Path
from typing import Final

from holdfastd.store.base import StoreRefused

LOCK_NAME: Final = "holdfast.lock"
UNCLEAN_NAME: Final = "holdfast.unclean"
LOCK_PAUSES_S: Final = (0.001, 0.01, 0.05)
"""Between attempts. Arbitrary."""


class DirectoryLock:
    """Held from `acquire` until `release` or the end of the process, however it ends."""

    def __init__(self, directory: Path):
        self._directory = directory
        self._path = directory / LOCK_NAME
        self._unclean = directory / UNCLEAN_NAME
        self._file: int | None = None

    def acquire(self) -> None:
        """Raises StoreRefused: another daemon has it, or the directory cannot be written."""
        try:
            self._directory.mkdir(parents=True, exist_ok=True, mode=0o700)
            file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise StoreRefused(
                f"the data directory {self._directory} cannot be written ({error.strerror}): "
                "give the daemon's user the right to, or choose another with --data"
            ) from error
        try:
            _lock(file)
        except BlockingIOError as error:
            pid = os.read(file, 20).decode(errors="replace").strip() or "unknown"
            os.close(file)
            raise StoreRefused(
                f"another holdfastd (pid {pid}) has {self._directory} open: stop it first, or "
                "choose another directory with --data"
            ) from error
        os.ftruncate(file, 0)
        os.write(file, f"{os.getpid()}\n".encode())
        self._file = file

    def release(self) -> None:
        if self._file is not None:
            os.ftruncate(self._file, 0)
            os.close(self._file)
            self._file = None

    @property
    def was_unclean(self) -> bool:
        """The last daemon here did not stop in good order (or is this one)."""
        return self._unclean.exists()

    def mark_unclean(self) -> None:
        self._unclean.write_text("")
        self._unclean.chmod(0o600)
        sync_directory(self._directory)

    @property
    def was_broken(self) -> bool:
        """The last daemon here met an error of the disk or of what is on it."""
        return self.was_unclean and self._unclean.stat().st_size > 0

    def mark_broken(self) -> None:
        """As good as can be: the disk may be what is broken."""
        with suppress(OSError):
            self._unclean.write_text("broken\n")

    def mark_clean(self) -> None:
        self._unclean.unlink(missing_ok=True)
        sync_directory(self._directory)


def _lock(file: int) -> None:
    """Raises BlockingIOError if it is held; a look of `is_held` lasts microseconds, and is waited
    for."""
    for pause_s in LOCK_PAUSES_S:
        with suppress(BlockingIOError):
            return fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        time.sleep(pause_s)
    return fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def is_held(directory: Path) -> bool:
    """A daemon has the directory open."""
    try:
        file = os.open(directory / LOCK_NAME, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(file)
    return False


def sync_directory(directory: Path) -> None:
    """Make the creation, renaming or removal of files in it durable."""
    file = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(file)
    finally:
        os.close(file)


def evict_page_cache(*paths: Path) -> None:
    """Forget what the kernel holds of these files, before SQLite opens them.

    After a failed fsync the kernel may hold pages that are not on disk and call them clean. A plain
    reopen after one lost confirmed jobs in half of the images tried, a checkpoint at open corrupted
    some; with the cache evicted first, none (facts of Rebello et al., USENIX ATC 2020, tried here).
    """
    for path in paths:
        if path.exists():
            file = os.open(path, os.O_RDONLY)
            try:
                os.fsync(file)
                os.posix_fadvise(file, 0, 0, os.POSIX_FADV_DONTNEED)
            finally:
                os.close(file)
