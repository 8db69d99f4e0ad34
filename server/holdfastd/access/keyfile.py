"""The file of keys: read by the daemon whenever it has changed, changed by `holdfastd keys`.

A change writes a new file beside it and renames that over it, under a lock on the directory, so
that the daemon reads the old keys or the new ones, and two commands at once lose nothing. It holds
digests only; that others can read it is refused all the same: it says who may do what.
"""

import fcntl
import json
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final, NamedTuple, TypeVar

from holdfastd.access.keys import Keys, KeysError, from_json, to_json

T = TypeVar("T")

NAME: Final = "keys.json"
"""In the data directory, unless auth.keys_file names another."""
MODE: Final = 0o600
FORBIDDEN_MODE: Final = stat.S_IWGRP | stat.S_IXGRP | stat.S_IRWXO
"""Others can do nothing, the group can read at most: service managers hand secrets over like that
(systemd's LoadCredential: 0440)."""
BYTES_MAX: Final = 16 * 1024 * 1024
"""Some 60,000 keys. Arbitrary."""


class Stamp(NamedTuple):
    """Differs when the file does: a rename gives another inode, an edit another time or size."""

    inode: int
    size: int
    mtime_ns: int
    ctime_ns: int
    """Also when its mode was changed."""


def stamp_of(path: Path) -> Stamp | None:
    """None = it is not there, or cannot be looked at."""
    try:
        found = path.stat()
    except OSError:
        return None
    return Stamp(found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)


def check_private(descriptor: int, path: Path) -> None:
    """Raises KeysError if others than its owner could read or change it."""
    mode = stat.S_IMODE(os.fstat(descriptor).st_mode)
    if mode & FORBIDDEN_MODE:
        raise KeysError(
            f"{path} can be read or changed by others (mode {mode:04o}): chmod 600 {path}"
        )


def read(path: Path) -> Keys:
    """Raises FileNotFoundError, KeysError: one line that says what to do."""
    try:
        with path.open("rb") as file:
            check_private(file.fileno(), path)
            text = file.read(BYTES_MAX + 1)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise FileNotFoundError(path) from error
    except OSError as error:
        raise KeysError(f"{path} cannot be read: {error.strerror}: {_who_may(path)}") from error
    try:
        return from_json(json.loads(text))
    except (ValueError, RecursionError) as error:
        raise KeysError(f"{path} is no file of keys: {error}") from error


def _who_may(path: Path) -> str:
    if not path.is_file():
        return "it must be a file"
    return f"it must belong to the daemon's user ({os.geteuid()})"


def change(path: Path, how: Callable[[Keys], tuple[Keys, T]]) -> T:
    """Read it (none = no keys), change it, write it; nobody else changes it meanwhile.

    Raises:
        KeysError: nothing was changed.
    """
    with _locked(path.parent):
        try:
            keys = read(path)
        except FileNotFoundError:
            keys = Keys()
        changed, result = how(keys)
        _write(path, changed)
        return result


@contextmanager
def _locked(directory: Path) -> Iterator[None]:
    try:
        descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        raise KeysError(
            f"the directory {directory} of the key file cannot be used: {error.strerror}"
        ) from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
        with suppress(OSError):  # some file systems cannot
            os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _write(path: Path, keys: Keys) -> None:
    text = json.dumps(to_json(keys), indent=2) + "\n"
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, MODE)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            _give_to_owner(descriptor, path)
            file.write(text)
            file.flush()
            os.fsync(descriptor)
        fresh.replace(path)
    except OSError as error:
        fresh.unlink(missing_ok=True)
        raise KeysError(f"{path} cannot be written: {error.strerror}: nothing changed") from error


def _give_to_owner(descriptor: int, path: Path) -> None:
    """Made by root, it belongs to whom the old one, or the directory, belongs to: the daemon's
    user has to read it."""
    if os.geteuid() == 0:
        model = path if path.exists() else path.parent
        found = model.stat()
        os.fchown(descriptor, found.st_uid, found.st_gid)
