"""A disk that is full and has room again, under a running daemon, on a real file system.

The file system is a small tmpfs that the tests fill; see `support.smalldisk`.
"""

import asyncio
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import pytest

from holdfast import Refused, Unreachable, aio
from holdfast.active import ActiveJob
from holdfast.wire.constants import ErrorCode
from holdfast.worker import Worker
from support import sabotaged_daemon
from support.smalldisk import SmallDisk, can_mount

DISK_MIB = 96
RESERVE_BYTES = 24 * 1024 * 1024
RUNNING = 50
CYCLES = 3
READER = """
import sqlite3, sys
reader = sqlite3.connect(f"file:{sys.argv[1]}?mode=ro", uri=True)
reader.execute("BEGIN")
reader.execute("SELECT * FROM part").fetchall()
print("reading", flush=True)
sys.stdin.read()
"""
"""Until its standard input ends."""


pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not can_mount(), reason="no mount namespaces for this user here"),
]


def small_disk(tmp_path: Path, reserve_bytes: int, mebibytes: int = DISK_MIB) -> SmallDisk:
    config = tmp_path / "config.toml"
    config.write_text(f"[data]\nreserve_bytes = {reserve_bytes}\n")
    return SmallDisk(tmp_path / "data", mebibytes, "--config", str(config))


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[SmallDisk]:
    with small_disk(tmp_path, RESERVE_BYTES) as daemon:
        yield daemon


class Scene:
    """RUNNING jobs whose handlers wait for a word."""

    def __init__(self, daemon: SmallDisk, queue: aio.Queue, worker: Worker):
        self.daemon = daemon
        self.queue = queue
        self.may_end = asyncio.Event()
        self.acked: list[str] = []
        self._worker = worker

    async def begin(self) -> None:
        self.may_end.clear()
        self.acked.clear()
        await self.queue.add_many([("held", None)] * RUNNING)
        async with asyncio.timeout(20):
            while (await self.queue.counts())["active"] < RUNNING:
                await asyncio.sleep(0.01)

    async def add_until_refused(self) -> tuple[int, float]:
        """Returns the error code and the longest answer in seconds."""
        longest_s = 0.0
        async with asyncio.timeout(30):
            while True:
                started = time.monotonic()
                try:
                    await self.queue.add("ballast", b"x" * 100_000, delay=3600)
                except Refused as error:
                    return error.code, max(longest_s, time.monotonic() - started)
                longest_s = max(longest_s, time.monotonic() - started)

    async def all_acked(self) -> None:
        while len(self.acked) < RUNNING:
            await asyncio.sleep(0.01)

    async def until_added(self) -> float:
        """Returns the seconds until a job is taken again."""
        started = time.monotonic()
        async with asyncio.timeout(20):
            while True:
                try:
                    await self.queue.add("ballast", delay=3600)
                    return time.monotonic() - started
                except Refused:
                    await asyncio.sleep(0.01)


@asynccontextmanager
async def scene_on(daemon: SmallDisk) -> AsyncIterator[Scene]:
    async def handler(job: ActiveJob) -> None:
        await scene.may_end.wait()

    worker = Worker("w", handler, url=daemon.url, concurrency=RUNNING)
    async with aio.Queue("w", url=daemon.url, timeout=20) as queue:
        scene = Scene(daemon, queue, worker)
        worker.on("completed", lambda job, result: scene.acked.append(job.id))
        working = asyncio.create_task(worker.run_async())
        yield scene
        scene.may_end.set()
        worker.stop()
        await working


async def test_a_full_disk_refuses_jobs_and_takes_every_ack_again_and_again(
    daemon: SmallDisk,
) -> None:
    async with scene_on(daemon) as scene:
        for cycle in range(CYCLES):
            await scene.begin()
            daemon.fill()
            code, _ = await scene.add_until_refused()
            assert code is ErrorCode.DISK_FULL
            scene.may_end.set()
            async with asyncio.timeout(10):
                await scene.all_acked()
            daemon.free()
            assert await scene.until_added() < 2, f"cycle {cycle}"
            assert await scene.queue.drain(delayed=True)
    assert daemon.stop() == 0


@pytest.mark.parametrize("is_sound", [True, False])
async def test_a_log_that_a_reader_pins_costs_jobs_but_never_the_disk(
    tmp_path: Path, is_sound: bool
) -> None:
    """A backup that was stopped, or Litestream: the log cannot begin anew, and what is in it will
    need room in the database as well. A daemon that fills the disk before is full for good."""
    with small_disk(tmp_path, RESERVE_BYTES, 320) as daemon:
        if not is_sound:
            daemon.program = [sabotaged_daemon.__file__, "fills"]
            daemon.stop()
            daemon.start()
        async with scene_on(daemon) as scene:
            await scene.begin()
            with pinned_log(daemon):
                code, _ = await scene.add_until_refused()
                assert code is ErrorCode.DISK_FULL
                scene.may_end.set()
                async with asyncio.timeout(10):
                    await scene.all_acked()
            if is_sound:
                assert await scene.until_added() < 2
            else:
                with pytest.raises(TimeoutError):
                    async with asyncio.timeout(5):
                        await scene.until_added()


@contextmanager
def pinned_log(daemon: SmallDisk) -> Iterator[None]:
    command = [*daemon.enter, sys.executable, "-c", READER, str(daemon.directory / "holdfast.db")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as reader:
        assert reader.stdout is not None
        assert reader.stdout.readline() == b"reading\n"
        yield
        reader.communicate()  # it ends


async def test_a_daemon_stops_in_good_order_on_a_full_disk_and_finds_everything_again(
    daemon: SmallDisk,
) -> None:
    async with aio.Queue("w", url=daemon.url, timeout=20) as queue:
        await queue.add_many([("n", b"x" * 1_000)] * 5_000)
        daemon.fill()
        assert await asyncio.to_thread(daemon.stop) == 0
        daemon.free()
        await asyncio.to_thread(daemon.start)
        assert (await queue.counts())["waiting"] == 5_000


async def test_without_a_reserve_acks_wait_for_room(tmp_path: Path) -> None:
    with small_disk(tmp_path, 0) as daemon:
        await without_a_reserve(daemon)


async def without_a_reserve(daemon: SmallDisk) -> None:
    async with scene_on(daemon) as scene:
        await scene.begin()
        scene.daemon.fill()
        scene.queue.timeout_s = 2
        with pytest.raises(Unreachable):  # nor is a job refused: its batch waits for room
            await scene.add_until_refused()
        scene.may_end.set()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(2):
                await scene.all_acked()
        scene.daemon.free()
        async with asyncio.timeout(10):
            await scene.all_acked()
    assert daemon.stop() == 0
