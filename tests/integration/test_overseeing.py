"""An operator stops and quiets real workers: over real connections to a service in this process."""

import asyncio
import random
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest_asyncio

from holdfast import Worker, aio
from holdfast.active import ActiveJob
from holdfastd.clock import SystemClock
from holdfastd.config import Address, Config
from holdfastd.engine import commands
from holdfastd.engine.session import Session
from holdfastd.inside import Inside
from holdfastd.observed import Observed
from holdfastd.service import Service
from holdfastd.store.sqlite import SqliteStore


class Running:
    """A service, its URL, and what HTTP has of it."""

    def __init__(self, folder: Path):
        config = Config()
        config = replace(config, tcp=replace(config.tcp, listen=Address("127.0.0.1", 0)))
        store = SqliteStore(folder, reserve_bytes=0)
        self.service = Service(config, store, SystemClock(), random.Random(1), Observed())
        self.inside = Inside(self.service.pipeline)
        self.url = ""

    async def start(self) -> None:
        await self.service.pipeline.open()
        self.tasks = [
            asyncio.create_task(self.service.pipeline.run()),
            asyncio.create_task(self.service.listener.run()),
        ]
        host, port = await self.service.listener.start()
        self.url = f"holdfast://{host}:{port}"

    async def stop(self) -> None:
        self.inside.close()
        await self.service.close()
        self.tasks[1].cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)

    async def worker(self) -> Session:
        """The one that there is, once it takes jobs."""
        async with asyncio.timeout(10):
            while True:
                for session in self.service.pipeline.engine.sessions.values():
                    if session.queues:
                        return session
                await asyncio.sleep(0.01)


@pytest_asyncio.fixture
async def running(tmp_path: Path) -> AsyncIterator[Running]:
    running = Running(tmp_path / "data")
    await running.start()
    yield running
    await running.stop()


async def test_a_worker_that_is_told_to_stop_ends_its_jobs_and_leaves(running: Running) -> None:
    started, go_on = asyncio.Event(), asyncio.Event()

    async def handle(job: ActiveJob) -> Any:
        started.set()
        await go_on.wait()
        return job.data

    async with aio.Queue("work", url=running.url, timeout=10) as queue:
        worker = asyncio.create_task(Worker("work", handle, url=running.url).run_async())
        job = await queue.add("n", 1)
        async with asyncio.timeout(10):
            await started.wait()
        session = await running.worker()
        assert session.origin["client"].startswith("holdfast-python")
        for _ in range(2):  # the second does not cancel what runs
            await running.inside.call(commands.StopWorker(session.key))
        await queue.add("n", 2)
        go_on.set()
        assert await job.wait(10) == 1
        async with asyncio.timeout(10):
            await worker
        assert (await queue.counts())["waiting"] == 1
        assert session.key not in running.service.pipeline.engine._partition.sessions_by_key


async def test_a_quiet_worker_takes_nothing_until_it_is_not(running: Running) -> None:
    async def handle(job: ActiveJob) -> Any:
        return job.data

    async with aio.Queue("work", url=running.url, timeout=10) as queue:
        worker = Worker("work", handle, url=running.url)
        task = asyncio.create_task(worker.run_async())
        session = await running.worker()
        await running.inside.call(commands.Quiet(session.key, True))
        job = await queue.add("n", 1)
        why = await queue.explain(job.id)
        assert (why.code, why.text) == (
            "workers_quiet",
            "its worker is quiet: told to take no more jobs",
        )
        await running.inside.call(commands.Quiet(session.key, False))
        assert await job.wait(10) == 1
        worker.stop()
        await task


async def test_the_handler_of_a_cancelled_job_is_cancelled(running: Running) -> None:
    started, cancelled = asyncio.Event(), asyncio.Event()

    async def handle(job: ActiveJob) -> Any:
        started.set()
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            assert job.cancelled
            cancelled.set()
            raise

    async with aio.Queue("work", url=running.url, timeout=10) as queue:
        worker = Worker("work", handle, url=running.url)
        task = asyncio.create_task(worker.run_async())
        job = await queue.add("n", attempts=5)
        async with asyncio.timeout(10):
            await started.wait()
            await queue.cancel(job.id, state="active")
            await cancelled.wait()
        found = await queue.get(job.id)
        (error,) = found.errors
        assert (found.state, error.outcome, error.worker) == ("cancelled", "cancelled", worker.name)
        worker.stop()
        await task
