"""Backups of a daemon at work: each holds all that was confirmed before it began, none is ever
there by half, and whatever happens to one harms nobody. BACKUPS=50 makes the long run of it."""

import asyncio
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

import pytest

from holdfast import Refused, Unreachable, aio
from holdfast.active import ActiveJob
from holdfast.worker import Worker
from support.backups import backup_command, begin_backup, make_backup, partials, payloads_in
from support.daemon import DaemonProcess
from support.smalldisk import SmallDisk, can_mount

BACKUPS = int(os.environ.get("BACKUPS", "8"))
KILLS = 6
BACKLOG = 30_000
"""Jobs, 30 MB: a copy takes some tenths of a second."""
PRODUCERS = 4
BALLAST: list[Any] = [("n", b"x" * 100_000, {"delay": 3600})] * 10
BALLAST_PAUSE_S = 0.02
"""Between two calls of 1 MB: a backup that looks at the log after each step, and gives up with 64
MB left, must be let on in a second."""
PAUSE_S = 0.05
"""Of each between two calls of 50 jobs: what two cores bear beside the reading of backups."""

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]


@pytest.fixture
def filled(daemon: DaemonProcess) -> DaemonProcess:
    """With a backlog on disk."""
    asyncio.run(fill(daemon))
    return daemon


async def fill(daemon: DaemonProcess) -> None:
    async with aio.Queue("backlog", url=daemon.url) as queue:
        for _ in range(BACKLOG // 2_000):
            await queue.add_many([("n", b"x" * 800)] * 2_000)


class Load:
    """Producers that never stop, and a worker that completes what they add."""

    def __init__(self, daemon: DaemonProcess):
        self.confirmed: set[int] = set()
        self._daemon = daemon
        self._serial = 0
        self._is_over = False

    async def _produce(self, queue: aio.Queue) -> None:
        while not self._is_over:
            serials = range(self._serial, self._serial + 50)
            self._serial += 50
            await queue.add_many([("n", {"serial": serial}) for serial in serials])
            self.confirmed.update(serials)
            await asyncio.sleep(PAUSE_S)

    async def _handle(self, job: ActiveJob) -> None:
        pass

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        async with aio.Queue("load", url=self._daemon.url, timeout=30) as queue:
            keep = {"age_ms": None, "count": None}
            await queue.configure(retention={"completed": keep, "failed": keep})
            worker = Worker("load", self._handle, url=self._daemon.url, concurrency=100)
            working = asyncio.create_task(worker.run_async())
            producing = [asyncio.create_task(self._produce(queue)) for _ in range(PRODUCERS)]
            yield
            self._is_over = True
            await asyncio.gather(*producing)
            worker.stop()
            await working

    async def more(self) -> None:
        """Until some more has been confirmed: a backup must meet work in progress."""
        enough = len(self.confirmed) + 500
        while len(self.confirmed) < enough:
            await asyncio.sleep(0.005)


async def missing_in_backups(
    daemon: DaemonProcess, count: int, folder: Path, make: Callable[[DaemonProcess, Path], Any]
) -> set[int]:
    """Serials that were confirmed before a backup began, and that it does not hold; of the first
    one that lacks any."""
    load = Load(daemon)
    async with load.running():
        for number in range(count):
            await load.more()
            confirmed = set(load.confirmed)
            path = folder / f"{number}.db"
            await asyncio.to_thread(make, daemon, path)
            held = await asyncio.to_thread(payloads_in, path)
            missing = confirmed - {data["serial"] for data in held if isinstance(data, dict)}
            if missing:
                return missing
            path.unlink()
    return set()


def made(daemon: DaemonProcess, path: Path) -> None:
    done = make_backup(daemon, path)
    assert done.returncode == 0, done.stderr


def copied(daemon: DaemonProcess, path: Path) -> None:
    """As one must not."""
    shutil.copyfile(daemon.directory / "holdfast.db", path)


@pytest.mark.timeout(60 + 20 * BACKUPS)
async def test_each_backup_under_load_holds_every_job_confirmed_before_it_began(
    daemon: DaemonProcess, tmp_path: Path
) -> None:
    assert await missing_in_backups(daemon, BACKUPS, tmp_path, made) == set()
    assert partials(tmp_path) == []


async def test_a_plain_copy_of_the_file_is_found_out(daemon: DaemonProcess, tmp_path: Path) -> None:
    try:
        missing = await missing_in_backups(daemon, 3, tmp_path, copied)
    except (sqlite3.Error, AssertionError):
        return  # torn
    assert missing


# ---- whatever dies meanwhile ---------------------------------------------------------------------


def test_a_killed_backup_is_not_there_and_the_next_one_clears_up(
    filled: DaemonProcess, tmp_path: Path
) -> None:
    rng = random.Random(1)
    folder = tmp_path / "backups"
    folder.mkdir()
    started = time.monotonic()
    made(filled, folder / "whole.db")
    usual_s = time.monotonic() - started
    for number in range(KILLS):
        path = folder / f"{number}.db"
        process = begin_backup(filled, path)
        time.sleep(rng.uniform(0, usual_s / 2))  # a random point of its work
        process.kill()
        process.communicate()
        if path.exists():  # it was done before
            assert len(payloads_in(path)) == BACKLOG
            path.unlink()
        else:
            assert partials(folder), "it was killed, and has not begun"
    made(filled, folder / "last.db")
    assert {path.name for path in folder.iterdir()} == {"whole.db", "last.db"}


@pytest.fixture
def halfway(filled: DaemonProcess, tmp_path: Path) -> Iterator["subprocess.Popen[str]"]:
    """A backup that stands still in the middle of its copy."""
    process = begin_backup(filled, tmp_path / "halfway.db")
    process.send_signal(signal.SIGSTOP)
    assert process.poll() is None
    yield process
    process.kill()
    process.communicate()


def goes_on(process: "subprocess.Popen[str]") -> None:
    process.send_signal(signal.SIGCONT)
    _, complaint = process.communicate(timeout=60)
    assert process.returncode == 0, complaint


def test_a_backup_survives_the_daemon_and_a_restart_of_it(
    filled: DaemonProcess, halfway: "subprocess.Popen[str]", tmp_path: Path
) -> None:
    filled.kill()
    filled.start()
    assert filled.jobs_recovered == BACKLOG
    goes_on(halfway)
    assert len(payloads_in(tmp_path / "halfway.db")) == BACKLOG
    filled.kill()
    filled.start()
    assert filled.jobs_recovered == BACKLOG


def test_a_daemon_stops_in_good_order_while_a_backup_is_made(
    filled: DaemonProcess, halfway: "subprocess.Popen[str]", tmp_path: Path
) -> None:
    started = time.monotonic()
    assert filled.stop() == 0
    assert time.monotonic() - started < 4, "it waited for the backup"
    goes_on(halfway)
    assert len(payloads_in(tmp_path / "halfway.db")) == BACKLOG
    filled.start()
    assert filled.jobs_recovered == BACKLOG


@pytest.mark.parametrize("end", ["kill", "stop"])
def test_a_backup_is_made_where_no_daemon_runs(
    daemon: DaemonProcess, tmp_path: Path, end: str
) -> None:
    async def add() -> None:
        async with aio.Queue("q", url=daemon.url) as queue:
            await queue.add_many([("n", number) for number in range(100)])

    asyncio.run(add())
    getattr(daemon, end)()
    made(daemon, tmp_path / "b.db")
    assert sorted(payloads_in(tmp_path / "b.db")) == list(range(100))
    daemon.start()
    assert daemon.jobs_recovered == 100


def test_a_stopped_backup_removes_what_it_has_written(
    filled: DaemonProcess, halfway: "subprocess.Popen[str]", tmp_path: Path
) -> None:
    halfway.send_signal(signal.SIGTERM)
    halfway.send_signal(signal.SIGCONT)
    halfway.communicate(timeout=60)
    assert halfway.returncode == 128 + signal.SIGTERM
    assert partials(tmp_path) == []
    assert not (tmp_path / "halfway.db").exists()


# ---- targets -------------------------------------------------------------------------------------


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[SmallDisk]:
    """Not of a daemon: a device of its own for backups."""
    if not can_mount():
        pytest.skip("no mount namespaces for this user here")
    disk = SmallDisk(tmp_path / "device", 200)
    yield disk
    disk.__exit__()


def command_on(disk: SmallDisk, daemon: DaemonProcess, name: str) -> list[str]:
    return [*disk.enter, *backup_command(daemon, disk.directory / name)]


def test_a_target_that_fills_up_is_told_and_has_nothing_left_of_it(
    filled: DaemonProcess, small_disk: SmallDisk
) -> None:
    folder = small_disk.seen_from_here
    with subprocess.Popen(
        command_on(small_disk, filled, "b.db"), stderr=subprocess.PIPE, text=True
    ) as process:
        while not any(path.stat().st_size for path in partials(folder)):
            time.sleep(0.001)
            assert process.poll() is None
        process.send_signal(signal.SIGSTOP)  # nsenter has become the command itself
        small_disk.fill()
        process.send_signal(signal.SIGCONT)
        _, complaint = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "full" in complaint or "No space left" in complaint
    assert complaint.count("\n") == 1
    small_disk.free()
    assert list(folder.iterdir()) == []


@asynccontextmanager
async def slow_backup_on_a_small_disk(
    tmp_path: Path, sabotage: str
) -> AsyncIterator[tuple[asyncio.subprocess.Process, aio.Queue]]:
    """The log cannot begin anew while the copy is made."""
    if not can_mount():
        pytest.skip("no mount namespaces for this user here")
    config = tmp_path / "config.toml"
    config.write_text("[data]\nreserve_bytes = 25_165_824\n")
    with SmallDisk(tmp_path / "data", 320, "--config", str(config)) as daemon:
        await fill(daemon)
        command = slow_backup_command(daemon, tmp_path / "b.db", sabotage)
        process = await asyncio.create_subprocess_exec(*command, stderr=subprocess.PIPE)
        async with aio.Queue("ballast", url=daemon.url, timeout=5) as queue:
            yield process, queue


def slow_backup_command(daemon: DaemonProcess, dest: Path, sabotage: str) -> list[str]:
    program = (
        "from holdfastd.store import backup; backup.PAUSE_S, backup.STEP_PAGES = 0.05, 16; "
        f"{sabotage}; from holdfastd.__main__ import main; main()"
    )
    command = backup_command(daemon, dest)
    at = command.index("holdfastd") - 1
    return [*command[:at], "-c", program, *command[at + 2 :]]


async def test_a_backup_gives_up_before_its_log_fills_the_disk_of_the_daemon(
    tmp_path: Path,
) -> None:
    async with slow_backup_on_a_small_disk(tmp_path, "pass") as (process, queue):
        ending = asyncio.create_task(process.communicate())
        while not ending.done():
            await queue.add_many(BALLAST)  # never refused
            await asyncio.sleep(BALLAST_PAUSE_S)
        _, complaint = await ending
        assert b"the backup was given up" in complaint
        assert process.returncode == 1
        for _ in range(10):
            await queue.add_many(BALLAST)
    assert partials(tmp_path) == []


async def test_a_backup_that_does_not_give_up_fills_the_disk_of_the_daemon(
    tmp_path: Path,
) -> None:
    sabotage = "backup._give_up_if_too_long = lambda *sizes: None"
    async with slow_backup_on_a_small_disk(tmp_path, sabotage) as (process, queue):
        with pytest.raises((Refused, Unreachable)):
            await add_more_than_fits(queue)
        assert process.returncode is None
        process.kill()
        await process.communicate()


async def add_more_than_fits(queue: aio.Queue) -> None:
    for _ in range(320):
        await queue.add_many(BALLAST)


def test_a_target_without_room_is_refused_before_anything_is_copied(
    filled: DaemonProcess, small_disk: SmallDisk
) -> None:
    small_disk.fill()
    command = command_on(small_disk, filled, "b.db")
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert "free some, or name another target" in done.stderr


def test_a_target_on_another_device_is_as_good(
    filled: DaemonProcess, small_disk: SmallDisk, tmp_path: Path
) -> None:
    command = command_on(small_disk, filled, "")
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    (path,) = small_disk.seen_from_here.iterdir()
    shutil.copyfile(path, tmp_path / "here.db")
    assert len(payloads_in(tmp_path / "here.db")) == BACKLOG


def test_a_target_that_is_there_is_not_overwritten(daemon: DaemonProcess, tmp_path: Path) -> None:
    (tmp_path / "letters").write_text("mine")
    done = make_backup(daemon, tmp_path / "letters")
    assert done.returncode == 1
    assert "is there already and is not overwritten" in done.stderr
    assert (tmp_path / "letters").read_text() == "mine"


def test_a_target_in_no_directory_and_a_source_without_a_database_are_named(
    daemon: DaemonProcess, tmp_path: Path
) -> None:
    assert "there is no directory" in make_backup(daemon, tmp_path / "no" / "b.db").stderr
    elsewhere = DaemonProcess(tmp_path / "elsewhere")
    assert "there is no database in" in make_backup(elsewhere, tmp_path / "b.db").stderr
    assert not elsewhere.directory.exists()


# ---- damaged sources -----------------------------------------------------------------------------


def test_a_damaged_job_is_named_and_the_backup_is_made(
    daemon: DaemonProcess, tmp_path: Path
) -> None:
    async def add() -> None:
        async with aio.Queue("q", url=daemon.url) as queue:
            await queue.add_many([("n", number, {"id": f"j{number}"}) for number in range(10)])

    asyncio.run(add())
    daemon.stop()
    with closing(sqlite3.connect(daemon.directory / "holdfast.db")) as connection, connection:
        connection.execute("UPDATE job SET payload = x'07' WHERE id = 'j3'")
    done = make_backup(daemon, tmp_path / "b.db")
    assert done.returncode == 0
    assert "1 of these jobs is damaged (q/j3)" in done.stderr
    assert len(payloads_in(tmp_path / "b.db")) == 10


def test_a_damaged_structure_gives_no_backup(filled: DaemonProcess, tmp_path: Path) -> None:
    filled.stop()
    with (filled.directory / "holdfast.db").open("rb+") as file:
        file.seek(4096 * 1000)
        file.write(b"\xff" * 4096 * 5)
    done = make_backup(filled, tmp_path / "b.db")
    assert done.returncode == 1
    assert "restore a backup with holdfastd restore" in done.stderr
    assert done.stderr.count("\n") == 1
    assert not list(tmp_path.glob("b.db*"))


def test_a_damaged_log_gives_no_backup(daemon: DaemonProcess, tmp_path: Path) -> None:
    async def add() -> None:
        async with aio.Queue("q", url=daemon.url) as queue:
            for number in range(20):
                await queue.add("n", number)

    asyncio.run(add())
    daemon.kill()
    wal = daemon.directory / "holdfast.db-wal"
    data = bytearray(wal.read_bytes())
    data[len(data) // 2] ^= 1
    wal.write_bytes(data)
    done = make_backup(daemon, tmp_path / "b.db")
    assert done.returncode == 1
    assert "a backup would lack confirmed changes" in done.stderr
    assert not list(tmp_path.glob("b.db*"))
