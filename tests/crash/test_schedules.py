"""Schedules of a real daemon that is killed around their due instants, is down over many of them,
and whose clock is set: each due instant makes exactly one job, or is accounted for."""

import asyncio
import random
import re
import time
from collections import Counter
from pathlib import Path

import pytest

from holdfast import aio
from holdfast.schedules import Schedule
from support import sabotaged_daemon
from support.daemon import DaemonProcess
from support.fakeclock import DAY_S, FakeClock, need_library, remove_leftovers

pytestmark = pytest.mark.slow

SCHEDULES = 4
KILLS = 5
LATE_S = 20.0


async def put_all(queue: aio.Queue) -> None:
    for number in range(SCHEDULES):
        await queue.schedule(f"s{number}", "n", number, every=1)


async def wrong_with(queue: aio.Queue) -> list[str]:
    """What does not add up; no job has been removed."""
    wrong: list[str] = []
    ids = Counter([job.id async for job in queue.jobs("waiting")])
    wrong += [f"{id} is there {count} times" for id, count in ids.items() if count > 1]
    async for schedule in queue.schedules():
        made = [id for id in ids if id.startswith(f"{schedule.id}@")]
        if len(made) != schedule.fired:
            wrong.append(f"{schedule.id} fired {schedule.fired} times, and made {len(made)} jobs")
        instants = round(passed_s(schedule))
        accounted = schedule.fired + schedule.missed + schedule.skipped
        if accounted != instants:
            wrong.append(f"{schedule.id} was due {instants} times, {accounted} are accounted for")
    return wrong


def passed_s(schedule: Schedule) -> float:
    """Seconds, and so due instants, that were dealt with since it was made."""
    assert schedule.created_at is not None
    assert schedule.next_at is not None
    return (schedule.next_at - schedule.created_at.replace(microsecond=0)).total_seconds() - 1


async def kill_around_due_instants(daemon: DaemonProcess, queue: aio.Queue) -> None:
    rng = random.Random(7)
    for _ in range(KILLS):
        # All are due at whole seconds.
        await asyncio.sleep(1 - time.time() % 1 + rng.uniform(-0.02, 0.12))
        daemon.kill()
        await asyncio.to_thread(daemon.start)
        await queue.counts()


async def test_a_kill_around_a_due_instant_neither_loses_nor_doubles_its_job(
    tmp_path: Path,
) -> None:
    with DaemonProcess(tmp_path / "data") as daemon:
        async with aio.Queue("q", url=daemon.url) as queue:
            await put_all(queue)
            await kill_around_due_instants(daemon, queue)
            assert (await queue.get_schedule("s0")).fired >= KILLS
            assert await wrong_with(queue) == []


async def test_a_daemon_that_writes_job_and_schedule_apart_is_found_out(tmp_path: Path) -> None:
    daemon = DaemonProcess(tmp_path / "data")
    daemon.program = [sabotaged_daemon.__file__, "moves_on_alone"]
    with daemon:
        async with aio.Queue("q", url=daemon.url) as queue:
            await put_all(queue)
            for _ in range(2):  # within 0.3 s after its due instants
                await asyncio.sleep(1.1 - time.time() % 1)
                daemon.kill()
                await asyncio.to_thread(daemon.start)
                await queue.counts()
            await asyncio.to_thread(daemon.kill)
            daemon.program = ["-m", "holdfastd"]
            await asyncio.to_thread(daemon.start)
            wrong = await wrong_with(queue)
    assert any(re.search("fired .* times, and made", each) for each in wrong)


@pytest.fixture
def clock(tmp_path: Path) -> FakeClock:
    need_library()
    remove_leftovers()
    return FakeClock(tmp_path / "clock")


async def dealt_with(queue: aio.Queue, id: str, count: int) -> Schedule:
    """The schedule, when so many of its instants have been."""
    deadline = time.monotonic() + LATE_S
    while True:
        found = await queue.get_schedule(id)
        if found.fired + found.missed + found.skipped >= count:
            return found
        assert time.monotonic() < deadline, f"it is silent: {found}"
        await asyncio.sleep(0.05)


async def test_after_a_day_down_there_is_one_job_or_none_as_was_asked(
    tmp_path: Path, clock: FakeClock
) -> None:
    with DaemonProcess(tmp_path / "data", environment=clock.environment) as daemon:
        async with aio.Queue("q", url=daemon.url) as queue:
            await queue.schedule("once", "n", cron="*/10 * * * *")
            await queue.schedule("skip", "n", cron="59 23 31 12 *", missed="skip")
            await queue.schedule("late", "n", every=600, missed="skip")
            daemon.kill()
            clock.set(DAY_S + 90)
            await asyncio.to_thread(daemon.start)
            once = await dealt_with(queue, "once", 144)
            assert (once.fired, once.missed) in ((1, 143), (1, 144))
            assert [job.id async for job in queue.jobs("waiting")] == [once.last_job]
            late = await dealt_with(queue, "late", 144)
            assert (late.fired, late.missed) == (0, 144)
            skip = await queue.get_schedule("skip")
            assert skip.fired + skip.missed <= 1


async def test_a_clock_that_is_set_neither_bursts_nor_silences(
    tmp_path: Path, clock: FakeClock
) -> None:
    with DaemonProcess(tmp_path / "data", environment=clock.environment) as daemon:
        async with aio.Queue("q", url=daemon.url) as queue:
            await queue.schedule("s", "n", every=1)
            await dealt_with(queue, "s", 1)
            for offset_s in (DAY_S, -DAY_S, 400 * DAY_S, 0.0):
                before = await queue.get_schedule("s")
                began = time.monotonic()
                clock.set(offset_s)
                after = await dealt_with(queue, "s", dealt(before) + 1)
                while after.fired < before.fired + 2:
                    after = await dealt_with(queue, "s", dealt(after) + 1)
                fired = after.fired - before.fired
                assert fired <= time.monotonic() - began + 3, "a burst"
            ids = [job.id async for job in queue.jobs("waiting")]
            assert len(ids) == len(set(ids)) == (await queue.get_schedule("s")).fired


def dealt(schedule: Schedule) -> int:
    return schedule.fired + schedule.missed + schedule.skipped
