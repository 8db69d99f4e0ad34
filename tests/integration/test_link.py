"""What a client does when requests and answers are lost on the way."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from holdfast import Refused, Unreachable, Worker
from holdfast.active import ActiveJob
from holdfast.aio import Queue
from holdfast.wire.constants import ErrorCode
from support.daemon import DaemonProcess
from support.proxy import Proxy


@pytest.fixture
async def proxy(daemon: DaemonProcess) -> AsyncIterator[Proxy]:
    async with Proxy(daemon.port) as proxy:
        yield proxy


@pytest.fixture
async def queue(proxy: Proxy) -> AsyncIterator[Queue]:
    async with Queue("work", url=proxy.url, timeout=15) as queue:
        yield queue


@pytest.fixture
async def direct(daemon: DaemonProcess) -> AsyncIterator[Queue]:
    async with Queue("work", url=daemon.url) as queue:
        yield queue


async def until_waiting(queue: Queue, count: int) -> None:
    await _until(queue, "waiting", count)


async def until_completed(queue: Queue, count: int) -> None:
    await _until(queue, "completed", count)


async def _until(queue: Queue, state: str, count: int) -> None:
    async with asyncio.timeout(10):
        while (await queue.counts())[state] < count:
            await asyncio.sleep(0.005)  # the other process is applying it


async def test_requests_that_were_applied_and_requests_that_were_not_are_all_done_once(
    proxy: Proxy, queue: Queue, direct: Queue
) -> None:
    await queue.add("first")
    proxy.loses_replies = True
    applied = [asyncio.create_task(queue.add("n", number)) for number in range(3)]
    await until_waiting(direct, 4)
    proxy.loses_requests = True
    never_seen = [asyncio.create_task(queue.add("n", number)) for number in range(3, 6)]
    await proxy.dropped(1)
    proxy.cut()
    jobs = await asyncio.gather(*applied, *never_seen)
    assert [job.created for job in jobs] == [True] * 6
    waiting = [job.data async for job in direct.jobs("waiting") if job.name == "n"]
    assert sorted(waiting) == [*range(6)]


async def test_whether_a_given_id_was_there_before_is_not_known_after_a_lost_answer(
    proxy: Proxy, queue: Queue, direct: Queue
) -> None:
    await direct.add("n", id="there")
    await queue.add("first")
    proxy.loses_replies = True
    adding = asyncio.create_task(queue.add_many([("n", 1, {"id": "there"}), ("n", 2)]))
    await until_waiting(direct, 3)
    proxy.cut()
    there, fresh = await adding
    assert (there.created, fresh.created) == (None, True)
    assert (await direct.counts())["waiting"] == 3


async def test_a_job_that_is_done_and_gone_before_its_lost_answer_is_asked_for_runs_once(
    proxy: Proxy, queue: Queue, direct: Queue
) -> None:
    """Nothing is known of its id any more. The simulation found a client that added it again."""
    runs: list[Any] = []

    async def handler(job: ActiveJob) -> None:
        runs.append(job.data)

    await queue.add("first")
    proxy.loses_replies = True
    adding = asyncio.create_task(queue.add_many([("n", 1), ("n", 2, {"id": "given"})]))
    await until_waiting(direct, 3)
    worker = Worker(direct.name, handler, url=direct.address.url)
    working = asyncio.create_task(worker.run_async())
    await until_completed(direct, 3)
    for job in [job async for job in direct.jobs("completed")]:
        await direct.remove(job.id)
    proxy.cut()
    made, given = await adding
    assert (made.created, given.created) == (True, None)
    await direct.add("n", "last")
    await until_completed(direct, 1)
    worker.stop()
    await working
    assert runs == [None, 1, 2, "last"]


async def test_an_answer_lost_again_on_the_second_connection_makes_no_second_job(
    proxy: Proxy, queue: Queue, direct: Queue
) -> None:
    await queue.add("first")
    proxy.loses_replies = True
    adding = asyncio.create_task(queue.add("n"))
    await until_waiting(direct, 2)
    for _ in range(3):
        proxy.cut()
        await asyncio.sleep(0)
        while not queue._link().is_open:
            await asyncio.sleep(0.005)
        proxy.loses_replies = True
        dropped = asyncio.ensure_future(
            proxy.dropped(1)
        )  # if the answer did not get through before
        await asyncio.wait({adding, dropped}, return_when=asyncio.FIRST_COMPLETED)
        dropped.cancel()
    proxy.cut()
    assert (await adding).created
    assert (await direct.counts())["waiting"] == 2


async def test_a_command_that_was_applied_is_done_though_its_answer_was_lost(
    proxy: Proxy, queue: Queue, direct: Queue
) -> None:
    await queue.add("n", id="a")
    proxy.loses_replies = True
    removing = asyncio.create_task(queue.remove("a"))
    async with asyncio.timeout(10):
        while (await direct.counts())["waiting"]:
            await asyncio.sleep(0.005)
    proxy.cut()
    await removing


async def test_a_call_without_an_answer_says_how_long_it_waited(proxy: Proxy, queue: Queue) -> None:
    await queue.add("n")
    proxy.loses_replies = True
    queue.timeout_s = 0.2
    with pytest.raises(Unreachable, match=r"within 0\.2 s \(connected, but it did not answer\)"):
        await queue.counts()


async def test_a_server_without_the_session_gets_everything_again(
    daemon: DaemonProcess, proxy: Proxy, queue: Queue, direct: Queue
) -> None:
    """A read makes no row of the session: after a SIGKILL the server has never heard of it."""
    await queue.counts()
    proxy.loses_requests = True
    adding = [asyncio.create_task(queue.add("n", number)) for number in range(3)]
    await proxy.dropped(1)
    daemon.kill()
    proxy.cut()
    await asyncio.to_thread(daemon.start)
    assert [job.created for job in await asyncio.gather(*adding)] == [True] * 3
    assert (await direct.counts())["waiting"] == 3


@pytest.mark.parametrize(
    ("producers", "is_killed"), [(20, False), (100, True)], ids=["restarts", "kills"]
)
async def test_adding_goes_on_over_restarts_and_kills_without_an_error_or_a_second_job(
    daemon: DaemonProcess, direct: Queue, producers: int, is_killed: bool
) -> None:
    """One that drains refuses jobs with DRAINING; the client waits for the next one."""
    is_over = asyncio.Event()
    added = 0

    async def produce() -> None:
        nonlocal added
        while not is_over.is_set():
            await direct.add("n")
            added += 1

    async with asyncio.TaskGroup() as producing:
        for _ in range(producers):
            producing.create_task(produce())
        for _ in range(3):
            before = added
            while added < before + 300:
                await asyncio.sleep(0.005)
            if is_killed:
                daemon.kill()
            else:
                assert await asyncio.to_thread(daemon.stop) == 0
            await asyncio.to_thread(daemon.start)
        is_over.set()
    assert (await direct.counts())["waiting"] == added


async def test_jobs_of_more_than_one_frame_are_added_all(direct: Queue) -> None:
    jobs = await direct.add_many([("n", b"x" * 1_000_000) for _ in range(9)])
    assert len(jobs) == 9
    assert (await direct.counts())["waiting"] == 9


async def test_a_refusal_of_the_server_keeps_code_and_words(direct: Queue) -> None:
    await direct.add("n")
    with pytest.raises(Refused, match="nobody") as caught:
        await direct.change("nobody", priority=1)
    assert caught.value.code is ErrorCode.UNKNOWN_JOB
