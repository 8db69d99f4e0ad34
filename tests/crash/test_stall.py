"""A daemon that is stopped for longer than a lease, as on a machine that sleeps."""

import asyncio
import os
import signal
from pathlib import Path

import pytest

from holdfast import aio
from holdfast.active import ActiveJob
from holdfast.worker import Worker
from support.daemon import DaemonProcess

LEASE_S = 1.0
LEASES = f"[leases]\nlease_ms = {LEASE_S * 1000:.0f}\nheartbeat_ms = 200\ngrace_ms = 500\n"


@pytest.mark.slow
async def test_a_daemon_that_was_stopped_for_longer_than_a_lease_takes_none_away(
    tmp_path: Path,
) -> None:
    config = tmp_path / "config.toml"
    config.write_text(LEASES)
    may_end = asyncio.Event()
    runs = 0

    async def handler(job: ActiveJob) -> None:
        nonlocal runs
        runs += 1
        await may_end.wait()

    with DaemonProcess(tmp_path / "data", "--config", str(config)) as daemon:
        async with aio.Queue("q", url=daemon.url) as queue:
            worker = Worker("q", handler, url=daemon.url, concurrency=20)
            working = asyncio.create_task(worker.run_async())
            jobs = await queue.add_many([("n", number) for number in range(20)])
            while runs < 20:
                await asyncio.sleep(0.01)
            for _ in range(3):
                os.kill(daemon.pid, signal.SIGSTOP)
                await asyncio.sleep(3 * LEASE_S)  # the time it is stopped for is the test
                os.kill(daemon.pid, signal.SIGCONT)
                await asyncio.sleep(LEASE_S / 2)
            may_end.set()
            for job in jobs:
                await job.wait(10)
                assert (job.crashes, job.releases) == (0, 0)
            assert runs == 20
            assert "did not run for" in daemon.log()
            worker.stop()
            await working
