"""Leases and sessions: a worker that lost its lease changes nothing, a lost answer makes no second
job, and a restart of the daemon re-runs nothing."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from holdfast import aio
from holdfast.access import access_of
from holdfast.active import ActiveJob
from holdfast.link import Link
from holdfast.wire import messages as wire
from holdfast.wire.constants import ErrorCode
from holdfast.worker import Worker
from support import sabotaged_daemon
from support.daemon import DaemonProcess
from support.proxy import Proxy

LEASE_MS = 1_500
"""With 400, a living worker whose process had no time on a busy machine lost its jobs too."""
JOBS = 2_500
"""Times four kinds of stale commands: 10,000."""


class Puppet:
    """A worker without a will of its own: it takes jobs, and sends what it is told."""

    def __init__(self, daemon: DaemonProcess, name: str):
        self.items: list[Any] = []
        self._link = Link(access_of(daemon.url), {"name": name, "host": "h", "pid": 1})
        self._link.on_jobs = self.items.extend

    async def take(self, count: int) -> None:
        await self._link.call(wire.Heartbeat(0, []), 10)  # a subscription is not sent before that
        await self._link.call(wire.Subscribe(0, ["q"], count), 10)
        async with asyncio.timeout(20):
            while len(self.items) < count:
                await asyncio.sleep(0.01)

    async def beat(self) -> None:
        while True:
            await self._link.call(wire.Heartbeat(0, []), 10)
            await asyncio.sleep(LEASE_MS / 4000)

    async def call(self, message: Any) -> list[Any]:
        """The items that are refused."""
        return list(await self._link.call(message, 20))

    async def close(self) -> None:
        await self._link.close()


@contextlib.asynccontextmanager
async def zombie(tmp_path: Path, program: list[str]) -> AsyncIterator[tuple[Puppet, Puppet, Any]]:
    """Two workers and a queue; the first one was silent, the second one has its jobs now."""
    config = tmp_path / "config.toml"
    config.write_text(f"[leases]\nlease_ms = {LEASE_MS}\nheartbeat_ms = 50\ngrace_ms = 100\n")
    with DaemonProcess(tmp_path / "data", "--config", str(config)) as daemon:
        daemon.kill()
        daemon.program = program
        daemon.start()
        async with aio.Queue("q", url=daemon.url) as queue:
            await queue.add_many([("n", number) for number in range(JOBS)])
            silent, alive = Puppet(daemon, "silent"), Puppet(daemon, "alive")
            await silent.take(JOBS)
            beating = asyncio.create_task(alive.beat())
            await alive.take(JOBS)
            yield silent, alive, queue
            beating.cancel()
            await silent.close()
            await alive.close()


def held(items: list[Any]) -> list[list[Any]]:
    return [[item[0], item[1], item[2]] for item in items]


ERROR = {"type": "E", "message": "stale", "traceback": ""}


@pytest.mark.slow
async def test_ten_thousand_stale_commands_are_refused_and_change_nothing(tmp_path: Path) -> None:
    async with zombie(tmp_path, ["-m", "holdfastd"]) as (silent, alive, queue):
        stale = held(silent.items)
        commands = (
            wire.Ack(0, [[*item, b"\xc0"] for item in stale], 0),
            wire.Fail(0, [[*item, ERROR, -1] for item in stale], 0),
            wire.Extend(0, stale),
            wire.Heartbeat(0, [[*item, b"\x01", [[1, "stale"]]] for item in stale]),
        )
        for command in commands:
            refused = await silent.call(command)
            assert {item[1] for item in refused} == {ErrorCode.LEASE_LOST}
            assert len(refused) == JOBS
        counts = await queue.counts()
        assert (counts["active"], counts["completed"], counts["failed"]) == (JOBS, 0, 0)
        assert await alive.call(wire.Ack(0, [[*item, None] for item in held(alive.items)], 0)) == []
        assert (await queue.counts())["completed"] == JOBS
        job = await queue.get(alive.items[0][2])
        assert (job.result, job.progress, job.logs, job.crashes) == (None, None, [], 1)


@pytest.mark.slow
async def test_a_daemon_without_a_fence_takes_them(tmp_path: Path) -> None:
    program = [sabotaged_daemon.__file__, "no_fence"]
    async with zombie(tmp_path, program) as (silent, _, queue):
        stale = held(silent.items)
        assert await silent.call(wire.Ack(0, [[*item, b"\xc0"] for item in stale], 0)) == []
        assert (await queue.counts())["completed"] == JOBS


@pytest.mark.slow
@pytest.mark.timeout(120)
async def test_a_hundred_thousand_lost_confirmations_make_no_second_job(
    daemon: DaemonProcess,
) -> None:
    """Cut after the commit; every fifth time the daemon is killed as well."""
    cycles, frames, per_frame = 20, 50, 100
    lost = 0
    async with Proxy(daemon.port) as proxy, contextlib.AsyncExitStack() as stack:
        queue = await stack.enter_async_context(aio.Queue("q", url=proxy.url, timeout=60))
        direct = await stack.enter_async_context(aio.Queue("q", url=daemon.url, timeout=60))
        await queue.add("first")
        for cycle in range(cycles):
            before = (await direct.counts())["waiting"]
            proxy.loses_replies = True
            adding = [
                asyncio.create_task(queue.add_many([("n", cycle)] * per_frame))
                for _ in range(frames)
            ]
            while (await direct.counts())["waiting"] < before + frames * per_frame:
                await asyncio.sleep(0.005)
            assert not any(task.done() for task in adding)
            lost += frames * per_frame
            if cycle % 5 == 4:
                daemon.kill()
            proxy.cut()
            if cycle % 5 == 4:
                await asyncio.to_thread(daemon.start)
            for jobs in await asyncio.gather(*adding):
                assert all(job.created for job in jobs)
        assert lost == 100_000
        assert (await direct.counts())["waiting"] == lost + 1


@pytest.mark.slow
async def test_a_daemon_that_is_killed_during_500_long_jobs_re_runs_none(
    daemon: DaemonProcess,
) -> None:
    runs: list[str] = []
    may_end = asyncio.Event()

    async def handler(job: ActiveJob) -> None:
        runs.append(job.id)
        await may_end.wait()

    async with aio.Queue("q", url=daemon.url) as queue:
        worker = Worker("q", handler, url=daemon.url, concurrency=500)
        working = asyncio.create_task(worker.run_async())
        jobs = await queue.add_many([("n", number) for number in range(500)])
        while len(runs) < 500:
            await asyncio.sleep(0.01)
        for _ in range(2):
            daemon.kill()
            await asyncio.to_thread(daemon.start)
            await queue.counts()
        may_end.set()
        for job in jobs:
            await job.wait(20)
            assert (job.crashes, job.failures, job.releases) == (0, 0, 0)
        assert len(runs) == 500
        worker.stop()
        await working
