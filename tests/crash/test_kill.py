"""SIGKILL of the daemon, twenty times under load: nothing that was confirmed is lost."""

import asyncio
import contextlib
import random
from pathlib import Path

import pytest

from holdfast import aio
from holdfast.active import ActiveJob
from holdfast.errors import HoldfastError
from holdfast.worker import Worker
from support.daemon import DaemonProcess
from support.history import Done, History, Run, Stored, judge

KILLS = 20
PRODUCERS = 4
IN_FLIGHT = 8


class Campaign:
    """Producers and a worker that never stop, a daemon that dies again and again."""

    def __init__(self, daemon: DaemonProcess, seed: int):
        self.daemon = daemon
        self.random = random.Random(seed)
        self.history = History()
        self.is_over = False
        self.serial = 0

    async def produce(self, queue: aio.Queue) -> None:
        while not self.is_over:
            self.serial += 1
            id = f"job-{self.serial}"
            data = self.random.randbytes(20)
            self.history.attempted[id] = data
            with contextlib.suppress(HoldfastError):
                await queue.add("work", data, id=id)
                self.history.confirmed.add(id)

    async def handle(self, job: ActiveJob) -> None:
        self.history.runs.append(Run(job.id, job.token, job.data, "worker"))
        await asyncio.sleep(0)

    async def kill_and_restart(self) -> None:
        for _ in range(KILLS):
            confirmed = len(self.history.confirmed)
            while len(self.history.confirmed) < confirmed + self.random.randint(5, 60):
                # Load goes on: a kill must hit work in progress.
                await asyncio.sleep(0.002)
            self.daemon.kill()
            await asyncio.to_thread(self.daemon.start)

    async def run(self) -> None:
        queues = [aio.Queue("work", url=self.daemon.url, timeout=30) for _ in range(PRODUCERS)]
        worker = Worker("work", self.handle, url=self.daemon.url, concurrency=10)
        worker.on(
            "completed", lambda job, result: self.history.done.append(Done(job.id, job.token))
        )
        working = asyncio.create_task(worker.run_async())
        producing = [
            asyncio.create_task(self.produce(queue)) for queue in queues for _ in range(IN_FLIGHT)
        ]
        await self.kill_and_restart()
        self.is_over = True
        await asyncio.gather(*producing)
        async with asyncio.timeout(30):
            while not self.is_drained(await queues[0].counts()):
                await asyncio.sleep(0.05)  # the other process is working it off
        for state in ("completed", "failed"):
            async for job in queues[0].jobs(state):
                reruns = job.failures + job.crashes + job.releases
                self.history.stored.append(Stored(job.id, job.state, reruns))
        worker.stop()
        await working
        for queue in queues:
            await queue.close()

    def is_drained(self, counts: dict[str, int]) -> bool:
        left = counts["waiting"] + counts["active"] + counts["delayed"]
        acked = {done.serial for done in self.history.done}
        return not left and self.history.confirmed <= acked


@pytest.mark.timeout(120)
@pytest.mark.parametrize("seed", [1])
async def test_twenty_kills_under_load_lose_nothing(daemon: DaemonProcess, seed: int) -> None:
    campaign = Campaign(daemon, seed)
    await campaign.run()
    assert judge(campaign.history).wrong == {}
    assert len(campaign.history.confirmed) > KILLS * 5
    assert daemon.stop() == 0


async def test_a_daemon_that_is_stopped_in_good_order_has_an_empty_log(tmp_path: Path) -> None:
    daemon = DaemonProcess(tmp_path / "data").start()
    async with aio.Queue("q", url=daemon.url) as queue:
        await queue.add_many([("n", number) for number in range(100)])
    assert daemon.stop() == 0
    wal = tmp_path / "data" / "holdfast.db-wal"
    assert not wal.exists() or wal.stat().st_size == 0
    again = DaemonProcess(tmp_path / "data").start()
    assert again.jobs_recovered == 100
    assert again.stop() == 0
