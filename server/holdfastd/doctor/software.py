"""Which versions there are, and whether this SQLite is a sound one."""

import platform
import sqlite3
from importlib.metadata import PackageNotFoundError, version
from typing import Final

from holdfast.wire.constants import PROTOCOL_VERSION
from holdfastd import VERSION
from holdfastd.doctor.report import Finding, Status
from holdfastd.store.schema import SCHEMA_VERSION

PACKAGES: Final = ("uvloop", "msgpack", "aiosqlite")
WAL_RESET_FIRST: Final = (3, 7, 0)
WAL_RESET_LAST: Final = (3, 51, 2)
"""sqlite.org/wal.html#walresetbug"""
WAL_RESET_REPAIRED: Final = {(3, 44): 6, (3, 50): 7}
"""Older series to which the repair was taken back, and from which release."""


def versions() -> Finding:
    """Of this command's installation, which is the daemon's unless there are two."""
    found = {
        "holdfast": VERSION,
        "python": platform.python_version(),
        **{package: _version_of(package) for package in PACKAGES},
        "protocol": str(PROTOCOL_VERSION),
        "schema": str(SCHEMA_VERSION),
    }
    text = ", ".join(f"{name} {number}" for name, number in found.items())
    return Finding("versions", Status.OK, text, found)


def _version_of(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "none"


def sqlite(found: tuple[int, ...] = sqlite3.sqlite_version_info) -> Finding:
    """found: the version in use, as three numbers."""
    number = ".".join(map(str, found))
    facts = {"sqlite": number, "has_wal_reset_bug": has_wal_reset_bug(found)}
    if not has_wal_reset_bug(found):
        return Finding("sqlite", Status.OK, f"{number}, without the WAL-reset bug", facts)
    return Finding(
        "sqlite",
        Status.WARN,
        f"{number} has the WAL-reset bug (3.7.0 to 3.51.2), which takes two connections that write "
        "or checkpoint; Holdfast has one that does both, and cannot meet it",
        facts,
        "let no other program write to the database or checkpoint it (Litestream does), or use a "
        "Python with SQLite 3.51.3 or newer",
    )


def has_wal_reset_bug(found: tuple[int, ...]) -> bool:
    repaired_from = WAL_RESET_REPAIRED.get((found[0], found[1]))
    if repaired_from is not None and found[2] >= repaired_from:
        return False
    return WAL_RESET_FIRST <= found <= WAL_RESET_LAST
