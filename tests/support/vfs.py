"""SQLite's file operations, seen and spoiled: a VFS of our own beneath the unchanged storage layer.

`installed(watcher)` makes a copy of SQLite's own "unix" VFS the default of this process. Files
opened meanwhile have their writes, truncations and syncs shown to the watcher before they happen;
it may let them pass, or have them fail as a disk would. Everything else is SQLite's own code.

It works through ctypes on the shared library that Python's sqlite3 is linked with (found among the
libraries of this process), so it needs no compiler and the daemon's code knows nothing of it.
Layouts and codes: sqlite3.h, "OS Interface Object" and "Result Codes".
"""

import ctypes as c
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum
from pathlib import Path
from typing import Any, Final, Protocol

import pytest

SQLITE_OK: Final = 0
SQLITE_IOERR_WRITE: Final = 10 | 3 << 8
SQLITE_IOERR_FSYNC: Final = 10 | 4 << 8
SQLITE_IOERR_TRUNCATE: Final = 10 | 6 << 8
SQLITE_FULL: Final = 13

VFS_NAME: Final = b"holdfast-watched"


class Fault(Enum):
    """How an operation fails."""

    EIO = "EIO"
    ENOSPC = "ENOSPC"
    SHORT = "short"
    """Half of a write reaches the disk, then there is an error."""


class Watcher(Protocol):
    """Told of each operation before it is done, from whatever thread does it. `path` as opened."""

    def opened(self, path: str) -> None: ...
    def write(self, path: str, offset: int, data: bytes) -> Fault | None: ...
    def truncate(self, path: str, size: int) -> Fault | None: ...
    def sync(self, path: str) -> Fault | None: ...
    def synced(self, path: str) -> None:
        """A sync has succeeded."""

    def delete(self, path: str) -> None: ...


# The name is passed on as the pointer it is: SQLite keeps it, and reads parameters behind its end.
_OPEN: Final = c.CFUNCTYPE(c.c_int, c.c_void_p, c.c_void_p, c.c_void_p, c.c_int, c.c_void_p)
_DELETE: Final = c.CFUNCTYPE(c.c_int, c.c_void_p, c.c_char_p, c.c_int)
_WRITE: Final = c.CFUNCTYPE(c.c_int, c.c_void_p, c.c_void_p, c.c_int, c.c_int64)
_TRUNCATE: Final = c.CFUNCTYPE(c.c_int, c.c_void_p, c.c_int64)
_SYNC: Final = c.CFUNCTYPE(c.c_int, c.c_void_p, c.c_int)
_CLOSE: Final = c.CFUNCTYPE(c.c_int, c.c_void_p)

IO_METHODS_POINTERS: Final = 19
"""iVersion and 18 functions: version 3."""
_CLOSE_AT, _WRITE_AT, _TRUNCATE_AT, _SYNC_AT = 1, 3, 4, 5


class _Vfs(c.Structure):
    _fields_ = (
        ("iVersion", c.c_int),
        ("szOsFile", c.c_int),
        ("mxPathname", c.c_int),
        ("pNext", c.c_void_p),
        ("zName", c.c_char_p),
        ("pAppData", c.c_void_p),
        ("xOpen", c.c_void_p),
        ("xDelete", c.c_void_p),
        ("others", c.c_void_p * 14),  # xAccess to xNextSystemCall
    )


def _library() -> Any:
    """The SQLite that this process has loaded already."""
    import _sqlite3

    assert _sqlite3.sqlite_version
    for line in Path("/proc/self/maps").read_text(errors="replace").splitlines():
        path = line.rpartition(" ")[2]
        if "libsqlite3" in path:
            return c.CDLL(path)
    pytest.skip("Python's sqlite3 is not linked with a shared library here")


class _Files:
    """The watched files that are open, by address of their sqlite3_file."""

    def __init__(self, unix: _Vfs, watcher: Watcher):
        self.watcher = watcher
        self._open = _OPEN(unix.xOpen)
        self._delete = _DELETE(unix.xDelete)
        self._paths: dict[int, str] = {}
        self._originals: dict[int, tuple[Any, Any, Any, Any]] = {}
        """By address of an original table of methods: its close, write, truncate, sync."""
        self._of_file: dict[int, tuple[Any, Any, Any, Any]] = {}
        self._tables: dict[int, Any] = {}
        """Our tables by that address."""
        self._lock = threading.Lock()
        self.callbacks = (
            _OPEN(self.open),
            _DELETE(self.delete),
            _WRITE(self.write),
            _TRUNCATE(self.truncate),
            _SYNC(self.sync),
            _CLOSE(self.close),
        )

    @property
    def is_any_open(self) -> bool:
        with self._lock:
            return bool(self._paths)

    def open(self, vfs: int, name: int | None, file: int, flags: int, out_flags: int) -> int:
        code: int = self._open(vfs, name, file, flags, out_flags)
        if code == SQLITE_OK and name:
            path = c.string_at(name).decode()
            with self._lock:
                self._paths[file] = path
                self._replace_methods(file)
            self.watcher.opened(path)
        return code

    def _replace_methods(self, file: int) -> None:
        pointer = c.cast(file, c.POINTER(c.c_void_p))
        original = pointer[0]
        assert original is not None
        if original not in self._tables:
            methods = c.cast(original, c.POINTER(c.c_void_p))
            table = (c.c_void_p * IO_METHODS_POINTERS)(
                *(methods[at] for at in range(IO_METHODS_POINTERS))
            )
            _, _, write, truncate, sync, close = self.callbacks
            self._originals[original] = (
                _CLOSE(methods[_CLOSE_AT]),
                _WRITE(methods[_WRITE_AT]),
                _TRUNCATE(methods[_TRUNCATE_AT]),
                _SYNC(methods[_SYNC_AT]),
            )
            table[_CLOSE_AT] = c.cast(close, c.c_void_p)
            table[_WRITE_AT] = c.cast(write, c.c_void_p)
            table[_TRUNCATE_AT] = c.cast(truncate, c.c_void_p)
            table[_SYNC_AT] = c.cast(sync, c.c_void_p)
            self._tables[original] = table
        self._of_file[file] = self._originals[original]
        pointer[0] = c.addressof(self._tables[original])

    def close(self, file: int) -> int:
        with self._lock:
            self._paths.pop(file)
            close = self._of_file.pop(file)[0]
        return int(close(file))

    def write(self, file: int, data: int, size: int, offset: int) -> int:
        fault = self.watcher.write(self._paths[file], offset, c.string_at(data, size))
        if fault is Fault.SHORT:
            self._of_file[file][1](file, data, size // 2, offset)
        if fault is not None:
            return SQLITE_FULL if fault is Fault.ENOSPC else SQLITE_IOERR_WRITE
        return int(self._of_file[file][1](file, data, size, offset))

    def truncate(self, file: int, size: int) -> int:
        if self.watcher.truncate(self._paths[file], size) is not None:
            return SQLITE_IOERR_TRUNCATE
        return int(self._of_file[file][2](file, size))

    def sync(self, file: int, flags: int) -> int:
        path = self._paths[file]
        if self.watcher.sync(path) is not None:
            return SQLITE_IOERR_FSYNC
        code = int(self._of_file[file][3](file, flags))
        if code == SQLITE_OK:
            self.watcher.synced(path)
        return code

    def delete(self, vfs: int, name: bytes, sync_directory: int) -> int:
        self.watcher.delete(name.decode())
        return int(self._delete(vfs, name, sync_directory))


_kept: Final[list[Any]] = []
"""What SQLite has pointers to, as long as a file is open."""


@contextmanager
def installed(watcher: Watcher) -> Iterator[None]:
    """Watch every database that this process opens meanwhile."""
    library = _library()
    library.sqlite3_vfs_find.restype = c.POINTER(_Vfs)
    library.sqlite3_vfs_register.argtypes = (c.POINTER(_Vfs), c.c_int)
    library.sqlite3_vfs_unregister.argtypes = (c.POINTER(_Vfs),)
    unix = library.sqlite3_vfs_find(b"unix").contents
    files = _Files(unix, watcher)
    ours = _Vfs.from_buffer_copy(unix)
    ours.zName = VFS_NAME
    ours.xOpen = c.cast(files.callbacks[0], c.c_void_p)
    ours.xDelete = c.cast(files.callbacks[1], c.c_void_p)
    kept = (files, ours)
    _kept.append(kept)
    library.sqlite3_vfs_register(c.byref(ours), 1)
    try:
        yield
    finally:
        library.sqlite3_vfs_unregister(c.byref(ours))
        library.sqlite3_vfs_register(c.byref(unix), 1)
        if not files.is_any_open:  # a thousand watchers, each with its record, are gigabytes
            _kept.remove(kept)
