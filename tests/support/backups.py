"""Backups of a running daemon, made as an operator makes them, and what is in them."""

import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import Any, Final

from holdfast.packing import unpack
from support.daemon import DaemonProcess

MAKE_S: Final = 180.0
"""On a machine with nine processes for each core one took more than 60 s."""


def backup_command(daemon: DaemonProcess, dest: Path) -> list[str]:
    arguments = ["backup", str(dest), "--data", str(daemon.directory)]
    return [*daemon.enter, sys.executable, "-m", "holdfastd", *arguments]


def make_backup(daemon: DaemonProcess, dest: Path) -> subprocess.CompletedProcess[str]:
    """Run it to its end, whatever that is."""
    command = backup_command(daemon, dest)
    return subprocess.run(command, capture_output=True, text=True, timeout=MAKE_S, check=False)


def begin_backup(daemon: DaemonProcess, dest: Path) -> subprocess.Popen[str]:
    """Start it and return while it copies. Raises TimeoutError: it did not begin."""
    process = subprocess.Popen(
        backup_command(daemon, dest), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    deadline = time.monotonic() + MAKE_S
    while process.poll() is None and time.monotonic() < deadline:
        if any(path.stat().st_size for path in partials(dest.parent)):
            return process
        time.sleep(0.001)  # it is another process: there is nothing to wait on but its file
    if process.poll() is None:
        process.kill()
        raise TimeoutError
    return process


def partials(folder: Path) -> list[Path]:
    """What backups that are under way, or were cut short, have there."""
    return list(folder.glob("*.holdfast-partial*"))


def payloads_in(database: Path) -> list[Any]:
    """The data of every job. Raises sqlite3.Error or AssertionError: the file is not sound."""
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        return [unpack(payload) for (payload,) in connection.execute("SELECT payload FROM job")]
