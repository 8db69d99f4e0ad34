"""The history of a real daemon: over clean stops, SIGKILL, and a clock that is set."""

import sqlite3
import time
from contextlib import closing
from pathlib import Path

import pytest

from holdfast import Queue
from holdfastd.store.files import DATABASE_NAME
from support.daemon import DaemonProcess
from support.fakeclock import FakeClock, need_library, remove_leftovers

pytestmark = pytest.mark.slow


def added(directory: Path, step_ms: int) -> int:
    """Of all jobs, by the rows of that step; the daemon does not run."""
    with closing(sqlite3.connect(f"file:{directory / DATABASE_NAME}?mode=ro", uri=True)) as rows:
        (total,) = rows.execute(
            "SELECT coalesce(sum(added), 0) FROM history WHERE step_ms = ? AND name = ''"
            " AND queue = ''",
            (step_ms,),
        ).fetchone()
        return int(total)


def add(daemon: DaemonProcess, count: int) -> None:
    queue = Queue("q", url=daemon.url)
    queue.add_many([("work", number) for number in range(count)])
    queue.close()


def test_a_clean_stop_loses_nothing_and_the_minute_goes_on(tmp_path: Path) -> None:
    directory = tmp_path / "data"
    daemon = DaemonProcess(directory)
    for count in (3, 4):
        with daemon:
            add(daemon, count)
            assert daemon.stop() == 0
    assert added(directory, 60_000) == added(directory, 3_600_000) == 7


def test_a_kill_loses_the_running_minute_and_no_minute_before(tmp_path: Path) -> None:
    need_library()
    directory = tmp_path / "data"
    clock = FakeClock(tmp_path / "clock")
    into_minute_s = 1 - time.time() % 60  # a minute begins only when it is told to
    clock.set(into_minute_s)
    daemon = DaemonProcess(directory, environment=clock.environment)
    try:
        with daemon:
            add(daemon, 3)
            clock.set(into_minute_s + 120)
            add(daemon, 1)  # its confirmation comes after the tick that ended the minute
            add(daemon, 1)
            daemon.kill()
            clock.set(into_minute_s + 240)
            daemon.start()
            add(daemon, 5)
            assert daemon.stop() == 0
        assert added(directory, 60_000) == added(directory, 3_600_000) == 3 + 5
    finally:
        remove_leftovers()
