"""Crowds at the port: strangers by the thousand, workers by the thousand, clients that never read.

HOLDFAST_OUTSIDE=long has them in full: 5,000 strangers of a kind beside 5,000 honest clients,
10,000 workers over restarts, 1,000 clients that never read.
"""

import asyncio
import os
import resource
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from holdfast import aio
from holdfast.active import ActiveJob
from holdfast.worker import Worker
from support import sabotaged_daemon
from support.crowd import CLAIM, CrowdProcess, raise_open_files
from support.daemon import DaemonProcess

IS_LONG = os.environ.get("HOLDFAST_OUTSIDE") == "long"
STRANGERS = 5_000 if IS_LONG else 300
HONEST = 5_000 if IS_LONG else 200
WORKERS = 10_000 if IS_LONG else 500
UNREAD = 1_000 if IS_LONG else 60
CALLS_S = 10 if IS_LONG else 1
HANDSHAKE_S = 15.0 if IS_LONG else 1.5
MEBIBYTE = 2**20
KIBIBYTE = 2**10

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600 if IS_LONG else 90)]


@pytest.fixture(autouse=True)
def open_files() -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    raise_open_files()
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


def daemon_in(
    tmp_path: Path, *, leases: str = "", handshake_s: float = HANDSHAKE_S
) -> DaemonProcess:
    config = tmp_path / "config.toml"
    tcp = f"connections_max = 15_000\nhandshake_timeout_ms = {handshake_s * 1000:.0f}"
    config.write_text(f"[tcp]\n{tcp}\n{leases}")
    return DaemonProcess(tmp_path / "data", "--config", str(config))


def memory_of(daemon: DaemonProcess) -> int:
    return psutil.Process(daemon.pid).memory_info().rss


async def left_within(strangers: CrowdProcess, seconds: float) -> int:
    """Strangers that are still connected; waits for none."""
    deadline = time.monotonic() + seconds
    while (left := (await strangers.do("strangers_left"))["open"]) and time.monotonic() < deadline:
        await asyncio.sleep(0.05)
    return int(left)


# ---- strangers -----------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", list(CLAIM))
async def test_strangers_cost_little_and_are_sent_away(tmp_path: Path, kind: str) -> None:
    """They say nothing; or a byte now and then; or all but the last byte of a frame; or that a
    gigabyte will come. The honest ones beside them are served."""
    with (
        daemon_in(tmp_path) as daemon,
        CrowdProcess(daemon.url) as honest,
        CrowdProcess(daemon.url) as strangers,
    ):
        await honest.do("callers_open", HONEST)
        alone = await honest.do("calls", 200, CALLS_S, "q")
        before = memory_of(daemon)
        began = time.monotonic()
        await strangers.do("strangers_open", kind, STRANGERS)
        each = (memory_of(daemon) - before) / STRANGERS
        beside = await honest.do("calls", 200, CALLS_S, "q")
        assert await left_within(strangers, HANDSHAKE_S * 2) == 0
        lasted_s = time.monotonic() - began
        tell(
            f"{STRANGERS:,} strangers, {kind}: {each / KIBIBYTE:.1f} KiB each, gone after "
            f"{lasted_s:.1f} s; p99 of {HONEST:,} honest ones alone {alone['p99_ms']:.1f} ms, "
            f"beside them {beside['p99_ms']:.1f} ms"
        )
        assert each <= 64 * KIBIBYTE
        assert (alone["errors"], beside["errors"]) == ([], [])
        assert alone["calls"] == beside["calls"] == 200 * CALLS_S
        async with aio.Queue("q", url=daemon.url) as queue:
            assert (await queue.counts())["waiting"] == 400 * CALLS_S


async def test_strangers_that_are_not_sent_away_stay(tmp_path: Path) -> None:
    """The twin: only the time for the handshake ends them, however often they say a byte."""
    with daemon_in(tmp_path, handshake_s=600) as daemon, CrowdProcess(daemon.url) as strangers:
        await strangers.do("strangers_open", "drip", 50)
        assert await left_within(strangers, 1.5) == 50


# ---- many workers and a restart ------------------------------------------------------------------


@pytest.mark.parametrize("how", ["kill", "stop"])
async def test_all_workers_are_back_after_a_restart_and_no_job_is_refused(
    tmp_path: Path, how: str
) -> None:
    with daemon_in(tmp_path) as daemon, CrowdProcess(daemon.url) as workers:
        before = memory_of(daemon)
        assert (await workers.do("workers_open", WORKERS, "q"))["open"] == WORKERS
        each = (memory_of(daemon) - before) / WORKERS
        async with aio.Queue("q", url=daemon.url, timeout=30) as queue:
            is_over = asyncio.Event()
            added = 0

            async def produce() -> None:
                nonlocal added
                while not is_over.is_set():
                    await queue.add("n")
                    added += 1

            producing = [asyncio.create_task(produce()) for _ in range(10)]
            while added < 100:
                await asyncio.sleep(0.01)
            getattr(daemon, how)()
            began = time.monotonic()
            await asyncio.to_thread(daemon.start)
            back = await workers.do("links_wait", 60)
            lasted_s = time.monotonic() - began
            tell(
                f"{WORKERS:,} workers, {how}: all back {lasted_s:.1f} s after it was started, "
                f"{each / KIBIBYTE:.1f} KiB each, {added:,} jobs added meanwhile"
            )
            assert back["open"] == WORKERS
            assert lasted_s <= 15
            assert each <= 40 * KIBIBYTE
            is_over.set()
            await asyncio.gather(*producing)
            async with asyncio.timeout(30):
                while (await queue.counts())["completed"] < min(added, 10_000):
                    await asyncio.sleep(0.05)
            assert (await queue.counts())["failed"] == 0
            assert (await workers.do("links_state"))["errors"] == []


async def test_a_daemon_takes_all_the_open_files_that_it_may(tmp_path: Path) -> None:
    """A shell gives 1,024 by default, of an often much higher limit."""
    daemon = daemon_in(tmp_path)
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    daemon.program = [
        "-c",
        "import os, resource, sys\n"
        f"resource.setrlimit(resource.RLIMIT_NOFILE, (64, {hard}))\n"
        "os.execv(sys.executable, [sys.executable, '-m', 'holdfastd', *sys.argv[1:]])",
    ]
    with daemon, CrowdProcess(daemon.url) as honest:
        assert (await honest.do("callers_open", 200))["open"] == 200


# ---- clients that never read ---------------------------------------------------------------------

LEASES = "[leases]\nlease_ms = 2_000\nheartbeat_ms = 500\ngrace_ms = 500\n"
JOBS = 2_000 if IS_LONG else 100
JOB = b"x" * 1_000_000
GROWTH_BYTES_MAX = 256 * MEBIBYTE


async def growth_with_unread(daemon: DaemonProcess, queue: aio.Queue) -> int:
    """Bytes by which the daemon is larger at most while clients take large jobs and ask for large
    answers and never read. Ends early where that is far too much."""
    await queue.add_many([("n", JOB, {"max_crashes": 1_000, "id": "first"})])
    for _ in range(JOBS // 10 - 1):
        await queue.add_many([("n", JOB, {"max_crashes": 1_000})] * 10)
    before, most = memory_of(daemon), 0
    with CrowdProcess(daemon.url) as rude:
        opening = asyncio.create_task(rude.do("unread_open", UNREAD, "q", 4, "first"))
        async with asyncio.timeout(120):
            while not opening.done() or (await queue.counts())["active"]:
                # the leases return while they are connected
                most = max(most, memory_of(daemon) - before)
                if most > 2 * GROWTH_BYTES_MAX:
                    return most
                await asyncio.sleep(0.02)
        assert opening.result()["open"] == UNREAD
    return most


async def test_clients_that_never_read_cost_little_and_their_jobs_go_to_others(
    tmp_path: Path,
) -> None:
    with daemon_in(tmp_path, leases=LEASES) as daemon:
        async with aio.Queue("q", url=daemon.url, timeout=60) as queue:
            growth = await growth_with_unread(daemon, queue)
            tell(f"{UNREAD:,} clients that never read: {growth / MEBIBYTE:.0f} MiB in all")
            assert growth <= GROWTH_BYTES_MAX
            jobs = (await queue.counts())["waiting"]
            assert jobs == 1 + (JOBS // 10 - 1) * 10
            runs = 0

            async def handler(job: ActiveJob) -> None:
                nonlocal runs
                runs += len(job.data) == len(JOB)

            worker = Worker("q", handler, url=daemon.url, concurrency=20)
            working = asyncio.create_task(worker.run_async())
            async with asyncio.timeout(300 if IS_LONG else 60):
                while (await queue.counts())["completed"] < jobs:
                    await asyncio.sleep(0.05)
            assert runs == jobs
            worker.stop()
            await working


async def test_without_the_caps_clients_that_never_read_cost_far_more(tmp_path: Path) -> None:
    daemon = daemon_in(tmp_path, leases=LEASES)
    daemon.program = [sabotaged_daemon.__file__, "no_caps"]
    with daemon:
        async with aio.Queue("q", url=daemon.url, timeout=60) as queue:
            assert await growth_with_unread(daemon, queue) > GROWTH_BYTES_MAX


def tell(text: str) -> None:
    """A figure, for whoever runs it with -s."""
    sys.stderr.write(f"\n{text}\n")
